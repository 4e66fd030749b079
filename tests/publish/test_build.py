"""The pages of a planted notebook, built once: each thing that is shown in a way of its own."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from bs4 import BeautifulSoup

from publish.files import ROOT, CourseError, finish, made_from, replace, to_bytes, write_text
from publish.pages.build import assemble, build, page_of, with_scopes
from tests.publish.planted import ADDRESS, ALT, GRAPH_ALT, LIVING_ALT, planted


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with an address, and with the planted notebook alone."""
    folder = tmp_path_factory.mktemp("the site")
    for part in ("publish/pages", "data", "benchmarks/results", "studies"):
        shutil.copytree(ROOT / part, folder / part)
    # The errata name lectures that are not built here; of helpers there is none to wait for.
    (folder / "publish/pages/errata.md").write_text("# Errata\n")
    (folder / "utils.py").write_text("")
    for part in ("CITATION.cff", "notebooks/jupytext.toml"):
        (folder / part).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / part, folder / part)
    about = (ROOT / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text(
        f'{about}\n[project.urls]\nRepository = "{ADDRESS}"\n', "utf-8"
    )
    (folder / "notebooks/runs.json").write_text("{}")
    md = folder / "notebooks/01-Frogs.md"
    md.write_text(write_text(planted(), md), "utf-8")
    (folder / "requirements.lock").write_text("")
    made = finish(planted(), md.stem, made_from(md, folder))
    replace(md.with_suffix(".ipynb"), to_bytes(made))
    return folder


@pytest.fixture(scope="module")
def pages(root):
    build(root / "notebooks", root / "_build/html", root)
    return {
        path.stem: BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in (root / "_build/html").glob("*.html")
    }


@pytest.fixture
def lecture(pages):
    return pages["01-Frogs"]


def test_figures_show_number_caption_and_alt_text_once(lecture):
    figures = lecture.find_all("figure")
    names = ["fig-01-frogs", "fig-01-graph", "fig-01-living"]
    assert [figure["id"] for figure in figures] == names
    assert [figure.img["alt"] for figure in figures] == [ALT, GRAPH_ALT, LIVING_ALT]
    endings = [figure.img["src"].split(".")[-1] for figure in figures]
    assert endings == ["webp", "svg", "webp"]
    numbers = [figure.find(class_="caption-number").text.strip() for figure in figures]
    assert numbers == ["Figure 1.1.", "Figure 1.2.", "Figure 1.3."]
    text = lecture.article.get_text()
    assert text.count("Tank acts on survival.") == 1 and "Description:" not in text


def test_a_living_figure_comes_through_and_its_still_is_found(lecture):
    living = lecture.find(class_="living")
    assert living.script.string == "go()"
    # Where rethinking/living/living.js looks for it.
    still = living.find_parent("div", class_="cell").find_previous_sibling()
    assert still.get("id") == "fig-01-living" and still.img


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("rethinking/living/*.html")), ids=lambda p: p.stem
)
def test_a_living_figure_leaves_nothing_where_scripts_do_not_run(path):
    figure = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    assert figure.div.has_attr("hidden")
    for tag in figure.find_all(["script", "style"]):
        tag.decompose()
    assert not figure.get_text(strip=True) and len(figure.find_all()) == 1


def test_hidden_code_folds_and_markdown_outputs_are_set(lecture):
    (summary,) = [tag for tag in lecture.find_all("summary") if "Show code" in tag.text]
    assert "value" in summary.find_parent("details").text
    assert lecture.find("strong", string="two") and "x_1 = 2" in lecture.text
    assert "shown above" not in lecture.text


def test_changed_lines_of_formulas_take_their_color_from_the_page(root, lecture):
    assert str(lecture).count(r"\class{changed}{") == 2 and "B3124A" not in str(lecture)
    assert "#B3124A" in (root / "notebooks/01-Frogs.ipynb").read_text(), "stored as it was"


def test_headers_of_tables_say_what_they_head():
    table = with_scopes(
        "<table><thead><tr><th></th><th colspan='2'>a</th></tr></thead>"
        "<tbody><tr><th rowspan='2'>g</th><th>r</th><td>1</td></tr></tbody></table>"
    )
    scopes = [cell["scope"] for cell in BeautifulSoup(table, "html.parser").find_all("th")]
    assert scopes == ["colgroup", "rowgroup", "row"] and "<td></td>" in table


def test_cells_of_prose_carry_their_heading(pages):
    table = pages["data"].find("table", class_="prose")
    titles = [cell.text for cell in table.thead.find_all("th")]
    for row in table.tbody.find_all("tr"):
        assert [tag.text for tag in row.find_all(class_="cell-label")] == titles


def test_the_head_of_a_lecture_and_its_files(root, lecture):
    head = lecture.find("div", class_="post")
    assert [line.text for line in head.find_all("p")][:2] == [
        "Based on a talk by A. Speaker · Written by A. Writer",
        "31 January 2026 · level: beginner · tags: frogs, tanks",
    ]
    assert head.find_previous(["h1", "p"]).name == "h1"
    assert not [cell for cell in lecture("pre") if "find_spec" in cell.text], "the guard is shown"
    files = [root / "_build/html" / link["href"] for link in head.select("a.download")]
    assert [path.name for path in files] == ["01-Frogs.ipynb", "01-Frogs.md"]
    for path in files:
        assert path.read_bytes() == (root / "notebooks" / path.name).read_bytes()


def test_links_out_come_from_the_address(pages):
    out = pages["01-Frogs"].select("div.post p:last-child .external")
    hosts = [link["href"].split("/")[2] for link in out]
    assert hosts == ["mybinder.org", "colab.research.google.com"]
    for page in pages.values():
        assert page.header.find("a", href=ADDRESS)


def test_the_header_says_where_the_reader_is(pages):
    links = {link.text.strip(): link for link in pages["data"].select("nav[aria-label=Course] a")}
    assert [name for name, link in links.items() if link.get("aria-current")] == ["Data"]
    assert links["Lectures"]["href"] == "index.html#lectures"


@pytest.mark.parametrize("change", ["code", "output", "error"])
def test_an_experiment_that_was_saved_becomes_no_page(root, tmp_path, change):
    nb = nbformat.read(root / "notebooks/01-Frogs.ipynb", as_version=4)
    cell = next(cell for cell in nb.cells if cell.cell_type == "code" and cell.outputs)
    if change == "code":
        cell.source += "\n1 / 0"
    elif change == "output":
        cell.outputs = cell.outputs[1:]
    else:
        cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[])]
    nbformat.write(nb, tmp_path / "01-Frogs.ipynb")
    with pytest.raises(CourseError, match=r"01-Frogs\.ipynb .*git checkout -- notebooks"):
        assemble(tmp_path, tmp_path / "src", root)


def test_a_warning_stops_the_build_and_the_old_pages_stay(root, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("publish.pages.build.why_stale", lambda *about: None)
    nb = nbformat.read(root / "notebooks/01-Frogs.ipynb", as_version=4)
    nb.cells[-1].source += "\n\n[nowhere](#no-such-place)"
    nbformat.write(nb, tmp_path / "01-Frogs.ipynb")
    out = tmp_path / "html"
    out.mkdir()
    (out / "index.html").write_text("old")
    with pytest.raises(CourseError, match="The pages were not built"):
        build(tmp_path, out, root)
    assert "no-such-place" in capfd.readouterr().err
    assert (out / "index.html").read_text() == "old"


def test_missing_notebooks_and_images_are_named(tmp_path):
    with pytest.raises(CourseError, match=r"There is no \.ipynb in"):
        assemble(tmp_path, tmp_path / "src")
    nb = planted(lambda nb: nb.cells[5].update(outputs=[]))
    with pytest.raises(CourseError, match="The figure fig-01-frogs has no image; run `make"):
        page_of(nb, tmp_path)
