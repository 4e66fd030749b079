"""The house: which room may import which, and what no room does."""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("benchmarks", "publish", "rethinking", "studies", "tests")
ROOMS = sorted([ROOT / "utils.py", *(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))])
FLOORS = (
    {
        "data",
        "transforms",
        "diagnostics",
        "record",
        "compile_cache",
        "indices",
        "ordered_logit",
        "count_loops",
    },
    {"plots", "display", "gate", "scores", "pairs", "correlated", "formula"},
    {"sampling", "start", "graphs", "frogs", "living"},
)
#: What a part of the house never imports.
NEVERS = {
    "rethinking": {"utils", "studies", "publish", "benchmarks"},
    "studies": {"utils", "publish", "benchmarks"},
    "benchmarks": {"utils"},
    "publish": {"utils", "rethinking", "studies", "benchmarks"},
}
LINES = 700  # of a room


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in ROOMS}


def imports(path: Path) -> set[str]:
    """Modules of the project that a file imports, wherever in it; names of packages resolved."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: write the whole name of what you import."
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (within & set(MODULES)) or {node.module}
    return {name for name in found if name.split(".")[0] in {*PACKAGES, "utils"}}


ARROWS = {name: imports(path) - {name} for name, path in MODULES.items()}


def floor(name: str) -> int | None:
    parts = name.split(".")
    if len(parts) < 2 or parts[0] != "rethinking":
        return None
    return next(level for level, rooms in enumerate(FLOORS) if parts[1] in rooms)


def test_every_room_of_rethinking_is_on_a_floor():
    there = {name.split(".")[1] for name in MODULES if name.startswith("rethinking.")}
    assert there == set().union(*FLOORS), "write the new room into FLOORS and rethinking/__init__"


def test_no_arrow_runs_up():
    wrong = [
        f"{name} imports {other}, which is on a higher floor"
        for name in ARROWS
        for other in ARROWS[name]
        if floor(name) is not None and floor(other) is not None and floor(other) > floor(name)
    ]
    assert not wrong, wrong


def test_no_circle():
    waiting = {name: set(ARROWS[name]) for name in ARROWS}
    while free := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        for name in free:
            del waiting[name]
    assert not waiting, f"these import each other in a circle, or lead to one: {sorted(waiting)}"


@pytest.mark.parametrize("part", NEVERS)
def test_the_nevers(part):
    wrong = [
        f"{name} imports {other}"
        for name in ARROWS
        if name.split(".")[0] == part
        for other in ARROWS[name]
        if other.split(".")[0] in NEVERS[part]
    ]
    assert not wrong, wrong


def test_the_face_defines_nothing():
    tree = ast.parse((ROOT / "utils.py").read_text(encoding="utf-8"))
    assert all(isinstance(node, ast.ImportFrom | ast.Expr) for node in tree.body)
    assert all(node.module.startswith("rethinking.") for node in tree.body[1:])


@pytest.mark.parametrize("path", ROOMS, ids=module_of)
def test_a_room_is_small_and_leaves_the_path_alone(path):
    with tokenize.open(path) as file:
        tokens = [token.string for token in tokenize.generate_tokens(file.readline)]
    assert tokens[-1] == "" and path.read_text(encoding="utf-8").count("\n") <= LINES
    pairs = zip(tokens, tokens[2:], strict=False)
    assert ("sys", "path") not in pairs or path == Path(__file__), "sys.path is nobody's to change"


def test_nothing_shadows_the_standard_library():
    tops = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert not tops & set(sys.stdlib_module_names)
