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
    """Log-likelihood of binomial counts with the varying intercept of each integrated out.

    ``log(integral of Binomial(S[i] | D[i], invlogit(a)) Normal(a | mu, sigma) da)``, by
    Gauss-Hermite quadrature centred on the mode of the integrand and scaled by its
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
        Counts outside 0 to trials; sigma not positive and finite, mu not finite; observations or
        draws of different names.

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
    _check_finite("mu", mu)
    _check_names("successes", successes, "trials", trials, dim)
    for name, draws in (("mu", mu), ("sigma", sigma)):
        if draws.sizes.get(dim, s.size) != s.size:
            raise ValueError(
                f"There are {s.size} successes, but {name} has {draws.sizes[dim]} along {dim!r}."
                " Give one count for each."
            )
        _check_names("successes", successes, name, draws, dim)
    for shared in set(mu.dims) & set(sigma.dims):
        _check_names("mu", mu, "sigma", sigma, shared, order=False)
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


def _check_finite(name: str, values: xr.DataArray) -> None:
    """Refuse what is no number, by the name of its place."""
    bad = ~np.isfinite(values.values.astype(float))
    if bad.any():
        place = np.argwhere(bad)[0]
        value = float(values.values[tuple(place)])
        raise ValueError(
            f"The {name} must be finite, but {_place(values, place)} it is {value:g}"
            f" ({int(bad.sum())} of {bad.size} values are not finite). Look for its cause in the"
            " model or in the data."
        )


def _place(values: xr.DataArray, place: np.ndarray) -> str:
    """Return a place in words: "at chain 0, draw 3, tank B"."""
    named = [
        f"{dim} {values[dim].values[i] if dim in values.indexes else i}"
        for dim, i in zip(values.dims, place, strict=True)
    ]
    return f"at {', '.join(named)}" if named else "alone"


def _check_names(
    first: str, a: ArrayLike, second: str, b: ArrayLike, dim: str, *, order: bool = True
) -> None:
    """Refuse arrays whose coordinates of one dimension differ, in `order` too where that counts."""
    if not all(isinstance(each, xr.DataArray) and dim in each.indexes for each in (a, b)):
        return
    one, other = a.indexes[dim], b.indexes[dim]
    alone = one.symmetric_difference(other)
    if len(alone):
        raise ValueError(
            f"The {first} and the {second} are not of the same {dim}: only one of them has"
            f" {alone[0]}. Give both for the same {dim}."
        )
    if order and not one.equals(other):
        raise ValueError(
            f"The {first} and the {second} have {dim} in another order, the one from"
            f" {one[0]}, the other from {other[0]}. Sort the {first} first."
        )


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

    Raises
    ------
    ValueError
        A sigma that is negative or not finite; mu and sigma of different draws.

    Examples
    --------
    >>> float(mean_invlogit_normal(xr.DataArray(1.4), 1.5).round(3))  # invlogit(1.4) is 0.802
    0.731
    """
    sigma = xr.DataArray(sigma)
    wrong = sigma.values[~((sigma >= 0) & (sigma < np.inf)).values]
    if wrong.size:
        raise ValueError(f"The sigma must be finite and not below 0; it is {wrong[0]:g}.")
    for shared in set(mu.dims) & set(sigma.dims):
        _check_names("mu", mu, "sigma", sigma, shared, order=False)
    mu, sigma = xr.broadcast(mu, sigma)
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

    Raises
    ------
    ValueError
        Other dimensions; a value that is not finite; an observation whose log-likelihood is the
        same in all draws.

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
    dim = _observations(log_likelihood)
    _check_finite("log-likelihood", log_likelihood)
    constant = log_likelihood.max(("chain", "draw")) == log_likelihood.min(("chain", "draw"))
    for i in np.flatnonzero(constant)[:1]:
        raise ValueError(
            f"The log-likelihood {_place(constant, [i])} is the same in all draws,"
            f" {float(log_likelihood.isel({dim: i}).values.flat[0]):g}, so nothing can be left out"
            f" ({int(constant.sum())} of {constant.size} observations). Give that of each draw, and"
            " leave out observations that say nothing of the parameters."
        )
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"draws": log_likelihood.isel({dim: 0}, drop=True)}),
            "log_likelihood": log_likelihood.to_dataset(name="y"),
        }
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Estimated shape parameter of Pareto", category=UserWarning
        )
        try:
            score = az.loo(tree, pointwise=True, reff=1.0)
        except ValueError as error:
            if "tail values" not in str(error):
                raise
            raise ValueError(
                "The log-likelihood of an observation takes too few different values for a score:"
                " its smallest ones are all the same. Give the log-likelihood of more draws."
            ) from None
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


def _observations(log_likelihood: xr.DataArray) -> str:
    """Return the name of the one dimension that is neither chain nor draw."""
    dims = log_likelihood.dims
    others = [dim for dim in dims if dim not in ("chain", "draw")]
    if {"chain", "draw"} <= set(dims) and len(others) == 1:
        return others[0]
    has = f"has the dimensions {', '.join(map(repr, dims)) or 'of a single number'}"
    if len(others) > 1:
        listed = ", ".join(map(repr, others))
        remedy = (
            f"With .stack(obs=({listed})) each of these pairs is left out alone; a sum over one of"
            " them leaves out all of its values together."
        )
    else:
        remedy = "Give 'chain', 'draw' and the observations."
    raise ValueError(
        f"The log-likelihood {has}; a score needs 'chain', 'draw' and one of observations. {remedy}"
    )


def paired_difference(a: az.ELPDData, b: az.ELPDData) -> tuple[float, float]:
    """Difference of two scores of the same observations, `a` minus `b`, and its standard error.

    Parameters
    ----------
    a, b : arviz.ELPDData
        With pointwise scores of the same observations. Where both have coordinates, they are
        paired by these, whatever their order; else by their position.

    Returns
    -------
    difference, standard_error : float
        In log-likelihood units; the error is that of a sum over independent observations,
        ``sqrt(n * var(d_i))``, as in Vehtari, Gelman, Gabry (2017), equation 24.

    Raises
    ------
    ValueError
        Observations that differ in number or in name, or only one of them; a score that is not
        finite or not pointwise; scores on different scales.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> log_likelihood = xr.DataArray(rng.normal(size=(4, 200, 9)), dims=("chain", "draw", "obs"))
    >>> score = leave_one_out(log_likelihood, name="nine", recorded=False)
    >>> paired_difference(score, score)
    (0.0, 0.0)
    """
    for score in (a, b):
        if score.elpd_i is None:
            raise ValueError("A score is not pointwise. Compute it with pointwise=True.")
    if a.scale != b.scale:
        raise ValueError(
            f"The one score is on the scale {a.scale!r}, the other on {b.scale!r}. Compute both on"
            " the same scale."
        )
    first, second = (_as_array(score.elpd_i) for score in (a, b))
    if first.size != second.size:
        raise ValueError(
            f"Scores of {first.size} and of {second.size} observations cannot be paired. Score "
            "both models on the same ones."
        )
    if set(first.dims) != set(second.dims):
        raise ValueError(
            f"The one score is of {', '.join(map(repr, first.dims))}, the other of"
            f" {', '.join(map(repr, second.dims))}. Score both models on the same observations, and"
            " call these the same."
        )
    for dim in first.dims:
        _check_names("scores a", first, "scores b", second, dim, order=False)
        if dim in first.indexes and dim in second.indexes:
            here, there = first.indexes[dim], second.indexes[dim]
            if not here.equals(there):
                if not (here.is_unique and there.is_unique):
                    twice = [*here[here.duplicated()], *there[there.duplicated()]][0]
                    raise ValueError(
                        f"Two observations are both called {twice} along {dim!r}, so scores in"
                        " another order cannot be paired. Give each a name of its own."
                    )
                second = second.isel({dim: there.get_indexer(here)})
    for score in (first, second):
        _check_finite("pointwise score", score)
    if first.size == 1:
        raise ValueError(
            "A single observation has no standard error. Score both models on two or more."
        )
    d = np.ravel(first.values) - np.ravel(second.transpose(*first.dims).values)
    return float(d.sum()), float(np.sqrt(d.size * d.var(ddof=1)))


def _as_array(pointwise: xr.DataArray | np.ndarray) -> xr.DataArray:
    """Return pointwise scores with dimensions; NumPy's have no coordinates."""
    if isinstance(pointwise, xr.DataArray):
        return pointwise
    return xr.DataArray(np.ravel(pointwise), dims="observation")
