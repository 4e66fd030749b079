"""Compare samplers and forms of the course's models, on this machine: `make bench`.

python -m benchmarks.run [--quick]

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
from pathlib import Path

from benchmarks import common, report
from benchmarks.measure import CORES, NUTPIE, SAMPLERS, VARIANTS
from benchmarks.models import CENTRED, OURS, STOCK

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "_build" / "bench"
#: What changes numbers; with the versions, the key of the rows that are kept.
CODE = (
    "benchmarks/measure.py",
    "benchmarks/models.py",
    "rethinking/**/*.py",
    "studies/random_confounds.py",
    "studies/confound_fits.py",
    "notebooks/12-Multilevel_Models.md",
)
MINUTES = {False: 20, True: 3}  # quick or not

#: Family, form, samplers, warm-up, draws, acceptance, fits, seconds a fit may take; the most
#: wanted first. Draws and warm-up of a small family are the same for every sampler. For the
#: trolley ratings those of nutpie are lecture 12's, the reference, PyMC's NUTS on the textbook
#: form, has PyMC's own, and the slow ones have few. What takes a minute is fitted once. Other
#: settings are the sampler's own.
FULL = (
    ("trolley", OURS, (NUTPIE,), 500, 2000, None, 5, 120),
    ("trolley", "textbook", ("PyMC",), 1000, 1000, None, 1, 420),
    ("trolley", STOCK, (NUTPIE,), 500, 2000, None, 1, 120),
    ("trolley", CENTRED, (NUTPIE,), 500, 2000, None, 5, 120),
    ("trolley", OURS, tuple(VARIANTS), 500, 2000, None, 2, 15),
    ("reed frogs", "course", SAMPLERS, 500, 1000, None, 5, 120),
    ("confounds, latent Mundlak", "course", SAMPLERS, 500, 500, 0.95, 5, 120),
    ("trolley", "textbook", (NUTPIE,), 500, 500, None, 1, 120),
    ("trolley", STOCK, ("NumPyro", "BlackJAX"), 100, 100, None, 1, 60),
)
QUICK = (
    ("trolley", OURS, (NUTPIE,), 100, 100, None, 2, 40),
    ("reed frogs", "course", SAMPLERS, 100, 100, None, 1, 40),
    ("confounds, latent Mundlak", "course", (NUTPIE,), 100, 100, None, 1, 40),
)
#: How many times as large the growing models get, quick or not.
SIZES = {
    False: {"people": (1, 2, 4, 8, 16), "tanks": (1, 4, 16, 64)},
    True: {"tanks": (1, 4)},
}


def tasks(quick: bool) -> list[dict]:
    """Return everything to measure, in order: what `measure.rows_of` takes.

    ``name`` is shared by the processes of a configuration, ``cache`` by those that find one
    another's cache; the first seed empties it.
    """
    found = []
    for family, form, samplers, tune, draws, accept, fits, limit in QUICK if quick else FULL:
        for sampler in samplers:
            one = {"kind": "fit", "family": family, "form": form, "sampler": sampler}
            one |= {"tune": tune, "draws": draws, "target_accept": accept}
            one["name"] = f"{family}, {form}, {sampler}"
            # a variant finds what its sampler left: the compiled model is the same
            one["cache"] = f"{family}, {form}, {NUTPIE if sampler in VARIANTS else sampler}"
            for seeds in ([] if sampler in VARIANTS else [1], list(range(2, fits + 1))):
                if seeds:
                    found.append(one | {"seeds": seeds, "limit": limit * len(seeds)})
    for what, sizes in SIZES[quick].items():
        for times in sizes:
            one = {"kind": "growth", "what": what, "times": times, "sampler": NUTPIE}
            one |= {"tune": 100, "draws": 100, "target_accept": None, "seeds": [1], "limit": 90}
            found.append(one | {"name": f"growth, {what} x {times}", "cache": what})
    return found


def key() -> str:
    """Return what says whether rows of an earlier run may be used."""
    digest = hashlib.sha256(repr((common.versions(), common.machine())).encode())
    for pattern in CODE:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"There is no {pattern}: mend CODE in benchmarks/run.py.")
        for path in paths:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def measure_apart(task: dict, rows: Path, compiledir: Path, limit: float) -> str | None:
    """Run one task in a process of its own, which writes rows, for at most so many seconds.

    Returns a status, where the process did not come to its end.
    """
    # JAX's own cache is off unless it is asked for; a reader's setting would be no default
    own = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    flags = [own.get("PYTENSOR_FLAGS"), f"base_compiledir={compiledir}"]
    own |= {"OMP_NUM_THREADS": "1", "PYTENSOR_FLAGS": ",".join(filter(None, flags))}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.measure", json.dumps(task), str(rows)],
        cwd=ROOT,
        env=own,
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


def _read(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def run(todo: list[dict], folder: Path, seconds: float) -> tuple[list[dict], bool]:
    """Measure what is not in the folder yet, as far as the time goes.

    Returns rows, each with its task, and whether there was time for all. The second process of a
    configuration whose first one failed is not started.
    """
    end = time.monotonic() + seconds
    all_rows, failed, complete = [], set(), True
    for number, task in enumerate(todo, start=1):
        if task["name"] in failed:
            continue
        seeds = ", ".join(map(str, task["seeds"]))
        print(f"[{number}/{len(todo)}] {task['name']}, seeds {seeds}: ", end="", flush=True)
        path = folder / f"{hashlib.sha256(json.dumps(task).encode()).hexdigest()[:12]}.json"
        rows = _read(path)
        if rows:
            print("from an earlier run", flush=True)
        else:
            part, began = path.with_suffix(".part"), time.monotonic()
            left = end - began
            compiledir = folder / "caches" / re.sub(r"\W+", "-", task["cache"])
            part.unlink(missing_ok=True)
            if 1 in task["seeds"]:
                shutil.rmtree(compiledir, ignore_errors=True)
            limit = min(task["limit"], left)
            status = measure_apart(task, part, compiledir, limit) if left > 5 else "no time"
            rows = _read(part)
            if status and left <= task["limit"]:
                rows.append({"status": "not run: the time was over"})
                complete = False
            else:
                rows += [{"status": status}] if status else []
                common.store(path, json.dumps(rows))
            print(f"{rows[-1]['status']}, {time.monotonic() - began:.0f} s", flush=True)
        if rows[-1]["status"] != "ok":
            failed.add(task["name"])
        # of a fit, its failure is a result, too
        all_rows += [task | row for row in rows if row["status"] == "ok" or task["kind"] == "fit"]
    return all_rows, complete


def main() -> int:
    """Measure, and write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few draws, three minutes")
    quick = parser.parse_args().quick
    into = WORK / "quick" if quick else report.RESULTS
    folder, todo = WORK / f"rows-{key()}", tasks(quick)
    if hasattr(os, "sched_setaffinity"):  # samplers on JAX take every core there is
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    print(f"{len(todo)} measurements, at most {MINUTES[quick]} minutes.", flush=True)
    try:
        # the rest is for what is drawn and written at the end
        rows, complete = run(todo, folder, MINUTES[quick] * 60 - 15)
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished is kept; the same command goes on from there.")
        return 130
    facts = {"machine": common.machine(), "versions": common.versions(), "quick": quick}
    report.keep(into, rows, facts)
    try:
        report.write(into)
    except report.UnfoundedError as error:
        print(error)
    print(f"Written to {os.path.relpath(into, ROOT)}.")
    if complete:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print("The time was over before all was measured: the same command measures the rest.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
