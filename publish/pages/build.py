"""Build the pages of the course from executed notebooks: `make site`, `make course`.

build.py [--notebooks DIR] [--out DIR]

Nothing is executed. The pages are put together in _build/site-src and built by Sphinx with
warnings as errors; they replace those in --out (default _build/html) only when that succeeded.
They need no network: mathematics, fonts and scripts lie beside them.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGES = Path(__file__).resolve().parent

from publish.files import CourseError, figure_of, image_type, role_of  # noqa: E402
from publish.pages.address import project_address  # noqa: E402
from publish.pages.samplers import samplers_page  # noqa: E402
from publish.pages.text import citation_page, front_page, read_lectures, status_page  # noqa: E402

# A notebook can name but one colour for the changed lines of a formula, which suits one ground;
# the page has a class instead, and a colour for each ground in course.css.
COLOUR = re.compile(r"\\color\{#[0-9A-Fa-f]{6}\}")
# The theme draws its icons with a script of 90 kB, where a few rules of course.css do.
ICONS = re.compile(r'<script defer src="[^"]*/fontawesome\.js[^"]*"></script>')
IMAGE = re.compile(r"(?<=_images/)([\w.-]+)\.png\b")


def page_of(nb: NotebookNode) -> NotebookNode:
    """Return a notebook as Sphinx should read it.

    Caption and alt text come from the cell's header, so the text beside the image goes. MyST-NB
    makes a figure of every output of a figure's cell; so the image gets a cell of its own.
    """
    cells = []
    tables = 0
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = COLOUR.sub(r"\\class{changed}", data["text/markdown"])
            if 'class="dataframe"' in data.get("text/html", ""):
                tables += 1
                data["text/html"] = table_for_all(data["text/html"], tables)
            if "image/png" in data:
                data["image/png"] = small_png(data["image/png"])
        figure = figure_of(cell)
        if figure is None:
            cells.append(cell)
            continue
        options = cell.metadata.pop("mystnb")
        before, after, image = [], [], None
        for output in cell.outputs:
            if role_of(output) == "figure-text":
                continue
            if image is None and image_type(output):
                image = output
            else:
                (before if image is None else after).append(output)
        if image is None:
            raise CourseError(f"The figure {figure['name']} has no image; run `make render`.")
        about = image.metadata.get(image_type(image), {})
        options.setdefault("image", {})["alt"] = figure["alt"] or about.get("alt", "")
        options["figure"]["caption"] = figure["caption"]
        cell.outputs = before
        cells += [cell, _outputs_only([image], f"{cell.id}-image", {"mystnb": options})]
        if after:
            cells.append(_outputs_only(after, f"{cell.id}-after", {}))
    nb.cells = cells
    # Else MyST-NB shows them as front matter.
    nb.metadata.pop("course", None)
    nb.metadata.pop("jupytext", None)
    return nb


def table_for_all(html: str, number: int) -> str:
    """Return a table of pandas with headers that say what they head, in a box that can scroll.

    The corners of pandas' tables are headers of nothing; the box takes the focus, so that the
    keyboard can scroll it, and needs a name of its own on its page.
    """
    html = re.sub(r"<th([^>]*)>\s*</th>", r"<td\1></td>", html)
    head, end, body = html.partition("</thead>")
    if not end:
        head, body = "", html
    head = head.replace("<th>", '<th scope="col">').replace(
        "<th colspan", '<th scope="colgroup" colspan'
    )
    body = re.sub(
        r"<th(?=[ >])(?P<span>[^>]*)>",
        lambda th: f'<th scope="{"rowgroup" if "rowspan" in th["span"] else "row"}"{th["span"]}>',
        body,
    )
    box = f'<div class="table-box" tabindex="0" role="region" aria-label="Table {number}">'
    return f"{box}{head}{end}{body}</div>"


def small_png(data: str) -> str:
    """Return an image with a palette of 256 colours on white, if that is smaller.

    The stored notebooks keep theirs; a lecture of forty figures would weigh 3 MB for them alone.
    """
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
    fewer = ground.convert("RGB").quantize(
        256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    small = io.BytesIO()
    fewer.save(small, "PNG", optimize=True)
    found = base64.b64encode(small.getvalue()).decode()
    return found if len(found) < len(data) else data


def _outputs_only(outputs: list[NotebookNode], identity: str, metadata: dict) -> NotebookNode:
    # MyST-NB passes over a cell without source.
    cell = nbformat.v4.new_code_cell("# shown above", outputs=outputs, metadata=metadata)
    cell["id"] = identity
    cell.metadata["tags"] = ["remove-input"]
    return cell


def data_page(folder: Path) -> str:
    """Return the page on the data, written from the tables' sidecars."""
    parts = [
        "# Data",
        "The tables that the lectures use, where they come from, and what is in them.",
    ]
    for path in sorted(folder.glob("*.yml"), key=lambda p: p.stem.lower()):
        about = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = about.get("name", path.stem)
        parts += [f"({name.lower()}-data)=\n## {name}", _line(about.get("title"))]
        parts += [_line(about.get("description"))]
        licence = about.get("licence") or {}
        facts = [
            ("Study", about.get("study")),
            ("Published with", about.get("published_with")),
            ("How the table was made", about.get("made")),
            ("Licence", f"{licence.get('note', '')} (looked up on {licence.get('checked')})"),
            ("Rows", f"{about['rows']:,}" if "rows" in about else None),
            ("Missing values", about.get("missing")),
            ("SHA-256", f"`{about['sha256']}`" if "sha256" in about else None),
        ]
        parts += ["\n".join(f"- **{title}:** {_line(text)}" for title, text in facts if text)]
        rows = ["| column | meaning | unit | type | values |", "|---|---|---|---|---|"]
        for column in about.get("columns", []):
            cells = [f"`{column['name']}`", column.get("meaning"), column.get("unit")]
            cells += [f"`{column['type']}`" if "type" in column else "", _values(column)]
            rows.append("| " + " | ".join(_line(c).replace("|", "\\|") for c in cells) + " |")
        parts += ["\n".join(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _values(column: dict) -> str:
    if "range" in column:
        low, high = column["range"]
        return f"{low} to {high}"
    if "values" in column:
        return ", ".join(str(value) for value in column["values"])
    return f"`{column['pattern']}`" if "pattern" in column else ""


def _line(text) -> str:
    return " ".join(str(text or "").split())


def assemble(notebooks: Path, target: Path, root: Path = ROOT) -> None:
    """Put together in `target` what Sphinx reads."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "download").mkdir(parents=True)
    for page in sorted((root / "publish" / "pages").glob("*.md")):
        shutil.copy(page, target)
    (target / "data.md").write_text(data_page(root / "data"), encoding="utf-8")
    found = sorted(notebooks.glob("*.ipynb"))
    if not found:
        raise CourseError(f"There is no .ipynb in {notebooks}; run `make render`.")
    read = {path.stem: nbformat.read(path, as_version=4) for path in found}
    lectures = read_lectures(read, root)
    front = (root / "publish" / "pages" / "index.md").read_text(encoding="utf-8")
    about = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    samplers = (root / "publish" / "pages" / "samplers.md").read_text(encoding="utf-8")
    pages = {
        "index": front_page(front, lectures, read, target, project_address(root)),
        "status": status_page(lectures),
        "citation": citation_page(about),
        "samplers": samplers_page(samplers, root / "benchmarks" / "results", target),
    }
    for name, text in pages.items():
        (target / f"{name}.md").write_text(text, encoding="utf-8")
    for path in found:
        # What a reader downloads is the notebook as it is, text beside the figures included.
        shutil.copy(path, target / "download")
        source = root / "notebooks" / f"{path.stem}.md"
        if source.is_file():
            shutil.copy(source, target / "download")
        nbformat.write(page_of(read[path.stem]), target / path.name)


def lighten(pages: Path) -> None:
    """Take from built pages what makes them heavy: PNG, where WebP loses nothing, and icons."""
    lighter = set()
    for image in sorted((pages / "_images").glob("*.png")):
        small = image.with_suffix(".webp")
        with Image.open(image) as opened:
            opened.save(small, "WEBP", lossless=True, method=2)
        if small.stat().st_size < image.stat().st_size:
            lighter.add(image.stem)
            image.unlink()
        else:
            small.unlink()
    for page in sorted(pages.glob("*.html")):
        html = page.read_text(encoding="utf-8")
        html = IMAGE.sub(lambda name: name[1] + (".webp" if name[1] in lighter else ".png"), html)
        html, found = ICONS.subn("", html)
        if found != 1:
            raise CourseError(f"{page.name} does not name the theme's icons once; mend `lighten`.")
        page.write_text(html, encoding="utf-8")


def build(notebooks: Path, out: Path, root: Path = ROOT) -> None:
    """Build the pages into `out`.

    Raises
    ------
    CourseError
        If Sphinx warns or fails; `out` keeps what it had.
    """
    work = root / "_build"
    source, doctrees, fresh = work / "site-src", work / "doctrees", work / "html.new"
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
    lighten(fresh)
    old = work / "html.old"
    shutil.rmtree(old, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        os.replace(out, old)
    os.replace(fresh, out)
    shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "html", metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        build(options.notebooks.resolve(), options.out.resolve())
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    index = options.out.resolve() / "index.html"
    print(f"The pages are built. Open {os.path.relpath(index)} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
