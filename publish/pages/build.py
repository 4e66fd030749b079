"""Build the pages of the course from executed notebooks: `make site`, `make course`.

build.py [--notebooks DIR]

Nothing is executed. The pages are put together in _build and built by Sphinx with warnings as
errors; they replace those in _build/html only when that succeeded.
They need no network: mathematics, fonts and scripts lie beside them.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from publish.files import (
    ROOT,
    CourseError,
    course_facts,
    figure_of,
    image_type,
    read_text,
    role_of,
    why_stale,
)
from publish.pages.address import project_address
from publish.pages.calibration import calibration_page
from publish.pages.helpers import helpers_page
from publish.pages.parity import parity_page
from publish.pages.samplers import samplers_page
from publish.pages.text import (
    Lecture,
    citation_page,
    data_page,
    figure_block,
    front_page,
    head_of,
    status_page,
)

# A notebook can name but one colour for the changed lines of a formula, which suits one ground;
# the page has a class instead, and a colour for each ground in course.css.
COLOR = re.compile(r"\\color\{#[0-9A-Fa-f]{6}\}")


def page_of(nb: NotebookNode, folder: Path) -> NotebookNode:
    """Return a notebook as Sphinx should read it; write the images of its figures into a folder.

    A figure is set from its cell's header, so the text beside its image goes.
    """
    cells = []
    for cell in nb.cells:
        cells.append(cell)
        outputs = [out for out in cell.get("outputs", []) if role_of(out) != "figure-text"]
        for output in outputs:
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = COLOR.sub(r"\\class{changed}", data["text/markdown"])
            if 'class="dataframe"' in data.get("text/html", ""):
                data["text/html"] = with_scopes(data["text/html"])
        if "hide-cell" in cell.metadata.get("tags", []):
            prompts = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide it"}
            cell.metadata["mystnb"] = {**cell.metadata.get("mystnb", {}), **prompts}
        if figure_of(cell):
            cells.append(new_markdown_cell(figure_block(cell, folder)))
            del cell.metadata["mystnb"]
            at = next(i for i, output in enumerate(outputs) if image_type(output))
            cell.outputs, after = outputs[:at], outputs[at + 1 :]
            if after:
                # MyST-NB passes over a cell without source.
                tags = {"tags": ["remove-input"]}
                cells.append(new_code_cell("# shown above", outputs=after, metadata=tags))
    nb.cells = cells
    # Else MyST-NB shows them as front matter.
    for key in ("course", "jupytext", "made_from", "outputs"):
        nb.metadata.pop(key, None)
    return nb


def with_scopes(table: str) -> str:
    """Return a table of pandas with headers that say what they head; its corners head nothing."""
    soup = BeautifulSoup(table, "html.parser")
    for cell in soup.find_all("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"
            continue
        group = "group" if cell.get("colspan") or cell.get("rowspan") else ""
        cell["scope"] = ("col" if cell.find_parent("thead") else "row") + group
        # A name may break there, so that its column need not be wider than its numbers.
        for text in cell.find_all(string=re.compile("_")):
            text.replace_with(
                BeautifulSoup(html.escape(text).replace("_", "_<wbr>"), "html.parser")
            )
    return str(soup)


def assemble(notebooks: Path, target: Path, root: Path = ROOT) -> None:
    """Put together in `target` what Sphinx reads."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "download").mkdir(parents=True)
    found = sorted(notebooks.glob("*.ipynb"))
    if not found:
        raise CourseError(f"There is no .ipynb in {notebooks}; run `make render`.")

    def text_of(name: str) -> str:
        return (root / name).read_text(encoding="utf-8")

    runs = json.loads(text_of("notebooks/runs.json"))
    lectures = []
    for path in found:
        # What a reader downloads is the notebook as it is, text beside the figures included.
        source = root / "notebooks" / f"{path.stem}.md"
        if problem := why_stale(source, root, path):
            back = (
                "If it was an experiment, bring both files back with `git checkout -- notebooks`."
            )
            raise CourseError(f"The pages were not built: {problem} {back}")
        shutil.copy(path, target / "download")
        shutil.copy(source, target / "download")
        nb = nbformat.read(path, as_version=4)
        facts = course_facts(read_text(source.read_text(encoding="utf-8"), source), path.stem)
        lectures.append(Lecture(path.stem, nb, facts, runs.get(path.stem)))
    address = project_address(root)
    front = text_of("publish/pages/index.md")
    samplers = text_of("publish/pages/samplers.md")
    pages = {
        "index": front_page(front, lectures, target, address),
        "helpers": helpers_page(text_of("utils.py")),
        "samplers": samplers_page(samplers, root / "benchmarks" / "results", target),
        "calibration": calibration_page(
            text_of("publish/pages/calibration.md"), root / "publish" / "pages", target
        ),
        "data": data_page(root / "data"),
        "errata": text_of("publish/pages/errata.md"),
        "status": status_page(lectures),
        "parity": parity_page(root / "publish" / "pages" / "parity.csv", lectures),
        "citation": citation_page(text_of("CITATION.cff")),
    }
    for name, text in pages.items():
        (target / f"{name}.md").write_text(text, encoding="utf-8")
    for one in lectures:
        title, _, text = one.nb.cells[0].source.partition("\n")
        one.nb.cells[0].source = f"{title}\n\n{head_of(one, address)}\n\n{text}"
        nbformat.write(page_of(one.nb, target), target / f"{one.name}.ipynb")


def build(notebooks: Path, out: Path, root: Path = ROOT) -> None:
    """Build the pages into `out`, which keeps what it had if Sphinx warns or fails."""
    source, doctrees, fresh = (out.parent / name for name in ("site-src", "doctrees", "html.new"))
    assemble(notebooks, source, root)
    for folder in (doctrees, fresh):
        shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--fresh-env"]
        + ["--builder", "html", "--conf-dir", root / "publish" / "pages", "--doctree-dir", doctrees]
        + [source, fresh],
        check=False,
    )
    if done.returncode:
        raise CourseError("The pages were not built, for what Sphinx says above.")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(fresh, out)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", metavar="DIR")
    out = ROOT / "_build" / "html"
    try:
        build(parser.parse_args(arguments).notebooks.resolve(), out)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The pages are built. Open {os.path.relpath(out / 'index.html')} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
