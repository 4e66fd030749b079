"""Likelihood of two counts of each cluster, with its intercept and its slope integrated out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import special

from rethinking.transforms import as_counts


def integrated_pair_log_likelihood(
    successes: ArrayLike,
    trials: ArrayLike,
    alpha_bar: xr.DataArray | float,
    beta_bar: xr.DataArray | float,
    sigma: xr.DataArray | float,
    tau: xr.DataArray | float,
    rho: xr.DataArray | float = 0.0,
    *,
    dim: str = "district",
    n_nodes: int = 9,
) -> xr.DataArray:
    r"""Log-likelihood of each cluster, its intercept and its slope integrated out.

    A cluster has two counts: of those without a feature (its villages, say), with the log-odds
    ``alpha``, and of those with it (its towns), with ``alpha + beta``. The pair ``(alpha, beta)``
    is normal with the means `alpha_bar` and `beta_bar`, the standard deviations `sigma` and
    `tau`, and the correlation `rho`. Clusters are independent given these five.

    Four models are special cases: no feature (``beta_bar = tau = 0``), one effect for all
    (``tau = 0``), slopes that vary (``rho = 0`` or not), and two rates that know nothing of each
    other, with means ``a, b`` and standard deviations ``s, t``: ``beta_bar = b - a``,
    ``sigma = s``, ``tau = sqrt(s**2 + t**2)``, ``rho = -s / tau``.

    Parameters
    ----------
    successes, trials : array_like of int, shape (n, 2)
        Counts of each cluster: without the feature, with it. A pair may be 0 of 0.
    alpha_bar, beta_bar, sigma, tau, rho : xarray.DataArray or float
        Draws of the population's parameters, in log-odds, without `dim`. `sigma` and `tau` are
        not negative, and `rho` is between -1 and 1, both allowed.
    dim : str
        Name of the dimension of the clusters; their coordinate is that of `successes`, if it is
        an xarray.DataArray.
    n_nodes : int
        Number of nodes in each of the two directions; more of them show the error of the integral.

    Returns
    -------
    xarray.DataArray
        Dimensions of the draws and `dim`; natural logarithm of a probability.

    Raises
    ------
    ValueError
        Counts outside 0 to trials or not in pairs; parameters outside their range; draws of
        different coordinates.

    Notes
    -----
    Gauss-Hermite quadrature in two standardized directions, centred on the mode of each
    cluster's integrand and scaled by its curvature, for each draw (adaptive quadrature: Naylor
    and Smith 1982, Applied Statistics 31:214-225).

    Examples
    --------
    >>> alpha_bar = xr.DataArray([-0.7, -0.5], dims="draw")
    >>> counts = [[12, 10], [0, 2]], [[20, 15], [0, 2]]
    >>> integrated_pair_log_likelihood(*counts, alpha_bar, 0.6, 0.5, 0.7).round(2).values
    array([[-5.57, -1.33],
           [-5.11, -1.18]])
    """
    columns = [np.asarray(each) for each in (successes, trials)]
    if any(each.ndim != 2 or each.shape[1] != 2 for each in columns):
        shapes = " and ".join(str(each.shape) for each in columns)
        raise ValueError(
            f"Successes and trials must have two columns, without the feature and with it, not the"
            f" shapes {shapes}. Give one row a cluster."
        )
    s, n = (each.reshape(-1, 2) for each in as_counts(*(each.ravel() for each in columns)))
    parameters = xr.broadcast(
        *xr.align(
            *(xr.DataArray(each) for each in (alpha_bar, beta_bar, sigma, tau, rho)), join="exact"
        )
    )
    draws = parameters[0]
    if dim in draws.dims:
        raise ValueError(
            f"The parameters have the dimension {dim!r}; give those of the population, without it."
        )
    a, b, sd, slope_sd, r = (each.values.reshape(-1, 1).astype(float) for each in parameters)
    for name, wrong in (
        ("alpha_bar and beta_bar must be finite", ~np.isfinite(a + b)),
        ("sigma must be finite and not below 0", ~((sd >= 0) & (sd < np.inf))),
        ("tau must be finite and not below 0", ~((slope_sd >= 0) & (slope_sd < np.inf))),
        ("rho must be between -1 and 1", ~(abs(r) <= 1)),
    ):
        if wrong.any():
            raise ValueError(f"The {name}; in {int(wrong.sum())} of {wrong.size} draws it is not.")
    cells, which = np.unique(np.hstack([s, n]), axis=0, return_inverse=True)
    found = _integrate(
        cells.T, (a, a + b), (sd, sd + slope_sd * r, slope_sd * np.sqrt(1 - r**2)), n_nodes
    )
    values = found[:, np.ravel(which)].reshape(*draws.shape, len(s))
    result = xr.DataArray(values, dims=(*draws.dims, dim), coords=draws.coords)
    if isinstance(successes, xr.DataArray) and dim in successes.coords:
        result = result.assign_coords({dim: successes[dim]})
    return result.rename("log_likelihood")


def _integrate(
    cells: np.ndarray, means: tuple[np.ndarray, ...], factor: tuple[np.ndarray, ...], n_nodes: int
) -> np.ndarray:
    """Integrate over two independent standard normals, for each draw (row) and cluster (column).

    The log-odds are ``mean_0 + f_00 z_0`` and ``mean_1 + f_10 z_0 + f_11 z_1``, so that no
    standard deviation is ever divided by: it may be 0.
    """
    s0, s1, n0, n1 = cells[:, None, :]
    f00, f10, f11 = factor

    def log_odds(z0: np.ndarray, z1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return means[0] + f00 * z0, means[1] + f10 * z0 + f11 * z1

    def log_integrand(z0: np.ndarray, z1: np.ndarray) -> np.ndarray:
        x, y = log_odds(z0, z1)
        return s0 * x + s1 * y - n0 * _softplus(x) - n1 * _softplus(y) - 0.5 * (z0**2 + z1**2)

    z0, z1 = np.zeros((2, len(f00), cells.shape[1]))
    for _ in range(100):  # Newton's method on a log-concave function, steps clipped
        p, q = map(special.expit, log_odds(z0, z1))
        g, h = s0 - n0 * p, s1 - n1 * q
        v, w = n0 * p * (1 - p), n1 * q * (1 - q)
        a = 1 + f00**2 * v + f10**2 * w  # curvature: a c / c d
        c, d = f10 * f11 * w, 1 + f11**2 * w
        slope_0, slope_1 = f00 * g + f10 * h - z0, f11 * h - z1
        determinant = a * d - c**2
        step_0 = np.clip((d * slope_0 - c * slope_1) / determinant, -1, 1)
        step_1 = np.clip((a * slope_1 - c * slope_0) / determinant, -1, 1)
        z0, z1 = z0 + step_0, z1 + step_1
        if max(np.abs(step_0).max(), np.abs(step_1).max()) < 1e-8:
            break
    root_a = np.sqrt(a)
    root_d = np.sqrt(d - c**2 / a)

    nodes, weights = special.roots_hermitenorm(n_nodes)
    peak = log_integrand(z0, z1)
    total = np.zeros_like(peak)
    for x1, w1 in zip(nodes, weights, strict=True):
        out_1 = x1 / root_d
        for x0, w0 in zip(nodes, weights, strict=True):
            out_0 = (x0 - c / root_a * out_1) / root_a
            rise = log_integrand(z0 + out_0, z1 + out_1) - peak + 0.5 * (x0**2 + x1**2)
            total += w0 * w1 * np.exp(rise)
    choose = sum(
        special.gammaln(k + 1) - special.gammaln(i + 1) - special.gammaln(k - i + 1)
        for i, k in ((s0, n0), (s1, n1))
    )
    return choose + peak + np.log(total / (root_a * root_d)) - np.log(2 * np.pi)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
