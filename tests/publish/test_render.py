"""Rendering and its checks, proved on planted notebooks: the good pass, each bad one goes red."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from publish import checks as notebook_checks
from publish import render
from publish.checks import check_notebook, check_source
from publish.files import (
    CourseError,
    finish,
    key_of,
    read_text,
    replace,
    select,
    tidy,
    to_bytes,
    why_stale,
)

ROOT = Path(__file__).resolve().parents[2]
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
ALT = (
    "Scatter chart. The x axis shows tank 1 to 48, the y axis the share that survived: the points "
    "lie high on the right."
)
GRAPH_ALT = "Causal graph. T → S."
POST = ":::{post} Jan 31, 2026\n:tags: frogs\n:category: beginner\n:author: A. Writer\n:::"
HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---
"""


# --- Planted notebooks -------------------------------------------------------


def image(mime="image/png", data=PNG, **about):
    return new_output(
        "display_data",
        data={mime: data, "text/plain": "<Figure size 700x500 with 1 Axes>"},
        metadata={mime: about} if about else {},
    )


def figure_cell(name="fig-01-frogs", caption="More live in small tanks.", alt=ALT, outputs=None):
    options = {"figure": {"name": name, "caption": caption}}
    if alt is not None:
        options["image"] = {"alt": alt}
    outputs = [image()] if outputs is None else outputs
    return new_code_cell("plot()", metadata={"mystnb": options}, outputs=outputs)


def printed(text, name="stdout"):
    return new_code_cell("show()", outputs=[new_output("stream", name=name, text=text)])


def shown(value, mime="text/plain"):
    return new_code_cell("value", outputs=[new_output("display_data", data={mime: value})])


def planted(change=lambda nb: None):
    """Return a notebook that keeps every rule, with one of each thing that is allowed.

    `change` may break one before the notebook gets its stored form.
    """
    svg = image("image/svg+xml", "<svg><title>T → S</title></svg>", alt=GRAPH_ALT)
    living = new_output(
        "display_data",
        data={"text/html": "<div id='a'></div><script>go()</script>"},
        metadata={"course": {"role": "living"}},
    )
    cells = [
        new_markdown_cell(
            f"(lecture-01)=\n# Frogs\n\n{POST}\n\nAt 89% of $x$, `0x7f3a9b`, `{{a}}`."
        ),
        new_code_cell(
            "RANDOM_SEED = 1\nimport numpy as np\nrng = np.random.default_rng(RANDOM_SEED)"
        ),
        new_markdown_cell("## Data\n\n```python\n# no title\n```"),
        new_code_cell(
            "idata = fit(model, name='a', random_seed=RANDOM_SEED)\nOrderedModel(y).fit()"
        ),
        figure_cell(caption="Sigma from 0.1 up."),
        new_code_cell("grid = np.linspace(0.1, 5, 20)"),
        figure_cell("fig-01-graph", "Tank acts on survival.", None, [svg]),
        figure_cell("fig-01-living", "Drag and see.", outputs=[image(), living]),
        printed("12 of 20 fits\n"),
        shown("The mean is **0.81** (see https://example.org/home/me/x).", "text/markdown"),
        shown("<table><tr><td>1</td></tr></table>", "text/html"),
    ]
    nb = new_notebook(cells=cells)
    change(nb)
    return finish(nb, "01-Frogs", "key")


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
    "an alt text of a word": (with_alt("Scatter chart of axes."), "has 4 words; say in"),
    "no chart type": (
        with_alt(ALT.replace("Scatter chart", "Points")),
        "names no chart type; begin",
    ),
    "no axes": (with_alt(ALT.replace("axis", "side")), "names no axis; say what"),
    "a graph without arrows": (with_alt("Causal graph of T and S."), "lists its arrows; list them"),
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
        "hides every warning; remove",
    ),
    "warnings hidden simply": (
        with_code("warnings.simplefilter(action='ignore')"),
        "hides every warning; remove",
    ),
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
    checks = [*notebook_checks.SOURCE_CHECKS, *notebook_checks.OUTPUT_CHECKS]
    unproved = [c for c in checks if not any(list(c(nb, name="01-Frogs")) for nb in bad)]
    assert not unproved


def test_a_place_names_cell_and_heading():
    nb = planted(with_cell(printed("/tmp/x")))
    (text,) = check_notebook(nb, "01-Frogs")
    assert text.startswith(f"01-Frogs, cell {len(nb.cells)} (under «Data»): ")


# --- The stored form ---------------------------------------------------------


def test_caption_and_alt_text_stand_beside_the_image_once():
    nb = planted()
    again = finish(nb, "01-Frogs", "key")
    assert to_bytes(again) == to_bytes(nb)
    picture, text = nb.cells[4].outputs
    assert picture.metadata["image/png"]["alt"] == ALT
    assert text.metadata.course.role == "figure-text"
    assert text.data["text/markdown"] == (
        '<a id="fig-01-frogs"></a>**Figure 1.1.** Sigma from 0.1 up.\n\n*Description:* ' + ALT
    )
    assert GRAPH_ALT in nb.cells[6].outputs[1].data["text/markdown"]
    kinds = [notebook_checks.role_of(output) for output in nb.cells[7].outputs]
    assert kinds == [None, "figure-text", "living"]


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
    other.cells[8].outputs = [
        new_output("stream", name="stdout", text="12 of "),
        new_output("stream", name="stdout", text="20 fits\n"),
    ]
    assert to_bytes(finish(other, "01-Frogs", "key")) == to_bytes(nb)


def test_ids_follow_content_and_stay_unique():
    cells = [new_code_cell("x"), new_code_cell("x"), new_markdown_cell("x")]
    first = finish(new_notebook(cells=cells), "01-A", "key")
    ids = [cell.id for cell in first.cells]
    assert ids[1] == f"{ids[0]}-2" and len(set(ids)) == 3
    cells = [new_code_cell("new"), *cells]
    assert [cell.id for cell in finish(new_notebook(cells=cells), "01-A", "k").cells[1:]] == ids


def test_the_bytes_are_those_of_jupyters_writer(tmp_path):
    nbformat.write(planted(), tmp_path / "a.ipynb")
    assert to_bytes(planted()) == (tmp_path / "a.ipynb").read_bytes()


def test_a_replacement_is_whole_or_does_not_happen(tmp_path, monkeypatch):
    target = tmp_path / "a.ipynb"
    assert replace(target, b"old") and not replace(target, b"old")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        replace(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.ipynb"]


# --- A course of one notebook ------------------------------------------------

MARKDOWN = f"""{HEADER}
# Frogs

{POST}

```{{code-cell}} ipython3
from pathlib import Path
from IPython.display import Image, display
import base64, json, os
import utils
growth = Path(utils.__file__).parent / "benchmarks/results/growth.csv"
print(Path.cwd().name)
```

## A figure

```{{code-cell}} ipython3
---
mystnb:
  figure:
    name: fig-01-frogs
    caption: More live in small tanks.
  image:
    alt: '{ALT}'
---
display(Image(base64.b64decode("{PNG}"), format="png"))
```

```{{code-cell}} ipython3
with open(os.environ["COURSE_RECORD"], "a") as file:
    for name, failure in (("a", None), ("b", "divergences")):
        line = dict(kind="fit", name=name, seconds=dict(compile=0.2, sample=0.1), max_rhat=1.004,
                    min_ess=812.4, divergences=0, expected_failure=failure)
        file.write(json.dumps(line) + "\\n")
```
"""


@pytest.fixture
def course(tmp_path):
    """A project of one notebook, in a folder with a space."""
    root = tmp_path / "a course"
    (root / "notebooks").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "data" / "frogs.csv").write_text("a\n1\n")
    (root / "data" / "frogs.yml").write_text("rows: 1\n")
    (root / "data" / "README.md").write_text("Data\n")
    (root / "pyproject.toml").write_text(
        '[tool.setuptools]\npackages = ["studies"]\npy-modules = ["utils"]\n'
    )
    (root / "utils.py").write_text("")
    (root / "studies").mkdir()
    for file in ("__init__.py", "long.py", "long.csv", "long.yml"):
        (root / "studies" / file).write_text("")
    (root / "utils.py").write_text("from studies import long\n")
    (root / "requirements.lock").write_text("numpy==2\n")
    (root / "course.mplstyle").write_text("axes.grid: True\n")
    (root / "widgets").mkdir()
    (root / "widgets" / "slider.html").write_text("<script>go()</script>\n")
    (root / "benchmarks" / "results").mkdir(parents=True)
    (root / "benchmarks" / "results" / "growth.csv").write_text("")
    settings = (ROOT / "notebooks" / "jupytext.toml").read_text()
    (root / "notebooks" / "jupytext.toml").write_text(settings)
    source = root / "notebooks" / "01-Frogs.md"
    source.write_text(MARKDOWN)
    source.write_text(tidy(MARKDOWN, source))
    return root


def paths(course):
    source = course / "notebooks" / "01-Frogs.md"
    return source, source.with_suffix(".ipynb"), course / "notebooks" / "record.json"


def test_rendering_twice_gives_the_same_bytes_and_leaves_the_record(course, capsys):
    source, stored, record = paths(course)
    assert render.main([], root=course) == 0
    first, row, text = stored.read_bytes(), record.read_bytes(), source.read_bytes()
    out = capsys.readouterr().out
    assert "worst R-hat" in out and "1.0040" in out
    assert render.main(["1"], root=course) == 1  # no such notebook: it is 01
    assert "«1»; there are: 01-Frogs" in capsys.readouterr().err
    assert render.main(["01"], root=course) == 0
    assert (stored.read_bytes(), record.read_bytes()) == (first, row)
    assert source.read_bytes() == text
    assert "The same bytes as before" in capsys.readouterr().out

    assert render.main(["--check"], root=course) == 0
    nb = nbformat.read(stored, as_version=4)
    nbformat.validate(nb)
    assert nb.cells[1].outputs[0].text == "notebooks\n"
    assert check_notebook(nb, "01-Frogs") == []
    kept = json.loads(row)["01-Frogs"]
    assert kept["fits"] == 1 and kept["expected_to_fail"] == {"b": "divergences"}
    assert kept["worst_rhat"] == 1.004 and kept["least_ess"] == 812
    seconds = kept["seconds"]
    assert seconds["compile"] == 0.4 and seconds["sample"] == 0.2
    assert sum(seconds[part] for part in render.PARTS) == pytest.approx(seconds["total"], abs=0.3)
    assert 10 < kept["peak_memory_mb"] < 2000


def test_into_leaves_the_tracked_files_alone(course, monkeypatch):
    # A kernel of the same name that the user has elsewhere: it is not the one that runs.
    spec = course / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["false"], "display_name": "Python 3", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(course))
    _, stored, record = paths(course)
    into = course / "_build" / "executed"
    into.mkdir(parents=True)
    (into / "99-Gone.ipynb").write_text("{}")
    assert render.main(["--into", str(into)], root=course) == 0
    assert os.listdir(into) == ["01-Frogs.ipynb"]
    assert not stored.exists() and not record.exists()


def test_the_record_keeps_the_rows_of_other_notebooks_that_are_there(course):
    _, _, record = paths(course)
    (course / "notebooks" / "02-Other.md").write_text("")
    record.write_text('{"02-Other": {"fits": 3}, "03-Gone": {"fits": 4}}')
    render.update_record("01-Frogs", {"fits": 5}, course)
    assert json.loads(record.read_text()) == {"01-Frogs": {"fits": 5}, "02-Other": {"fits": 3}}


def break_it(source, code):
    text = source.read_text().replace(
        "## A figure", f"```{{code-cell}} ipython3\n{code}\n```\n\n## B"
    )
    source.write_text(text)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "raise ValueError('no frogs\\nat all')",
            "cell 3 (under «Frogs») failed: ValueError: no frogs",
        ),
        ("x = 1\nassert x == 2", "cell 3 (under «Frogs») failed: AssertionError: assert x == 2"),
        ("import os; os._exit(1)", "cell 3 (under «Frogs») failed: its Python died"),
        ("import sys; print('x', file=sys.stderr)", "cell 3 (under «Frogs»): it writes to stderr"),
    ],
)
def test_a_failing_run_leaves_the_old_file(course, capfd, code, message):
    source, stored, record = paths(course)
    stored.write_text("old")
    break_it(source, code)
    assert render.main([], root=course) == 1
    assert stored.read_text() == "old" and not record.exists()
    error = capfd.readouterr().err
    assert f"01-Frogs, {message}" in error
    assert "_build/failed/01-Frogs.ipynb" in error
    assert (course / "_build" / "failed" / "01-Frogs.ipynb").is_file()
    assert [p.name for p in (course / "_build").glob("run-*")] == []


def test_a_bad_source_is_refused_before_it_runs(course, capsys):
    source, stored, _ = paths(course)
    break_it(source, f"import numpy as np; np.random.{'seed'}(1); raise ValueError")
    assert render.main([], root=course) == 1
    error = capsys.readouterr().err
    assert "np.random.seed works on numpy's global state" in error and "ValueError" not in error
    assert not stored.exists()


def test_a_source_that_changes_while_it_runs_is_refused(course, capsys):
    source, stored, _ = paths(course)
    break_it(source, "Path('../utils.py').write_text('x = 1')")
    assert render.main([], root=course) == 1
    assert "01-Frogs changed while it ran; run it again." in capsys.readouterr().err
    assert not stored.exists()


def test_an_interrupt_leaves_the_old_file_and_no_kernel(course):
    source, stored, record = paths(course)
    stored.write_text("old")
    break_it(source, "import time; Path('pid').write_text(str(os.getpid())); time.sleep(60)")
    # The slow end lets whatever still waits for the dead kernel notice, and complain.
    code = (
        "import asyncio, render, sys; from pathlib import Path\n"
        "cleanup = render.AsyncKernelManager.cleanup_resources\n"
        "async def slowly(self, restart=False):\n"
        "    await asyncio.sleep(2)\n"
        "    await cleanup(self, restart)\n"
        "render.AsyncKernelManager.cleanup_resources = slowly\n"
        f"sys.exit(render.main(root=Path({str(course)!r})))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = course / "notebooks" / "pid"
    for _ in range(300):
        if pid.is_file() and pid.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert (
        "01-Frogs, cell 3 (under «Frogs») was interrupted; its stored .ipynb is as it was." in error
    )
    assert "Traceback" not in error
    assert stored.read_text() == "old" and not record.exists()
    for _ in range(100):
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the kernel lives on")


# --- Budgets -----------------------------------------------------------------


def test_a_run_far_over_its_budget_is_kept_and_fails(course, capsys, monkeypatch):
    _, stored, record = paths(course)
    budgets = course / "notebooks" / "budgets.toml"
    budgets.write_text("[01-Frogs]\nseconds = 0.01\nmemory_mb = 100000\n")
    monkeypatch.setattr(render, "CORES", os.cpu_count())
    assert render.main([], root=course) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^notebook +seconds +of ", out) and " 0.01 " in out and " 100000 " in out
    assert re.fullmatch(
        r"01-Frogs took \d+ s, more than one and a half times its budget of 0\.01 s in "
        r"notebooks/budgets\.toml: make it lighter, or run it with nothing beside it\.\n",
        err,
    )
    assert stored.is_file() and record.is_file()
    # The pages of `make course` are not held back by a slow machine.
    assert render.main(["--into", str(course / "elsewhere")], root=course) == 0


@pytest.mark.parametrize(
    ("seconds", "memory", "cores", "said"),
    [(15.0, 150, 2, 0), (15.1, 150, 2, 1), (15.1, 151, 2, 2), (15, 151, 2, 1), (99, 999, 8, 0)],
)
def test_a_budget_may_be_passed_by_half(seconds, memory, cores, said):
    row = {"seconds": {"total": seconds}, "peak_memory_mb": memory, "cores": cores}
    rows = {"01-Frogs": row, "02-Free": row}
    assert len(render.over_budget(rows, {"01-Frogs": {"seconds": 10, "memory_mb": 100}})) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[01-Frogs", "budgets.toml is not valid TOML: "),
        ("[01-Frogs]\nseconds = 9\n", "01-Frogs needs seconds and memory_mb, both above 0"),
        ("[a]\nseconds = 9\nmemory_mb = 0\n", "a needs seconds and memory_mb, both above 0"),
        ("[a]\nseconds = true\nmemory_mb = 1\n", "a needs seconds and memory_mb, both above 0"),
        ("a = 9\n", "a needs seconds and memory_mb, both above 0"),
    ],
)
def test_a_broken_budget_is_told_before_anything_runs(course, capsys, text, message):
    (course / "notebooks" / "budgets.toml").write_text(text)
    assert render.main([], root=course) == 1
    assert message in capsys.readouterr().err
    assert not paths(course)[1].exists()


def test_every_notebook_has_a_budget():
    assert set(render.read_budgets()) == {source.stem for source in render.sources(ROOT)}


# --- Staleness ---------------------------------------------------------------


@pytest.fixture
def rendered(course):
    """The course with a stored .ipynb that belongs to its source, without running it."""
    source, stored, _ = paths(course)
    nb = read_text(source.read_text(), source)
    replace(stored, to_bytes(finish(nb, "01-Frogs", key_of(source, course))))
    assert why_stale(source, course) is None
    return course


@pytest.mark.parametrize(
    "changed",
    [
        "utils.py",
        "studies/long.py",
        "studies/long.csv",
        "studies/long.yml",
        "data/frogs.csv",
        "data/frogs.yml",
        "requirements.lock",
        "course.mplstyle",
        "widgets/slider.html",
        "benchmarks/results/growth.csv",
        "notebooks/01-Frogs.md",
    ],
)
def test_a_change_of_what_a_notebook_depends_on_makes_it_stale(rendered, changed):
    source, _, _ = paths(rendered)
    before = key_of(source, rendered)
    with (rendered / changed).open("a") as file:
        file.write("\n# changed\n")
    assert key_of(source, rendered) != before
    text = why_stale(source, rendered)
    assert text.startswith("01-Frogs.ipynb is stale: ") and text.endswith("run `make render`.")
    assert render.main(["--check"], root=rendered) == 1


def test_a_change_of_nothing_else_does_not(rendered):
    source, _, _ = paths(rendered)
    (rendered / "data" / "README.md").write_text("changed")
    (rendered / "notebooks" / "02-Other.md").write_text("changed")
    (rendered / "benchmarks" / "results" / "other.csv").write_text("not named there")
    settings = '[tool.setuptools]\npackages = ["studies"]\npy-modules = ["utils", "other"]\n'
    (rendered / "pyproject.toml").write_text(settings)
    (rendered / "other.py").write_text("# not imported there")
    assert why_stale(source, rendered) is None


def test_a_module_that_is_imported_by_a_module_counts(rendered):
    source, _, _ = paths(rendered)
    settings = '[tool.setuptools]\npackages = ["studies"]\npy-modules = ["utils", "more"]\n'
    (rendered / "pyproject.toml").write_text(settings)
    (rendered / "studies" / "long.py").write_text("def f():\n    import more\n")
    with pytest.raises(CourseError, match=r"more\.py is missing"):
        key_of(source, rendered)
    (rendered / "more.py").write_text("")
    assert "a module, the style sheet, the data, a widget or" in why_stale(source, rendered)


def test_an_edited_or_missing_ipynb_is_stale(rendered, capsys):
    source, stored, _ = paths(rendered)
    nb = nbformat.read(stored, as_version=4)
    nb.cells[1].source += "\nx = 1"
    nbformat.write(nb, stored)
    assert "cell 2 (under «Frogs») differs in the .md; run `make render`" in why_stale(
        source, rendered
    )
    nb.cells[1].source = nb.cells[1].source.removesuffix("\nx = 1")
    nb.cells.append(new_code_cell("more"))
    nbformat.write(nb, stored)
    assert "cells that the .md no longer has" in why_stale(source, rendered)
    stored.write_text("{")
    assert "is no readable notebook" in why_stale(source, rendered)
    stored.unlink()
    assert why_stale(source, rendered) == "01-Frogs.ipynb is missing; run `make render`."
    (rendered / "notebooks" / "02-Old.ipynb").write_text("{}")
    assert render.main(["--check"], root=rendered) == 1
    assert "02-Old.ipynb has no 02-Old.md; delete it" in capsys.readouterr().out


# --- The source's form -------------------------------------------------------


def test_tidying_folds_captions_and_is_stable(course):
    source, _, _ = paths(course)
    text = MARKDOWN.replace(
        "caption: More live in small tanks.",
        "caption: |\n      More live,\n      in small tanks.",
    )
    once = tidy(text, source)
    assert "caption: More live, in small tanks.\n" in once
    assert tidy(once, source) == once
    source.write_text(text)
    assert render.main(["--tidy"], root=course) == 0
    assert source.read_text() == once
    nb = jupytext.reads(once, fmt="md:myst")
    assert nb.cells[3].metadata.mystnb.image.alt == ALT


def test_the_source_alone_can_be_checked_before_a_run(course):
    source, _, _ = paths(course)
    assert check_source(read_text(MARKDOWN, source), "01-Frogs") == []


def test_an_unreadable_source_is_named(course, capsys):
    source, _, _ = paths(course)
    source.write_text(MARKDOWN.replace("name: fig-01-frogs", "name: [fig"))
    assert render.main([], root=course) == 1
    assert "01-Frogs.md cannot be read as a notebook" in capsys.readouterr().err


def test_notebooks_are_selected_by_number_name_or_file(course):
    (source, _, _) = paths(course)
    for name in ("01", "01-Frogs", "notebooks/01-Frogs.md", str(source)):
        assert select([name], course) == [source]
    assert select(["01", "01-Frogs"], course) == [source]
