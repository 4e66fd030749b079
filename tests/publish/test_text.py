"""What is written down elsewhere is said on the pages as it stands there."""

from __future__ import annotations

import json
import re

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from publish.files import ROOT, CourseError, course_facts, read_text, sources
from publish.measure import measure
from publish.pages import text as pages
from publish.pages.address import launch_links
from publish.pages.helpers import helpers_page
from publish.pages.text import FITS, TIME, Lecture, escape, launch_text, minutes, status_page
from tests.publish.planted import ADDRESS

RUNS = json.loads((ROOT / "notebooks" / "runs.json").read_text(encoding="utf-8"))
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
INDEX = (ROOT / "publish" / "pages" / "index.md").read_text(encoding="utf-8")
SIDECARS = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(ROOT.glob("data/*.yml"))]


@pytest.fixture(scope="module")
def lectures():
    found = []
    for source in sources():
        nb = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        facts = course_facts(read_text(source.read_text("utf-8"), source))
        found.append(Lecture(source.stem, nb, facts, RUNS[source.stem]))
    return found


def rows_of(text, section=None):
    """Return the first table below a heading: for each row its cells by their column's title."""
    page = BeautifulSoup(MarkdownIt().enable("table").render(text), "html.parser")
    table = page.find("h2", string=section).find_next("table") if section else page.table
    titles = [cell.get_text() for cell in table.thead("th")]
    rows = [[cell.get_text() for cell in row("td")] for row in table.tbody("tr")]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def test_the_first_page_shows_the_path_through_the_lectures(lectures):
    new = Lecture("99-New", lectures[0].nb, {"about": "New."}, None)
    shown = [one for one in [*lectures, new] if one.group == "Lectures"]
    rows = rows_of(pages.lecture_table([*lectures, new]))
    for one, row in zip(shown, rows, strict=True):
        facts = one.facts
        assert row["lecture"] == one.title and row["what it is about"] == facts["about"]
        assert row["what you need"] == facts.get("needs", "")
        if one is not new:
            follows = f"2023: lecture {facts['lecture']}; 2026: {facts['edition']}"
            assert row["what it follows"] == f"{follows}; book: {facts['book']}"
            assert row["time"].endswith(f", {minutes(one.run['seconds']['total'])} to run")
    assert rows[-1]["what it follows"] == "" and "run" not in rows[-1]["time"]


def test_the_first_page_shows_each_deep_dive_below_its_lecture(lectures):
    page = BeautifulSoup(MarkdownIt().render(pages.dive_list(lectures)), "html.parser")
    dives = [one for one in lectures if one.group == "Deep dives"]
    titles = {one.name[:2]: one.title for one in lectures if one.group == "Lectures"}
    for one, entry in zip(dives, page("li"), strict=True):
        number = one.name[:2]
        assert entry.a["href"] == one.name and entry.a.get_text() == one.title
        assert f"{one.facts['about']} You need {one.facts['needs']}. " in entry.get_text()
        assert entry.find_previous("strong").get_text() == f"Lecture {number}: {titles[number]}"
    assert len(page("strong")) == len({one.name[:2] for one in dives})


def test_time_to_read_is_that_of_words_and_shown_lines(lectures):
    (one,) = [one for one in lectures if one.name.startswith("12-")]
    source = ROOT / "notebooks" / f"{one.name}.md"
    measured = measure(read_text(source.read_text("utf-8"), source), "")["minutes"]
    assert pages.time_for(one).startswith(f"{minutes(60 * measured)} to read, ") and measured > 10


def test_the_menu_has_each_notebook_in_its_group(lectures):
    start = Lecture("00-Start", lectures[0].nb, {}, None)
    others = [one for one in lectures if one.group != "Start here"]
    trees = re.findall(
        r":caption: (.+)\n(?::.+\n)*\n((?:.+\n)+?)```", pages.contents([*others, start])
    )
    menu = {caption: re.findall("<(.+)>", names) for caption, names in trees}
    dives = [one.name for one in others if re.match(r"\d+[a-z]", one.name)]
    assert list(menu) == ["Start here", "Lectures", "Deep dives"]
    assert menu["Start here"] == ["00-Start"] and menu["Deep dives"] == dives
    assert menu["Lectures"] == [one.name for one in others if one.name not in dives]


def test_the_first_page_links_only_to_notebooks_that_are_built(lectures, tmp_path):
    text = "See [one](12-Multilevel_Models.ipynb#data), [two](98-No.ipynb), [three](status).\n"
    shown = pages.front_page(text, lectures, tmp_path, None)
    assert shown == text.replace("[two](98-No.ipynb)", "two")


def test_the_first_page_types_no_computed_number():
    text = re.sub(r"```\{toctree\}.*?```", "", pages.FILL.sub("", INDEX), flags=re.DOTALL)
    # The numbers of editions and of versions that a reader knows are no results.
    text = re.sub(r"\(2023\)|PyMC 5|ArviZ 0\.x|\]\([^)]*\)", "", text)
    assert re.findall(r"\b\d[\d.,]*\b", text) == []


def test_a_blank_that_nothing_fills_is_named(tmp_path):
    with pytest.raises(CourseError, match="nothing fills «<!-- fill: weather -->»"):
        pages.front_page("a\n<!-- fill: weather -->\n", [], tmp_path, None)


def test_times_are_told_in_minutes():
    assert [minutes(s) for s in (4, 89, 216.3)] == ["under a minute", "1 minute", "4 minutes"]


def test_the_status_page_shows_the_runs(lectures):
    page = status_page(lectures)
    fits, time = rows_of(page, "Convergence"), rows_of(page, "Time and memory")
    failing, studies = rows_of(page, "Fits that are meant to fail"), rows_of(page, "Studies")
    for one, fit, took in zip(lectures, fits, time, strict=True):
        run = RUNS[one.name]
        numbers = [f"{run['fits']:,}", f"{run['worst_rhat']:.4f}", f"{run['least_ess']:,}"]
        numbers += [f"{run['divergences']:,}", str(len(run["expected_to_fail"]))]
        assert fit == dict(zip(["lecture", *FITS], [one.title, *numbers], strict=True))
        assert took.pop("lecture") == one.title
        assert took.pop("memory") == f"{run['peak_memory_mb']:,}"
        assert {part: float(seconds) for part, seconds in took.items()} == run["seconds"]
        shown = {r["fit"]: r["why it fails"] for r in failing if r["lecture"] == one.title}
        assert shown == run["expected_to_fail"]
        shown = [r for r in studies if r["lecture"] == one.title]
        assert shown == [
            {"lecture": one.title, "study": name} | {key: f"{n:,}" for key, n in found.items()}
            for name, found in run["studies"].items()
        ]
    assert all(f"- **{column}:** " in page for column in [*FITS, *TIME])


def test_runs_on_different_machines_are_told_apart(lectures):
    one = lectures[0]
    run = one.run | {"cores": 1, "packages": {"pymc": "5"}, "worst_rhat": None, "least_ess": None}
    page = status_page([one, Lecture("other", one.nb, {}, run), Lecture("new", one.nb, {}, None)])
    assert f"- [{one.title}](other): {escape(run['system'])}, cores: 1; " in page
    assert "pymc 5\n" in page and f"pymc {one.run['packages']['pymc']}" in page
    assert rows_of(page, "Convergence")[1]["worst R-hat"] == "none" and "(new)" not in page


def test_names_with_signs_of_markdown_are_shown_as_they_are():
    assert escape("a_b | $c$ *d* [e]") == r"a\_b \| \$c\$ \*d\* \[e\]"


def test_the_citation_page_says_what_the_file_says():
    about, page = yaml.safe_load(CITATION), pages.citation_page(CITATION)
    assert about["message"] in page and CITATION in page
    lines = [line for line in page.split("\n\n") if line.startswith("- ")]
    for work, line in zip([about, *about["references"]], lines, strict=True):
        assert f"*{work['title']}*, {work['type']}" in line
        for person in work["authors"]:
            assert person.get("name", person.get("family-names")) in line
        for field in ("version", "year", "edition"):
            assert str(work.get(field, "")) in line


def test_launchers_come_from_the_address():
    assert launch_links(None, "12-A") == [] and launch_text(None) == ""
    assert launch_links(f"{ADDRESS}.git", "12-A") == [
        "[Open in Binder](https://mybinder.org/v2/git/https%3A%2F%2Fgithub.com%2Fowner%2Fcourse.git"
        "/HEAD?urlpath=lab/tree/notebooks/12-A.ipynb)",
        "[Open in Colab](https://colab.research.google.com/github/owner/course"
        "/blob/HEAD/notebooks/12-A.ipynb)",
    ]
    assert f"%pip install --quiet git+{ADDRESS}\n" in launch_text(ADDRESS)
    elsewhere = launch_text("https://code.test/a/b")  # Colab reads from GitHub alone
    assert "mybinder.org/v2/git/https%3A%2F%2Fcode.test%2Fa%2Fb/HEAD" in elsewhere
    assert "Colab" not in elsewhere


@pytest.mark.parametrize("about", SIDECARS, ids=lambda about: about["name"])
def test_the_data_dictionary_is_complete(about):
    page = pages.data_page(ROOT / "data")
    text = " ".join(page.split())
    for field in ("title", "description", "study", "published_with", "made", "missing", "sha256"):
        assert " ".join(about[field].split()) in text, field
    assert " ".join(about["licence"]["note"].split()) in text
    assert str(about["licence"]["checked"]) in text and f"- **Rows:** {about['rows']:,}" in page
    rows = rows_of(page, about["name"])
    for column, row in zip(about["columns"], rows, strict=True):
        said = [row[title] for title in ("column", "unit", "type", "meaning")]
        meaning = " ".join(column["meaning"].split())
        assert said == [*(column[key] for key in ("name", "unit", "type")), meaning]
        values = column.get("pattern", ", ".join(map(str, column.get("values", []))))
        values = "{} to {}".format(*column["range"]) if "range" in column else values
        assert row["values"] == values


def test_the_helpers_page_follows_utils():
    text = "# ruff: noqa\n\n# one thing\nfrom a import Bee, MAX, c\nfrom d import e\nimport f\n"
    page = helpers_page(text)
    assert page.index("## One thing\n\nConstants: `utils.MAX`.") < page.index(
        ".. autoclass:: utils.Bee\n\n.. autofunction:: utils.c\n"
    )
    assert ".. autofunction:: utils.e\n" in page and "f`" not in page
