"""Measure how the notebooks read: `make measure`, the table of their sizes.

What a code cell is for, its tags and its header say: a figure or the tag `drawing` is drawing, the
tag `setup` (and the first cell) setting up, `hide-cell` a solution, and what only calls
`show_formula` or `say` a formula or a sentence. The rest is what a student came for: data, models,
fits, summaries, predictions. Folded is what a reader has to open.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from nbformat import NotebookNode

from publish.files import ROOT, code_trees, figure_of, is_guard, read_text, select

FOLDED = {"hide-input", "hide-cell"}
# For a lecture, a deep dive may have less; see CONTRIBUTING.
LIMITS = {"lines": 1800, "words": 4500, "panels": 18, "code": 900, "pixels": 45_000}
MORE_PANELS = {"12-Multilevel_Models": 24}
PANELS = re.compile(r"plt\.subplots\(\s*(\d+)(?:\s*,\s*(\d+))?")


def words_of(text: str) -> int:
    """Count the words of prose; formulas, code, links' addresses and tables' rules are none."""
    text = re.sub(r"\$\$.*?\$\$|```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$[^$]*\$|`[^`]*`|\]\([^)]*\)", " x ", text)
    return len(re.findall(r"[A-Za-zÀ-ÿ0-9][\w'’-]*", text))


def kind_of(cell: NotebookNode, tree: ast.Module | None, first: bool) -> str:
    """Return what a code cell is for."""
    tags = set(cell.metadata.get("tags", []))
    if "hide-cell" in tags:
        return "solution"
    if first or "setup" in tags or cell.source.startswith("%"):
        return "setup"
    if figure_of(cell) or "drawing" in tags:
        return "drawing"
    called = {
        ast.unparse(node.func).removeprefix("utils.")
        for node in ast.walk(tree or ast.Module([], []))
        if isinstance(node, ast.Call)
    }
    if "hide-input" in tags:
        return "formula" if "show_formula" in called else "sentence"
    return "model"


def measure(nb: NotebookNode, text: str) -> dict[str, float]:
    """Return a notebook's measures: lines, words, panels, lines of code by kind, minutes."""
    nb = NotebookNode(cells=[cell for cell in nb.cells if not is_guard(cell)])
    trees = dict(code_trees(nb))
    first = next((i for i, cell in enumerate(nb.cells) if cell.cell_type == "code"), None)
    code: Counter[str] = Counter()
    shown = panels = graphs = 0
    headers = 0
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        kind = kind_of(cell, trees.get(index), index == first)
        code[kind] += lines
        folded = FOLDED & set(cell.metadata.get("tags", []))
        if not folded:
            shown += lines
            code["shown " + kind] += lines
        if figure := figure_of(cell):
            headers += sum(len(figure[part]) // 76 + 3 for part in ("caption", "alt"))
            if "draw_causal_graph" in cell.source:
                graphs += 1
            else:
                found = PANELS.search(cell.source)
                panels += int(found[1]) * int(found[2] or 1) if found else 1
    words = sum(words_of(cell.source) for cell in nb.cells if cell.cell_type == "markdown")
    total = sum(n for kind, n in code.items() if not kind.startswith("shown "))
    student = code["shown model"]
    return {
        "lines": text.count("\n"),
        "without captions": text.count("\n") - headers,
        "words": words,
        "panels": panels,
        "graphs": graphs,
        "code": total,
        "shown": shown,
        "student's share": student / shown if shown else 0.0,
        **{kind: code[kind] for kind in ("model", "drawing", "formula", "sentence", "solution")},
        "minutes": words / 200 + shown / 30,
    }


def heights(names: list[str], html: Path) -> dict[str, int]:
    """Return the height of each built page in a window 1280 pixels wide; none without a browser."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return {}
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for name in names:
            if (html / f"{name}.html").is_file():
                page.goto((html / f"{name}.html").as_uri())
                page.wait_for_timeout(1500)
                found[name] = page.evaluate("document.documentElement.scrollHeight")
        browser.close()
    return found


def main(arguments: list[str]) -> int:
    """Print the table; return 1 where a notebook has more than a lecture may have."""
    chosen = select(arguments)
    runs = json.loads((ROOT / "notebooks" / "runs.json").read_text(encoding="utf-8"))
    tall = heights([source.stem for source in chosen], ROOT / "_build" / "html")
    rows, over = {}, []
    for source in chosen:
        text = source.read_text(encoding="utf-8")
        row = measure(read_text(text, source), text)
        row["pixels"] = tall.get(source.stem, 0)
        run = runs.get(source.stem, {})
        row["seconds"] = run.get("seconds", {}).get("total", 0)
        row["MB"] = run.get("peak_memory_mb", 0)
        rows[source.stem] = row
        over += [
            f"{source.stem} has {row[what]:,} {what}, more than {limit:,}."
            for what, limit in LIMITS.items()
            if row[what] > (MORE_PANELS.get(source.stem, limit) if what == "panels" else limit)
        ]
    width = max(map(len, rows))
    head = list(next(iter(rows.values())))
    print(" " * width, *(f"{title:>{max(len(title), 6)}}" for title in head))
    for name, row in rows.items():
        cells = (
            f"{row[t]:>{max(len(t), 6)}.2f}"
            if t == "student's share"
            else f"{row[t]:>{max(len(t), 6)},.0f}"
            for t in head
        )
        print(name.ljust(width), *cells)
    print("\n".join(over))
    return bool(over)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
