"""The exact posterior of a school of classrooms, without a sampler.

Given the population (alpha_bar, sigma) the classrooms are independent, and what a classroom says
depends on its size N and on the number S who passed, on nothing else. So one table of integrals
over alpha, for each kind of classroom (N, S) and each population on a grid,

    m(N, S; alpha_bar, sigma) = integral Bin(S; N, invlogit(a)) Normal(a; alpha_bar, sigma) da,

serves all schools: the posterior of the population is its prior times a product of table entries,
and a classroom's estimate is the mean of its conditional estimates under that posterior. For
integrands as smooth as these the trapezoidal rule converges faster than any power of the step
(Trefethen and Weideman, 2014, SIAM Review 56(3), doi:10.1137/130932132).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.interpolate import make_interp_spline

from studies.schools import TAILS, School

ALPHA_BAR = np.linspace(-8, 8, 321)
LOG_SIGMA = np.linspace(np.log(1e-3), np.log(16), 166)
BATCH = 100  # schools at a time: bounds the memory


class SchoolGrid:
    """Exact posteriors of schools whose classrooms have given sizes.

    Making the tables takes seconds, a school's posterior milliseconds.

    Parameters
    ----------
    sizes : sequence of int
        The sizes that occur, in any order.

    Attributes
    ----------
    kinds : ndarray of int, shape (kind, 2)
        Size and number who passed.
    log_marginal, p, alpha : ndarray, shape (kind, population)
        Log-probability of the kind, without the binomial coefficient, and the means of its
        probability and of its log-odds, given the population.
    """

    def __init__(self, sizes: Sequence[int]):
        self.kinds = np.array([(n, s) for n in sorted(set(sizes)) for s in range(n + 1)])
        shape = len(self.kinds), len(ALPHA_BAR), len(LOG_SIGMA)
        log_marginal, p, alpha = (np.empty(shape) for _ in range(3))
        for k, sigma in enumerate(np.exp(LOG_SIGMA)):
            integrals = self._near(sigma) if sigma < 0.2 else self._far(sigma)
            total = integrals[0]
            log_marginal[:, :, k] = np.log(total)
            p[:, :, k], alpha[:, :, k] = integrals[1] / total, integrals[2] / total
        self.log_marginal, self.p, self.alpha = (
            table.reshape(len(self.kinds), -1) for table in (log_marginal, p, alpha)
        )

    def _likelihood(self, alpha: np.ndarray) -> np.ndarray:
        size, passed = self.kinds.T.astype(float)
        alpha = alpha[None]
        shape = (-1,) + (1,) * (alpha.ndim - 1)
        return np.exp(passed.reshape(shape) * alpha - size.reshape(shape) * np.logaddexp(0, alpha))

    def _near(self, sigma: float) -> list[np.ndarray]:
        """Integrate over a narrow population: nodes around each of its means."""
        z = np.arange(-28, 29) / 2  # wide: 35 who all passed pull by seven sigmas
        nodes = ALPHA_BAR[:, None] + sigma * z
        weights = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
        likelihood = self._likelihood(nodes)
        probability = 1 / (1 + np.exp(-nodes))
        return [
            likelihood @ weights,
            (likelihood * probability) @ weights,
            (likelihood * nodes) @ weights,
        ]

    def _far(self, sigma: float) -> list[np.ndarray]:
        """Integrate over a wide population: the same nodes for all its means."""
        reach = 4 + 8 * sigma
        nodes = np.arange(ALPHA_BAR[0] - reach, ALPHA_BAR[-1] + reach, 0.1)
        z = (nodes - ALPHA_BAR[:, None]) / sigma
        prior = np.exp(-(z**2) / 2)
        prior /= prior.sum(1, keepdims=True)
        likelihood = self._likelihood(nodes)
        probability = 1 / (1 + np.exp(-nodes))
        return [
            likelihood @ prior.T,
            (likelihood * probability) @ prior.T,
            (likelihood * nodes) @ prior.T,
        ]

    def posterior(self, schools: Sequence[School], *, rate: float = 1.0) -> xr.Dataset:
        """Summaries of the posteriors of schools with equally many classrooms.

        Parameters
        ----------
        schools : sequence of School
        rate : float
            Of the exponential prior of sigma.

        Returns
        -------
        xarray.Dataset
            ``p_mean`` (probability) and ``alpha_mean`` (log-odds) by school and classroom;
            ``alpha_bar_mean``, ``_sd``, ``_lower``, ``_upper`` and the same of ``sigma``, by
            school, log-odds; the bounds are those of the 89% ETI.

        Raises
        ------
        ValueError
            A classroom's size is not in the table.
        """
        kind = self._kinds(schools)
        batches = (kind[start : start + BATCH] for start in range(0, len(kind), BATCH))
        parts = [self._summaries(batch, self._weights(batch, rate), rate) for batch in batches]
        return xr.concat(parts, dim="school")

    def population(self, school: School, *, rate: float = 1.0) -> xr.DataArray:
        """Posterior mass of the population on the grid.

        Parameters
        ----------
        school : School
        rate : float
            Of the exponential prior of sigma.

        Returns
        -------
        xarray.DataArray
            Dimensions ``alpha_bar`` and ``sigma`` (log-odds), evenly spaced in the former and in
            the logarithm of the latter; sums to 1.

        Raises
        ------
        ValueError
            A classroom's size is not in the table.
        """
        mass = self._weights(self._kinds([school]), rate)
        return xr.DataArray(
            mass.reshape(len(ALPHA_BAR), len(LOG_SIGMA)),
            coords={"alpha_bar": ALPHA_BAR, "sigma": np.exp(LOG_SIGMA)},
        )

    def _kinds(self, schools: Sequence[School]) -> np.ndarray:
        """Row of the table for each classroom, shape (school, classroom)."""
        first = dict(zip(*np.unique(self.kinds[:, 0], return_index=True), strict=True))
        missing = {int(n) for school in schools for n in school.size} - set(first)
        if missing:
            raise ValueError(
                f"no table for classrooms of {min(missing)}; make SchoolGrid with all sizes."
            )
        return np.array([[first[n] for n in s.size] + s.passed for s in schools])

    def _weights(self, kind: np.ndarray, rate: float) -> np.ndarray:
        """Posterior mass of each population of the grid, shape (school, population)."""
        log_prior = _log_prior_of_sigma(rate)[0]
        log_prior = (-(ALPHA_BAR[:, None] ** 2) / (2 * 1.5**2) + log_prior).ravel()
        counts = np.stack([np.bincount(row, minlength=len(self.kinds)) for row in kind])
        weights = counts @ self.log_marginal + log_prior
        weights = np.exp(weights - weights.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def _summaries(self, kind: np.ndarray, weights: np.ndarray, rate: float) -> xr.Dataset:
        used = weights.max(0) > 1e-15  # few populations of the grid matter
        rows = np.arange(len(kind))[:, None]
        found = {
            "p_mean": (("school", "classroom"), (weights[:, used] @ self.p[:, used].T)[rows, kind]),
            "alpha_mean": (
                ("school", "classroom"),
                (weights[:, used] @ self.alpha[:, used].T)[rows, kind],
            ),
        }
        grid = weights.reshape(len(kind), len(ALPHA_BAR), len(LOG_SIGMA))
        for name, points, mass, below, back in (
            ("alpha_bar", ALPHA_BAR, grid.sum(2), 0.0, lambda x: x),
            ("sigma", LOG_SIGMA, grid.sum(1), _log_prior_of_sigma(rate)[1], np.exp),
        ):
            values = back(points)
            mean = mass @ values
            lower, upper = np.array([_quantiles(points, row, below) for row in mass]).T
            found |= {
                f"{name}_mean": ("school", mean),
                f"{name}_sd": ("school", np.sqrt(mass @ values**2 - mean**2)),
                f"{name}_lower": ("school", back(lower)),
                f"{name}_upper": ("school", back(upper)),
            }
        return xr.Dataset(found)


def _log_prior_of_sigma(rate: float) -> tuple[np.ndarray, float]:
    """Return the logarithm of sigma's prior mass at each point, and a share of the first.

    The points are even in log sigma, hence the factor sigma. All mass below the first point goes
    to that point, where sigma is as good as 0; the share is what this makes of the point's mass.
    """
    sigma = np.exp(LOG_SIGMA)
    mass = rate * sigma * (LOG_SIGMA[1] - LOG_SIGMA[0]) * np.exp(-rate * sigma)
    below = -np.expm1(-rate * sigma[0])
    mass[0] = below + mass[0] / 2
    with np.errstate(divide="ignore"):
        return np.log(mass), below / mass[0]


def _quantiles(points: np.ndarray, mass: np.ndarray, below: float) -> np.ndarray:
    """Quantiles at `TAILS`; of the first point's mass the share `below` lies at it or below."""
    density = mass / (points[1] - points[0])
    density[0] *= 2 * (1 - below)
    cumulative = make_interp_spline(points, density).antiderivative()
    fine = np.linspace(points[0], points[-1], 10 * len(points))
    reached = below * mass[0] + cumulative(fine) - cumulative(points[0])
    return np.interp(TAILS, np.maximum.accumulate(reached) / reached[-1], fine)
