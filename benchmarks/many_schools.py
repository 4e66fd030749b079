"""Seconds that studies of many schools take: growth with their number, and with processes.

python -m benchmarks.many_schools writes benchmarks/results/many-schools.csv, from which the
12e prints a sentence, and many-schools.md with versions and the machine. Each
study has a pool of its own, so its time holds the start of the processes and the compilation in
each. Takes five minutes on 2 cores; leave the machine alone meanwhile.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import machine, machine_line, store, versions
from studies import schools

RESULTS = Path(__file__).resolve().parent / "results"
SIZE = np.repeat([5, 10, 25, 35], 15)
STUDIES = {1: (25, 50, 100, 200), 2: (25, 50, 100, 200, 400)}  # processes: schools
HEAD = """# Many schools: seconds of a study

Schools of 60 classrooms, four chains each, gated; made by `benchmarks/many_schools.py`. The time \
holds the start of the processes and the compilation in each.

| processes | schools | seconds |
|---|---|---|
"""


def seconds_of(count: int, processes: int) -> float:
    """Return the seconds of one study, its pool included."""
    sample = schools.simulate_schools(count, SIZE, random_seed=28, alpha_bar=1.5, sigma=1.5)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, schools.process_pool(processes) as pool:
        schools.fit_schools(
            sample, name="schools", random_seed=28, executor=pool, checkpoints=folder
        )
    return time.perf_counter() - start


def main() -> None:
    """Measure, print and store."""
    rows = []
    for processes, counts in STUDIES.items():
        for count in counts:
            rows.append((processes, count, round(seconds_of(count, processes), 1)))
            print(*rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["processes", "schools", "seconds"])
    store(RESULTS / "many-schools.csv", table.to_csv(index=False))
    listed = "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)
    where = machine_line(machine(), versions())
    store(RESULTS / "many-schools.md", f"{HEAD}{listed}\nMachine: {where}.\n")


if __name__ == "__main__":
    main()
