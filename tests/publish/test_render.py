"""Rendering, proved on a course of one notebook: its run, its record, and where both are kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from publish import execute, record, render
from publish.checks import check_notebook
from publish.files import ROOT

pytestmark = pytest.mark.notebook()  # small ones, but executed
IGNORED = shutil.ignore_patterns("__pycache__", "pages")
READER = """import pytest

@pytest.mark.notebook("01")
def test_one(executed, run_record):
    assert [line["name"] for line in run_record("01")] == ["a", "b"]
    assert executed("01").metadata.made_from and executed("01-Frogs").cells

@pytest.mark.parametrize("name", [pytest.param("01", marks=pytest.mark.notebook("01"))])
def test_param(name, executed):
    assert executed(name)

def test_other():
    pass
"""


def paths(course):
    source = course / "notebooks" / "01-Frogs.md"
    return source, source.with_suffix(".ipynb"), course / "notebooks" / "runs.json"


def test_rendering_twice_gives_the_same_bytes_and_leaves_the_runs(course, capsys):
    source, stored, runs = paths(course)
    assert render.main([], root=course) == 0
    first, row, text = stored.read_bytes(), runs.read_bytes(), source.read_bytes()
    out = capsys.readouterr().out
    assert "worst R-hat" in out and "1.0040" in out
    assert render.main(["1"], root=course) == 1  # no such notebook: it is 01
    assert "«1»; there are: 01-Frogs" in capsys.readouterr().err
    assert render.main(["01"], root=course) == 0
    assert (stored.read_bytes(), runs.read_bytes()) == (first, row)
    assert source.read_bytes() == text
    assert "The same bytes as before" in capsys.readouterr().out

    assert render.main(["--check"], root=course) == 0
    nb = nbformat.read(stored, as_version=4)
    nbformat.validate(nb)
    assert nb.cells[2].outputs[0].text == "notebooks\n"
    assert check_notebook(nb, "01-Frogs") == []
    kept = json.loads(row)["01-Frogs"]
    assert kept["fits"] == 1 and kept["expected_to_fail"] == {"b": "divergences"}
    assert kept["worst_rhat"] == 1.004 and kept["least_ess"] == 812
    seconds = kept["seconds"]
    assert seconds["compile"] == 0.4 and seconds["sample"] == 0.2
    assert sum(seconds[part] for part in record.PARTS) == pytest.approx(seconds["total"], abs=0.3)
    assert 10 < kept["peak_memory_mb"] < 2000


def test_into_leaves_the_tracked_files_alone(course, monkeypatch):
    # A kernel of the same name that the user has elsewhere: it is not the one that runs.
    spec = course / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["false"], "display_name": "Python 3", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(course))
    _, stored, runs = paths(course)
    into = execute.store(course)
    into.mkdir(parents=True)
    (into / "99-Gone.ipynb").write_text("{}")
    assert render.main(["--into", str(into)], root=course) == 0
    assert sorted(os.listdir(into)) == ["01-Frogs.ipynb", "01-Frogs.jsonl", "01-Frogs.key"]
    assert not stored.exists() and not runs.exists()


def test_a_run_is_kept_and_taken_until_something_changes(course, capsys, monkeypatch):
    """The notebook's third cell leaves a line in a file, each time it runs."""
    source, stored, _ = paths(course)
    break_it(source, "with open('count', 'a') as file: print('x', file=file)")
    count = course / "notebooks" / "count"

    def times(*arguments):
        assert render.main(list(arguments), root=course) == 0
        return count.read_text().count("x")

    into = ("--into", str(execute.store(course)))
    assert times() == 1, "make render executes"
    assert times(*into) == 1, "make course takes that run"
    assert "so taken as they are: 01-Frogs." in capsys.readouterr().out
    kept = execute.kept_run(source, root=course)
    assert kept == nbformat.read(stored, as_version=4)
    lines = record.read_record(execute.store(course) / "01-Frogs.jsonl")
    assert [line["name"] for line in lines] == ["a", "b"]
    assert times() == 2, "make render always executes"
    with (course / "utils.py").open("a") as file:
        file.write("# changed")
    assert execute.kept_run(source, root=course) is None
    assert times(*into) == 3, "what changed is executed"
    monkeypatch.setenv("CI", "true")
    assert execute.kept_run(source, root=course), "the tests read it there"
    assert times(*into) == 4, "CI always executes"
    source.write_text(source.read_text() + "\n```{code-cell} ipython3\n1 / 0\n```\n")
    assert render.main(list(into), root=course) == 1
    assert execute.kept_run(source, root=course) is None


def pytest_says(course, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=120)
    return f"{done.stdout}{done.stderr}exit {done.returncode}"


@pytest.mark.notebook()  # eight runs of pytest are too long for make check
def test_a_run_of_the_tests_and_one_of_make_course_stand_for_each_other(course, monkeypatch):
    source, _, _ = paths(course)
    break_it(source, "with open(os.environ['COUNT'], 'a') as file: print('x', end='', file=file)")
    shutil.copytree(ROOT / "publish", course / "publish", ignore=IGNORED)
    (course / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", course / "tests")
    shutil.copy(ROOT / "pyproject.toml", course)
    (course / "tests" / "test_it.py").write_text(READER)
    count = course / "count"
    monkeypatch.setenv("COUNT", str(count))
    assert "01-Frogs has not been executed as it is now; run `make test`" in pytest_says(course)
    said = pytest_says(course, "--nbmake")
    assert "1 passed" in said and said.endswith("exit 0"), said
    assert execute.kept_run(source, root=course)
    assert render.main(["--into", str(execute.store(course))], root=course) == 0
    assert pytest_says(course, "--nbmake").endswith("exit 0")
    assert count.read_text() == "x"
    for arguments, summary in (
        (("--notebook", "01"), "2 passed, 1 deselected"),
        (("-m", "not notebook"), "1 passed, 2 deselected"),
        ((), "3 passed"),
    ):
        said = pytest_says(course, *arguments)
        assert summary in said and said.endswith("exit 0"), said
    for code, message in (
        ("print('/tmp/x')", "01-Frogs, cell 3 (under «Frogs»): do not show a path"),
        ("1 / 0", "ZeroDivisionError"),
    ):
        source.write_text(re.sub(r"print\(.*?\)$", code, source.read_text(), count=1, flags=re.M))
        said = pytest_says(course, "--nbmake", "--notebook", "01")
        assert message in said and said.endswith("exit 1"), said
        assert execute.kept_run(source, root=course) is None


def test_the_kernel_keeps_estimates_and_nothing_of_the_user(tmp_path, monkeypatch):
    for name in ("JUPYTER_PATH", "MATPLOTLIBRC", "PYTHONWARNINGS"):
        monkeypatch.setenv(name, "mine")
    found = execute.kernel_environment(tmp_path / "a.jsonl")
    assert found["COURSE_ESTIMATES"] == "1" and found["COURSE_RECORD"].endswith("a.jsonl")
    assert "mine" not in found.values()


def test_the_runs_keep_the_rows_of_other_notebooks_that_are_there(course):
    _, _, runs = paths(course)
    (course / "notebooks" / "02-Other.md").write_text("")
    runs.write_text('{"02-Other": {"fits": 3}, "03-Gone": {"fits": 4}}')
    record.update_runs("01-Frogs", {"fits": 5}, course)
    assert json.loads(runs.read_text()) == {"01-Frogs": {"fits": 5}, "02-Other": {"fits": 3}}


def break_it(source, code):
    cell = f"```{{code-cell}} ipython3\n{code}\n```\n\n## B"
    source.write_text(source.read_text().replace("## A figure", cell))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('no frogs\\nat all')", " failed: ValueError: no frogs"),
        ("x = 1\nassert x == 2", " failed: AssertionError: assert x == 2"),
        ("import os; os._exit(1)", " failed: its Python died"),
        ("import sys; print('x', file=sys.stderr)", ": it writes to stderr"),
    ],
)
def test_a_failing_run_leaves_the_old_file(course, capfd, code, message):
    source, stored, runs = paths(course)
    stored.write_text("old")
    break_it(source, code)
    assert render.main([], root=course) == 1
    assert stored.read_text() == "old" and not runs.exists()
    error = capfd.readouterr().err
    assert f"01-Frogs, cell 4 (under «Frogs»){message}" in error
    assert "_build/failed/01-Frogs.ipynb" in error
    assert (course / "_build" / "failed" / "01-Frogs.ipynb").is_file()
    assert [p.name for p in (course / "_build").glob("run-*")] == []


def test_a_bad_source_is_refused_before_it_runs(course, capsys):
    source, stored, _ = paths(course)
    for text, message in (
        (source.read_text().replace("seconds: 9", "seconds: -9"), "01-Frogs.md has no budget"),
        (source.read_text().replace("utils.start()", "1 / 0"), "does not call utils.start()"),
    ):
        source.write_text(text)
        assert render.main([], root=course) == 1
        error = capsys.readouterr().err
        assert message in error and "ZeroDivision" not in error
        assert not stored.exists()


def test_a_source_that_changes_while_it_runs_is_refused(course, capsys):
    source, stored, _ = paths(course)
    break_it(source, "Path('../utils.py').write_text('x = 1')")
    assert render.main([], root=course) == 1
    assert "01-Frogs changed while it ran; run it again." in capsys.readouterr().err
    assert not stored.exists()


def test_an_interrupt_leaves_the_old_file_and_no_kernel(course):
    source, stored, runs = paths(course)
    stored.write_text("old")
    break_it(source, "import time; Path('pid').write_text(str(os.getpid())); time.sleep(60)")
    # The slow end lets whatever still waits for the dead kernel notice, and complain.
    code = (
        "import asyncio, sys; from pathlib import Path; from publish import execute, render\n"
        "cleanup = execute.AsyncKernelManager.cleanup_resources\n"
        "async def slowly(self, restart=False):\n"
        "    await asyncio.sleep(2)\n"
        "    await cleanup(self, restart)\n"
        "execute.AsyncKernelManager.cleanup_resources = slowly\n"
        f"sys.exit(render.main(root=Path({str(course)!r})))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    pid = course / "notebooks" / "pid"
    for _ in range(300):
        if pid.is_file() and pid.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "01-Frogs, cell 4 (under «Frogs») was interrupted; its stored .ipynb is as" in error
    assert "Traceback" not in error
    assert stored.read_text() == "old" and not runs.exists()
    for _ in range(100):
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the kernel lives on")


def test_a_run_far_over_its_budget_is_kept_and_fails(course, capsys, monkeypatch):
    source, stored, runs = paths(course)
    source.write_text(source.read_text().replace("seconds: 9", "seconds: 0.01"))
    monkeypatch.setattr(record, "CORES", os.cpu_count())
    assert render.main([], root=course) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^notebook +seconds +of ", out) and " 0.01 " in out and " 900 " in out
    assert re.match(r"01-Frogs took \d+ s, more than .* its budget of 0\.01 s in its front", err)
    assert err.count("\n") == 1
    assert stored.is_file() and runs.is_file()
    # The pages of `make course` are not held back by a slow machine.
    assert render.main(["--into", str(course / "elsewhere")], root=course) == 0


@pytest.mark.parametrize(
    ("seconds", "memory", "cores", "said"),
    [(15.0, 150, 2, 0), (15.1, 151, 2, 2), (99, 999, 8, 0)],
)
def test_a_budget_may_be_passed_by_half(seconds, memory, cores, said):
    row = {"seconds": {"total": seconds}, "peak_memory_mb": memory, "cores": cores}
    rows = {"01-Frogs": row}
    assert len(record.over_budget(rows, {"01-Frogs": {"seconds": 10, "memory_mb": 100}})) == said
