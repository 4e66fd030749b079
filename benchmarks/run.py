"""Compare samplers and forms of the course's models, on this machine: `make bench`.

run.py [--quick] [--into DIR]

Every configuration has two processes of its own: the first, for one seed, finds PyTensor's cache
empty; the second, for the other seeds, finds what the first left. Finished rows are kept in
_build/bench until all are there, so an interrupted run goes on where it stopped, as long as code
and versions are the same. Takes at most 20 minutes on 2 cores (--quick: 3, with results that show
no more than that it works); what does not fit in is named, and the same command does it next
time. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import common, report
from benchmarks.measure import OPERATIONS, SAMPLERS, VARIANTS, sampler_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "_build" / "bench"
#: What changes numbers; with the versions, the key of the rows that are kept.
CODE = (
    "benchmarks/measure.py",
    "benchmarks/models.py",
    "compile_cache.py",
    "ordered_logit.py",
    "utils.py",
    "studies/random_confounds.py",
    "notebooks/12-Multilevel_Models.md",
)
MINUTES = {False: 20, True: 3}  # quick or not
SLOW = 60  # a fit that takes longer is made once


@dataclass(frozen=True)
class Configuration:
    """A form of a model, a sampler and its settings."""

    family: str
    form: str
    sampler: str
    draws: int
    tune: int
    target_accept: float | None = None
    repeats: int = 5
    limit: int = 120  # seconds a process may take

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.family}, {self.form}, {self.sampler}"


def configurations(quick: bool) -> list[Configuration]:
    """Return what is compared, the most wanted first.

    Draws and warm-up of a small family are the same for every sampler. For the trolley ratings
    those of nutpie are lecture 12's, the reference, PyMC's NUTS on the textbook form, has PyMC's
    own, and the slow ones have few. Other settings are the sampler's own.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    list of Configuration
    """
    ours, stock = "sum to zero, ordered_logit", "sum to zero, stock likelihood"
    centred = f"{ours}, centred predictors"
    if quick:
        few = {"draws": 100, "tune": 100, "repeats": 1, "limit": 40}
        return [
            Configuration("trolley", ours, "nutpie, numba", **few | {"repeats": 2}),
            *(Configuration("reed frogs", "course", sampler, **few) for sampler in SAMPLERS),
            Configuration("confounds, latent Mundlak", "course", "nutpie, numba", **few),
        ]
    return [
        Configuration("trolley", ours, "nutpie, numba", 2000, 500),
        Configuration("trolley", "textbook", "PyMC", 1000, 1000, repeats=1, limit=420),
        Configuration("trolley", stock, "nutpie, numba", 2000, 500),
        Configuration("trolley", centred, "nutpie, numba", 2000, 500),
        *(
            Configuration("trolley", ours, variant, 2000, 500, repeats=2, limit=15)
            for variant in VARIANTS
        ),
        *(Configuration("reed frogs", "course", sampler, 1000, 500) for sampler in SAMPLERS),
        *(
            Configuration("confounds, latent Mundlak", "course", sampler, 500, 500, 0.95)
            for sampler in SAMPLERS
        ),
        Configuration("trolley", "textbook", "nutpie, numba", 500, 500, repeats=1),
        *(
            Configuration("trolley", stock, sampler, 100, 100, repeats=1, limit=60)
            for sampler in ("NumPyro", "BlackJAX")
        ),
    ]


def sizes(quick: bool) -> dict[str, tuple[int, ...]]:
    """Return how many times as large the growing models get.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    dict of str to tuple of int
    """
    if quick:
        return {"tanks": (1, 4)}
    return {"people": (1, 2, 4, 8, 16), "tanks": (1, 4, 16, 64)}


def tasks(quick: bool) -> list[dict]:
    """Return everything to measure, in order: what `measure.row_of` takes.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    list of dict
        With ``group`` (a configuration), ``cache`` (what shares one), ``label`` and ``limit``
        besides.
    """
    fits, found = [], []
    for place, each in enumerate(configurations(quick)):
        settings = asdict(each)
        limit, repeats = settings.pop("limit"), settings.pop("repeats")
        for cache, seeds in (("cold", [1]), ("warm", list(range(2, repeats + 1)))):
            own = {"kind": "fit", **settings, "seeds": seeds}
            label = f"{each.name}, cache {cache}"
            one = {"group": each.name, "label": label, "limit": limit * len(seeds), "task": own}
            # a variant finds what its sampler left: the compiled model is the same
            one["cache"] = each.name.replace(each.sampler, sampler_of(each.sampler))
            if seeds and not (each.sampler in VARIANTS and cache == "cold"):
                fits.append((place, one))
    for what, times in sizes(quick).items():
        for many in times:
            own = {"kind": "growth", "what": what, "times": many, "seeds": [1]}
            own |= {"draws": 100, "tune": 100, "target_accept": None}
            label = f"growth, {what} x {many}"
            one = {"group": label, "cache": what, "label": label, "limit": 90, "task": own}
            found.append(one)
    floor = {"kind": "floor", "ratings": 9930, "operations": OPERATIONS}
    one = {"group": "floor", "cache": "floor", "label": "floor", "limit": 60, "task": floor}
    found.insert(0, one)
    # the comparison of the goals first, then growth, then the other samplers
    first = [task for place, task in fits if place < 4]
    return first + found + [task for place, task in fits if place >= 4]


def key(quick: bool) -> str:
    """Return what says whether rows of an earlier run may be used.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    str
    """
    digest = hashlib.sha256(repr((quick, common.versions(), common.machine())).encode())
    for name in CODE:
        path = ROOT / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:12]


def environment(compiledir: Path) -> dict[str, str]:
    """Return the variables of a process that measures.

    Parameters
    ----------
    compiledir : Path
        PyTensor's cache for it.

    Returns
    -------
    dict of str to str
    """
    # JAX's own cache is off unless it is asked for; a reader's setting would be no default
    own = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    flags = [own.get("PYTENSOR_FLAGS"), f"base_compiledir={compiledir}"]
    return own | {
        "OMP_NUM_THREADS": "1",
        "PYTENSOR_FLAGS": ",".join(filter(None, flags)),
        "PYTHONPATH": str(ROOT),
    }


def measure_apart(task: dict, rows: Path, compiledir: Path, limit: float) -> str | None:
    """Run one task in a process of its own, for at most so many seconds.

    Parameters
    ----------
    task : dict
    rows : Path
        File to which the process adds.
    compiledir : Path
    limit : float

    Returns
    -------
    str or None
        Status, where the process did not come to its end.
    """
    asked = rows.with_suffix(".task")
    common.store(asked, json.dumps(task))
    with subprocess.Popen(
        [sys.executable, str(HERE / "measure.py"), str(asked), str(rows)],
        cwd=ROOT,
        env=environment(compiledir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its workers end with it
    ) as process:
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return f"skipped: broken here, its process ended with code {code}" if code else None


def run(todo: list[dict], folder: Path, seconds: float) -> tuple[list[dict], bool]:
    """Measure what is not there yet, as far as the time goes.

    Parameters
    ----------
    todo : list of dict
        From `tasks`.
    folder : Path
        Holds the finished rows.
    seconds : float

    Returns
    -------
    rows : list of dict
        Task and result, in one.
    complete : bool
        Whether there was time for all.
    """
    all_rows, closed, complete = [], set(), True
    start = time.monotonic()
    last = {each["cache"]: each for each in todo}
    for number, each in enumerate(todo, start=1):
        group, task = each["group"], each["task"]
        if group in closed:
            continue
        path = folder / (re.sub(r"\W+", "-", each["label"]) + f"-{_hash(task)}.json")
        compiledir = folder / "caches" / re.sub(r"\W+", "-", each["cache"])
        rows = _finished(path)
        print(f"[{number}/{len(todo)}] {each['label']}: ", end="", flush=True)
        seeds = task.get("seeds", [None])[len(rows) :]
        if not seeds or (rows and rows[-1]["status"] != "ok"):
            print("from an earlier run", flush=True)
        else:
            began = time.monotonic()
            left = seconds - (began - start)
            own = task | {"seeds": seeds} if "seeds" in task else task
            if not rows and seeds[0] in (None, 1):  # an interrupted one left half of it
                shutil.rmtree(compiledir, ignore_errors=True)
            limit = min(each["limit"], left)
            status = measure_apart(own, path, compiledir, limit) if left > 5 else "no time"
            rows = _finished(path, keep=True)
            if status and left <= each["limit"]:
                rows.append({"status": "not run: the time was over"})
                complete = False
            elif status:
                rows.append({"status": status})
                common.store(path, json.dumps(rows))
            print(f"{rows[-1]['status']}, {time.monotonic() - began:.0f} s", flush=True)
        good = [row for row in rows if row["status"] == "ok"]
        if not good and task["kind"] == "fit" and group not in {row["group"] for row in all_rows}:
            good = rows[-1:]  # of a fit without any numbers, its status
        all_rows += [task | {"group": group} | row for row in good]
        slow = any(row.get("sample_s", 0) > SLOW for row in good)
        if rows[-1]["status"] != "ok" or (slow and task["kind"] == "fit"):
            closed.add(group)
        if each is last[each["cache"]]:
            shutil.rmtree(compiledir, ignore_errors=True)
    return all_rows, complete


def _hash(task: dict) -> str:
    return hashlib.sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()[:8]


def _finished(path: Path, *, keep: bool = False) -> list[dict]:
    """Return the rows of a file; without those of what was broken, unless they are to be kept."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if not keep and any(row["status"].startswith("skipped") for row in rows):
        rows = [row for row in rows if not row["status"].startswith("skipped")]
        common.store(path, json.dumps(rows))  # it may be mended meanwhile
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few draws, three minutes")
    parser.add_argument("--into", type=Path, help="folder of the results")
    options = parser.parse_args(arguments)
    quick = options.quick
    into = options.into or (WORK / "quick" if quick else HERE / "results")
    folder = WORK / f"rows-{key(quick)}"
    todo = tasks(quick)
    print(f"{len(todo)} measurements, at most {MINUTES[quick]} minutes.", flush=True)
    try:
        # the rest is for what is drawn and written at the end
        rows, complete = run(todo, folder, MINUTES[quick] * 60 - 15)
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished is kept; the same command goes on from there.")
        return 130
    facts = {"machine": common.machine(), "versions": common.versions(), "quick": quick}
    written = report.write(rows, facts, into)
    print(f"Written to {os.path.relpath(into, ROOT)}: {', '.join(written)}.")
    if complete:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print("The time was over before all was measured: the same command measures the rest.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
