"""Estimates against exact values, in Monte Carlo standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy import stats

FAMILY_WISE = 0.001  # chance that any one of a family's comparisons fails by accident
SPREAD = (0.7, 1.4)  # of the z-scores: outside it, the Monte Carlo errors are wrong


def z_scores(
    record: Iterable[Mapping], name: str, exact: Mapping, variables: Iterable[str]
) -> np.ndarray:
    """(estimate - exact) / Monte Carlo error for each recorded entry of these variables."""
    rows = {r["variable"]: r for r in record if r["kind"] == "estimate" and r["name"] == name}
    scores = []
    for variable in variables:
        assert variable in rows, (
            f"the run record has no {variable!r} of {name!r}: the notebook no longer makes that "
            f"fit under that name; it has {sorted(rows)}"
        )
        row = rows[variable]
        scores.append((np.array(row["mean"]) - exact[variable]) / np.array(row["mcse"]))
    return np.concatenate([np.ravel(s) for s in scores])


def check(z: np.ndarray, what: str) -> None:
    """All within the bound that the number of comparisons implies, and of the right spread."""
    bound = stats.norm.isf(FAMILY_WISE / (2 * len(z)))
    worst = np.abs(z).max()
    spread = np.sqrt(np.mean(z**2))
    assert worst < bound, (
        f"{what}: a posterior mean is {worst:.1f} Monte Carlo errors from the exact value, the "
        f"bound for {len(z)} comparisons is {bound:.1f}. The sampler or the model is wrong."
    )
    # Few comparisons spread more by chance than many; many are correlated with each other.
    low, high = np.sqrt(stats.chi2.ppf([FAMILY_WISE / 2, 1 - FAMILY_WISE / 2], len(z)) / len(z))
    assert min(low, SPREAD[0]) < spread < max(high, SPREAD[1]), (
        f"{what}: the z-scores spread by {spread:.2f} instead of 1: the Monte Carlo errors are "
        "too small or too large."
    )
