"""The checks, proved on a planted notebook: as it is it passes, with each fault it goes red."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from publish import checks
from publish.checks import check_notebook, check_source
from publish.files import ROOT, read_text
from tests.publish.planted import ALT, MARKDOWN, figure_cell, image, planted, printed, shown


def with_cell(cell):
    return lambda nb: nb.cells.append(cell)


def with_option(part, **values):
    return lambda nb: nb.cells[5].metadata.mystnb[part].update(values)


def with_fact(**values):
    return lambda nb: nb.metadata.course.update(values)


def with_authors(*lines):
    text = "\n".join(f"- {line}" for line in lines)
    return lambda nb: nb.cells[-1].update(source=f"## Authors\n\n{text}")


# What is added or changed, and what is said of it.
TEXTS = {
    "# Again": "one level-1 heading, this one has 2",
    "Again\n=====": "one level-1 heading, this one has 2",
    "(lecture-01)=\n## More": "shows a label as source; write",
    "```{note}\nText\n```": "directive {note} as source; write it in plain",
    ":::{tip}\nText\n:::": "directive {tip} as source",
    "See {ref}`lecture-01`.": "role {ref} as source; write it in plain",
    "$$\nx\n$$ (eq-a)": "shows a label as source",
}
CODES = {
    "pm.sample(1000)": "sample() names no seed; add",
    "DRAW = dict(draws=9)\npm.sample(**DRAW)": "sample() names no seed; add",
    "a = pm.sample(random_seed=RANDOM_SEED)": "check_convergence(a) follow it in the same",
    "pm.sample(random_seed=RANDOM_SEED)": "check_convergence(its result) follow it",
    "a = pm.sample(random_seed=RANDOM_SEED)\ncheck_convergence(b)": "pm.sample is not judged",
    "with pm.Model() as m:\n    pass": "no formula is shown for m; call show_formula",
    "fig, ax = plt.subplots()": "plt.subplots() opens a figure that has no header",
    "frogs = pd.read_csv('frogs.csv')": "past its sidecar; put the table into data/",
    "fit(m, name='a')": "fit() names no seed; add",
    "c.fit(name='a')": "fit() names no seed; add",
    "pm.sample_prior_predictive()": "names no seed; add",
    "pm.draw(x, 10)": "draw() names no seed; add",
    "st.norm.rvs(size=3)": "rvs() names no seed; add",
    "np.random.default_rng()": "no seed; give it",
    f"np.random.{'seed'}(1)": "numpy's global state; use a generator",
    "np.random.normal()": "np.random.normal works on",
    "RANDOM_SEED = 2": "RANDOM_SEED is set 2 times",
    f"warnings.{'filterwarnings'}('ignore', message='a')": "hides warnings; remove their cause",
    "warnings.simplefilter(action='ignore')": "hides warnings; remove their cause",
}
PRINTED = {
    "x.py:1: UserWarning: no\n": "prints a warning; remove",
    " 40%|████      | 4/10 [00:01, 3.9it/s]": "progress bar off",
    "1 of 2\r2 of 2": "switch the progress bar off",
    f"read {ROOT}/data/x.csv": "do not show a path",
    "/home/ann/course": "do not show a path",
    "/tmp/ipykernel_12/3.py": "do not show a path",
    "<Axes at 0x7f3a9b2c1d50>": "do not show an object's address",
    "done at 12:03:59": "do not show when or how long",
    "Wall time: 3 s": "do not show when or how long",
}
HTML = {
    "<h1>Again</h1>": "one level-1 heading, this one has 2",
    "<b>FutureWarning: x</b>": "prints a warning",
    "'/Users/ann/x'": "do not show a path",
    "<table id='T_3fa2c'>": "a random name differs",
    "id='9b2f4c1e-8a3d-4f6b-9c7e-1a2b3c4d5e6f'": "a random name differs",
    "<script>go()</script>": "mark the output as living",
}
CELLS = {
    "shows one image, this one 2; split": figure_cell("fig-01-two", outputs=[image(), image()]),
    "shows one image, this one 0": figure_cell("fig-01-none", outputs=printed("x").outputs),
    "the image has 600 kB": figure_cell("fig-01-big", outputs=[image(data="AAAA" * 200_000)]),
    "no figure; write": new_code_cell("x", outputs=[image()]),
    "2 figures are called «fig-01-frogs»": figure_cell(),
    "is «fig-02-a»; give it one like fig-01-": figure_cell("fig-02-a"),
    "one level-1 heading": shown("# Again", "text/markdown"),
    "a widget is gone": shown("{}", "application/vnd.jupyter.widget-view+json"),
    "writes to stderr; remove the cause": printed("look out", "stderr"),
    "fails with E: 0; put the cell right": new_code_cell(
        "1/0", outputs=[new_output("error", ename="E", evalue="0")]
    ),
}
BAD = [
    *((with_cell(new_markdown_cell(text)), said) for text, said in TEXTS.items()),
    *((with_cell(new_code_cell(code)), said) for code, said in CODES.items()),
    *((with_cell(printed(text)), said) for text, said in PRINTED.items()),
    *((with_cell(shown(text, "text/html")), said) for text, said in HTML.items()),
    *((with_cell(cell), said) for said, cell in CELLS.items()),
    (lambda nb: nb.cells.pop(0), "one level-1 heading, this one has 0"),
    (lambda nb: nb.cells[0].update(source="Frogs\n\n# Frogs"), "begins with its title; write"),
    (with_fact(date=None), "it does not say «date»; write 31 January 2026, say, as course: date:"),
    (with_fact(seconds=0), "it has no budget; write"),
    (lambda nb: nb.metadata.pop("jupytext"), "write jupytext: cell_metadata_filter: -jupyter"),
    (lambda nb: nb.cells.pop(), "does not say whose it is; end with"),
    (with_authors("Written by A", "Based on B"), "whose last line is «- Written by"),
    (with_authors("From B", "Written by A"), "says «- Based on ...»"),
    (lambda nb: nb.cells.pop(1), "not the one that says what to install; copy"),
    (lambda nb: nb.cells[1].metadata.pop("tags"), "copy that of another notebook, with its tag"),
    (lambda nb: nb.cells.insert(2, new_code_cell("import utils")), "does not call utils.start()"),
    (lambda nb: nb.cells[8].outputs.pop(1), "needs a still one before it"),
    (lambda nb: nb.cells[7].outputs[0].update(metadata={}), "no alt text; write"),
    (lambda nb: nb.cells[5].metadata.mystnb.pop("image"), "no alt text; write mystnb.image.alt"),
    (with_option("image", alt="  "), "no alt text; write"),
    (with_option("image", alt="Scatter chart."), "is «Scatter chart.»; say what is"),
    (with_option("image", alt=ALT + " At 12.5."), "12.5 in the figure's alt is typed"),
    (with_option("figure", name=None), "give it one like fig-01-"),
    (with_option("figure", caption=" \n"), "no caption; write mystnb"),
    (with_option("figure", caption=ALT), "is the caption again; the caption says"),
    (with_option("figure", caption="At 0.81 all live."), "0.81 in the figure's caption"),
]


def test_the_good_notebook_passes():
    assert check_notebook(planted(), "01-Frogs") == []


@pytest.mark.parametrize(("change", "expected"), BAD)
def test_a_bad_notebook_goes_red_and_says_what_to_do(change, expected):
    problems = check_notebook(planted(change), "01-Frogs")
    assert any(expected in text for text in problems), problems
    for text in problems:
        assert text.startswith("01-Frogs, ")
        assert "\n" not in text


def test_every_check_is_proved_by_a_bad_notebook():
    bad = [planted(change) for change, _ in BAD]
    every = [*checks.SOURCE_CHECKS, *checks.OUTPUT_CHECKS]
    unproved = [c for c in every if not any(list(c(nb, name="01-Frogs")) for nb in bad)]
    assert not unproved


def test_a_fit_may_be_judged_in_the_next_cell_and_take_its_seed_from_a_dict():
    def change(nb):
        for code in (
            "SAMPLE = dict(draws=9, random_seed=RANDOM_SEED)",
            "with m:\n    a = pm.sample(**SAMPLE)",
            "utils.check_convergence(a)",
            "b = pm.sample(**(SAMPLE | {'draws': 9}))\ncheck_convergence(b, name='b')",
        ):
            nb.cells.append(new_code_cell(code))

    assert check_notebook(planted(change), "01-Frogs") == []


def test_a_place_names_cell_and_heading():
    nb = planted(with_cell(printed("/tmp/x")))
    (text,) = check_notebook(nb, "01-Frogs")
    assert text.startswith(f"01-Frogs, cell {len(nb.cells)} (under «Authors»): ")


def test_the_source_alone_can_be_checked_before_a_run():
    nb = read_text(MARKDOWN, ROOT / "notebooks" / "01-Frogs.md")
    assert check_source(nb, "01-Frogs") == []
