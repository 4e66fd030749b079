"""The stored table of the page Parity is that of each run, and its numbers agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from publish.files import sources
from tests.parity import ours, read
from tests.standard_errors import FAMILY_WISE

ROWS = read()
# A lecture that is being written has no references yet.
STEMS = sorted({row.notebook for row in ROWS})


def test_each_row_belongs_to_a_notebook():
    assert set(STEMS) <= {source.stem for source in sources()}


def test_what_is_not_meant_to_differ_agrees():
    z = np.array([row.difference for row in ROWS if not row.why])
    bound = stats.norm.isf(FAMILY_WISE / (2 * len(z)))
    far = [row for row in ROWS if not row.why and abs(row.difference) > bound]
    assert not far, far
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.4, "the Monte Carlo errors are too small or too large"


@pytest.mark.parametrize(
    "stem", [pytest.param(s, marks=pytest.mark.notebook(s)) for s in STEMS if s[:3] != "12e"]
)
def test_the_run_says_what_the_table_says(stem, executed):
    """Within both errors, since another processor draws other last digits."""
    executed(stem)
    rows = [row for row in ROWS if row.notebook == stem]
    for row in rows:
        mean, error = ours(stem.split("-")[0], row.fit, row.quantity.split(": ")[-1])
        assert abs(mean - row.ours) < 5 * np.hypot(error, row.error), row
