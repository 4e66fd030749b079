"""How a notebook reads, in numbers."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from publish.files import GUARD
from publish.measure import measure, words_of
from tests.publish.planted import figure_cell


def test_words_are_those_of_the_prose():
    text = "# Two words\n\n$$x = y$$\n\nThe `code` [is here](https://x.org): $a_b$."
    assert words_of(text) == len("Two words The x is here x x".split())


def test_cells_are_told_by_their_tags_and_headers():
    folded, solved = {"tags": ["hide-input"]}, {"tags": ["hide-cell"]}
    graph = figure_cell("fig-01-graph")
    graph.source = "utils.draw_causal_graph(edges)"
    panels = figure_cell("fig-01-panels")
    panels.source = "fig, axs = plt.subplots(2, 3)\nplot()"
    cells = [
        new_code_cell(GUARD.rstrip(), metadata={"tags": ["remove-cell"]}),
        new_code_cell("import utils\nutils.start()"),
        new_markdown_cell("Four words are here."),
        new_code_cell("with pm.Model() as m:\n    pass\n\nm"),
        new_code_cell("show_formula(m, 'a ~ b')", metadata=folded),
        new_code_cell("say('a')", metadata=folded),
        new_code_cell("a = 1\nb = 2", metadata=solved),
        graph,
        panels,
    ]
    row = measure(new_notebook(cells=cells), "a\nb\n")
    assert row["lines"] == 2 and row["words"] == 4 and row["code"] == 12
    assert row["graphs"] == 1 and row["panels"] == 6
    kinds = {"model": 3, "drawing": 3, "formula": 1, "sentence": 1, "solution": 2}
    assert {kind: row[kind] for kind in kinds} == kinds
    assert row["shown"] == 8 and row["student's share"] == 3 / 8
