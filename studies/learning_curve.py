"""The learning curve of 331 people: deep dive 12b computes it, lecture 12 shows it.

After a change of those cells, store the table again: .venv/bin/python -m studies.learning_curve
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import pandas as pd

from studies.pool import ROOT

SOURCE = ROOT / "notebooks" / "12b-What_Memory_Is_Worth.md"
TABLE = Path(__file__).with_name("learning-curve.csv")


def load() -> pd.DataFrame:
    """Load the stored learning curve.

    Returns
    -------
    pandas.DataFrame
        A row for each ``pooling`` ("complete", "partial", "no") and number of ``ratings`` seen of
        each person. ``trained_on`` and ``held_out``: mean log-probability of a rating, the person
        as unit. ``behind_partial`` and ``standard_error``: how much less of ``held_out`` than with
        partial pooling, and the paired standard error of that difference.

    Examples
    --------
    >>> load().query("ratings == 2")["pooling"].tolist()
    ['complete', 'partial', 'no']
    """
    return pd.read_csv(TABLE)


def compute(source: Path = SOURCE) -> pd.DataFrame:
    """Run the notebook's cells with the tag `study`; they make the table `curve`."""
    names: dict = {}
    for cell in jupytext.read(source, fmt="md:myst").cells:
        if "study" in cell.metadata.get("tags", []):
            exec(compile(cell.source, source.name, "exec"), names)
    return names["curve"]


if __name__ == "__main__":
    compute().round(5).to_csv(TABLE, index=False)
