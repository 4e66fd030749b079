"""The one execution of every notebook, and what the tests read of it.

`pytest --nbmake` runs the notebooks through nbmake, and nothing else; their runs go where those of
`make course` go, and one that is there from the same files is taken (see `publish.execute`). The
tests read these runs through `executed` and `run_record`. `--notebook 12a` leaves one notebook and
the tests that read it.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from unittest.mock import patch

import nbformat
import pytest
from nbmake.pytest_items import NotebookFile, NotebookItem

from publish import execute
from publish.claims import with_claims
from publish.execute import kept_run
from publish.files import ROOT, CourseError, execution_key, read_text, select, sources
from publish.record import read_record


class Execution(NotebookItem):
    """One notebook, run by nbmake and kept."""

    def runtest(self) -> None:
        source = self.path
        if not execute.must_run(source):
            return
        key = execution_key(source)
        with execute.run_folder() as folder:
            run, record = folder / f"{source.stem}.ipynb", folder / "record.jsonl"
            nb = read_text(source.read_text(encoding="utf-8"), source)
            nbformat.write(with_claims(nb, source.stem), run)
            self.filename = str(run)
            environment = execute.kernel_environment(record)
            environment["JUPYTER_RUNTIME_DIR"] = str(ROOT / "_build/jupyter-runtime")
            with patch.dict(os.environ, environment, clear=True):
                super().runtest()
            execute.keep(nbformat.read(run, as_version=4), record, source, key, None)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, CourseError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, 0, self.name


def pytest_addoption(parser):
    parser.addoption("--notebook", metavar="NUMBER", help="one notebook and its tests")


def pytest_configure(config):
    if config.option.nbmake:
        config.option.overwrite = True
        config.option.nbmake_timeout = execute.CELL_TIMEOUT


def pytest_ignore_collect(collection_path, config):
    # Claims use the names of a notebook and run in its kernel.
    if config.option.nbmake or collection_path.name == "claims":
        return True
    if config.option.notebook and collection_path.suffix == ".py":
        return not marks_one_of(asked(config), collection_path) or None
    return None


def asked(config) -> list[Path]:
    try:
        return select([config.option.notebook])
    except CourseError as error:
        raise pytest.UsageError(str(error)) from None


def marks_one_of(notebooks: list[Path], file: Path) -> bool:
    """Whether a file may mark a test as these notebooks': to import all others takes seconds."""
    text = file.read_text(encoding="utf-8")
    names = {name for source in notebooks for name in (source.stem, source.stem.split("-")[0])}
    return ".notebook(" in text and (".stem" in text or any(f'"{name}"' in text for name in names))


@cache
def named(name: str) -> Path:
    """The one notebook of a name or number. Two that share a number are told apart by names."""
    found = select([name])
    if len(found) > 1:
        names = " and ".join(source.stem for source in found)
        raise CourseError(f"«{name}» may be {names}; write the whole name.")
    return found[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session, config, items):
    """Add the notebooks where they are asked for, and the marks that follow from fixtures."""
    if config.option.nbmake:
        items.clear()
        for source in sources():
            file = NotebookFile.from_parent(session, path=source)
            items.append(Execution.from_parent(file, filename=str(source)))
            items[-1].add_marker(pytest.mark.notebook(source.stem))
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & {"executed", "run_record"} and not item.get_closest_marker("notebook"):
            item.add_marker(pytest.mark.notebook())
        if "browser" in used:
            item.add_marker(pytest.mark.browser)
    if config.option.notebook:
        wanted = set(asked(config))
        read = [
            {named(name) for mark in item.iter_markers("notebook") for name in mark.args}
            for item in items
        ]
        left_out = [item for item, numbers in zip(items, read, strict=True) if not numbers & wanted]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def executed():
    """A function that returns the run of a notebook, named by number, in its stored form."""

    @cache
    def find(name: str) -> nbformat.NotebookNode:
        source = named(name)
        nb = kept_run(source)
        if nb is None:
            reason = f"{source.stem} has not been executed as it is now; run `make test`."
            pytest.fail(reason, pytrace=False)
        return nb

    return find


@pytest.fixture(scope="session")
def run_record(executed):
    """A function that returns what the helpers wrote during that run: a list of dicts."""

    @cache
    def find(name: str) -> list[dict]:
        executed(name)
        return read_record(execute.store() / f"{named(name).stem}.jsonl")

    return find


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium. One a module, since its event loop stands in the way of others."""
    from playwright.sync_api import Error, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    # The system's; else a Chrome where macOS keeps it; else Playwright's own.
    ways = [{"executable_path": program}] if program else [{"channel": "chrome"}, {}]
    with sync_playwright() as playwright:
        for way in ways:
            try:
                found = playwright.chromium.launch(**way)
                break
            except Error as error:
                reason = str(error).strip().splitlines()[0]
        else:
            # A reader's machine may lack it, CI must not.
            end = pytest.fail if os.environ.get("CI") else pytest.skip
            end(f"No browser opens the pages: install Chromium or Chrome ({reason}).")
        yield found
        found.close()
