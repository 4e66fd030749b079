"""Many fits on a pool of processes: each is judged, and kept as soon as it is finished."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import xarray as xr
from numpy.typing import ArrayLike
from pytensor import config

from rethinking import compile_cache, data
from rethinking.display import progress
from rethinking.gate import Convergence, judge
from rethinking.sampling import CompiledModel

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = data.ROOT != ROOT  # from a wheel: without notebooks, and with no folder to build in
#: The versions of these make a fit what it is.
PACKAGES = ("numba", "numpy", "nutpie", "pymc", "pytensor")


class StudyError(RuntimeError):
    """A study cannot go on, or its stored result does not fit; the message says what to do."""


# --- One fit ----------------------------------------------------------------------------------


def fit_judged(
    compiled: CompiledModel,
    data: Mapping[str, ArrayLike],
    attempts: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    name: str = "fit",
    var_names: Sequence[str] | None = None,
    add: Callable[[xr.DataTree], None] | None = None,
) -> tuple[xr.DataTree, Convergence, int]:
    """Fit until the convergence gate lets a fit pass, or the attempts are over.

    A fit that fails the last attempt is returned like any other: a study counts it and keeps it.

    Parameters
    ----------
    compiled : CompiledModel
    data : mapping
        See `CompiledModel.draw`.
    attempts : sequence of mapping
        Options of `CompiledModel.draw`, the usual ones first, stricter ones after.
    seed : int
        nutpie's; the same for each attempt.
    name, var_names
        See `judge`.
    add : callable, optional
        Adds a quantity to the posterior that the gate is to look at, too.

    Returns
    -------
    idata : xarray.DataTree
    verdict : Convergence
    refits : int
        Attempts before the one that is returned.
    """
    for refits, how in enumerate(attempts):  # noqa: B007 (returned below)
        idata = compiled.draw(data, seed=seed, **how)
        if add is not None:
            add(idata)
        verdict = judge(idata, name=name, var_names=var_names)
        if verdict.passed:
            break
    return idata, verdict, refits


# --- Many fits --------------------------------------------------------------------------------


def process_pool(max_workers: int | None = None) -> Executor:
    """Return processes to fit in: the default executor.

    Threads work too (the sampler lets go of Python's lock), but the checks and summaries of one
    fit then wait for those of another, and all fits share one process's memory.

    Parameters
    ----------
    max_workers : int, optional
        By default as many as this process may use cores.

    Returns
    -------
    concurrent.futures.ProcessPoolExecutor
        Use it in a ``with`` statement, or call its ``shutdown``.
    """
    if max_workers is None:
        affinity = getattr(os, "sched_getaffinity", None)
        # Windows, which knows no affinity, takes no more than 61.
        max_workers = len(affinity(0)) if affinity else min(os.cpu_count() or 1, 61)
    # not forked: a fork of a process with running threads may hang
    return ProcessPoolExecutor(
        max_workers, mp_context=get_context("spawn"), initializer=_start_worker
    )


def _start_worker() -> None:
    """Leave interrupts to the notebook, and end when the notebook's process has ended."""
    # An interrupt goes to all processes of a notebook; the one with the notebook handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's end: a kernel that is killed cannot tell its workers to stop."""
    parent_process().join()
    os._exit(1)


def build_folder() -> Path:
    """Return where finished rows are kept: ``_build``, or where compiled models are kept.

    Returns
    -------
    pathlib.Path
    """
    return config.base_compiledir / compile_cache.FOLDER if INSTALLED else ROOT / "_build"


def run_all(
    work: Callable[..., dict],
    tasks: Sequence[tuple],
    *,
    name: str,
    executor: Executor | None = None,
    checkpoints: Path | str | None = None,
) -> list[dict]:
    """Carry out all tasks on any executor, and keep each row as soon as it is finished.

    After an interrupt the same call goes on from there: rows are kept in a file that is named
    after the work, the tasks, the code of `rethinking` and `studies`, and versions. When all are
    finished, it is deleted.

    Parameters
    ----------
    work : callable
        Called with a task's values in a worker, which has to be able to import it; returns a row
        that JSON can hold.
    tasks : sequence of tuple
    name : str
        Of the study, for the progress line and messages; in the plural.
    executor : concurrent.futures.Executor, optional
        Left open. By default a `process_pool` for this call alone. On a cluster, the executor of
        `dask.distributed.Client.get_executor()`, whose workers can import this project.
    checkpoints : path, optional
        Folder for finished rows; by default that named by COURSE_CHECKPOINTS, or
        ``checkpoints`` in the `build_folder`.

    Returns
    -------
    list of dict
        In the order of the tasks, whatever order they finished in.

    Raises
    ------
    StudyError
        A worker died, or a task raised an error. What was finished is kept.
    KeyboardInterrupt
        Interrupted; the message says how many are kept.
    """
    folder = checkpoints or os.environ.get("COURSE_CHECKPOINTS") or build_folder() / "checkpoints"
    kept = _Checkpoint(Path(folder), work, tasks)

    def how_many() -> str:
        return (
            f"{len(kept.rows)} of {len(tasks)} {name} are kept; the same call goes on from there."
        )

    try:
        _run(work, tasks, name, executor, kept)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how_many()) from None
    except StudyError as error:
        raise StudyError(f"{error} {how_many()}") from error.__cause__
    except BrokenExecutor as error:
        raise StudyError(
            f"A worker process died; {how_many()} Was there enough memory? In a script, does the "
            'call stand under `if __name__ == "__main__":`?'
        ) from error
    kept.delete()
    return [kept.rows[number] for number in range(len(tasks))]


def _run(
    work: Callable[..., dict],
    tasks: Sequence[tuple],
    name: str,
    executor: Executor | None,
    kept: _Checkpoint,
) -> None:
    """Have the missing tasks carried out, and keep each as it is finished."""
    missing = [number for number in range(len(tasks)) if number not in kept.rows]
    own = executor is None and bool(missing)
    pool = process_pool() if own else executor
    futures: dict[Future, int] = {}
    try:
        for number in missing:
            futures[pool.submit(work, *tasks[number])] = number
        lines = progress(
            as_completed(futures), label=name, total=len(tasks), initial=len(kept.rows)
        )
        for future in lines:
            try:
                kept.add(futures[future], future.result())
            except (BrokenExecutor, KeyboardInterrupt, StudyError):
                raise
            except Exception as error:
                why = ": ".join(filter(None, [type(error).__name__, str(error).rstrip(".")]))
                raise StudyError(
                    f"Number {futures[future]} of the {name} failed: {why}."
                ) from error
    finally:
        for future in futures:
            future.cancel()
        if own:
            pool.shutdown(cancel_futures=True)
        for future, number in futures.items():  # finished, but not yet looked at
            if number not in kept.rows and future.done() and not future.cancelled():
                if future.exception() is None:
                    kept.add(number, future.result())


def code_files() -> list[Path]:
    """Return the files that make a fit what it is: all of `rethinking` and `studies`."""
    return sorted(
        path for part in ("rethinking", "studies") for path in (ROOT / part).rglob("*.py")
    )


class _Checkpoint:
    """Finished rows of a study, a line each, in a file named after all that makes them."""

    def __init__(self, folder: Path, work: Callable[..., dict], tasks: Sequence[tuple]):
        digest = hashlib.sha256(pickle.dumps((work, list(tasks))))
        for path in code_files():
            digest.update(path.read_bytes())
        digest.update(repr([(p, importlib.metadata.version(p)) for p in PACKAGES]).encode())
        self.path = folder / f"study-{digest.hexdigest()[:24]}.jsonl"
        self.rows: dict[int, dict] = {}
        if self.path.is_file():
            for line in self.path.read_bytes().splitlines():
                try:
                    number, row = json.loads(line)
                except ValueError:  # a killed process left part of a line
                    continue
                self.rows[number] = row
            lines = [json.dumps([number, row]) + "\n" for number, row in self.rows.items()]
            part = self.path.with_suffix(f".{os.getpid()}.part")
            part.write_text("".join(lines), encoding="utf-8")
            part.replace(self.path)  # as a whole: this process, too, may be killed

    def add(self, number: int, row: dict) -> None:
        line = json.dumps([number, row]) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            raise StudyError(
                f"What is finished cannot be kept in {self.path.parent} ({error.strerror}): make "
                "room there, or name another folder in the environment variable COURSE_CHECKPOINTS."
            ) from error
        self.rows[number] = row

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
