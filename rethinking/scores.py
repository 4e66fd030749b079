"""Scores of a model for data that it has not seen, with each cluster integrated out."""

from __future__ import annotations

import warnings

import arviz as az
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import special
from scipy.interpolate import make_interp_spline

from rethinking import record
from rethinking.transforms import as_counts

_SPLINE_POINTS = 201  # error below 1e-8 for the range of a posterior (tests/test_scores.py)


def integrated_log_likelihood(
    successes: ArrayLike,
    trials: ArrayLike,
    mu: xr.DataArray,
    sigma: xr.DataArray | float,
    *,
    dim: str = "tank",
    n_nodes: int = 31,
) -> xr.DataArray:
    r"""Log-likelihood of binomial counts with the varying intercept of each integrated out.

    .. math:: \log \int \text{Binomial}(S_i \mid D_i, \text{logit}^{-1}(a))
              \, \text{Normal}(a \mid \mu, \sigma) \, da

    by Gauss-Hermite quadrature centred on the mode of the integrand and scaled by its
    curvature, for each draw (adaptive quadrature: Naylor and Smith 1982, Applied Statistics
    31:214-225). Nodes centred on the population fail where sigma is large and the counts
    speak loudly.

    Parameters
    ----------
    successes, trials : array_like of int, shape (n,)
        Counts along `dim`.
    mu : xarray.DataArray
        Draws of the population mean in log-odds, with or without `dim`.
    sigma : xarray.DataArray or float
        Draws of the population standard deviation in log-odds, or a fixed one, with or without
        `dim`.
    dim : str
        Name of the dimension of the observations.
    n_nodes : int
        Number of nodes; doubling it shows the error of the integral.

    Returns
    -------
    xarray.DataArray
        Dimensions of `mu` and `dim`; natural logarithm of a probability.

    Raises
    ------
    ValueError
        Counts outside 0 to trials; sigma not positive and finite.

    Examples
    --------
    >>> mu = xr.DataArray([0.0, 1.4], dims="draw")
    >>> integrated_log_likelihood([9, 10], [10, 10], mu, 1.5).round(2).values
    array([[-2.4 , -2.66],
           [-1.65, -1.43]])
    """
    s, n = as_counts(successes, trials)
    sigma = xr.DataArray(sigma)
    wrong = sigma.values[~((sigma > 0) & (sigma < np.inf)).values]
    if wrong.size:
        raise ValueError(f"The sigma must be positive and finite, not {wrong[0]:g}.")
    if dim not in (*mu.dims, *sigma.dims):  # tanks with the same counts share one integral
        pairs, which = np.unique(np.stack([s, n]), axis=1, return_inverse=True)
        if pairs.shape[1] < s.size:
            unique = integrated_log_likelihood(*pairs, mu, sigma, dim=dim, n_nodes=n_nodes)
            return unique.isel({dim: np.ravel(which)})
        if sigma.ndim == 0 and mu.size > 4 * _SPLINE_POINTS and mu.min() < mu.max():
            # a smooth function of mu alone: integrate on a grid, interpolate to the draws
            points = np.linspace(float(mu.min()), float(mu.max()), _SPLINE_POINTS)
            on_grid = integrated_log_likelihood(
                s, n, xr.DataArray(points, dims="mu"), sigma, dim=dim, n_nodes=n_nodes
            )
            spline = make_interp_spline(points, on_grid.transpose("mu", dim).values, k=5)
            return xr.DataArray(
                spline(mu.values), dims=(*mu.dims, dim), coords=mu.coords, name="log_likelihood"
            )
    counts = xr.Dataset({"s": (dim, s), "n": (dim, n)})
    if dim in mu.coords:
        counts = counts.assign_coords({dim: mu[dim]})
    mu_, sigma_, s_, n_ = xr.broadcast(mu, sigma, counts["s"], counts["n"])
    m, tau, s, n = mu_.values, sigma_.values**-2.0, s_.values, n_.values

    # Newton's method on a log-concave function, steps clipped to stay in reach
    mode = np.clip(np.log((s + 0.5) / (n - s + 0.5)), -4, 4) * (n > 0)
    weight = n * 0.2
    mode = (weight * mode + tau * m) / (weight + tau)
    for _ in range(50):
        p = special.expit(mode)
        step = (s - n * p - tau * (mode - m)) / (n * p * (1 - p) + tau)
        mode += np.clip(step, -1.5, 1.5)
        if np.abs(step).max() < 1e-8:
            break
    p = special.expit(mode)
    scale = (n * p * (1 - p) + tau) ** -0.5

    nodes, weights = special.roots_hermitenorm(n_nodes)
    # log sum exp over the nodes, one node at a time to keep memory at one array of draws
    total = np.zeros_like(mode)

    def log_integrand(a: np.ndarray) -> np.ndarray:
        softplus = np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
        return s * a - n * softplus - 0.5 * tau * (a - m) ** 2

    peak = log_integrand(mode)
    for node, w in zip(nodes, weights, strict=True):
        total += w * np.exp(log_integrand(mode + scale * node) - peak + 0.5 * node**2)
    choose = special.gammaln(n + 1) - special.gammaln(s + 1) - special.gammaln(n - s + 1)
    result = (
        choose + 0.5 * np.log(tau) + peak + np.log(scale) + np.log(total) - 0.5 * np.log(2 * np.pi)
    )
    return mu_.copy(data=result).rename("log_likelihood")


def mean_invlogit_normal(mu: xr.DataArray, sigma: xr.DataArray | float) -> xr.DataArray:
    r"""Mean survival of a new tank: the mean of ``invlogit(a)`` for ``a ~ Normal(mu, sigma)``.

    It is nearer to one half than ``invlogit(mu)``, which is the survival in the *median* tank.

    Parameters
    ----------
    mu : xarray.DataArray
        Population mean in log-odds, any shape.
    sigma : xarray.DataArray or float
        Population standard deviation in log-odds.

    Returns
    -------
    xarray.DataArray
        Probability, in the shape of ``mu`` and ``sigma`` together. Trapezoidal rule over eight
        standard deviations, whose error is below 1e-9 for sigma up to 10.

    Examples
    --------
    >>> float(mean_invlogit_normal(xr.DataArray(1.4), 1.5).round(3))  # invlogit(1.4) is 0.802
    0.731
    """
    mu, sigma = xr.broadcast(mu, xr.DataArray(sigma))
    z = np.linspace(-8, 8, 401)
    weights = np.exp(-0.5 * z**2)
    weights /= weights.sum()
    total = np.zeros(mu.shape)
    for node, weight in zip(z, weights, strict=True):
        total += weight * special.expit(mu.values + sigma.values * node)
    return mu.copy(data=total)


def leave_one_out(log_likelihood: xr.DataArray, *, name: str, recorded: bool = True) -> az.ELPDData:
    """PSIS leave-one-out score from pointwise log-likelihoods.

    Parameters
    ----------
    log_likelihood : xarray.DataArray
        Dimensions chain, draw and one of observations; natural logarithm.
    name : str
        Name of the score, for the record.
    recorded : bool
        Whether the run record keeps the score.

    Returns
    -------
    arviz.ELPDData
        Its `pareto_k` is to be looked at; ArviZ's warning of large values is not repeated.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27:1413-1432.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> mu = xr.DataArray(rng.normal(0.2, 0.6, size=(4, 200)), dims=("chain", "draw"))
    >>> y = xr.DataArray([-0.5, 0.2, 1.0], dims="obs")
    >>> log_likelihood = -0.5 * (y - mu) ** 2 - 0.5 * np.log(2 * np.pi)
    >>> round(float(leave_one_out(log_likelihood, name="three").elpd), 1)
    -4.3
    """
    (dim,) = (d for d in log_likelihood.dims if d not in ("chain", "draw"))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"draws": log_likelihood.isel({dim: 0}, drop=True)}),
            "log_likelihood": log_likelihood.to_dataset(name="y"),
            "observed_data": xr.Dataset(),
        }
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Estimated shape parameter of Pareto", category=UserWarning
        )
        score = az.loo(tree, pointwise=True, reff=1.0)
    if recorded and record.keeps_estimates():
        # p(y_i | y_-i) = 1 / E[1 / p(y_i | theta)]; its Monte Carlo error by the delta method
        inverse = np.exp(-(log_likelihood - log_likelihood.min(("chain", "draw"))))
        error = az.mcse(inverse) / inverse.mean(("chain", "draw"))
        record.line(
            "estimate",
            name=name,
            variable="elpd",
            mean=score.elpd_i.values.ravel().tolist(),
            mcse=error.values.ravel().tolist(),
        )
    return score


def paired_difference(a: az.ELPDData, b: az.ELPDData) -> tuple[float, float]:
    """Difference of two scores of the same observations, `a` minus `b`, and its standard error.

    Parameters
    ----------
    a, b : arviz.ELPDData
        With pointwise scores of the same observations in the same order.

    Returns
    -------
    difference, standard_error : float
        In log-likelihood units; the error is that of a sum over independent observations,
        ``sqrt(n * var(d_i))``, as in Vehtari, Gelman, Gabry (2017), equation 24.

    Raises
    ------
    ValueError
        Numbers of observations that differ.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> log_likelihood = xr.DataArray(rng.normal(size=(4, 200, 9)), dims=("chain", "draw", "obs"))
    >>> score = leave_one_out(log_likelihood, name="nine", recorded=False)
    >>> paired_difference(score, score)
    (0.0, 0.0)
    """
    first, second = np.ravel(a.elpd_i.values), np.ravel(b.elpd_i.values)
    if first.size != second.size:
        raise ValueError(
            f"Scores of {first.size} and of {second.size} observations cannot be paired. Score "
            "both models on the same ones."
        )
    d = first - second
    return float(d.sum()), float(np.sqrt(d.size * d.var(ddof=1)))
