"""Run a notebook with other seeds, to see whether its fits and claims hold.

python -m benchmarks.seeds 12 1 2 3 4 5 executes notebook 12 once for each of five seeds, in
memory: nothing stored changes. A fit that misses the convergence gate, a formula, or a claim of
the text that no longer holds stops that run and is printed; no seed of the course is chosen by
this.
"""

from __future__ import annotations

import re
import sys

from publish.execute import execute
from publish.files import CourseError, read_text, select
from publish.record import summarise


def main(arguments: list[str]) -> int:
    """Return 0 where every seed's run succeeded."""
    if len(arguments) < 2 or not all(seed.isdigit() for seed in arguments[1:]):
        print("Name one notebook and at least one seed: 12 1 2 3 4 5", file=sys.stderr)
        return 2
    (source,) = select([arguments[0]])
    setting = re.compile(r"^RANDOM_SEED = \d+$", re.MULTILINE)
    failed = 0
    for seed in arguments[1:]:
        text, found = setting.subn(f"RANDOM_SEED = {seed}", source.read_text(encoding="utf-8"))
        if found != 1:
            print(f"{source.name} sets RANDOM_SEED {found} times, not once.", file=sys.stderr)
            return 2
        try:
            row = summarise(execute(read_text(text, source), source.stem))
            print(f"seed {seed}: passed, {row}", flush=True)
        except CourseError as error:
            failed += 1
            print(f"seed {seed}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
