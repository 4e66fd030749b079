"""Run a notebook with other seeds, to see whether its fits and claims hold.

seeds.py NOTEBOOK SEED [SEED ...] executes the notebook once for each seed, in memory: nothing
stored changes. A fit that misses the convergence gate, a formula, or a claim of the text that no
longer holds stops that run and is printed; no seed of the course is chosen by this.

Run it with the Python of the course: .venv/bin/python benchmarks/seeds.py 12 1 2 3 4 5
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

from publish.files import CourseError, read_text, select  # noqa: E402
from publish.render import execute, summarise  # noqa: E402


def main(arguments: list[str]) -> int:
    """Return 0 where every seed's run succeeded."""
    if len(arguments) < 2 or not all(seed.isdigit() for seed in arguments[1:]):
        print("Name one notebook and at least one seed: seeds.py 12 1 2 3 4 5", file=sys.stderr)
        return 2
    (source,) = select([arguments[0]], ROOT)
    failed = 0
    for seed in arguments[1:]:
        text, found = re.subn(
            r"^RANDOM_SEED = \d+$",
            f"RANDOM_SEED = {seed}",
            source.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
        if found != 1:
            print(f"{source.name} sets RANDOM_SEED {found} times, not once.", file=sys.stderr)
            return 2
        try:
            row = summarise(execute(read_text(text, source), source.stem, ROOT))
        except CourseError as error:
            failed += 1
            print(f"seed {seed}: {error}", flush=True)
            continue
        print(f"seed {seed}: passed, {row}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
