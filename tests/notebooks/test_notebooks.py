"""What every notebook of the course keeps to, as stored and as freshly executed."""

from __future__ import annotations

import json

import nbformat
import pytest

from publish.checks import check_notebook
from publish.files import ROOT, figure_of, orphans, role_of, sources, why_stale
from publish.one import left_to_write, source_problems

SOURCES = sources(ROOT)
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
each_run = pytest.mark.parametrize(
    "name",
    [pytest.param(source.stem, marks=pytest.mark.notebook(source.stem)) for source in SOURCES],
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
def test_source_keeps_the_rules(source):
    complain(source_problems(source))
    lines = left_to_write(source)
    assert not lines, f"{source.name} still says TODO, in the lines {lines}."


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


@each_source
def test_the_runs_hold_the_notebook(source):
    import utils  # takes seconds, which the tests of one notebook have no need of

    runs = json.loads((ROOT / "notebooks" / "runs.json").read_text(encoding="utf-8"))
    assert source.stem in runs, f"runs.json lacks {source.stem}; run `make render`."
    row = runs[source.stem]
    assert row["divergences"] == 0
    if row["fits"]:
        assert row["worst_rhat"] <= utils.MAX_RHAT
        assert row["least_ess"] >= utils.MIN_ESS
