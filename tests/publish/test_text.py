"""The pages made from the record, CITATION.cff and the project's address say what those say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from test_site import planted_notebook, project

from publish.files import CourseError, sources
from publish.pages.address import launch_links
from publish.pages.build import build
from publish.pages.text import (
    FILL,
    Lecture,
    bibtex,
    citation_page,
    escape,
    front_page,
    launch_text,
    minutes,
    post_options,
    read_lectures,
    status_page,
)

ROOT = Path(__file__).resolve().parents[2]
RECORD = json.loads((ROOT / "notebooks" / "record.json").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
SIDECARS = [
    yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("data/*.yml"))
]
ADDRESS = "https://github.com/owner/course"
LAUNCHERS = ("mybinder.org", "colab.research.google.com")


def parsed(folder):
    return {
        path.stem: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(folder.glob("*.html"))
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of the stored notebooks and the planted one, with no address set."""
    root = project(tmp_path_factory.mktemp("pages"))
    build(root / "notebooks", root / "_build" / "html", root)
    return parsed(root / "_build" / "html")


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    """The pages of the planted notebook alone, in a project that has an address."""
    root = project(tmp_path_factory.mktemp("at home"), stored=False)
    with (root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[project.urls]\nRepository = "{ADDRESS}"\n')
    # The stored errata name lectures that are not built here.
    (root / "site" / "errata.md").write_text("# Errata\n", encoding="utf-8")
    build(root / "notebooks", root / "_build" / "html", root)
    return {"out": root / "_build" / "html"} | parsed(root / "_build" / "html")


def rows_of(page, section):
    """Return a section's table: for each row its cells by their column's title."""
    table = page.find(id=section).find("table")
    titles = [cell.get_text(strip=True) for cell in table.thead.find_all("th")]
    for tag in table.find_all(class_="cell-label"):
        tag.extract()
    rows = [[c.get_text(" ", strip=True) for c in r.find_all("td")] for r in table.tbody("tr")]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def titles(pages):
    return {source.stem: pages[source.stem].h1.find(string=True) for source in sources(ROOT)}


def of(rows, title):
    return [row for row in rows if row["lecture"] == title]


def plain(text):
    """Return text on one line, with the quotes of a typewriter."""
    return " ".join(text.translate(str.maketrans("’‘“”", "''\"\"")).split())


def grouped(number):
    return f"{number:,}"


# --- The first page


def test_the_first_page_shows_each_lecture(pages):
    rows = rows_of(pages["index"], "lectures")
    for name, title in titles(pages).items():
        (row,) = of(rows, title)
        assert len(row["what it is about"].split()) > 5, (
            f"publish/pages/lectures.yml: describe {name}"
        )
        text = (ROOT / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
        assert row["level"] == re.search(r"^:category: (.+)$", text, re.MULTILINE)[1]
        assert row["fits"] == grouped(RECORD[name]["fits"])
        assert row["run time"] == minutes(RECORD[name]["seconds"]["total"])
        assert pages["index"].article.find("a", href=f"{name}.html")
    (planted,) = of(rows, "Planted")
    assert planted["level"] == "beginner" and planted["fits"] == "not recorded"


def test_the_sentences_belong_to_notebooks():
    about = yaml.safe_load((ROOT / "site" / "lectures.yml").read_text(encoding="utf-8"))
    assert set(about) == {source.stem for source in sources(ROOT)}


def test_the_first_page_has_a_picture_of_the_course(pages):
    figure = pages["index"].article.figure
    link = figure.find("a", class_="internal")
    page, _, name = link["href"].partition("#")
    original = pages[page.removesuffix(".html")].find(id=name)
    assert figure.img["alt"] == original.img["alt"]
    assert not figure.find(class_="caption-number"), "numbered, it would seem a lecture's figure"


def test_the_first_page_types_no_computed_number():
    text = FILL.sub("", (ROOT / "site" / "index.md").read_text(encoding="utf-8"))
    text = re.sub(r"```\{toctree\}.*?```", "", text, flags=re.DOTALL)
    assert re.findall(r"\b\d[\d.,]*\b", text.replace("(2023)", "")) == []


def test_the_first_page_leads_to_the_others(pages):
    links = {link["href"] for link in pages["index"].article.find_all("a", href=True)}
    assert {"data.html", "errata.html", "status.html", "citation.html"} <= links


def test_a_blank_that_nothing_fills_is_named(tmp_path):
    with pytest.raises(CourseError, match="nothing fills «<!-- fill: weather -->»"):
        front_page("a\n<!-- fill: weather -->\n", [], {}, tmp_path, None)


def test_a_notebook_without_title_is_named(tmp_path):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("```sh\n# no title\n```")])
    with pytest.raises(CourseError, match="01-Bare has no title"):
        read_lectures({"01-Bare": nb}, tmp_path)


def test_times_are_told_in_minutes():
    assert [minutes(s) for s in (4, 60, 89, 216.3)] == [
        "under a minute",
        "1 minute",
        "1 minute",
        "4 minutes",
    ]


def test_options_of_the_post_block():
    text = ":::{post} Nov 20, 2026\n:tags: a, b\n:category: intermediate\n:::\n\n:other: x"
    assert post_options(text) == {"tags": "a, b", "category": "intermediate"}
    assert post_options("no block") == {}


# --- The status page


def test_the_status_page_shows_the_record(pages):
    page = pages["status"]
    fits, time = rows_of(page, "convergence"), rows_of(page, "time-and-memory")
    failing, studies = rows_of(page, "fits-that-are-meant-to-fail"), rows_of(page, "studies")
    for name, title in titles(pages).items():
        run = RECORD[name]
        (row,) = of(fits, title)
        assert row == {
            "lecture": title,
            "fits": grouped(run["fits"]),
            "worst R-hat": f"{run['worst_rhat']:.4f}",
            "least ESS": grouped(run["least_ess"]),
            "divergences": grouped(run["divergences"]),
            "meant to fail": grouped(len(run["expected_to_fail"])),
        }
        (row,) = of(time, title)
        assert row.pop("memory") == grouped(run["peak_memory_mb"])
        assert {k: float(v) for k, v in row.items() if k != "lecture"} == run["seconds"]
        shown = {row["fit"]: row["why it fails"] for row in of(failing, title)}
        assert shown == run["expected_to_fail"]
        shown = {row["study"]: row for row in of(studies, title)}
        assert shown.keys() == run.get("studies", {}).keys()
        for study, counts in run.get("studies", {}).items():
            for key, count in counts.items():
                assert shown[study][key] == grouped(count)


def test_the_status_page_names_machine_and_versions(pages):
    table = pages["status"].find(id="machine-and-versions").find("table")
    heads = [[a.get_text() for a in cell.find_all("a")] for cell in table.thead.find_all("th")]
    rows = {
        cells[0].get_text(strip=True): [cell.get_text(strip=True) for cell in cells[1:]]
        for cells in (row.find_all("td") for row in table.tbody.find_all("tr"))
    }
    for name, title in titles(pages).items():
        run = RECORD[name]
        (column,) = [i for i, head in enumerate(heads[1:]) if title in head]
        assert rows["machine"][column] == f"{run['system']}, {run['cores']} cores"
        assert rows["Python"][column] == run["python"]
        for package, version in run["packages"].items():
            assert rows[package][column] == version


def test_the_status_page_explains_its_columns_and_names_what_is_missing(pages):
    page = pages["status"]
    for section in ("convergence", "time-and-memory", "studies"):
        part = page.find(id=section)
        columns = [cell.get_text(strip=True) for cell in part.thead.find_all("th")]
        explained = [tag.get_text().rstrip(":") for tag in part.select("li strong")]
        assert explained == [column for column in columns if column != "lecture"]
    assert "Not recorded: Planted." in page.article.get_text()


def test_runs_on_different_machines_are_told_apart():
    name, run = next(iter(RECORD.items()))
    other = run | {"cores": 1, "packages": run["packages"] | {"pymc": None}}
    lectures = [Lecture(name, "A", "", "", run), Lecture("other", "B", "", "", other)]
    text = status_page(lectures)
    assert f"| what | [A]({name}) | [B](other) |" in text
    assert f"| pymc | {run['packages']['pymc']} | none |" in text and "1 core |" in text
    assert "Convergence" not in status_page([Lecture("x", "X", "", "", {})])


def test_names_with_signs_of_markdown_are_shown_as_they_are():
    assert escape("a_b | $c$ *d* [e]") == r"a\_b \| \$c\$ \*d\* \[e\]"


# --- The citation page


def test_the_citation_page_agrees_with_citation_cff(pages):
    page = pages["citation"].article
    blocks = [block.get_text() for block in page.select(".highlight-bibtex pre")]
    works = [CITATION, *CITATION["references"]]
    assert [block.strip() for block in blocks] == [bibtex(work) for work in works]
    for work, block in zip(works, blocks, strict=True):
        assert f"title = {{{{{work['title']}}}}}" in block
        for person in work["authors"]:
            assert person.get("name", person.get("family-names")) in block
        for field in ("version", "year", "edition"):
            assert str(work.get(field, "")) in block
    text = " ".join(page.get_text().split())
    assert CITATION["message"] in text
    assert all(licence in text for licence in CITATION["license"])
    keys = [re.match(r"@\w+\{([^,\s]+),", block)[1] for block in blocks]
    assert len(set(keys)) == len(keys)


def test_entries_of_bibtex():
    work = {
        "type": "book",
        "title": "On Frogs",
        "authors": [{"family-names": "Reed", "given-names": "A."}, {"name": "The Pond"}],
        "date-released": "2026-11-20",
        "publisher": {"name": "Press"},
        "repository-code": ADDRESS,
    }
    assert bibtex(work).splitlines() == [
        "@book{reed-2026-on-frogs,",
        "  author = {Reed, A. and {The Pond}},",
        "  title = {{On Frogs}},",
        "  publisher = {Press},",
        "  year = {2026},",
        f"  url = {{{ADDRESS}}},",
        "}",
    ]
    assert "## What it follows" not in citation_page(CITATION | {"references": []})


# --- The ways in through a browser


def test_launchers_come_from_the_address():
    assert launch_links(None, "12-A") == launch_links("", "12-A") == {}
    assert launch_text(None) == ""
    links = launch_links(f"{ADDRESS}.git", "12-A")
    assert links == {
        "Open in Binder": "https://mybinder.org/v2/gh/owner/course/HEAD"
        "?urlpath=lab/tree/notebooks/12-A.ipynb",
        "Open in Colab": "https://colab.research.google.com/github/owner/course"
        "/blob/HEAD/notebooks/12-A.ipynb",
    }
    # Colab reads from GitHub alone.
    (link,) = launch_links("https://gitlab.com/group/part/course").values()
    assert link.startswith("https://mybinder.org/v2/gl/group%2Fpart%2Fcourse/HEAD?")
    (link,) = launch_links("https://code.test/a/b").values()
    assert link.startswith("https://mybinder.org/v2/git/https%3A%2F%2Fcode.test%2Fa%2Fb/HEAD?")
    assert "Colab" not in launch_text("https://code.test/a/b")


def outward(page):
    hosts = [urlsplit(link["href"]).hostname for link in page.find_all("a", href=True)]
    return [host for host in hosts if host in LAUNCHERS]


def test_without_an_address_there_are_no_buttons(pages):
    for name, page in pages.items():
        assert not outward(page), name
        assert not page.find(class_="launch") and not page.find(class_="launch-button"), name
        for tag in page.select(".post p, .post ul, .post div"):
            assert tag.get_text(strip=True), f"{name}: an element is empty"
    assert "in a browser" not in " ".join(h.text for h in pages["index"].find_all("h2"))


def test_with_an_address_the_buttons_are_there(at_home):
    for name, links in (
        ("index", launch_links(ADDRESS)),
        ("99-Planted", launch_links(ADDRESS, "99-Planted")),
    ):
        (line,) = at_home[name].find_all(class_="launch")
        buttons = {link.get_text(): link["href"] for link in line.find_all("a")}
        assert buttons == links and sorted(outward(at_home[name])) == sorted(LAUNCHERS[::-1])
    assert at_home["99-Planted"].find(class_="launch").find_parent("div", class_="post")
    assert f"!git clone --quiet {ADDRESS} course" in at_home["index"].article.get_text()
    assert not outward(at_home["data"])


# --- From page to page


def test_previous_and_next_lead_through_all_pages(pages):
    order = ["index", *(source.stem for source in sources(ROOT)), "99-Planted"]
    order += ["samplers", "data", "errata", "status", "citation"]
    name, seen = "index", []
    while name:
        seen.append(name)
        area = pages[name].find(class_="prev-next-area")
        back, on = area.find("a", class_="left-prev"), area.find("a", class_="right-next")
        assert (back["href"] if back else None) == (f"{seen[-2]}.html" if seen[1:] else None)
        name = Path(on["href"]).stem if on else None
    assert seen == order


def test_the_head_of_a_lecture_leads_to_what_goes_with_it(pages):
    for name in ("99-Planted", *titles(pages)):
        links = {link["href"] for link in pages[name].find("div", class_="post").find_all("a")}
        assert {"data.html", "errata.html", "status.html", "citation.html"} <= links


def test_the_header_names_the_parts_and_where_the_reader_is(pages):
    for name, page in pages.items():
        nav = page.find("nav", attrs={"aria-label": "Course"})
        items = {link.get_text(strip=True): link for link in nav.find_all("a")}
        assert list(items) == ["Lectures", "Samplers", "Data", "Errata", "Status", "Citation"]
        here = [title for title, link in items.items() if link.get("aria-current") == "page"]
        assert here == {"index": ["Lectures"]}.get(
            name,
            [name.capitalize()] * (name in ("samplers", "data", "errata", "status", "citation")),
        )
        assert items["Lectures"]["href"].endswith("#lectures")


def test_search_finds_words_without_reading_other_pages(at_home):
    index = (at_home["out"] / "searchindex.js").read_text(encoding="utf-8")
    assert "99-Planted" in index and "plant" in index
    # An excerpt would be fetched, which a browser refuses to a page opened as a file.
    options = at_home["out"] / "_static" / "documentation_options.js"
    assert "SHOW_SEARCH_SUMMARY: false" in options.read_text(encoding="utf-8")


# --- The data dictionary


@pytest.mark.parametrize("about", SIDECARS, ids=lambda about: about["name"])
def test_the_data_dictionary_is_complete(pages, about):
    (part,) = [tag.parent for tag in pages["data"].find_all("h2") if about["name"] in tag.text]
    text = plain(part.get_text())
    for field in ("description", "study", "published_with", "made", "missing", "sha256"):
        assert plain(about[field]) in text, f"{about['name']}: {field}"
    assert plain(about["licence"]["note"]) in text and str(about["licence"]["checked"]) in text
    assert f"{about['rows']:,}" in text
    rows = {row["column"]: row for row in rows_of(part.parent, part["id"])}
    assert list(rows) == [column["name"] for column in about["columns"]]
    for column in about["columns"]:
        row = rows[column["name"]]
        assert plain(row["meaning"]) == plain(column["meaning"])
        assert (row["unit"], row["type"]) == (column["unit"], column["type"])
        if "range" in column:
            assert row["values"] == "{} to {}".format(*column["range"])
        elif "values" in column:
            assert plain(row["values"]) == ", ".join(map(str, column["values"]))
        else:
            assert row["values"] == column["pattern"]


def test_the_planted_notebook_is_read_as_a_lecture():
    (lecture,) = read_lectures({"99-Planted": planted_notebook()}, ROOT)
    assert (lecture.title, lecture.level, lecture.run) == ("Planted", "beginner", {})
