"""The page that puts our numbers beside others', from the stored table; no number is typed."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from publish.pages.text import Lecture, escape, table

HEAD = """# Parity

Each number here was found twice: by a fit of the notebook, and in another way.
The difference is given in Monte Carlo standard errors of both together.
By chance one in twenty is beyond two, and hardly any beyond four.
Scores (elpd) are sums over units that share their draws.
They are given the largest error that such a sum can have.

- **Integration over a grid** sums the posterior itself, without a sampler.
- **Importance sampling** weighs independent draws; its means have a small error too.
- **Closed form** is a formula.
- **Another sampler run** fits the same model, written anew with PyMC's own likelihood.
- **The book's R code** was run by K. Hench, whose [notes][hench] print its output.
  We did not run R.

Where a reason is given, ours is another model or another quantity, and is meant to differ.

[hench]: https://k-hench.github.io/statistical_explorations/
"""


def parity_page(stored: Path, lectures: list[Lecture]) -> str:
    """Return the page in Markdown: a table for each notebook."""
    with stored.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = [HEAD]
    for one in lectures:
        own = [row for row in rows if row["notebook"] == one.name]
        if not own:
            continue
        head = ["quantity", "from", "ours", "reference", "difference in errors"]
        body = [
            [escape(row["quantity"]), escape(row["source"]), *map(_with_error, *_pairs(row))]
            + [_difference(row)]
            for row in own
        ]
        reasons = dict.fromkeys(
            f"- {escape(row['quantity'])}: {escape(row['why'])}." for row in own if row["why"]
        )
        parts += [f"## {escape(one.title)}", table(head, body, right=3)]
        parts += ["Meant to differ:\n\n" + "\n".join(reasons)] if reasons else []
    return "\n\n".join(parts) + "\n"


def _pairs(row: dict[str, str]) -> tuple[list[float], list[float]]:
    values = [float(row["ours"]), float(row["reference"])]
    return values, [float(row["error"]), float(row["reference_error"])]


def _with_error(value: float, error: float) -> str:
    """Return a number with as many decimals as its error bears; without error, four."""
    digits = 4 if error == 0 else min(max(1 - math.floor(math.log10(error)), 0), 5)
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if error else "")


def _difference(row: dict[str, str]) -> str:
    (ours, reference), errors = _pairs(row)
    return f"{(ours - reference) / math.hypot(*errors):+.1f}"
