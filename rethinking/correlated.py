"""Two features of a cluster at once: ellipses, and what one feature teaches about the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def ellipse(
    mean: ArrayLike, cov: ArrayLike, mass: float = 0.89, *, points: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Outline of the ellipse that holds a share of a two-dimensional Normal.

    In two dimensions the squared radius, in standard deviations, is ``-2 log(1 - mass)``: 2.10
    for 89 percent. The quantile of a Normal in one dimension, 1.23, gives an ellipse that holds
    53 percent.

    Parameters
    ----------
    mean : array_like of float, shape (2,)
    cov : array_like of float, shape (2, 2)
        Covariance, symmetric, without a negative eigenvalue.
    mass : float
        Share of the distribution inside, between 0 and 1.
    points : int
        Length of the outline.

    Returns
    -------
    x, y : numpy.ndarray, shape (points,)

    Raises
    ------
    ValueError
        The mass is not between 0 and 1, or the covariance is none.

    Examples
    --------
    >>> x, y = ellipse([0, 0], np.eye(2), 0.89)
    >>> float(np.hypot(x, y).max().round(2))
    2.1
    """
    if not 0 < mass < 1:
        raise ValueError(f"The mass must be between 0 and 1, not {mass}.")
    mean, cov = np.asarray(mean, float), np.asarray(cov, float)
    if cov.shape != (2, 2) or not np.allclose(cov, cov.T):
        raise ValueError("The covariance must be a symmetric matrix of two rows and two columns.")
    values, axes = np.linalg.eigh(cov)
    if not values.min() >= -1e-12 * max(values.max(), 1e-300):
        raise ValueError(f"The covariance has a negative eigenvalue, {values.min():g}.")
    turn = np.linspace(0, 2 * np.pi, points)
    radius = np.sqrt(-2 * np.log1p(-mass))
    circle = radius * np.stack([np.cos(turn), np.sin(turn)])
    x, y = mean[:, None] + axes @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)
    return x, y


@dataclass(frozen=True)
class Arrival:
    """What is known when some departments have arrived: exact posterior means and covariances.

    Attributes
    ----------
    population_mean, population_cov : numpy.ndarray, shapes (2,), (2, 2)
        Posterior means of the population's means and of its covariance.
    rho, rho_sd : float
        Posterior mean and standard deviation of the correlation.
    means, covs : numpy.ndarray, shapes (n, 2), (n, 2, 2)
        Posterior mean and covariance of the two features of each department that has arrived.
    """

    population_mean: np.ndarray
    population_cov: np.ndarray
    rho: float
    rho_sd: float
    means: np.ndarray
    covs: np.ndarray


def arrivals(
    measured: ArrayLike, error: float, *, correlated: bool = True, counts: Sequence[int] = ()
) -> list[Arrival]:
    """Posteriors as departments arrive one after the other, each measured with a known error.

    A department has two features, which come from a Normal population. Its prior: both means
    Normal(0, 1), both standard deviations Exponential(1), and any correlation as likely as any
    other (or zero, without `correlated`). Given these three, everything is Normal and in closed
    form; they are summed over a grid.

    Parameters
    ----------
    measured : array_like of float, shape (n, 2)
        The measured features of each department, in the order in which they arrive; NaN where a
        feature was not measured.
    error : float
        Standard deviation of a measurement, above 0.
    correlated : bool
        Whether the correlation is learnt. Otherwise it is zero.
    counts : sequence of int
        After how many departments to look; by default from none to all.

    Returns
    -------
    list of Arrival
        One for each of `counts`.

    Raises
    ------
    ValueError
        Another shape, or an error that is not above 0.

    Examples
    --------
    >>> first, second = arrivals([[1.0, 1.2], [-0.5, np.nan]], 0.3, counts=[1, 2])
    >>> second.means.round(1)
    array([[ 0.9,  1.1],
           [-0.4,  0.6]])
    """
    measured = np.asarray(measured, float)
    if measured.ndim != 2 or measured.shape[1] != 2:
        raise ValueError(
            f"There must be two features a department, not a shape of {measured.shape}."
        )
    if not error > 0:
        raise ValueError(f"The error must be above 0, not {error}.")
    cov, rho, log_prior = _population_grid(correlated)
    mean, spread = np.zeros((len(cov), 2)), np.broadcast_to(np.eye(2), cov.shape)
    log_weight, gains = log_prior, []
    found = {0: _look(mean, spread, cov, rho, log_weight, gains)}
    for number, values in enumerate(measured, start=1):
        # What was not measured is measured with an error beyond all bounds.
        seen = np.isfinite(values)
        noise = np.diag(np.where(seen, error**2, 1e8))
        gain = cov @ np.linalg.inv(cov + noise)
        values = np.where(seen, values, 0.0)
        ahead = spread + cov + noise
        off = values - mean
        log_weight = log_weight - 0.5 * (
            np.linalg.slogdet(ahead)[1]
            + np.einsum("gi,gi->g", off, np.linalg.solve(ahead, off[..., None])[..., 0])
        )
        step = spread @ np.linalg.inv(ahead)
        mean = mean + np.einsum("gij,gj->gi", step, off)
        spread = spread - step @ spread
        gains.append((gain, values))
        if not counts or number in counts:
            found[number] = _look(mean, spread, cov, rho, log_weight, gains)
    return [found[count] for count in counts or range(len(measured) + 1)]


def _population_grid(correlated: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances of the population, their correlations, and logarithms of their prior weights."""
    sd = np.exp(np.linspace(np.log(0.05), np.log(6), 20))
    rho = np.linspace(-0.99, 0.99, 35) if correlated else np.zeros(1)
    first, second, rho = (each.ravel() for each in np.meshgrid(sd, sd, rho, indexing="ij"))
    cov = np.empty((len(rho), 2, 2))
    cov[:, 0, 0], cov[:, 1, 1] = first**2, second**2
    cov[:, 0, 1] = cov[:, 1, 0] = rho * first * second
    # Exponential(1), on a grid that is even in the logarithm
    return cov, rho, np.log(first * second) - first - second


def _look(
    mean: np.ndarray,
    spread: np.ndarray,
    cov: np.ndarray,
    rho: np.ndarray,
    log_weight: np.ndarray,
    gains: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Arrival:
    """Sum over the grid: means, and by the law of total covariance, covariances."""
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    means, covs = np.empty((len(gains), 2)), np.empty((len(gains), 2, 2))
    for i, (gain, values) in enumerate(gains):
        keep = np.eye(2) - gain
        each = np.einsum("gij,gj->gi", keep, mean) + gain @ values
        within = keep @ cov + keep @ spread @ keep.transpose(0, 2, 1)
        means[i] = weight @ each
        off = each - means[i]
        covs[i] = np.einsum("g,gij->ij", weight, within) + np.einsum(
            "g,gi,gj->ij", weight, off, off
        )
    rho_mean = float(weight @ rho)
    return Arrival(
        weight @ mean,
        np.einsum("g,gij->ij", weight, cov),
        rho_mean,
        float(np.sqrt(max(weight @ rho**2 - rho_mean**2, 0.0))),
        means,
        covs,
    )
