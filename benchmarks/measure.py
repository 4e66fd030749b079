"""Measure one thing in a process of its own: a fit, one size of a growing model, or the floor.

measure.py TASK ROWS reads a task (JSON) and adds rows to a file (JSON), one for each seed.
`run.py` starts it, with PyTensor's cache where it wants it.

What the seconds are:

- nutpie: compiling is ``nutpie.compile_pymc_model``, sampling is ``nutpie.sample``.
- PyMC's own NUTS: sampling is what PyMC reports, the start of its worker processes included; all
  else of ``pm.sample`` counts as compiling. What the workers compile at their first steps cannot
  be told apart: with an empty cache it is part of sampling, about a second.
- With JAX, compiling happens at the first call, in the midst of sampling. JAX tells listeners the
  duration of each compilation; the time that they cover together counts as compiling and not as
  sampling, and so does all that PyMC does before it calls NumPyro or BlackJAX. JAX keeps nothing
  between processes unless it is told to, and here it is not.

No sampler's time holds checks of convergence. Data are compiled in, as the course does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

CHAINS = 4
CORES = 2

#: Sampler: packages it needs.
SAMPLERS = {
    "nutpie, numba": ("nutpie", "numba"),
    "nutpie, JAX": ("nutpie", "jax"),
    "PyMC": (),
    "NumPyro": ("jax", "numpyro"),
    "BlackJAX": ("jax", "blackjax"),
}
#: Samplers with other settings than the default: what goes to `nutpie.sample`.
VARIANTS = {
    "nutpie, numba, low-rank mass matrix": {"adaptation": "low_rank"},
    "nutpie, numba, acceptance 0.6": {"target_accept": 0.6},
    "nutpie, numba, one core": {"cores": 1},
}


def sampler_of(name: str) -> str:
    """Return the sampler behind a variant, or the sampler itself.

    Parameters
    ----------
    name : str
        A key of `SAMPLERS` or of `VARIANTS`.

    Returns
    -------
    str
    """
    return ", ".join(name.split(", ")[:2])


def cores_of(name: str) -> int:
    """Return on how many cores a sampler or a variant runs its chains.

    Parameters
    ----------
    name : str

    Returns
    -------
    int
    """
    return VARIANTS.get(name, {}).get("cores", CORES)


def missing(sampler: str) -> str | None:
    """Say which packages a sampler lacks, and how to get them.

    Parameters
    ----------
    sampler : str
        A key of `SAMPLERS` or of `VARIANTS`.

    Returns
    -------
    str or None
        One sentence; None where nothing is missing.
    """
    needed = SAMPLERS[sampler_of(sampler)]
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    if not lacking:
        return None
    return (
        f"skipped: {' and '.join(lacking)} not installed "
        "(.venv/bin/python -m pip install --editable '.[samplers]')"
    )


# --- Time and memory -------------------------------------------------------------------------


def covered(intervals: list[tuple[float, float]], start: float, end: float) -> float:
    """Return how much of a stretch of time intervals cover; they may overlap.

    Parameters
    ----------
    intervals : list of (float, float)
        Start and end of each.
    start, end : float
        The stretch.

    Returns
    -------
    float
    """
    total, reached = 0.0, start
    for first, last in sorted(intervals):
        first, last = max(first, reached), min(last, end)
        if last > first:
            total, reached = total + last - first, last
    return total


def _jax_compilations() -> list[tuple[float, float]]:
    """Return a list that grows by an interval with each compilation of JAX in this process."""
    import jax

    intervals: list[tuple[float, float]] = []

    def note(event: str, duration: float, **_) -> None:
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            intervals.append((now - duration, now))

    jax.monitoring.register_event_duration_secs_listener(note)
    return intervals


def peak_memory_mb(who: int = resource.RUSAGE_SELF) -> float:
    """Return the most memory this process has had, or the largest of its ended children.

    Parameters
    ----------
    who : int

    Returns
    -------
    float
        In MB of a million bytes.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 1e6


def microseconds(call: Callable[[], object], *, seconds: float = 0.3) -> float:
    """Return the time of one call: the least mean of five batches.

    The least, because whatever else the machine does can only add.

    Parameters
    ----------
    call : callable
    seconds : float
        About how long to measure in all.

    Returns
    -------
    float
    """
    call()
    start = time.perf_counter()
    call()
    count = max(1, int(seconds / 5 / max(time.perf_counter() - start, 1e-7)))
    means = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            call()
        means.append((time.perf_counter() - start) / count)
    return min(means) * 1e6


# --- A fit -----------------------------------------------------------------------------------


def _nutpie(model, backend, starts, task, jax_time):
    import nutpie

    start = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model, backend=backend, initial_points=starts)
    compiling = [time.perf_counter() - start]
    options = {} if task["target_accept"] is None else {"target_accept": task["target_accept"]}
    options = {"cores": CORES} | options | VARIANTS.get(task.get("sampler"), {})

    def sample(seed):
        start = time.perf_counter()
        idata = nutpie.sample(
            compiled,
            draws=task["draws"],
            tune=task["tune"],
            chains=CHAINS,
            seed=seed,
            progress_bar=False,
            **options,
        )
        end = time.perf_counter()
        inside = covered(jax_time, start, end)
        return idata, compiling.pop() + inside if compiling else None, end - start - inside

    return sample, compiled


def _pymc(model, sampler, starts, task, jax_time):
    import pymc as pm

    called = []
    options = {} if task["target_accept"] is None else {"target_accept": task["target_accept"]}
    watch = contextlib.nullcontext
    if sampler != "pymc":
        import pymc.sampling.jax as pymc_jax

        name = f"_sample_{sampler}_nuts"
        inner = getattr(pymc_jax, name)

        def timed(**arguments):
            called.append(time.perf_counter())
            return inner(**arguments)

        watch = partial(mock.patch.object, pymc_jax, name, timed)

    def sample(seed):
        start = time.perf_counter()
        with model, watch():
            idata = pm.sample(
                nuts_sampler=sampler,
                draws=task["draws"],
                tune=task["tune"],
                chains=CHAINS,
                cores=CORES,
                random_seed=seed,
                initvals=starts or None,
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
                discard_tuned_samples=sampler != "pymc",  # its warm-up is counted
                **options,
            )
            for group in ("posterior", "sample_stats"):  # JAX may still be at work on them
                for values in idata[group].data_vars.values():
                    np.asarray(values)
        end = time.perf_counter()
        if called:
            begun = called.pop()
            compiling = begun - start + covered(jax_time, begun, end)
            return idata, compiling, end - start - compiling
        sampling = float(idata["posterior"].attrs["sampling_time"])
        return idata, end - start - sampling, sampling

    return sample, None


def _sampling(model, sampler, task):
    """Return a function of a seed, and nutpie's compiled model if there is one.

    The function returns draws, seconds to compile (None where nothing was), seconds to sample.
    """
    from pymc.model.transform.optimization import freeze_dims_and_data

    import utils

    starts = utils.ordered_starts(model)
    frozen = freeze_dims_and_data(model)
    jax_time = _jax_compilations() if "jax" in SAMPLERS[sampler_of(sampler)] else []
    if sampler.startswith("nutpie"):
        return _nutpie(frozen, sampler.split(", ")[1].lower(), starts, task, jax_time)
    return _pymc(frozen, sampler.lower(), starts, task, jax_time)


def _gradients(idata) -> tuple[int, bool]:
    """Return steps of the trajectories of all chains, and whether those of warm-up are among them.

    Each step takes one gradient; the few that look for a first step size are not counted.
    """
    count = int(idata["sample_stats"]["n_steps"].sum())
    if "warmup_sample_stats" not in idata.children:
        return count, False
    return count + int(idata["warmup_sample_stats"]["n_steps"].sum()), True


def _bare_gradient(compiled) -> float:
    """Return the microseconds of one log-probability with its gradient, called from one thread."""
    point = np.asarray(compiled.initial_point_func(1))
    function = compiled.logp_func.vm.jit_fn  # as the sampler calls it, without PyTensor's checks
    return microseconds(lambda: function(point))


#: Parameters that all trolley forms with sums of zero have in common.
COMMON = ("kappa", "tau_u", "tau_s", "u", "s", *(f"beta_{k}" for k in ("A", "I", "C", "IA", "IC")))


def _means(idata) -> dict:
    """Return posterior means and their Monte Carlo errors, to compare forms of one posterior."""
    import arviz as az

    posterior = idata["posterior"].to_dataset()[list(COMMON)]
    found = {"means": posterior.mean(("chain", "draw")), "errors": az.mcse(posterior)}
    return {
        key: [float(value) for name in COMMON for value in np.ravel(table[name])]
        for key, table in found.items()
    }


def _quality(idata, name: str) -> dict:
    """Judge the draws: over every entry of every parameter and Deterministic."""
    import utils

    try:
        seen = utils.check_convergence(idata, name=name)
    except utils.ConvergenceError as error:
        seen = utils.check_convergence(idata, name=name, expect_failure=str(error))
    posterior = idata["posterior"].to_dataset().transpose("chain", "draw", ...)
    parts = [v.values.reshape(seen.chains, seen.draws, -1) for v in posterior.data_vars.values()]
    stacked = np.moveaxis(np.concatenate(parts, axis=2), 2, 0)
    without = []
    for chain in range(seen.chains):
        _, bulk, tail = utils.diagnostics(np.delete(stacked, chain, axis=1))
        scale = seen.chains / (seen.chains - 1)
        without.append(f"{scale * min(bulk.min(), tail.min()):.1f}")
    return {
        "parameters": len(stacked),
        "max_rhat": seen.max_rhat,
        "divergences": seen.divergences,
        "min_ess": min(seen.min_ess_bulk, seen.min_ess_tail),
        "min_ess_without": ";".join(without),
        "passes": not seen.problems,
        "problems": "; ".join(seen.problems),
    }


def fit(task: dict) -> Iterator[dict]:
    """Fit one model with each seed; nutpie compiles once, `pm.sample` each time.

    Parameters
    ----------
    task : dict
        family, form, sampler, draws, tune, target_accept, seeds.

    Yields
    ------
    dict
        One row of ``samplers.csv``. The cache is cold or warm for the first in a process; then
        what was compiled is in memory.
    """
    from benchmarks import models

    model = models.FORMS[task["family"], task["form"]]()
    sample, compiled = _sampling(model, task["sampler"], task)
    for seed in task["seeds"]:
        idata, compiling, sampling = sample(seed)
        memory = peak_memory_mb()
        workers = peak_memory_mb(resource.RUSAGE_CHILDREN) if task["sampler"] == "PyMC" else None
        gradients, with_warmup = _gradients(idata)
        first = seed == task["seeds"][0]
        yield {
            "seed": seed,
            "cache": ("cold" if seed == 1 else "warm") if first else "in memory",
            "compile_s": compiling,
            "sample_s": sampling,
            "gradients": gradients,
            "warmup_counted": with_warmup,
            "peak_mb": memory,
            "worker_mb": workers,
            "bare_us": _bare_gradient(compiled) if hasattr(compiled, "logp_func") else None,
            **_quality(idata, task["family"]),
            **(_means(idata) if "sum to zero" in task["form"] else {}),
        }


# --- Growth ----------------------------------------------------------------------------------


def growth(task: dict) -> Iterator[dict]:
    """Fit one size of a growing model with few draws, on nutpie's numba backend.

    Parameters
    ----------
    task : dict
        what (a key of `models.GROWTH`), times, draws, tune, seeds (one).

    Yields
    ------
    dict
        One row of ``growth.csv``.
    """
    from benchmarks import models

    (seed,) = task["seeds"]
    model = models.GROWTH[task["what"]](task["times"], seed)
    sample, compiled = _sampling(model, "nutpie, numba", task)
    idata, compiling, sampling = sample(seed)
    memory = peak_memory_mb()
    gradients, _ = _gradients(idata)
    yield {
        "parameters": int(compiled.n_dim),
        "compile_s": compiling,
        "sample_s": sampling,
        "gradients": gradients,
        "us_per_gradient": sampling * CORES / gradients * 1e6,
        "bare_us": _bare_gradient(compiled),
        "peak_mb": memory,
    }


# --- Floor -----------------------------------------------------------------------------------

#: Operations of one log-probability with its gradient in the loop of `ordered_logit`, as its
#: docstring counts them: multiplications and divisions a rating; logarithms in all (at the
#: posterior the product fills up 50 times, and there are five gaps) and exponentials (331 people,
#: 30 cases, 12 for the cutpoints).
OPERATIONS = {"multiplications": 5, "divisions": 1, "logarithms": 55, "exponentials": 373}


def floor(
    ratings: int,
    *,
    multiplications: int,
    divisions: int,
    logarithms: int = 0,
    exponentials: int = 0,
) -> float:
    """Return the microseconds of a bare numba loop with so many operations and nothing else.

    No indices, no branches, no sums: what the arithmetic alone takes on this machine.

    Parameters
    ----------
    ratings : int
    multiplications, divisions : int
        A rating.
    logarithms, exponentials : int
        In all.

    Returns
    -------
    float
    """
    import numba

    # closures: the compiler knows the counts and unrolls
    @numba.njit
    def loop(x, y, out, logarithms_of, exponentials_of):
        for i in range(len(x)):
            value = x[i]
            for _ in range(multiplications):
                value *= y[i]
            for _ in range(divisions):
                value /= y[i]
            out[i] = value
        for i in range(len(logarithms_of)):
            logarithms_of[i] = np.log(logarithms_of[i])
        for i in range(len(exponentials_of)):
            exponentials_of[i] = np.exp(exponentials_of[i])

    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.9, 1.1, (2, ratings))
    out = np.empty(ratings)

    def call():
        # ones and zeros: repeated in place, logarithms and exponentials must not run off
        loop(x, y, out, np.ones(logarithms), np.zeros(exponentials))

    return microseconds(call)


# --- The process -----------------------------------------------------------------------------


def rows_of(task: dict) -> Iterator[dict]:
    """Measure a task; what is broken gets a status instead of numbers.

    Parameters
    ----------
    task : dict
        ``kind`` says which function of this module: fit, growth or floor.

    Yields
    ------
    dict
        With a ``status``.
    """
    if task["kind"] == "fit" and (lacking := missing(task["sampler"])):
        yield {"status": lacking}
        return
    try:
        if task["kind"] == "floor":
            yield {"status": "ok", "us": floor(task["ratings"], **task["operations"])}
            return
        for row in {"fit": fit, "growth": growth}[task["kind"]](task):
            yield {"status": "ok"} | row
    except Exception as error:  # whatever a sampler raises: the others are to go on
        message = (str(error).strip().splitlines() or ["no message"])[0]
        yield {"status": f"skipped: broken here, {type(error).__name__}: {message[:160]}"}


def main(arguments: list[str]) -> int:
    """Read the task; write all rows so far whenever there is one more."""
    from benchmarks.common import store

    # samplers on JAX take every core there is
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    task, answer = (Path(name) for name in arguments)
    rows = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else []
    for row in rows_of(json.loads(task.read_text(encoding="utf-8"))):
        rows.append(row)
        store(answer, json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
