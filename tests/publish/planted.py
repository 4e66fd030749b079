"""A planted notebook that keeps every rule, and the course of one notebook."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from publish.files import GUARD, finish

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
ALT = (
    "Scatter chart. The x axis shows tank 1 to 48, the y axis the share that survived: the points "
    "lie high on the right."
)
GRAPH_ALT = "Causal graph. T → S."
LIVING_ALT = 'Line chart. The x axis shows time, the y axis <height> & "more"; alpha_bar rises.'
FORMULA = "$$\n{\\color{#B3124A}{\\sigma}} \\sim {\\color{#B3124A}{\\text{Exponential}(1)}}\n$$"
ADDRESS = "https://github.com/owner/course"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
FACTS = {
    "about": "Frogs in tanks.",
    "date": "31 January 2026",
    "level": "beginner",
    "memory_mb": 900,
    "seconds": 9,
    "tags": "frogs, tanks",
}
AUTHORS = (
    "## Authors\n\n- Based on [a talk](https://example.org) by A. Speaker.\n- Written by A. Writer."
)
HEADER = """---
jupytext:
  cell_metadata_filter: -jupyter
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
course:
  about: Frogs in tanks.
  date: 31 January 2026
  level: beginner
  tags: frogs, tanks
  seconds: 9
  memory_mb: 900
---
"""


def image(mime="image/png", data=PNG, **about):
    data = {mime: data, "text/plain": "<Figure size 700x500 with 1 Axes>"}
    return new_output("display_data", data=data, metadata={mime: about} if about else {})


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
    data = {"text/html": "<div class='living'><script>go()</script></div>"}
    living = new_output("display_data", data=data, metadata={"course": {"role": "living"}})
    said = new_output("display_data", data={"text/markdown": "It is **two**: $x_1 = 2$."})
    cells = [
        new_markdown_cell(
            "# Frogs\n\nAt 89% of $x$, `0x7f3a9b`, `{a}`; see "
            "[the line](#fig-01-frogs), [the graph](#fig-01-graph) and [a part](#data)."
        ),
        new_code_cell(GUARD.rstrip(), metadata={"tags": ["remove-cell"]}),
        new_code_cell(
            "utils.start()\nRANDOM_SEED = 1\nimport numpy as np\n"
            "rng = np.random.default_rng(RANDOM_SEED)"
        ),
        new_markdown_cell("## Data\n\n```python\n# no title\n```"),
        new_code_cell("i = fit(model, name='a', random_seed=RANDOM_SEED)\nOrderedModel(y).fit()"),
        figure_cell(caption="Sigma from 0.1 up."),
        new_code_cell("grid = np.linspace(0.1, 5, 20)"),
        figure_cell("fig-01-graph", "Tank acts on survival.", None, [svg]),
        figure_cell("fig-01-living", "Drag and see.", LIVING_ALT, [said, image(), living]),
        printed("12 of 20 fits\n"),
        shown("The mean is **0.81** (see https://example.org/home/me/x).", "text/markdown"),
        shown("<table><tr><td>1</td></tr></table>", "text/html"),
        shown(FORMULA, "text/markdown"),
    ]
    cells[-1].metadata["tags"] = ["hide-input"]
    cells.append(new_markdown_cell(AUTHORS))
    jupytext = {"cell_metadata_filter": "-jupyter"}
    metadata = {"kernelspec": KERNEL, "course": dict(FACTS), "jupytext": jupytext}
    nb = new_notebook(cells=cells, metadata=metadata)
    change(nb)
    return finish(nb, "01-Frogs", {})


MARKDOWN = f"""{HEADER}
# Frogs

```{{code-cell}} ipython3
:tags: [remove-cell]

{GUARD}```

```{{code-cell}} ipython3
from pathlib import Path
from IPython.display import Image, display
import base64, json, os
import utils
utils.start()
frogs = utils.load_data("frogs")
growth = "benchmarks/results/growth.csv"
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

{AUTHORS}
"""
