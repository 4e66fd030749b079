"""The pages, built from the stored outputs and a planted notebook: no network, nothing broken."""

from __future__ import annotations

import re
import runpy
import shutil
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from publish.files import CourseError, finish, read_text, replace, sources, to_bytes, write_text
from publish.pages.build import assemble, build, page_of

ROOT = Path(__file__).resolve().parents[2]
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
ALT = 'Line chart. The x axis shows time, the y axis <height> & "more"; alpha_bar rises.'
GRAPH_ALT = "Causal graph. T → S."
FORMULA = (
    "$$\n\\begin{aligned}\n"
    "{\\color{#B3124A}{\\sigma}} &{\\color{#B3124A}{{}\\sim \\text{Exponential}(1)}} "
    "&& {\\color{#B3124A}{\\text{(new)}}}\n\\end{aligned}\n$$"
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>T → S</title></svg>'


def figure_cell(name, caption, alt, outputs):
    options = {"figure": {"name": name, "caption": caption}}
    if alt:
        options["image"] = {"alt": alt}
    return new_code_cell("draw()", metadata={"mystnb": options}, outputs=outputs)


def planted_notebook():
    """Return a notebook with one of each thing that a page shows in a way of its own."""
    picture = new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure>"})
    graph = new_output(
        "execute_result",
        data={"image/svg+xml": SVG, "text/plain": "<graph>"},
        metadata={"image/svg+xml": {"alt": GRAPH_ALT}},
        execution_count=3,
    )
    living = new_output(
        "display_data",
        data={"text/html": "<div class='living-01'><script>go()</script></div>"},
        metadata={"course": {"role": "living"}},
    )
    said = new_output("display_data", data={"text/markdown": "It is **two**: $x_1 = 2$."})
    formula = new_output("display_data", data={"text/markdown": FORMULA})
    table = new_output("execute_result", data={"text/html": "<table class='dataframe'></table>"})
    cells = [
        new_markdown_cell(
            "(lecture-99)=\n# Planted\n\n"
            ":::{post} Jan 31, 2026\n:tags: frogs\n:category: beginner\n:author: A. Writer\n:::\n\n"
            "See [the line](#fig-99-line), [the graph](#fig-99-graph) and [a part](#the-rest).\n\n"
            "$$\n\\begin{aligned}\nx &= 1\n\\end{aligned}\n$$"
        ),
        figure_cell("fig-99-line", "It rises, $\\alpha$.", ALT, [picture]),
        figure_cell("fig-99-graph", "Tank acts.", None, [graph]),
        new_markdown_cell("## The rest"),
        figure_cell("fig-99-living", "Drag.", ALT, [picture, living]),
        new_code_cell("say()", metadata={"tags": ["hide-input"]}, outputs=[said, formula]),
        new_code_cell("table", outputs=[table]),
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def project(folder, stored=True):
    """Copy into a folder what the pages are made from, with the planted notebook among it."""
    for part in ("site", "data", "benchmarks/results"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / part, folder)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "record.json", folder / "notebooks")
    for source in sources(ROOT) if stored else []:
        for path in (source, source.with_suffix(".ipynb")):
            assert path.is_file(), f"{path.name} is missing; run `make render`."
            shutil.copy(path, folder / "notebooks")
    shutil.copy(ROOT / "notebooks" / "jupytext.toml", folder / "notebooks")
    md = folder / "notebooks" / "99-Planted.md"
    nb = planted_notebook()
    md.write_text(write_text(nb, md))
    assert [c.source for c in read_text(md.read_text(), md).cells] == [c.source for c in nb.cells]
    replace(md.with_suffix(".ipynb"), to_bytes(finish(nb, md.stem, "key")))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages: their folder, by name as parsed HTML, and the seconds it took."""
    root = project(tmp_path_factory.mktemp("the site"))
    out = root / "_build" / "html"
    start = time.monotonic()
    build(root / "notebooks", out, root)
    seconds = time.monotonic() - start
    pages = {
        path.name: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(out.glob("*.html"))
    }
    return {"root": root, "out": out, "pages": pages, "seconds": seconds}


@pytest.fixture(scope="module")
def planted(site):
    return site["pages"]["99-Planted.html"]


def test_the_pages_are_built_in_half_a_minute(site):
    assert site["seconds"] < 30
    expected = {f"{source.stem}.html" for source in sources(ROOT)}
    expected |= {"index.html", "data.html", "errata.html", "status.html", "citation.html"}
    expected |= {"99-Planted.html", "samplers.html"}
    assert expected <= set(site["pages"])


def test_each_page_has_one_title(site):
    titles = {name: len(page.find_all("h1")) for name, page in site["pages"].items()}
    assert set(titles.values()) == {1}, titles


def test_links_inside_the_site_lead_somewhere(site):
    broken = []
    for name, page in site["pages"].items():
        for link in page.find_all("a", href=True):
            parts = urlsplit(link["href"])
            if parts.scheme:
                continue
            target = site["out"] / unquote(parts.path) if parts.path else site["out"] / name
            if not target.exists():
                broken.append(f"{name}: {link['href']}")
            elif parts.fragment and target.suffix == ".html":
                other = site["pages"].get(target.name)
                if other is not None and not other.find(id=unquote(parts.fragment)):
                    broken.append(f"{name}: {link['href']}")
    assert not broken


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = []
    for name, page in site["pages"].items():
        for tag in page.find_all(["link", "script", "img", "iframe", "source", "video", "audio"]):
            for address in (tag.get("src"), tag.get("href"), tag.get("srcset")):
                if address and re.match(r"(\w+:)?//", address):
                    fetched.append(f"{name}: {address}")
    for path in site["out"].rglob("*.css"):
        text = path.read_text(encoding="utf-8", errors="replace")
        fetched += [
            f"{path.name}: {a}" for a in re.findall(r"url\([\"']?(?:https?:)?//[^)]*", text)
        ]
        fetched += [f"{path.name}: {a}" for a in re.findall(r"@import[^;]*//[^;]*", text)]
    assert not fetched


def test_every_local_file_of_a_page_is_there(site):
    missing = []
    for name, page in site["pages"].items():
        for tag in page.find_all(["link", "script", "img"]):
            address = urlsplit(tag.get("src") or tag.get("href") or "")
            if address.path and not address.scheme:
                if not (site["out"] / unquote(address.path)).exists():
                    missing.append(f"{name}: {address.path}")
    assert not missing


def test_every_image_has_its_alt_text(site):
    for name, page in site["pages"].items():
        for image in page.find_all("img"):
            assert len(image.get("alt", "").split()) >= 3, f"{name}: {image}"


def test_figures_show_number_caption_and_alt_text_once(planted):
    figures = planted.find_all("figure")
    assert [figure["id"] for figure in figures] == ["fig-99-line", "fig-99-graph", "fig-99-living"]
    assert [figure.img["alt"] for figure in figures] == [ALT, GRAPH_ALT, ALT]
    numbers = [figure.find(class_="caption-number").text.strip() for figure in figures]
    assert numbers == ["Figure 99.1.", "Figure 99.2.", "Figure 99.3."]
    text = planted.article.get_text()
    assert text.count("Tank acts.") == 1 and "Description:" not in text


def test_the_notebook_gives_a_figure_the_same_number(site):
    for path in sorted((site["root"] / "notebooks").glob("*.ipynb")):
        page = site["pages"][f"{path.stem}.html"]
        numbers = [tag.text.split()[1] for tag in page.find_all(class_="caption-number")]
        texts = [
            re.search(r"\*\*Figure ([\da-z.]+\.)\*\*", output.data["text/markdown"])[1]
            for cell in nbformat.read(path, as_version=4).cells
            for output in cell.get("outputs", [])
            if output.get("metadata", {}).get("course", {}).get("role") == "figure-text"
        ]
        assert numbers == texts


def test_a_living_figure_comes_through_and_its_still_is_found(planted):
    root = planted.find(class_="living-01")
    assert root.script.string == "go()"
    cell = root.find_parent("div", class_="cell")
    still = cell.find_previous_sibling("div", class_="cell").find("figure", id="fig-99-living")
    assert still.img


def test_hidden_code_folds_and_markdown_outputs_are_set(planted):
    (summary,) = [tag for tag in planted.find_all("summary") if "Show code" in tag.text]
    assert "say()" in summary.find_parent("details").text
    assert planted.find("strong", string="two") and "x_1 = 2" in planted.text
    assert "shown above" not in planted.text


def test_changed_lines_of_formulas_take_their_colour_from_the_page(site, planted):
    for name, page in site["pages"].items():
        assert not re.search(r"\\color\{#|#b3124a", str(page), re.IGNORECASE), name
    (formula,) = [tag.text for tag in planted.find_all(class_="math") if "(new)" in tag.text]
    assert formula.count(r"\class{changed}{") == 3 and r"\class{changed}{\text{(new)}}" in formula
    settings = " ".join(script.text for script in planted.find_all("script"))
    assert '"[tex]/html"' in settings
    (mathjax,) = [s["src"] for s in planted.find_all("script", src=re.compile("mathjax"))]
    folder = (site["out"] / urlsplit(mathjax).path).parent
    assert (folder / "input" / "tex" / "extensions" / "html.js").is_file()
    stored = site["root"] / "notebooks" / "99-Planted.ipynb"
    assert "#B3124A" in stored.read_text(), "the notebook itself keeps its colour"


def luminance(colour):
    """Return the relative luminance of #rgb or #rrggbb, by WCAG 2."""
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * d for d in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def colour_of(css, variable, mode):
    """Return the colour that a style sheet gives a variable in a mode."""
    blocks = re.findall(r"([^{}]+)\{([^{}]*)\}", css)
    values = [
        found[1]
        for selector, block in blocks
        if re.search(rf"""data-theme=["']?{mode}["']?\]\s*(,|$)""", selector.strip())
        for found in [re.search(rf"{variable}:\s*(#[0-9a-fA-F]{{3,6}})", block)]
        if found
    ]
    assert len(set(values)) == 1, (variable, mode, values)
    return values[0]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_changed_lines_can_be_read_on_both_grounds(site, mode):
    static = site["out"] / "_static"
    course = (static / "course.css").read_text()
    theme = (static / "styles" / "pydata-sphinx-theme.css").read_text()
    assert re.search(r"\.changed \{\s*color: var\(--course-changed\)", course)
    text = luminance(colour_of(course, "--course-changed", mode))
    ground = luminance(colour_of(theme, "--pst-color-background", mode))
    lighter, darker = max(text, ground), min(text, ground)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_cells_of_prose_carry_their_heading(site):
    table = site["pages"]["data.html"].find("table", class_="prose")
    titles = [cell.text for cell in table.thead.find_all("th")]
    for row in table.tbody.find_all("tr"):
        assert [tag.text for tag in row.find_all(class_="cell-label")] == titles


def test_a_widget_leaves_nothing_where_scripts_do_not_run():
    for path in sorted((ROOT / "widgets").glob("*.html")):
        widget = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert widget.find("div").has_attr("hidden"), path.name
        for tag in widget.find_all(["script", "style"]):
            tag.decompose()
        assert not widget.get_text(strip=True) and len(widget.find_all()) == 1, path.name


def test_the_head_of_a_lecture_and_its_files(site, planted):
    head = planted.find("div", class_="post")
    assert "31 January 2026 · by A. Writer · level: beginner · tags: frogs" in head.text
    files = {
        Path(link["href"]).name: site["out"] / link["href"] for link in head.select("a.download")
    }
    assert sorted(files) == ["99-Planted.ipynb", "99-Planted.md"]
    for name, path in files.items():
        assert path.read_bytes() == (site["root"] / "notebooks" / name).read_bytes()


def test_the_data_page_is_written_from_the_sidecars(site):
    page = site["pages"]["data.html"]
    for sidecar in (ROOT / "data").glob("*.yml"):
        assert any(sidecar.stem in title.text for title in page.find_all("h2"))
    assert len(page.find_all("table")) == len(list((ROOT / "data").glob("*.yml")))


def test_outward_links_come_from_one_value(tmp_path):
    shutil.copytree(ROOT / "site", tmp_path / "site")
    for urls, expected in (("", None), ('\n[project.urls]\nRepository = "https://a.test/b"', 1)):
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}')
        options = runpy.run_path(str(tmp_path / "site" / "conf.py"))["html_theme_options"]
        links = options.get("icon_links")
        assert links is None if expected is None else links[0]["url"] == "https://a.test/b"


def test_a_warning_stops_the_build_and_the_old_pages_stay(tmp_path, capfd):
    root = project(tmp_path, stored=False)
    path = root / "notebooks" / "99-Planted.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.cells[3].source += "\n\n[nowhere](#no-such-place)"
    nbformat.write(nb, path)
    out = root / "_build" / "html"
    out.mkdir(parents=True)
    (out / "index.html").write_text("old")
    with pytest.raises(CourseError, match="The pages were not built"):
        build(root / "notebooks", out, root)
    assert "no-such-place" in capfd.readouterr().err
    assert (out / "index.html").read_text() == "old"


def test_missing_notebooks_and_images_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match=r"There is no \.ipynb in"):
        assemble(tmp_path / "empty", tmp_path / "src", ROOT)
    nb = finish(planted_notebook(), "99-Planted", "key")
    nb.cells[1].outputs = []
    with pytest.raises(CourseError, match="The figure fig-99-line has no image; run `make render`"):
        page_of(nb)
