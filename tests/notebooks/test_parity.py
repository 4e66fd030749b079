"""The stored table of the page Parity is that of each run, and its numbers agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from publish.files import sources
from tests.parity import ours, read
from tests.standard_errors import FAMILY_WISE

ROWS = read()
NUMBERS = [source.stem.split("-")[0] for source in sources()]


def test_every_notebook_is_compared():
    assert {row.notebook for row in ROWS} == set(NUMBERS)


def test_what_is_not_meant_to_differ_agrees():
    z = np.array([row.difference for row in ROWS if not row.why])
    bound = stats.norm.isf(FAMILY_WISE / (2 * len(z)))
    far = [row for row in ROWS if not row.why and abs(row.difference) > bound]
    assert not far, far
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.4, "the Monte Carlo errors are too small or too large"


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=pytest.mark.notebook(n)) for n in NUMBERS if n != "12e"]
)
def test_the_run_says_what_the_table_says(number, executed):
    """Within both errors, since another processor draws other last digits."""
    executed(number)
    rows = [row for row in ROWS if row.notebook == number]
    assert rows
    for row in rows:
        mean, error = ours(number, row.fit, row.quantity.split(": ")[-1])
        assert abs(mean - row.ours) < 5 * np.hypot(error, row.error), row
