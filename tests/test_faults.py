"""Faults: each ends in a sentence and a status that is not 0, and no tracked file is lost.

| fault | how it is made here | outcome | where |
|---|---|---|---|
| renderer killed | SIGKILL, SIGTERM, Ctrl-C at random moments | old files or new ones; 130 | here |
| interrupt in a cell | SIGINT while a cell runs | "was interrupted", 130 | test_render |
| disk full | each write of a render fails half-way, in turn | "The disk says", 1 | here |
| folder not to be written | a file in its place (permissions do not bind root) | the same | here |
| two renders at once | two processes; the same notebook, different rows | both 0, whole | here |
| a notebook raises | an error, an assertion, a line to stderr | cell and reason, 1 | test_render |
| its Python ends | os._exit | "its Python died", 1 | test_render |
| its Python does not start | the client raises | "did not start", 1 | here |
| it never ends | a time limit of 3 s | "was stopped after 3 s", 1 | here |
| no dot | a PATH without it | how to install it | test_graphs, test_setup |
| corrupt table | other bytes, columns, types, sidecars | what to restore | test_data |
| compile cache damaged | cut, empty, nonsense, one bit | compiled again | test_compile_cache |
| compile cache shared | two processes at once | the same draws | test_compile_cache |
| compile cache cannot grow | full disk, no folder | a sentence, 0 | test_compile_cache |
| worker of a pool killed | it kills itself | StudyError; the same call goes on | here |
| worker of Dask killed | it kills itself (after one death Dask goes on) | the same | here |
| study that cannot keep rows | a file in the folder's place | StudyError | here |
| set-up interrupted | SIGTERM, SIGKILL, no network | starts over | test_setup |

To kill the renderer at more moments: COURSE_MOMENTS=50 .venv/bin/python -m pytest
tests/test_faults.py -k moments
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from publish import execute, record, render
from publish.files import ROOT
from studies.pool import StudyError, run_all
from tests.publish.conftest import course  # noqa: F401 (a fixture)

MOMENTS = int(os.environ.get("COURSE_MOMENTS", "3"))


@pytest.fixture
def frogs(course):  # noqa: F811
    """Source, stored notebook and run facts of the small course."""
    source = course / "notebooks" / "01-Frogs.md"
    return source, source.with_suffix(".ipynb"), course / "notebooks" / "runs.json"


def start(root, *arguments):
    """Render in a process of its own, as `python -m publish.render` does."""
    code = (
        "import signal, sys; from pathlib import Path; from publish import render\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        f"sys.exit(render.main({list(arguments)!r}, root=Path({str(root)!r})))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True, **pipes)


def ended(process):
    """Return the status of a process and what it complained of."""
    _, error = process.communicate(timeout=120)
    return process.returncode, error


def kernels(root):
    """Return the kernels of a course that live."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if "ipykernel_launcher" in (process.info["cmdline"] or []):
            found += [process] if str(root) in environment.get("COURSE_RECORD", "") else []
    return found


# --- The renderer ----------------------------------------------------------------------------


@pytest.mark.notebook()
def test_a_renderer_killed_at_random_moments_leaves_whole_files(course, frogs):  # noqa: F811
    _, stored, runs = frogs
    tracked = [path for path in course.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in tracked}
    began = time.monotonic()
    assert ended(start(course))[0] == 0
    whole = time.monotonic() - began
    new = stored.read_bytes()
    rng = random.Random(1)
    for number in range(MOMENTS):
        how = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
        stored.write_bytes(b"old")
        runs.write_text('{"01-Frogs": "old"}')
        process = start(course)
        time.sleep(rng.uniform(0, whole))
        # Ctrl-C goes to the kernel, too.
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
        status, error = ended(process)
        finished = stored.read_bytes() == new
        assert finished or stored.read_bytes() == b"old"
        assert finished or json.loads(runs.read_text()) == {"01-Frogs": "old"}
        assert status or finished
        assert status != 130 or "nterrupted" in error
        assert psutil.wait_procs(kernels(course), timeout=20)[1] == [], "a kernel lives on"
        assert all(path.read_bytes() == content for path, content in before.items())
    for left in (course / "_build").glob("run-*"):  # by SIGKILL
        os.utime(left, (0, 0))
    assert ended(start(course))[0] == 0
    assert stored.read_bytes() == new and "fits" in json.loads(runs.read_text())["01-Frogs"]
    assert not [*course.rglob("*.part"), *(course / "_build").glob("run-*")]


@pytest.fixture
def no_kernel(monkeypatch):
    """Let a render take a run from memory: what counts is how it is written."""
    monkeypatch.setattr(render, "execute", lambda nb, *_: record.Run(nb, seconds=1.0))
    monkeypatch.setattr(execute, "check_notebook", lambda *_: [])


@pytest.mark.parametrize("failing", range(6))
def test_a_full_disk_leaves_whole_files(course, frogs, no_kernel, failing, monkeypatch, capsys):  # noqa: F811
    """The writes are the kept run, its record, its key, the stored notebook and its row."""
    _, stored, runs = frogs
    assert render.main([], root=course) == 0
    new = stored.read_bytes()
    stored.write_bytes(b"old")
    runs.write_text("{}")
    for kept in execute.store(course).iterdir():
        kept.write_bytes(b"old")
    left = [failing]
    write = Path.write_bytes

    def write_or_fail(path, content):
        left[0] -= 1
        if left[0] >= 0:
            return write(path, content)
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_or_fail)
        status = render.main([], root=course)
    said = capsys.readouterr().err
    assert (status, "The disk says: No space left on device. Make room" in said) == (
        (0, False) if failing == 5 else (1, True)
    )
    assert stored.read_bytes() == (b"old" if failing < 4 else new)
    assert json.loads(runs.read_text()) == {} or failing == 5
    assert execute.kept_run(frogs[0], root=course) is None or failing > 2
    assert not list(course.rglob("*.part"))


@pytest.mark.parametrize("where", ["_build", "_build/executed"])
def test_a_folder_that_cannot_be_written_is_named(course, frogs, no_kernel, where, capsys):  # noqa: F811
    _, stored, _ = frogs
    stored.write_text("old")
    (course / where).parent.mkdir(exist_ok=True)
    (course / where).write_text("a file in its place")
    assert render.main([], root=course) == 1
    said = capsys.readouterr().err
    assert "The disk says: " in said and where in said and "run it again." in said
    assert stored.read_text() == "old"


@pytest.mark.notebook()
def test_a_notebook_that_never_ends_or_never_starts(course, frogs, monkeypatch, capsys):  # noqa: F811
    source, stored, _ = frogs
    stored.write_text("old")
    with source.open("a") as file:
        file.write("\n```{code-cell} ipython3\nwhile True: pass\n```\n")
    monkeypatch.setattr(execute, "CELL_TIMEOUT", 3)
    assert render.main([], root=course) == 1
    assert "was stopped after 3 s" in capsys.readouterr().err

    def dies(*_, **__):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(execute.NotebookClient, "setup_kernel", dies)
    assert render.main([], root=course) == 1
    assert "01-Frogs: its Python did not start (Kernel died before" in capsys.readouterr().err
    assert stored.read_text() == "old" and psutil.wait_procs(kernels(course), timeout=20)[1] == []


@pytest.mark.notebook()
def test_two_renders_at_once_leave_one_whole_run(course, frogs):  # noqa: F811
    source, stored, runs = frogs
    into = execute.store(course)
    both = [start(course), start(course, "--into", str(into))]
    assert [ended(process) for process in both] == [(0, ""), (0, "")]
    assert (into / "01-Frogs.ipynb").read_bytes() == stored.read_bytes()
    assert execute.kept_run(source, root=course) and len(json.loads(runs.read_text())) == 1
    lines = record.read_record(into / "01-Frogs.jsonl")
    assert [line["name"] for line in lines] == ["a", "b"]


def test_two_renders_at_once_lose_no_row(course, frogs):  # noqa: F811
    names = [f"{number:02}-More" for number in range(40)]
    for name in names:
        (course / "notebooks" / f"{name}.md").write_text("")
    code = (
        "import sys; from pathlib import Path; from publish.record import update_runs\n"
        "for name in sys.argv[2:]: update_runs(name, {}, Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(course)]
    both = [subprocess.Popen([*command, *names[half::2]], cwd=ROOT) for half in (0, 1)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sorted(json.loads(frogs[2].read_text())) == names


# --- Studies ---------------------------------------------------------------------------------

STUDY = """
import os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEPT, FLAG = Path(sys.argv[1]), Path(sys.argv[2])

def square(number):
    if number == 5 and FLAG.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return {"square": number**2}

def study(executor):
    tasks = [(number,) for number in range(12)]
    rows = run_all(square, tasks, name="squares", executor=executor, checkpoints=KEPT)
    print([row["square"] for row in rows] == [number**2 for number in range(12)])

def twice(executor):
    FLAG.touch()
    try:
        study(executor)
    except StudyError as error:
        print(error)
        FLAG.unlink()
        study(ThreadPoolExecutor(1))
    print(len(list(KEPT.iterdir())))

if __name__ == "__main__":  # what a worker of Dask need not import
    import dask, distributed
    from studies.pool import StudyError, process_pool, run_all

    with process_pool(2) as executor:
        twice(executor)
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,
                                       silence_logs="CRITICAL")
    with cluster, distributed.Client(cluster) as client:
        twice(client.get_executor())
"""


@pytest.mark.compiles  # no model, but processes that import the samplers
def test_a_study_goes_on_after_the_death_of_a_worker(tmp_path):
    """A worker of the pool, and one of Dask, which else would try three times more."""
    script = tmp_path / "study.py"
    script.write_text(STUDY)
    command = [sys.executable, str(script), str(tmp_path / "kept"), str(tmp_path / "flag")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert re.match(r"A worker process died; \d+ of 12 squares are kept; the same call", said[0])
    assert re.match(r"Number \d of the squares failed: KilledWorker: .* the same call", said[3])
    assert [*said[1:3], *said[4:]] == ["True", "0"] * 2


def test_a_study_that_cannot_keep_its_rows_says_so(tmp_path):
    (tmp_path / "kept").write_text("a file in its place")
    pool = ThreadPoolExecutor(1)
    with pytest.raises(StudyError, match=r"cannot be kept in .*kept \(File exists\): make room"):
        run_all(dict, [((),)], name="nothings", executor=pool, checkpoints=tmp_path / "kept")
