"""One execution of every notebook, and what the tests read of it.

`pytest --nbmake --overwrite` first runs the notebooks through nbmake, as copies in
_build/test-run made from the .md, each with a run record beside it; the other tests follow and
read that execution. Without --nbmake they read the last one, if it still belongs to the sources.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]

from publish import render
from publish.files import finish, key_of, read_text, replace, sources, to_bytes

RUN = ROOT / "_build" / "test-run"
REMEDY = "run `make test`, which executes the notebooks first."


class NotebookRuns:
    """Runs the notebooks before all tests.

    nbmake collects nothing below a folder called _build, and the hooks of this file hold for its
    own folder only: so the items are made here, and the hooks are a plugin.
    """

    def pytest_configure(self, config):
        if config.getoption("nbmake", False):
            if config.option.nbmake_timeout == 300:
                config.option.nbmake_timeout = render.CELL_TIMEOUT
            config.option.overwrite = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session, config, items):
        if not config.getoption("nbmake", False):
            return
        from nbmake.pytest_items import NotebookFile

        items[:] = [item for item in items if not isinstance(item.parent, NotebookFile)]
        files = [
            NotebookFile.from_parent(session, path=RUN / f"{source.stem}.ipynb")
            for source in sources(ROOT)
        ]
        items[:0] = [item for file in files for item in file.collect()]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        if not getattr(item, "nbmake", False):
            yield
            return
        path = Path(item.filename)
        source = ROOT / "notebooks" / f"{path.stem}.md"
        nb = read_text(source.read_text(encoding="utf-8"), source)
        replace(path, to_bytes(finish(nb, path.stem, key_of(source, ROOT))))
        record = path.with_suffix(".jsonl")
        record.unlink(missing_ok=True)
        shutil.rmtree(record.with_suffix(".checkpoints"), ignore_errors=True)
        before = dict(os.environ)
        environment = render.kernel_environment(record, ROOT) | {"COURSE_ESTIMATES": "1"}
        os.environ.clear()
        os.environ.update(environment, JUPYTER_RUNTIME_DIR=str(ROOT / "_build/jupyter-runtime"))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def pytest_configure(config):
    config.pluginmanager.register(NotebookRuns(), "course-notebook-runs")


def _executed(source: Path):
    """Return one notebook of the last execution in its stored form, or say what to do."""
    path = RUN / f"{source.stem}.ipynb"
    if not path.is_file():
        pytest.fail(f"{source.stem} has not been executed; {REMEDY}", pytrace=False)
    nb = nbformat.read(path, as_version=4)
    if nb.metadata.get("course", {}).get("key") != key_of(source, ROOT):
        pytest.fail(f"{source.stem} changed since it was executed; {REMEDY}", pytrace=False)
    unfinished = [
        cell
        for cell in nb.cells
        if cell.cell_type == "code"
        and cell.source.strip()
        and (
            "shell.execute_reply" not in cell.metadata.get("execution", {})
            or any(output.output_type == "error" for output in cell.outputs)
        )
    ]
    if unfinished:
        pytest.fail(f"{source.stem} did not run to its end; nbmake says why.", pytrace=False)
    return finish(nb, source.stem, nb.metadata.course.key)


@pytest.fixture(scope="session")
def executed_notebooks():
    """The notebooks of this run's one execution, by name."""
    return {source.stem: _executed(source) for source in sources(ROOT)}


@pytest.fixture(scope="session")
def run_records(executed_notebooks):
    """What the helpers wrote during that execution, by notebook: a list of dicts each."""
    return {name: render.read_record(RUN / f"{name}.jsonl") for name in executed_notebooks}


def _no_browser(reason: str):
    """Skip where a reader's machine lacks the browser; fail in CI, which must have it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium. One a module, since its event loop stands in the way of others."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        _no_browser("Playwright is not installed: run `make setup`.")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    # Chromium's sandbox does not run as root, which containers are.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    # The system's; else a Chrome where macOS keeps it; else Playwright's own.
    ways = [{"executable_path": program}] if program else [{"channel": "chrome"}, {}]
    with sync_playwright() as playwright:
        for way in ways:
            try:
                found = playwright.chromium.launch(args=arguments, **way)
                break
            except Error as error:
                reason = str(error).strip().splitlines()[0]
        else:
            _no_browser(f"No browser opens the pages: install Chromium or Chrome ({reason}).")
        yield found
        found.close()
