"""Check one notebook: `make check NOTEBOOK=13-Test`, between two edits.

First all rules that its files must keep, listed together. If they hold, it is executed, unless it
was from the same files; its claims are asked of that run, which `make course` and `make test` take
too; and the tests that read it run. The seconds of each step are printed.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publish.checks import check_source
from publish.execute import must_run, store
from publish.files import (
    ROOT,
    CourseError,
    claims_of,
    course_facts,
    read_text,
    select,
    sources,
    tidy,
)
from publish.format import complaints
from publish.record import PARTS, over_budget, read_record
from publish.render import render
from publish.tables import table_problems, tables_of

NAME = re.compile(r"\d\d[a-z]?-[A-Z0-9][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
TODO = re.compile(r"\bTODO\b")


# --- The rules ---------------------------------------------------------------


def source_problems(source: Path, root: Path = ROOT) -> list[str]:
    """Return what is wrong with a notebook's files before it runs, a sentence each."""
    name, text = source.stem, source.read_text(encoding="utf-8")
    found = []
    if not NAME.fullmatch(name):
        found.append(f"{source.name}: call it like 13-Some_Title.md, or 13a-... for a deep dive.")
    try:
        nb = read_text(text, source)
    except CourseError as error:
        return [*found, str(error)]
    found += check_source(nb, name)
    if tidy(text, source) != text:
        found.append(f"{source.name} would change on saving in JupyterLab; run `make format`.")
    others = (path.read_text(encoding="utf-8") for path in sources(root) if path != source)
    for figure in sorted(
        _figures(text) & {figure for other in others for figure in _figures(other)}
    ):
        found.append(f"{name}, a figure of another notebook is called «{figure}», too; rename it.")
    found += _claims_problems(claims_of(name, root), root)
    return found + [problem for table in tables_of(nb) for problem in table_problems(table, root)]


def _figures(text: str) -> set[str]:
    return set(re.findall(r"^    name: (fig-\S+)$", text, re.MULTILINE))


def _claims_problems(claims: Path, root: Path) -> list[str]:
    where = claims.relative_to(root).as_posix()
    if not claims.is_file():
        return [f"{where} is missing; assert there what the text says of its fits."]
    try:
        body = ast.parse(claims.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        return [f"{where} is no Python: line {error.lineno}, {error.msg}."]
    if not any(isinstance(node, ast.FunctionDef) and node.name[:5] == "test_" for node in body):
        return [f"{where} asks nothing; write a function test_... that asserts what the text says."]
    return []


def style_problems(source: Path, root: Path = ROOT) -> list[str]:
    """Return what ruff has against the code of a notebook and of its claims."""
    found = complaints(source.read_text(encoding="utf-8"), source).splitlines()
    claims = claims_of(source.stem, root)
    if claims.is_file():
        for command in (["check", "--output-format", "concise"], ["format", "--check"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--quiet", str(claims)]
            done = subprocess.run(ruff, cwd=root, capture_output=True, text=True)
            found += (done.stdout + done.stderr).splitlines()
            if done.returncode and command[0] == "format":
                found.append(f"{claims.relative_to(root)} is not formatted; run `make format`.")
    return list(dict.fromkeys(line.replace(f"{root}/", "") for line in found))


def left_to_write(source: Path) -> list[int]:
    """Return the lines of a source that still hold a TODO."""
    lines = source.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if TODO.search(line)]


# --- One after the other -----------------------------------------------------


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is done, and the seconds it took."""
    start = time.monotonic()
    print(f"{what} ...", flush=True)
    try:
        yield
    finally:
        print(f"  {time.monotonic() - start:.1f} s", flush=True)


def check_one(source: Path, root: Path = ROOT) -> int:
    """Check the rules, the run, the claims and the tests of a notebook; return the exit code."""
    name = source.stem
    with step(f"{name}: the rules"):
        problems = source_problems(source, root) + style_problems(source, root)
    if problems:
        print("\n".join(f"- {problem}" for problem in problems))
        print("It is executed once these are put right.")
        return 1
    nb = read_text(source.read_text(encoding="utf-8"), source)
    if must_run(source, root=root):
        with step(f"{name}: the run, with its claims"):
            try:
                row, _ = render(source, None, root, say=lambda text: None)
            except CourseError as error:
                print(error)
                return 1
        parts = ", ".join(f"{part} {row['seconds'][part]:.1f} s" for part in PARTS)
        print(f"  {parts}; {row['peak_memory_mb']} MB; fits: {row['fits']}")
        for text in over_budget({name: row}, {name: course_facts(nb, source.name)}):
            print(f"  make render will say: {text}")
    else:
        print(f"{name}: was executed before from the same files")
    asked = [line for line in read_record(store(root) / f"{name}.jsonl") if line["kind"] == "asked"]
    print(f"  claims that hold: {len(asked)}")
    with step(f"{name}: its tests"):
        # The folder of tests alone: the doctests of helpers are about no notebook.
        tests = [sys.executable, "-m", "pytest", "tests", "--quiet", "--notebook", name]
        tests += ["-p", "no:zarr"]  # a plugin that takes a second to import
        if code := subprocess.run(tests, cwd=root).returncode:
            return code
    if lines := left_to_write(source):
        print(f"Left to write: {source.name}, lines {', '.join(map(str, lines))} (TODO).")
    print(f"{name} is right. Next: make render NOTEBOOK={name}, then make check.")
    return 0


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Check the notebooks that are named."""
    os.environ.setdefault("JUPYTER_RUNTIME_DIR", str(root / "_build" / "jupyter-runtime"))
    try:
        return max(check_one(source, root) for source in select(arguments, root))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
