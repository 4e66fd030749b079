"""Simulation-based calibration: whether the ranks of the truth are uniform."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit

#: Simulated uniform samples that leave a band, of all that its width is taken from.
BAND_OUTSIDE = 20


def pit_values(
    result: xr.Dataset, *, ranks: int, rng: np.random.Generator, classrooms: Mapping[str, int]
) -> xr.Dataset:
    """Turn ranks of the truth into values that are uniform if the posterior is right.

    If truth and data come from the model, the number of independent posterior draws below the
    truth is uniform on 0 to `ranks` (Talts et al., 2018, arXiv:1804.06788), whatever the quantity;
    also for one that depends on the data, like the log-likelihood (Modrák et al., 2025, Bayesian
    Analysis 20(2), doi:10.1214/23-BA1404). A whole number becomes a real one by a random fraction.

    Parameters
    ----------
    result : xarray.Dataset
        Of `fit_schools` with `ranks`.
    ranks : int
        As given there.
    rng : numpy.random.Generator
    classrooms : mapping of str to int
        Which classrooms' log-odds to look at: name and position of each.

    Returns
    -------
    xarray.Dataset
        For `alpha_bar`, `sigma`, the named classrooms and the log-likelihood: values in 0 to 1,
        with ArviZ's dimensions ``chain`` (one) and ``draw`` (a school each).
    """
    counts = {name: result[f"rank_{name}"] for name in ("alpha_bar", "sigma")}
    counts |= {
        name: result["rank_alpha"].isel(classroom=position) for name, position in classrooms.items()
    }
    counts["log_likelihood"] = result["rank_log_likelihood"]
    values = {
        name: (("chain", "draw"), (count.to_numpy()[None] + rng.uniform(size=(1, count.size))))
        for name, count in counts.items()
    }
    return xr.Dataset(values) / (ranks + 1)


def calibration_table(pit: xr.Dataset, *, prob: float = 0.95) -> pd.DataFrame:
    """Compare the distribution of each quantity's PIT values with the uniform one.

    Parameters
    ----------
    pit : xarray.Dataset
        Of `pit_values`.
    prob : float
        Probability that a right model stays within the bands of all quantities (Bonferroni).

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity. ``distance``: largest distance between the ECDF and the uniform
        distribution; ``outside``: largest distance beyond the simultaneous band of Säilynoja et
        al. (2022, doi:10.1007/s11222-022-10090-6), 0 if it stays within; ``p``: of ArviZ's test
        of uniformity ``pot_c``; ``calibrated``: within the band.
    """
    points, lower, upper = _band(pit, prob)
    rows = {}
    for name, values in pit.data_vars.items():
        ecdf = (values.to_numpy().ravel() <= points[:, None]).mean(1)
        outside = max(0.0, float((ecdf - upper).max()), float((lower - ecdf).max()))
        p, *_ = values.azstats.uniformity_test(dim=["chain", "draw"], method="pot_c")
        rows[name] = {
            "distance": float(np.abs(ecdf - points).max()),
            "outside": outside,
            "p": float(p),
            "calibrated": outside == 0,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


@cache
def _band_of(n: int, prob: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points, _, lower, upper = ecdf_pit(
        np.zeros(n), prob, n_simulations=round(BAND_OUTSIDE / (1 - prob))
    )
    return points, lower, upper


def _band(pit: xr.Dataset, prob: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points in 0 to 1 and the band's ends there; they depend on the number of values."""
    n = pit.sizes["chain"] * pit.sizes["draw"]
    return _band_of(n, 1 - (1 - prob) / len(pit.data_vars))


def plot_calibration(pit: xr.Dataset, *, prob: float = 0.95, **options) -> az.PlotCollection:
    """Draw the ECDFs of `calibration_table` less the uniform distribution, with their bands.

    Parameters
    ----------
    pit, prob
        See `calibration_table`.
    **options
        Of `arviz.plot_ecdf_pit`.

    Returns
    -------
    arviz.PlotCollection
    """
    # ArviZ 1.3 cannot draw its own band (method="envelope" ends in a TypeError)
    figure = az.plot_ecdf_pit(xr.DataTree.from_dict({"prior_sbc": pit}), **options)
    points, lower, upper = _band(pit, prob)
    farthest = max(calibration_table(pit, prob=prob)["distance"].max(), (upper - points).max())
    for name in pit.data_vars:
        ax = figure.get_target(name, {})
        ax.fill_between(
            points, lower - points, upper - points, color="0.75", alpha=0.6, linewidth=0, zorder=0
        )
        ax.set(ylim=(-1.15 * farthest, 1.15 * farthest), xlabel="rank of the truth")
    return figure
