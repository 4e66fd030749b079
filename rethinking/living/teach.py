"""A living figure: departments arrive, and one feature teaches about the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rethinking.correlated import Arrival
from rethinking.living import _show_living


def feature_teacher(
    measured: ArrayLike,
    learnt: Sequence[Arrival],
    zero: Sequence[Arrival],
    *,
    features: tuple[str, str],
) -> None:
    """Show a living figure: a slider over how many departments have arrived.

    It shows the ellipse of the population and that of each department, with the correlation
    learnt or taken as zero. It needs no kernel, only a page that runs scripts; the still figure
    that a cell shows before it stands for it elsewhere.

    Parameters
    ----------
    measured : array_like of float, shape (n, 2)
        As given to `rethinking.correlated.arrivals`; NaN where a feature was not measured.
    learnt, zero : sequence of Arrival
        What `arrivals` returned from none to all n departments, with the correlation learnt and
        with ``correlated=False``.
    features : tuple of str
        Names of the two features.

    Raises
    ------
    ValueError
        Lengths differ.

    Examples
    --------
    >>> from rethinking.correlated import arrivals
    >>> measured = [[1.0, 1.2], [-0.5, float("nan")]]
    >>> both = [arrivals(measured, 0.3, correlated=kind) for kind in (True, False)]
    >>> feature_teacher(measured, *both, features=("rate of men", "rate of women"))
    A slider over departments that arrive, where scripts run.
    """
    measured = np.asarray(measured, float)
    for name, steps in (("learnt", learnt), ("zero", zero)):
        if [len(step.means) for step in steps] != list(range(len(measured) + 1)):
            raise ValueError(
                f"The argument {name} must hold one step for each number of departments from 0 to"
                f" {len(measured)}; call arrivals without counts."
            )

    def rounded(values: ArrayLike) -> list:
        return (np.round(np.asarray(values, float), 3) + 0.0).tolist()

    def packed(step: Arrival) -> dict:
        upper = ([0, 0, 1], [0, 1, 1])
        return {
            "mean": rounded(step.population_mean),
            "cov": rounded(step.population_cov[upper]),
            "rho": rounded([step.rho, step.rho_sd]),
            "means": rounded(step.means),
            "covs": [rounded(cov[upper]) for cov in step.covs],
        }

    data = {
        "features": list(features),
        "measured": [
            [round(float(v), 3) if np.isfinite(v) else None for v in row] for row in measured
        ],
        "learnt": [packed(step) for step in learnt],
        "zero": [packed(step) for step in zero],
    }
    _show_living("teach", data, "A slider over departments that arrive, where scripts run.")
