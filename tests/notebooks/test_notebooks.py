"""What every notebook of the course keeps to, as stored and as freshly executed."""

from __future__ import annotations

import json
import re
from collections import Counter

import nbformat
import pytest

import utils
from publish.checks import check_notebook
from publish.files import (
    ROOT,
    course_facts,
    figure_of,
    orphans,
    read_text,
    role_of,
    sources,
    tidy,
    why_stale,
)

SOURCES = sources(ROOT)
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
each_run = pytest.mark.parametrize(
    "name",
    [
        pytest.param(source.stem, marks=pytest.mark.notebook(source.stem.split("-")[0]))
        for source in SOURCES
    ],
)


def stored(source):
    path = source.with_suffix(".ipynb")
    assert path.is_file(), f"{path.name} is missing; run `make render`."
    return nbformat.read(path, as_version=4)


def complain(problems):
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_there_are_notebooks():
    assert SOURCES, "notebooks/ holds no .md"
    complain(orphans(ROOT))


@each_source
def test_source_and_generated_file_agree(source):
    reason = why_stale(source, ROOT)
    complain([reason] if reason else [])


@each_source
def test_stored_notebook_keeps_the_rules(source):
    complain(check_notebook(stored(source), source.stem))


@each_run
def test_executed_notebook_keeps_the_rules(name, executed):
    complain(check_notebook(executed(name), name))


@each_source
def test_source_says_what_it_is_about_and_may_take(source):
    course_facts(read_text(source.read_text(encoding="utf-8"), source), source.name)


@each_source
def test_source_is_as_jupyterlab_saves_it(source):
    text = source.read_text(encoding="utf-8")
    assert tidy(text, source) == text, (
        f"{source.name} would change on saving in JupyterLab; "
        "run `.venv/bin/python -m publish.render --tidy`."
    )


@each_source
def test_stored_notebook_is_valid_and_of_stable_form(source):
    nb = stored(source)
    nbformat.validate(nb)
    assert [cell.id for cell in nb.cells] == list(dict.fromkeys(cell.id for cell in nb.cells))
    counts = [c.execution_count for c in nb.cells if c.cell_type == "code" and c.source.strip()]
    assert counts == list(range(1, len(counts) + 1))
    assert "version" not in nb.metadata.language_info


@each_source
def test_each_figure_has_its_text_beside_it_once(source):
    for cell in stored(source).cells:
        figure = figure_of(cell)
        texts = [o for o in cell.get("outputs", []) if role_of(o) == "figure-text"]
        assert len(texts) == (figure is not None), cell.source
        if figure:
            assert figure["caption"] in texts[0].data["text/markdown"]


def test_labels_are_unique_in_the_course():
    labels = Counter()
    for source in SOURCES:
        for cell in stored(source).cells:
            figure = figure_of(cell)
            labels.update([figure["name"]] if figure else [])
            if cell.cell_type == "markdown":
                labels.update(re.findall(r"^\(([^()\s]+)\)=\s*$", cell.source, re.MULTILINE))
    twice = [label for label, count in labels.items() if count > 1]
    assert not twice, f"given more than once: {', '.join(twice)}; a label names one place."


@each_source
def test_the_runs_hold_the_notebook(source):
    runs = json.loads((ROOT / "notebooks" / "runs.json").read_text(encoding="utf-8"))
    assert source.stem in runs, f"runs.json lacks {source.stem}; run `make render`."
    row = runs[source.stem]
    assert row["divergences"] == 0
    if row["fits"]:
        assert row["worst_rhat"] <= utils.MAX_RHAT
        assert row["least_ess"] >= utils.MIN_ESS
