"""What the tests of the helpers share."""

from types import SimpleNamespace

import pytest

from rethinking import compile_cache, display


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "compiled" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.compiles)


@pytest.fixture(autouse=True, scope="session")
def compiled_models_are_kept():
    """A second run of the tests finds on disk what the first compiled."""
    compile_cache.install()


@pytest.fixture(autouse=True)
def no_record(monkeypatch):
    for name in ("COURSE_RECORD", "COURSE_ESTIMATES"):
        monkeypatch.delenv(name, raising=False)


class Handle:
    """What IPython returns for an output that will be rewritten."""

    def __init__(self, first):
        self.lines = [first]

    def update(self, data, **options):
        assert options == {"raw": True}
        self.lines.append(data)


class Shown(list):
    """What the helpers displayed, instead of a notebook showing it: pairs of data and metadata."""

    def __call__(self, data, *, raw, display_id=None, metadata=None):
        assert raw
        self.append((data, metadata))
        self.handle = Handle(data)
        return self.handle if display_id else None

    def last(self, kind):
        return self[-1][0][kind]

    @property
    def markdown(self):
        assert self[-1][1] is None
        return self.last("text/markdown")

    @property
    def plain(self):
        return self.last("text/plain")

    @property
    def living(self):
        """The page of a living figure."""
        data, metadata = self[-1]
        assert set(data) == {"text/html", "text/plain"}
        assert metadata == {"course": {"role": "living"}}
        return data["text/html"]


@pytest.fixture
def shown(monkeypatch):
    monkeypatch.setattr(display, "display", shown := Shown())
    monkeypatch.setattr(display, "get_ipython", lambda: SimpleNamespace(kernel=True))
    return shown
