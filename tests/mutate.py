"""Mutation tests, by `make mutate`: which mistakes in `rethinking` does no test notice?

mutmut plants one mistake at a time into the modules that `pyproject.toml` names, and runs the tests
that reach the line. It works in `_build/mutate`; `mutmut browse` and `mutmut show` there tell of
each mutant.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "_build/mutate"
CHILDREN = 2
OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
#: "rethinking/gate.py" and "rethinking/formula/*.py", by the name that MODULE= takes.
MODULES = {
    pattern.removesuffix(".py").removesuffix("/*").split("/")[1]: pattern
    for pattern in OPTIONS["only_mutate"]
}


def run(modules: list[str]) -> int:
    """Let mutmut try all mutants of these modules anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", "tests", *OPTIONS["source_paths"], *OPTIONS["also_copy"]):
        link = FOLDER / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    mutmut = [Path(sys.executable).with_name("mutmut"), "run", "--max-children", str(CHILDREN)]
    # the project itself must not be found before its copy
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    names = [f"rethinking.{module}.*" for module in modules]
    return subprocess.run([*mutmut, *names], cwd=FOLDER, env=environment, check=False).returncode


def table(modules: list[str]) -> str:
    """Return how many mutants of each module were killed; one that never ends counts as killed."""
    rows = [
        "| module | mutants | killed | timeout | survived | no tests | killed, % |",
        "|" + "---|" * 7,
    ]
    for module in modules:
        found = Counter()
        for meta in (FOLDER / "mutants").glob(f"{MODULES[module]}.meta"):
            codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
            found.update(status_by_exit_code[code] for code in codes.values())
        total = found.total() - found["not checked"]
        caught = found["killed"] + found["segfault"] + found["timeout"]
        if total:
            counts = (
                total,
                *(found[each] for each in ("killed", "timeout", "survived", "no tests")),
            )
            rows.append(f"| {module} | {' | '.join(map(str, counts))} | {caught / total:.1%} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    modules = arguments or list(MODULES)
    if unknown := sorted(set(modules) - set(MODULES)):
        print(f"No module {unknown[0]!r} is mutated. There are: {', '.join(MODULES)}.")
        return 2
    code = run(modules)
    print(table(modules))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
