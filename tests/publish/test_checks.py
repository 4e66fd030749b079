"""The checks, proved on a planted notebook: as it is it passes, with each fault it goes red."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from publish import checks
from publish.checks import check_notebook, check_source
from publish.files import ROOT, read_text
from tests.publish.planted import ALT, MARKDOWN, POST, figure_cell, image, planted, printed, shown


def with_cell(cell):
    return lambda nb: nb.cells.append(cell)


def with_code(source):
    return with_cell(new_code_cell(source))


def with_text(source):
    return with_cell(new_markdown_cell(source))


def without(index, *path):
    def change(nb):
        part = nb.cells[index].metadata
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]

    return change


def with_alt(alt):
    def change(nb):
        nb.cells[4].metadata.mystnb.image.alt = alt

    return change


def with_caption(caption):
    def change(nb):
        nb.cells[4].metadata.mystnb.figure.caption = caption

    return change


def with_post(text):
    def change(nb):
        nb.cells[0].source = f"# Frogs\n\n{text}"

    return change


def without_graph_alt(nb):
    nb.cells[6].outputs[0].metadata = {}


BAD = {
    "a second title": (with_text("# Again"), "one level-1 heading, this one has 2"),
    "a title from a cell": (with_cell(shown("# Again", "text/markdown")), "one level-1 heading"),
    "no title": (lambda nb: nb.cells.pop(0), "one level-1 heading, this one has 0"),
    "no post block": (with_post("text"), "one post block below its title, this one has 0"),
    "a post without a date": (with_post(POST.replace("Jan 31, 2026", "")), "no date; write"),
    "a post without author": (
        with_post(POST.replace("A. Writer", "")),
        "says nothing for :author:",
    ),
    "no caption": (without(4, "mystnb", "figure", "caption"), "no caption; write mystnb"),
    "an empty caption": (with_caption(" \n"), "no caption; write"),
    "a figure without a name": (without(4, "mystnb", "figure", "name"), "give it one like fig-01-"),
    "a name of another lecture": (with_cell(figure_cell("fig-02-a")), "give it one like fig-01-"),
    "no alt text": (without(4, "mystnb", "image"), "no alt text; write mystnb.image.alt"),
    "an empty alt text": (with_alt("  "), "no alt text; write"),
    "a graph without alt text": (without_graph_alt, "no alt text; write"),
    "an alt text of a word": (with_alt("Scatter chart."), "is «Scatter chart.»; say what is"),
    "the caption again": (with_caption(ALT), "is the caption again; the caption says"),
    "a typed result in a caption": (
        with_caption("At 0.81 all live."),
        "0.81 in the figure's caption",
    ),
    "a typed result in an alt text": (
        with_alt(ALT + " At 12.5."),
        "12.5 in the figure's alt is typed",
    ),
    "a label twice": (with_text("(lecture-01)=\n## More"), "label «lecture-01» is given 2 times"),
    "a figure's name twice": (with_cell(figure_cell()), "label «fig-01-frogs» is given 2 times"),
    "a directive": (
        with_text("```{note}\nText\n```"),
        "directive {note} as source; write it in plain",
    ),
    "a colon directive": (with_text(":::{tip}\nText\n:::"), "directive {tip} as source"),
    "a role": (with_text("See {ref}`lecture-01`."), "role {ref} as source; write it in plain"),
    "a formula's label": (with_text("$$\nx\n$$ (eq-a)"), "a formula's label as source"),
    "pm.sample without a seed": (with_code("pm.sample(1000)"), "sample() names no seed; add"),
    "fit without a seed": (with_code("fit(m, name='a')"), "fit() names no seed; add"),
    "a compiled fit without a seed": (with_code("c.fit(name='a')"), "fit() names no seed; add"),
    "a prior without a seed": (with_code("pm.sample_prior_predictive()"), "names no seed; add"),
    "a draw without a seed": (with_code("pm.draw(x, 10)"), "draw() names no seed; add"),
    "rvs without a seed": (with_code("st.norm.rvs(size=3)"), "rvs() names no seed; add"),
    "a generator without a seed": (with_code("np.random.default_rng()"), "no seed; give it"),
    "the global seed": (
        with_code(f"np.random.{'seed'}(1)"),
        "numpy's global state; use a generator",
    ),
    "a global draw": (with_code("np.random.normal()"), "np.random.normal works on"),
    "a second seed": (with_code("RANDOM_SEED = 2"), "RANDOM_SEED is set 2 times"),
    "warnings hidden": (
        with_code(f"import warnings\nwarnings.{'filterwarnings'}('ignore')"),
        "hides warnings; remove their cause",
    ),
    "warnings hidden simply": (
        with_code("warnings.simplefilter(action='ignore')"),
        "hides warnings; remove their cause",
    ),
    "a warning hidden by name": (
        with_code("warnings.filterwarnings('ignore', message='a', category=UserWarning)"),
        "hides warnings; remove their cause",
    ),
    "no start": (
        lambda nb: nb.cells.insert(1, new_code_cell("import utils")),
        "the first code cell does not call utils.start(); call it there",
    ),
    "a title of another kind": (with_text("Again\n====="), "one level-1 heading, this one has 2"),
    "an error": (
        with_cell(
            new_code_cell(
                "1/0", outputs=[new_output("error", ename="ZeroDivisionError", evalue="0")]
            )
        ),
        "fails with ZeroDivisionError: 0; put the cell right",
    ),
    "stderr": (with_cell(printed("look out", "stderr")), "writes to stderr; remove the cause"),
    "a warning": (with_cell(printed("x.py:1: UserWarning: no\n")), "prints a warning; remove"),
    "a warning shown": (
        with_cell(shown("<b>FutureWarning: x</b>", "text/html")),
        "prints a warning",
    ),
    "a progress bar": (
        with_cell(printed(" 40%|████      | 4/10 [00:01, 3.9it/s]")),
        "progress bar off",
    ),
    "a rewritten line": (with_cell(printed("1 of 2\r2 of 2")), "switch the progress bar off"),
    "a widget": (
        with_cell(shown("{}", "application/vnd.jupyter.widget-view+json")),
        "a widget is gone",
    ),
    "a path of the project": (with_cell(printed(f"read {ROOT}/data/x.csv")), "do not show a path"),
    "a path of the home folder": (with_cell(shown("/home/ann/course")), "do not show a path"),
    "a path of a Mac": (with_cell(shown("'/Users/ann/x'", "text/html")), "do not show a path"),
    "a temporary path": (with_cell(printed("/tmp/ipykernel_12/3.py")), "do not show a path"),
    "an address": (with_cell(shown("<Axes at 0x7f3a9b2c1d50>")), "do not show an object's address"),
    "a random name": (
        with_cell(shown("<table id='T_3fa2c'>", "text/html")),
        "a random name differs",
    ),
    "a UUID": (
        with_cell(shown("id='9b2f4c1e-8a3d-4f6b-9c7e-1a2b3c4d5e6f'", "text/html")),
        "a random name differs",
    ),
    "a time of day": (with_cell(printed("done at 12:03:59")), "do not show when or how long"),
    "a run time": (with_cell(printed("Wall time: 3 s")), "do not show when or how long"),
    "an image that is no figure": (
        with_cell(new_code_cell("x", outputs=[image()])),
        "no figure; write",
    ),
    "two images": (
        with_cell(figure_cell("fig-01-two", outputs=[image(), image()])),
        "shows one image, this one 2; split",
    ),
    "a figure without an image": (
        with_cell(figure_cell("fig-01-none", outputs=[new_output("stream", text="x")])),
        "shows one image, this one 0",
    ),
    "a large image": (
        with_cell(figure_cell("fig-01-big", outputs=[image(data="AAAA" * 200_000)])),
        "the image has 600 kB, the limit is",
    ),
    "a living figure without a still": (
        lambda nb: nb.cells[7].outputs.pop(0),
        "needs a still one before it",
    ),
    "a script": (
        with_cell(shown("<script>go()</script>", "text/html")),
        "mark the output as living",
    ),
}


def test_the_good_notebook_passes():
    assert check_notebook(planted(), "01-Frogs") == []


@pytest.mark.parametrize("case", BAD)
def test_a_bad_notebook_goes_red_and_says_what_to_do(case):
    change, expected = BAD[case]
    problems = check_notebook(planted(change), "01-Frogs")
    assert any(expected in text for text in problems), problems
    for text in problems:
        assert text.startswith("01-Frogs, ")
        assert "\n" not in text


def test_every_check_is_proved_by_a_bad_notebook():
    bad = [planted(change) for change, _ in BAD.values()]
    every = [*checks.SOURCE_CHECKS, *checks.OUTPUT_CHECKS]
    unproved = [c for c in every if not any(list(c(nb, name="01-Frogs")) for nb in bad)]
    assert not unproved


def test_a_place_names_cell_and_heading():
    nb = planted(with_cell(printed("/tmp/x")))
    (text,) = check_notebook(nb, "01-Frogs")
    assert text.startswith(f"01-Frogs, cell {len(nb.cells)} (under «Data»): ")


def test_the_source_alone_can_be_checked_before_a_run():
    nb = read_text(MARKDOWN, ROOT / "notebooks" / "01-Frogs.md")
    assert check_source(nb, "01-Frogs") == []
