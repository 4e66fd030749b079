"""Execute a notebook, cell by cell in a kernel of its own, and keep the run for whoever asks next.

A run that ended and keeps the rules lies in _build/executed: NAME.ipynb in its stored form,
NAME.jsonl with its record, NAME.key with what it belongs to. `make course` and the tests both put
their runs there, and both take one that is there.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from publish.checks import check_notebook
from publish.claims import asks, with_claims, without_claims
from publish.files import (
    ROOT,
    CourseError,
    alone,
    execution_key,
    finish,
    image_type,
    is_guard,
    made_from,
    place,
    replace,
    to_bytes,
)
from publish.record import Run, read_record

CELL_TIMEOUT = 1800  # seconds


# --- The runs that are kept --------------------------------------------------


def store(root: Path = ROOT) -> Path:
    """Return the folder of the runs that `make course` and the tests share."""
    return root / "_build" / "executed"


def kept_run(source: Path, folder: Path | None = None, root: Path = ROOT) -> NotebookNode | None:
    """Return the run that was kept, if it belongs to the source and all else as they are now."""
    run = (folder or store(root)) / f"{source.stem}.ipynb"
    key = run.with_suffix(".key")
    if not run.is_file() or not key.is_file() or key.read_text() != execution_key(source, root):
        return None
    return nbformat.read(run, as_version=4)


def must_run(source: Path, folder: Path | None = None, root: Path = ROOT) -> bool:
    """Return whether to execute: CI takes no run that is there."""
    return bool(os.environ.get("CI")) or kept_run(source, folder, root) is None


def keep(
    nb: NotebookNode, record: Path, source: Path, key: str, folder: Path | None, root: Path = ROOT
) -> NotebookNode:
    """Keep a run that ended in a folder (None: the store), and return it in its stored form.

    The record is what its helpers wrote, the key that of before the first cell ran.
    """
    done = finish(without_claims(nb), source.stem, made_from(source, root))
    if problems := check_notebook(done, source.stem):
        raise CourseError("\n".join(problems))
    if execution_key(source, root) != key:
        raise CourseError(f"{source.stem} changed while it ran; run it again.")
    run = (folder or store(root)) / f"{source.stem}.ipynb"
    with alone(root):
        # Last of all: without its key nobody takes a run that is half replaced.
        run.with_suffix(".key").unlink(missing_ok=True)
        replace(run, to_bytes(done))
        replace(run.with_suffix(".jsonl"), record.read_bytes() if record.is_file() else b"")
        replace(run.with_suffix(".key"), key.encode())
    return done


# --- One run -----------------------------------------------------------------


@contextmanager
def run_folder(root: Path = ROOT) -> Iterator[Path]:
    """Give a run a folder for its record and its checkpoints, and take it away afterwards.

    What a process left that was killed more than a day ago goes, too.
    """
    build = root / "_build"
    (build / "ipython").mkdir(parents=True, exist_ok=True)
    for old in (*build.glob("run-*"), *build.glob("*/.*.part"), *root.glob("notebooks/.*.part")):
        with suppress(OSError):  # another process may do the same
            if old.stat().st_mtime < time.time() - 86400:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    with tempfile.TemporaryDirectory(dir=build, prefix="run-") as folder:
        yield Path(folder)


def kernel_environment(record: Path, root: Path = ROOT) -> dict[str, str]:
    """Return the environment in which a notebook runs: this one, minus what would change outputs.

    Everything a kernel leaves behind goes under _build, nothing into the user's home.
    Checkpoints of studies lie beside the record, not with those of the reader's own runs.
    """
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONWARNINGS", "MATPLOTLIBRC"}}
    env.update(
        COURSE_CHECKPOINTS=str(record.with_suffix(".checkpoints")),
        COURSE_ESTIMATES="1",
        COURSE_RECORD=str(record),
        IPYTHONDIR=str(root / "_build" / "ipython"),
        JUPYTER_PREFER_ENV_PATH="1",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        PYTHONHASHSEED="0",
    )
    env.pop("JUPYTER_PATH", None)
    return env


def execute(
    nb: NotebookNode,
    name: str,
    root: Path = ROOT,
    say: Callable[[str], None] = lambda text: None,
    record: Path | None = None,
) -> Run:
    """Run a notebook cell by cell in a kernel of its own; where it fails, it keeps what it had."""
    if record is None:
        with run_folder(root) as folder:
            return execute(nb, name, root, say, folder / "record.jsonl")
    run, nb = Run(nb), with_claims(nb, name, root)
    start = time.monotonic()
    # Those of this environment, whatever else the user has installed.
    kernels = KernelSpecManager(kernel_dirs=[os.path.join(sys.prefix, "share/jupyter/kernels")])
    client = NotebookClient(
        nb,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        timeout=CELL_TIMEOUT,
        coalesce_streams=True,
        # Kernels report on the terminal that they talk unencrypted, and that they are stopped.
        extra_arguments=["--log-level=CRITICAL"],
    )
    index, first = 0, True
    environment = kernel_environment(record, root)
    try:
        with client.setup_kernel(cleanup_kc=True, cwd=str(root / "notebooks"), env=environment):
            for index, cell in enumerate(nb.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                if asks(cell):  # no part of what a reader runs
                    run.seconds, run.memory = time.monotonic() - start, _peak_memory(client)
                say(f"{name}: {index + 1} of {len(nb.cells)} cells")
                known, began = len(run.record), time.monotonic()
                try:
                    client.execute_cell(cell, index)
                except KeyboardInterrupt:
                    _end_tasks()
                    raise
                took = time.monotonic() - began
                run.record = read_record(record)
                _share_out(run, cell, took, run.record[known:], first)
                first = first and is_guard(cell)
            run.memory = run.memory or _peak_memory(client)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{name}, {place(nb, index)} was interrupted") from error
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CourseError(f"{name}, {place(nb, index)} {_reason(error)}") from error
    except RuntimeError as error:
        raise CourseError(f"{name}: its Python did not start ({error}).") from error
    run.seconds = run.seconds or time.monotonic() - start
    run.parts["other"] += run.seconds - sum(run.parts.values())
    return run


def _end_tasks() -> None:
    """End what an interrupted cell left waiting: it complains once its kernel is dead."""

    async def end():
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    ensure_event_loop().run_until_complete(end())


def _reason(error: Exception) -> str:
    """Say how a cell ended, in one line; a bare assertion is known by its code."""
    if isinstance(error, CellTimeoutError):
        return f"was stopped after {CELL_TIMEOUT} s; make it faster."
    if isinstance(error, DeadKernelError):
        return "failed: its Python died; was there enough memory?"
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.evalue}\n{error.traceback}")
    said, _, trace = text.partition("\n")
    code = re.search(r"^-+> *\d+ (.*)$", trace, re.MULTILINE)
    return f"failed: {error.ename}: {said or (code[1].strip() if code else '')}"


def _share_out(run: Run, cell: NotebookNode, took: float, lines: list[dict], first: bool) -> None:
    """Add one cell's seconds to what they were spent on; what is left over is "other"."""
    for part in ("compile", "sample"):
        spent = sum((line.get("seconds") or {}).get(part) or 0.0 for line in lines)
        run.parts[part] += spent
        took -= spent
    if first:
        run.parts["import"] += max(took, 0.0)
    elif any(image_type(output) for output in cell.outputs):
        run.parts["draw"] += max(took, 0.0)


def _peak_memory(client: NotebookClient) -> float:
    """Return the largest memory the kernel's process had, in MB."""
    if sys.platform == "win32":
        peak = "__import__('psutil').Process().memory_info().peak_wset / 2**20"
    elif sys.platform == "darwin":
        peak = "__import__('resource').getrusage(0).ru_maxrss / 2**20"
    else:
        # Not ru_maxrss, which begins with the memory of the process that started this one.
        status = "open('/proc/self/status', encoding='utf-8').read()"
        peak = f"int({status}.split('VmHWM:')[1].split()[0]) / 1024"
    message = client.kc.execute("", silent=True, user_expressions={"peak": peak})
    answer = client.wait_for_reply(message)["content"]["user_expressions"]["peak"]
    return float(answer["data"]["text/plain"])
