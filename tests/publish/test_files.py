"""The two files of a notebook: what a run is made from, its stored form, and what is stale."""

from __future__ import annotations

import copy
import errno
import os
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from publish import render
from publish.files import FACTS as SAID
from publish.files import (
    ROOT,
    CourseError,
    course_facts,
    credits_of,
    execution_key,
    finish,
    made_from,
    read_text,
    replace,
    role_of,
    select,
    tidy,
    to_bytes,
    why_stale,
    write_text,
)
from tests.publish.conftest import FILES
from tests.publish.planted import ALT, FACTS, GRAPH_ALT, MARKDOWN, planted


def test_caption_and_alt_text_stand_beside_the_image_once():
    nb = planted()
    again = finish(nb, "01-Frogs", {})
    assert to_bytes(again) == to_bytes(nb)
    picture, text = nb.cells[5].outputs
    assert picture.metadata["image/png"]["alt"] == ALT
    assert text.metadata.course.role == "figure-text"
    assert text.data["text/markdown"] == (
        '<a id="fig-01-frogs"></a>**Figure 1.1.** Sigma from 0.1 up.'
    )
    assert nb.cells[7].outputs[0].metadata["image/svg+xml"]["alt"] == GRAPH_ALT
    kinds = [role_of(output) for output in nb.cells[8].outputs]
    assert kinds == [None, None, "figure-text", "living"]


def test_finishing_drops_what_differs_between_runs_and_machines():
    nb = planted()
    other = copy.deepcopy(nb)
    other.metadata.language_info["version"] = "3.99.0"
    other.metadata["widgets"] = {}
    other.nbformat_minor = 4
    for count, cell in enumerate(other.cells):
        cell["id"] = f"random-{count}"
        if cell.cell_type == "code":
            cell.execution_count = 40 + count
            cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
            cell.metadata["trusted"] = True
    other.cells[9].outputs = [new_output("stream", text=text) for text in ("12 of ", "20 fits\n")]
    assert to_bytes(finish(other, "01-Frogs", {})) == to_bytes(nb)


def test_ids_follow_content_and_stay_unique():
    cells = [new_code_cell("x"), new_code_cell("x"), new_markdown_cell("x")]
    first = finish(new_notebook(cells=cells), "01-A", {})
    ids = [cell.id for cell in first.cells]
    assert ids[1] == f"{ids[0]}-2" and len(set(ids)) == 3
    cells = [new_code_cell("new"), *cells]
    assert [cell.id for cell in finish(new_notebook(cells=cells), "01-A", {}).cells[1:]] == ids


def test_a_replacement_is_whole_or_does_not_happen(tmp_path, monkeypatch):
    target = tmp_path / "a.ipynb"
    assert replace(target, b"old") and not replace(target, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CourseError, match=r"a\.ipynb is as it was\. .*: no space left\. Make room"):
        replace(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.ipynb"]


def test_facts_are_read_and_what_a_run_was_made_from_stays_out_of_the_source(course):
    source, _ = paths(course)
    text = source.read_text()
    nb = read_text(text, source)
    assert course_facts(nb) == FACTS
    done = finish(nb, "01-Frogs", {"utils.py": "0123"})
    assert done.metadata.made_from == {"utils.py": "0123"}
    assert course_facts(done) == course_facts(nb)
    nb.metadata["made_from"] = done.metadata.made_from
    assert write_text(nb, source) == text


@pytest.mark.parametrize(
    "facts",
    [
        {"date": None},
        {"about": " "},
        {"tags": ["frogs"]},
        {"memory_mb": None},
        {"memory_mb": 0},
        {"seconds": "9"},
    ],
)
def test_missing_facts_are_told(facts):
    (field,) = facts
    message = f"does not say «{field}»; write" if field in SAID else "has no budget; write"
    with pytest.raises(CourseError, match=f"01-Frogs.md {message}"):
        course_facts(new_notebook(metadata={"course": {**FACTS, **facts}}), "01-Frogs.md")


def test_the_credits_are_the_lines_of_the_section_authors():
    assert credits_of(planted()) == [
        "Based on [a talk](https://example.org) by A. Speaker.",
        "Written by A. Writer.",
    ]
    assert credits_of(new_notebook(cells=[new_markdown_cell("## Authors\n\nWe.")])) == []


def paths(course):
    source = course / "notebooks" / "01-Frogs.md"
    return source, source.with_suffix(".ipynb")


@pytest.fixture
def rendered(course):
    """The course with a stored .ipynb that belongs to its source, without running it."""
    source, stored = paths(course)
    nb = read_text(source.read_text(), source)
    replace(stored, to_bytes(finish(nb, "01-Frogs", made_from(source, course))))
    assert why_stale(source, course) is None
    return course


@pytest.mark.parametrize(
    "changed", [name for name in FILES if not name.endswith(("__init__.py", "README.md"))]
)
def test_a_change_of_what_a_notebook_depends_on_makes_it_stale(rendered, changed):
    source, _ = paths(rendered)
    before = execution_key(source, rendered)
    with (rendered / changed).open("a") as file:
        file.write("\n# changed\n")
    assert execution_key(source, rendered) != before
    assert why_stale(source, rendered) == (
        f"01-Frogs.ipynb is stale: {changed} changed since it was made; run `make render`."
    )
    assert render.main(["--check"], root=rendered) == 1


def test_several_changes_are_named_and_many_are_counted(rendered):
    source, _ = paths(rendered)
    (rendered / "utils.py").unlink()
    (rendered / "data" / "frogs.csv").write_text("b")
    text = why_stale(source, rendered)
    # Without utils.py nothing of rethinking and studies is reached.
    assert "stale: data/frogs.csv, rethinking/__init__.py, rethinking/formula/__init__" in text
    assert re.search(r" and \d+ other files changed since it was made", text)
    (rendered / "utils.py").write_text("import rethinking, studies\n")
    text = why_stale(source, rendered)
    assert "is stale: data/frogs.csv and utils.py changed since" in text


def test_a_change_of_nothing_else_does_not(rendered):
    source, _ = paths(rendered)
    for name in ("data/README.md", "data/toads.csv", "notebooks/02-Other.md", "other.py"):
        (rendered / name).write_text("changed")
    (rendered / "benchmarks" / "results" / "other.csv").write_text("not named there")
    (rendered / "rethinking" / "notes.txt").write_text("no kind that a run reads")
    text = source.read_text().replace("  seconds: 9\n", "  seconds: 99\n  book: 13\n")
    source.write_text(text.replace("Frogs in", "Toads in"))
    assert why_stale(source, rendered) is None


def test_a_change_of_form_or_of_the_rest_of_the_front_matter_does(rendered, monkeypatch):
    source, _ = paths(rendered)
    text = source.read_text()
    source.write_text(text.replace("display_name: Python 3 (ipykernel)", "display_name: P"))
    assert "stale: notebooks/01-Frogs.md changed" in why_stale(source, rendered)
    source.write_text(text)
    monkeypatch.setattr("publish.files.FORM", 99)
    assert "stale: publish/files.py:FORM changed" in why_stale(source, rendered)


def test_an_execution_belongs_to_one_python(rendered, monkeypatch):
    source, _ = paths(rendered)
    before = execution_key(source, rendered)
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    assert execution_key(source, rendered) != before
    assert why_stale(source, rendered) is None


@pytest.mark.parametrize(
    ("code", "tables"),
    [
        ("utils.load_data('toads')", {"frogs", "toads"}),
        ("from utils import load_data; load_data('toads')", {"frogs", "toads"}),
        ("utils.load_data(name)", {"frogs", "newts", "toads"}),
        ("utils.load_data(name='newts')", {"frogs", "newts", "toads"}),
        ("load = utils.load_data", {"frogs", "newts", "toads"}),
        ("import toads", {"frogs", "toads"}),
        ("# utils.load_data(name)", {"frogs"}),
    ],
)
def test_the_tables_are_those_that_are_loaded_by_name(course, code, tables):
    source, _ = paths(course)
    for name in ("toads.csv", "toads.yml", "newts.csv", "newts.yml"):
        (course / "data" / name).write_text("")
    (course / "toads.py").write_text("import utils\nTOADS = utils.load_data('toads')\n")
    source.write_text(source.read_text() + f"\n```{{code-cell}} ipython3\n{code}\n```\n")
    found = {name for name in made_from(source, course) if name.startswith("data/")}
    assert found == {f"data/{name}.{ending}" for name in tables for ending in ("csv", "yml")}


def test_of_the_real_course_each_subpackage_counts():
    for source in render.sources(ROOT):
        found = made_from(source)
        assert {"utils.py", "rethinking/__init__.py"} <= set(found)
        assert {"rethinking/formula/__init__.py", "rethinking/living/__init__.py"} <= set(found)
        assert not any(name.startswith("publish/pages") for name in found)


def test_an_edited_or_missing_ipynb_is_stale(rendered, capsys):
    source, stored = paths(rendered)
    nb = nbformat.read(stored, as_version=4)
    nb.cells.append(new_code_cell("more"))
    nbformat.write(nb, stored)
    assert "cells that the .md no longer has" in why_stale(source, rendered)
    nb.cells[1].source += "\nx = 1"
    nbformat.write(nb, stored)
    assert "cell 2 (under «Frogs») differs in the .md; run `make" in why_stale(source, rendered)
    nb.cells = nb.cells[:-1]
    nb.cells[1].source = nb.cells[1].source.removesuffix("\nx = 1")
    code = next(cell for cell in nb.cells if cell.cell_type == "code")
    code.outputs = [nbformat.v4.new_output("stream", name="stdout", text="by hand")]
    nbformat.write(nb, stored)
    assert "outputs that are not those of its run; run `make" in why_stale(source, rendered)
    code.outputs = [nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[])]
    nbformat.write(nb, stored)
    assert "holds an error in cell " in why_stale(source, rendered)
    stored.write_text("{")
    assert "is no readable notebook" in why_stale(source, rendered)
    stored.unlink()
    assert why_stale(source, rendered) == "01-Frogs.ipynb is missing; run `make render`."
    (rendered / "notebooks" / "02-Old.ipynb").write_text("{}")
    assert render.main(["--check"], root=rendered) == 1
    assert "02-Old.ipynb has no 02-Old.md; delete it" in capsys.readouterr().out


def test_tidying_folds_captions_and_is_stable(course):
    source, _ = paths(course)
    text = MARKDOWN.replace("caption: More live in", "caption: |\n      More live,\n      in")
    once = tidy(text, source)
    assert "caption: More live, in small tanks.\n" in once
    assert tidy(once, source) == once
    source.write_text(text)
    assert render.main(["--tidy"], root=course) == 0
    assert source.read_text() == once
    assert read_text(once, source).cells[4].metadata.mystnb.image.alt == ALT


def test_notebooks_are_selected_by_number_name_or_file(course):
    source, _ = paths(course)
    for name in ("01", "01-Frogs", "notebooks/01-Frogs.md", str(source)):
        assert select([name], course) == [source]
    assert select(["01", "01-Frogs"], course) == [source]
