"""Many schools of classrooms: simulated, fitted, summarized.

The deep dive 12e asks of a thousand schools what an essay said of one. A school is a set of
classrooms; in each, some of the students pass an exam:

    S[i] ~ Binomial(N[i], p[i]),  logit(p[i]) = alpha[i],
    alpha[j] ~ Normal(alpha_bar, sigma),  alpha_bar ~ Normal(0, 1.5),  sigma ~ Exponential(1).

`fit_school` is what runs in the worker processes. It lives here and not in a notebook because a
worker has to import it. A compiled model cannot be sent to another process, and new data cannot
give a parameter another length; so each process compiles once for each number of classrooms and
each form of the model, and takes new data from then on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import ArrayLike

from rethinking import record
from rethinking.diagnostics import diagnostics
from rethinking.sampling import CompiledModel
from rethinking.transforms import invlogit
from studies.pool import fit_judged, process_pool, run_all

__all__ = ["process_pool"]  # for notebooks, beside what is defined here
#: Mass of all intervals: equal-tailed.
PROB = 0.89
TAILS = ((1 - PROB) / 2, (1 + PROB) / 2)

# --- 1. A school ------------------------------------------------------------------------------


@dataclass(frozen=True)
class School:
    """One simulated school.

    Attributes
    ----------
    size, passed : ndarray of int, shape (classroom,)
        Students, and how many of them passed.
    alpha : ndarray, shape (classroom,)
        True log-odds of passing.
    alpha_bar, sigma : float
        Mean and standard deviation of the population of classrooms, log-odds.
    """

    size: np.ndarray
    passed: np.ndarray
    alpha: np.ndarray
    alpha_bar: float
    sigma: float


def simulate_school(
    size: ArrayLike, *, alpha_bar: float, sigma: float, rng: np.random.Generator
) -> School:
    """Draw a school: the classrooms' log-odds from their population, then who passes.

    Parameters
    ----------
    size : array_like of int, shape (classroom,)
        Students in each classroom, at least one.
    alpha_bar, sigma : float
        Population of the classrooms' log-odds.
    rng : numpy.random.Generator

    Returns
    -------
    School

    Raises
    ------
    ValueError
        No classroom, an empty one, or a negative sigma.
    """
    size = np.asarray(size)
    if size.ndim != 1 or not size.size or not (size >= 1).all():
        raise ValueError("size must name at least one classroom, each with a student or more.")
    if not sigma >= 0:
        raise ValueError(f"sigma is {sigma:g}; a standard deviation is not negative.")
    alpha = rng.normal(alpha_bar, sigma, size=size.shape)
    passed = rng.binomial(size, invlogit(alpha))
    return School(size, passed, alpha, float(alpha_bar), float(sigma))


def simulate_schools(
    n: int,
    size: ArrayLike,
    *,
    random_seed: int,
    alpha_bar: float | None = None,
    sigma: float | None = None,
) -> list[School]:
    """Draw many schools, each from a generator of its own.

    School k is the same whatever `n` is. Its random numbers are also the same for other values
    of `alpha_bar` and `sigma`, so that a comparison across these is one of pairs.

    Parameters
    ----------
    n : int
    size : array_like of int, shape (classroom,)
    random_seed : int
    alpha_bar, sigma : float, optional
        Without a value, each school draws its own from the model's prior.

    Returns
    -------
    list of School
    """
    schools = []
    for number in range(n):
        rng = np.random.default_rng(np.random.SeedSequence(random_seed, spawn_key=(number,)))
        own_alpha_bar, own_sigma = rng.normal(0, 1.5), rng.exponential(1)
        schools.append(
            simulate_school(
                size,
                alpha_bar=own_alpha_bar if alpha_bar is None else alpha_bar,
                sigma=own_sigma if sigma is None else sigma,
                rng=rng,
            )
        )
    return schools


def school_model(n_classrooms: int, *, centred: bool) -> pm.Model:
    """Partial pooling of a school's classrooms, with its data and a prior open to change.

    The likelihood leaves out the binomial coefficients: they hold no parameter, and with open data
    they would be computed anew at each gradient, which makes it three times slower.

    Parameters
    ----------
    n_classrooms : int
    centred : bool
        ``alpha`` itself is sampled (good where the data say much), or its standardized distance
        ``z`` from `alpha_bar` (good where they say little).

    Returns
    -------
    pymc.Model
        Data ``students``, ``successes`` and ``rate`` (of sigma's exponential prior); all other
        names as in the formula above, and ``log_likelihood`` (without the coefficients).
    """
    with pm.Model(coords={"classroom": np.arange(n_classrooms)}) as model:
        rate = pm.Data("rate", 1.0)
        students = pm.Data("students", np.full(n_classrooms, 2.0), dims="classroom")
        successes = pm.Data("successes", np.full(n_classrooms, 1.0), dims="classroom")
        sigma = pm.Exponential("sigma", rate)
        alpha_bar = pm.Normal("alpha_bar", 0, 1.5)
        if centred:
            alpha = pm.Normal("alpha", alpha_bar, sigma, dims="classroom")
        else:
            z = pm.Normal("z", dims="classroom")
            alpha = pm.Deterministic("alpha", alpha_bar + sigma * z, dims="classroom")
        pm.Potential("S", (successes * alpha - students * pt.softplus(alpha)).sum())
    return model


# --- 2. One fit: what runs in a worker --------------------------------------------------------


@dataclass(frozen=True)
class Sampling:
    """How a school is sampled: four chains, each of `tune` and `draws`."""

    centred: bool = True
    tune: int = 300
    draws: int = 1000
    target_accept: float = 0.8

    def attempts(self) -> list[dict[str, Any]]:
        """Return options of `CompiledModel.draw`: these, and longer with smaller steps."""
        own = {"tune": self.tune, "draws": self.draws, "target_accept": self.target_accept}
        stricter = {"tune": 1500, "draws": 4000, "target_accept": 0.99}
        return [how | {"cores": 1} for how in (own, stricter)]  # the processes have the cores


DEFAULT = Sampling()
_compiled: dict[tuple[int, bool], CompiledModel] = {}
_compiling = threading.Lock()


def _compiled_for(n_classrooms: int, centred: bool) -> CompiledModel:
    """Return this process's compiled model; the first call for a size and a form compiles it."""
    with _compiling:
        key = n_classrooms, centred
        if key not in _compiled:
            model = school_model(n_classrooms, centred=centred)
            model.check_bounds = False  # data and prior are in range: checked in `fit_schools`
            _compiled[key] = CompiledModel(
                model,
                vary=["rate", "students", "successes"],
                store=["alpha_bar", "sigma", "alpha"],
            )
        return _compiled[key]


def fit_school(
    school: School,
    random_seed: int,
    *,
    sampling: Sampling = DEFAULT,
    rate: float = 1.0,
    ranks: int = 0,
) -> dict:
    """Fit one school, pass the convergence gate, and summarize.

    A fit that fails the gate is made again once, with stricter settings; one that fails again is
    kept and marked, never dropped.

    Parameters
    ----------
    school : School
    random_seed : int
        Of the sampler; at least 0.
    sampling : Sampling
    rate : float
        Of the exponential prior that the model gives to sigma.
    ranks : int
        If positive, the posterior is thinned to that many draws, and the number of them below the
        truth is returned for `alpha_bar`, `sigma`, each `alpha` and the log-likelihood.

    Returns
    -------
    dict
        JSON-ready. For `alpha_bar`, `sigma` and `alpha` (log-odds; lists over classrooms):
        ``_mean``, ``_sd``, ``_lower``, ``_upper`` (89% ETI). ``alpha_bar_ess``, ``sigma_ess``
        (bulk). ``p_mean``: posterior means of the classrooms' probabilities. ``rank_*`` if asked
        for. What the gate saw: ``max_rhat``, ``min_ess``, ``divergences``, ``min_bfmi``,
        ``refitted``, ``converged``.
    """

    def add_log_likelihood(idata: xr.DataTree) -> None:
        values = log_likelihood(school, idata["posterior"]["alpha"].to_numpy())
        idata["posterior"]["log_likelihood"] = xr.DataArray(values, dims=("chain", "draw"))

    idata, verdict, refits = fit_judged(
        _compiled_for(len(school.size), sampling.centred),
        {
            "rate": float(rate),
            "students": school.size.astype(float),
            "successes": school.passed.astype(float),
        },
        sampling.attempts(),
        seed=random_seed,
        add=add_log_likelihood if ranks else None,
    )
    posterior = idata["posterior"]
    found: dict = {}
    for name in ("alpha_bar", "sigma", "alpha"):
        draws = posterior[name].to_numpy()
        lower, upper = np.quantile(draws, TAILS, axis=(0, 1))
        values = {"mean": draws.mean((0, 1)), "sd": draws.std((0, 1), ddof=1)}
        values |= {"lower": lower, "upper": upper}
        found |= {f"{name}_{key}": np.asarray(value).tolist() for key, value in values.items()}
    p = np.moveaxis(invlogit(posterior["alpha"].to_numpy()), 2, 0)
    scalars = np.stack([posterior["alpha_bar"].to_numpy(), posterior["sigma"].to_numpy()])
    found["alpha_bar_ess"], found["sigma_ess"] = diagnostics(scalars)[1].tolist()
    found["p_mean"] = p.mean((1, 2)).tolist()
    if ranks:
        found |= _ranks(school, posterior, ranks)
    return found | {
        "max_rhat": verdict.max_rhat,
        "min_ess": verdict.min_ess,
        "divergences": verdict.divergences,
        "min_bfmi": verdict.min_bfmi,
        "refitted": refits > 0,
        "converged": verdict.passed,
    }


def log_likelihood(school: School, alpha: np.ndarray) -> np.ndarray:
    """Log-probability of who passed, less the binomial coefficients.

    Parameters
    ----------
    school : School
    alpha : ndarray, shape (..., classroom)
        Log-odds.

    Returns
    -------
    ndarray, shape (...)
    """
    return (school.passed * alpha - school.size * np.logaddexp(0, alpha)).sum(-1)


def _ranks(school: School, posterior, count: int) -> dict:
    """Count, for each quantity, how many of `count` evenly spaced draws lie below the truth."""
    truth = {
        "alpha_bar": school.alpha_bar,
        "sigma": school.sigma,
        "alpha": school.alpha,
        "log_likelihood": log_likelihood(school, school.alpha),
    }
    ranks = {}
    for name, true in truth.items():
        draws = posterior[name].to_numpy()
        draws = draws.reshape(-1, *draws.shape[2:])  # chain after chain
        step = len(draws) // count
        ranks[f"rank_{name}"] = (draws[step - 1 :: step][:count] < true).sum(0).tolist()
    return ranks


# --- 3. Many fits -----------------------------------------------------------------------------


def fit_schools(
    schools: Sequence[School],
    *,
    name: str,
    random_seed: int,
    executor: Executor | None = None,
    sampling: Sampling = DEFAULT,
    rate: float = 1.0,
    ranks: int = 0,
    checkpoints: Path | str | None = None,
) -> xr.Dataset:
    """Fit many schools of equally many classrooms, on any executor.

    The result depends on the schools and the seed, not on the executor, the number of its
    workers, or the order in which they finish. Each finished fit is kept at once: after an
    interrupt, the same call goes on from there. When all are finished, what was kept is deleted.

    Parameters
    ----------
    schools : sequence of School
    name : str
        Of the study, for the progress line and the run record; in the plural.
    random_seed : int
    executor, checkpoints
        See `studies.pool.run_all`.
    sampling, rate, ranks
        See `fit_school`.

    Returns
    -------
    xarray.Dataset
        Dimensions ``school`` and ``classroom``. The truth (``size``, ``passed``, ``alpha``,
        ``alpha_bar``, ``sigma``), and what `fit_school` returns, by the same names.

    Raises
    ------
    ValueError
        No schools, schools of different numbers of classrooms, or a rate that is not positive.
    StudyError, KeyboardInterrupt
        See `studies.pool.run_all`.
    """
    schools = list(schools)
    if not schools or len({len(s.size) for s in schools}) > 1:
        raise ValueError(
            "fit_schools takes one or more schools with equally many classrooms: new data cannot "
            "give a compiled model more parameters. Call it once for each number of classrooms."
        )
    if not rate > 0:
        raise ValueError(f"rate is {rate:g}; that of an exponential prior is positive.")
    seeds = [
        int(np.random.SeedSequence(random_seed, spawn_key=(number, 1)).generate_state(1)[0] >> 1)
        for number in range(len(schools))
    ]
    start = time.perf_counter()
    rows = run_all(
        partial(fit_school, sampling=sampling, rate=rate, ranks=ranks),
        list(zip(schools, seeds, strict=True)),
        name=name,
        executor=executor,
        checkpoints=checkpoints,
    )
    result = _dataset(schools, rows)
    _record(name, result, time.perf_counter() - start)
    return result


def _record(name: str, result: xr.Dataset, seconds: float) -> None:
    """Write what the study came to into the run record; the worst values of fits that passed."""
    passed = result.isel(school=result["converged"].to_numpy())
    worst = {key: None for key in ("max_rhat", "min_ess", "min_bfmi")}
    if passed.sizes["school"]:
        worst["max_rhat"] = float(passed["max_rhat"].max())
        worst |= {key: float(passed[key].min()) for key in ("min_ess", "min_bfmi")}
    record.study(
        name,
        fits=result.sizes["school"],
        refitted=int(result["refitted"].sum()),
        failed=int((~result["converged"]).sum()),
        divergences=int(passed["divergences"].sum()),
        seconds={"sample": seconds},
        **worst,
    )


def _dataset(schools: list[School], rows: list[dict]) -> xr.Dataset:
    """Put truth and summaries side by side, a row for each school."""
    truth = {
        key: np.array([getattr(school, key) for school in schools])
        for key in ("size", "passed", "alpha", "alpha_bar", "sigma")
    }
    columns = truth | {key: np.array([row[key] for row in rows]) for key in rows[0]}
    dims = ("school", "classroom")
    return xr.Dataset(
        {key: (dims[: values.ndim], values) for key, values in columns.items()},
        coords={
            "school": np.arange(len(schools)),
            "classroom": np.arange(len(schools[0].size)),
        },
    )
