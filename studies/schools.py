"""Many schools of classrooms: simulated, fitted, summarized.

The companion to lecture 12 asks of a thousand schools what an essay said of one. A school is a set
of classrooms; in each, some of the students pass an exam:

    S[i] ~ Binomial(N[i], p[i]),  logit(p[i]) = alpha[i],
    alpha[j] ~ Normal(alpha_bar, sigma),  alpha_bar ~ Normal(0, 1.5),  sigma ~ Exponential(1).

`fit_school` is what runs in the worker processes. It lives here and not in a notebook because a
worker has to import it. A compiled model cannot be sent to another process, and new data cannot
give a parameter another length; so each process compiles once for each number of classrooms and
each form of the model, and takes new data from then on.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context, parent_process
from pathlib import Path

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit
from numpy.typing import ArrayLike
from pymc.model.transform.optimization import freeze_dims_and_data

import utils

#: That make a fit what it is.
PACKAGES = ("numba", "numpy", "nutpie", "pymc", "pytensor")
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
    passed = rng.binomial(size, utils.invlogit(alpha))
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

    def stricter(self) -> Sampling:
        """For a fit that did not pass the gate: longer and with smaller steps, the same model."""
        return Sampling(self.centred, 1500, 4000, 0.99)


DEFAULT = Sampling()
_compiled: dict = {}
_compiling = threading.Lock()


def _compiled_for(n_classrooms: int, centred: bool):
    """Return this process's compiled model; the first call for a size and a form compiles it."""
    with _compiling:
        key = n_classrooms, centred
        if key not in _compiled:
            model = school_model(n_classrooms, centred=centred)
            model.check_bounds = False  # data and prior are in range: checked in `fit_schools`
            _compiled[key] = nutpie.compile_pymc_model(
                freeze_dims_and_data(model, data=[]),
                var_names=["alpha_bar", "sigma", "alpha"],
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
    compiled = _compiled_for(len(school.size), sampling.centred).with_data(
        rate=float(rate),
        students=school.size.astype(float),
        successes=school.passed.astype(float),
    )
    for how in (sampling, sampling.stricter()):
        idata = nutpie.sample(
            compiled,
            chains=utils.CHAINS,
            cores=1,  # the processes have the cores
            tune=how.tune,
            draws=how.draws,
            target_accept=how.target_accept,
            seed=random_seed,
            progress_bar=False,
            save_warmup=False,
        )
        posterior = idata["posterior"]
        if ranks:
            values = log_likelihood(school, posterior["alpha"].to_numpy())
            posterior["log_likelihood"] = xr.DataArray(values, dims=("chain", "draw"))
        seen, converged = _gate(idata)
        if converged:
            break
    found: dict = {}
    for name in ("alpha_bar", "sigma", "alpha"):
        draws = posterior[name].to_numpy()
        lower, upper = np.quantile(draws, TAILS, axis=(0, 1))
        values = {"mean": draws.mean((0, 1)), "sd": draws.std((0, 1), ddof=1)}
        values |= {"lower": lower, "upper": upper}
        found |= {f"{name}_{key}": np.asarray(value).tolist() for key, value in values.items()}
    p = np.moveaxis(utils.invlogit(posterior["alpha"].to_numpy()), 2, 0)
    scalars = np.stack([posterior["alpha_bar"].to_numpy(), posterior["sigma"].to_numpy()])
    found["alpha_bar_ess"], found["sigma_ess"] = utils.diagnostics(scalars)[1].tolist()
    found["p_mean"] = p.mean((1, 2)).tolist()
    if ranks:
        found |= _ranks(school, posterior, ranks)
    return found | seen | {"refitted": how is not sampling, "converged": converged}


def _gate(idata: xr.DataTree) -> tuple[dict, bool]:
    """Return what the convergence gate saw, and whether it let the fit pass."""
    try:
        seen, converged = utils.check_convergence(idata), True
    except utils.ConvergenceError as error:
        try:
            seen, converged = utils.check_convergence(idata, expect_failure=str(error)), False
        except utils.ConvergenceError:  # a stuck chain: there is nothing to judge
            diverging = int(idata["sample_stats"]["diverging"].sum())
            bad = {"max_rhat": np.inf, "min_ess": 0.0, "divergences": diverging, "min_bfmi": 0.0}
            return bad, False
    return {
        "max_rhat": seen.max_rhat,
        "min_ess": min(seen.min_ess_bulk, seen.min_ess_tail),
        "divergences": seen.divergences,
        "min_bfmi": seen.min_bfmi,
    }, converged


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


class StudyError(RuntimeError):
    """The fits cannot go on; the message says why and what is kept."""


def process_pool(max_workers: int | None = None) -> Executor:
    """Return processes to fit schools in: the default executor.

    Threads work too (the sampler lets go of Python's lock), but the checks and summaries of one
    fit then wait for those of another, and all fits share one process's memory.

    Parameters
    ----------
    max_workers : int, optional
        By default as many as this process may use cores.

    Returns
    -------
    concurrent.futures.ProcessPoolExecutor
        Use it in a ``with`` statement, or call its ``shutdown``.
    """
    if max_workers is None:
        affinity = getattr(os, "sched_getaffinity", None)
        max_workers = len(affinity(0)) if affinity else os.cpu_count() or 1
    # not forked: a fork of a process with running threads may hang
    return ProcessPoolExecutor(
        max_workers, mp_context=get_context("spawn"), initializer=_start_worker
    )


def _start_worker() -> None:
    """Leave interrupts to the notebook, and end when the notebook's process has ended."""
    # An interrupt goes to all processes of a notebook; the one with the notebook handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's end: a kernel that is killed cannot tell its workers to stop."""
    parent_process().join()
    os._exit(1)


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
    executor : concurrent.futures.Executor, optional
        Left open. By default a `process_pool` for this call alone. On a cluster, the executor of
        `dask.distributed.Client.get_executor()`, whose workers can import this module.
    sampling, rate, ranks
        See `fit_school`.
    checkpoints : path, optional
        Folder for finished fits; by default that named by COURSE_CHECKPOINTS, or
        ``_build/checkpoints`` beside this module.

    Returns
    -------
    xarray.Dataset
        Dimensions ``school`` and ``classroom``. The truth (``size``, ``passed``, ``alpha``,
        ``alpha_bar``, ``sigma``), and what `fit_school` returns, by the same names.

    Raises
    ------
    ValueError
        No schools, schools of different numbers of classrooms, or a rate that is not positive.
    StudyError
        A worker died, or a fit raised an error. What was finished is kept.
    KeyboardInterrupt
        Interrupted; the message says how many are kept.
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
    work = partial(fit_school, sampling=sampling, rate=rate, ranks=ranks)
    kept = _Checkpoint(_folder(checkpoints), schools, seeds, work)
    start = time.perf_counter()
    try:
        _run(work, schools, seeds, name, executor, kept)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{len(kept.rows)} of {len(schools)} {name} are kept; the same call goes on from there."
        ) from None
    except BrokenExecutor as error:
        raise StudyError(
            f"A worker process died; {len(kept.rows)} of {len(schools)} {name} are kept, and the "
            "same call goes on from there. Was there enough memory? In a script, does the call "
            'stand under `if __name__ == "__main__":`?'
        ) from error
    rows = [kept.rows[number] for number in range(len(schools))]
    result = _dataset(schools, rows)
    _record(name, result, time.perf_counter() - start)
    kept.delete()
    return result


def _record(name: str, result: xr.Dataset, seconds: float) -> None:
    """Write what the study came to into the run record; the worst values of fits that passed."""
    passed = result.isel(school=result["converged"].to_numpy())
    worst = {key: None for key in ("max_rhat", "min_ess", "min_bfmi")}
    if passed.sizes["school"]:
        worst["max_rhat"] = float(passed["max_rhat"].max())
        worst |= {key: float(passed[key].min()) for key in ("min_ess", "min_bfmi")}
    utils.record_study(
        name,
        fits=result.sizes["school"],
        refitted=int(result["refitted"].sum()),
        failed=int((~result["converged"]).sum()),
        divergences=int(passed["divergences"].sum()),
        seconds={"sample": seconds},
        **worst,
    )


def _run(work, schools, seeds, name, executor, kept) -> None:
    """Have the missing fits made, and keep each as it is finished."""
    missing = [number for number in range(len(schools)) if number not in kept.rows]
    own = executor is None and bool(missing)
    pool = process_pool() if own else executor
    futures: dict[Future, int] = {}
    try:
        for number in missing:
            futures[pool.submit(work, schools[number], seeds[number])] = number
        lines = utils.progress(
            as_completed(futures), label=name, total=len(schools), initial=len(kept.rows)
        )
        for future in lines:
            try:
                kept.add(futures[future], future.result())
            except (BrokenExecutor, KeyboardInterrupt):
                raise
            except Exception as error:
                raise StudyError(
                    f"The fit of number {futures[future]} of the {name} failed: "
                    f"{type(error).__name__}: {error}"
                ) from error
    finally:
        for future in futures:
            future.cancel()
        if own:
            pool.shutdown(cancel_futures=True)
        for future, number in futures.items():  # finished, but not yet looked at
            if number not in kept.rows and future.done() and not future.cancelled():
                if future.exception() is None:
                    kept.add(number, future.result())


def _folder(given: Path | str | None) -> Path:
    default = Path(__file__).resolve().parent / "_build" / "checkpoints"
    return Path(given or os.environ.get("COURSE_CHECKPOINTS") or default)


class _Checkpoint:
    """Finished fits of a study, a line each, in a file named after all that makes them."""

    def __init__(self, folder: Path, schools: list[School], seeds: list[int], work: partial):
        digest = hashlib.sha256()
        for part in (__file__, utils.__file__):
            digest.update(Path(part).read_bytes())
        digest.update(repr([(p, importlib.metadata.version(p)) for p in PACKAGES]).encode())
        digest.update(repr((seeds, sorted(work.keywords.items()))).encode())
        for school in schools:
            for values in (school.size, school.passed, school.alpha):
                digest.update(np.ascontiguousarray(values).tobytes())
            digest.update(repr((school.alpha_bar, school.sigma)).encode())
        self.path = folder / f"schools-{digest.hexdigest()[:24]}.jsonl"
        self.rows: dict[int, dict] = {}
        if self.path.is_file():
            for line in self.path.read_bytes().splitlines():
                try:
                    number, row = json.loads(line)
                except ValueError:  # a killed process left part of a line
                    continue
                self.rows[number] = row
            lines = [json.dumps([number, row]) + "\n" for number, row in self.rows.items()]
            self.path.write_text("".join(lines), encoding="utf-8")

    def add(self, number: int, row: dict) -> None:
        line = json.dumps([number, row]) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(line.encode())
        self.rows[number] = row

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)


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


# --- 4. Calibration ---------------------------------------------------------------------------

BAND_SIMULATIONS = 2000


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


def check_calibration(pit: xr.Dataset, *, prob: float = 0.95) -> pd.DataFrame:
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
    points, _, lower, upper = ecdf_pit(np.zeros(n), prob, n_simulations=BAND_SIMULATIONS)
    return points, lower, upper


def _band(pit: xr.Dataset, prob: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points in 0 to 1 and the band's ends there; they depend on the number of values."""
    n = pit.sizes["chain"] * pit.sizes["draw"]
    return _band_of(n, 1 - (1 - prob) / len(pit.data_vars))


def plot_calibration(pit: xr.Dataset, *, prob: float = 0.95, **options) -> az.PlotCollection:
    """Draw the ECDFs of `check_calibration` less the uniform distribution, with their bands.

    Parameters
    ----------
    pit, prob
        See `check_calibration`.
    **options
        Of `arviz.plot_ecdf_pit`.

    Returns
    -------
    arviz.PlotCollection
    """
    # ArviZ 1.3 cannot draw its own band (method="envelope" ends in a TypeError)
    figure = az.plot_ecdf_pit(xr.DataTree.from_dict({"prior_sbc": pit}), **options)
    points, lower, upper = _band(pit, prob)
    farthest = max(check_calibration(pit, prob=prob)["distance"].max(), (upper - points).max())
    for name in pit.data_vars:
        ax = figure.get_target(name, {})
        ax.fill_between(
            points, lower - points, upper - points, color="0.75", alpha=0.6, linewidth=0, zorder=0
        )
        ax.set(ylim=(-1.15 * farthest, 1.15 * farthest), xlabel="rank of the truth")
    return figure
