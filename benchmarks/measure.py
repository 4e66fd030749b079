"""Measure one thing in a process of its own: a fit, or one size of a growing model.

python -m benchmarks.measure TASK ROWS takes a task (JSON, see `run.tasks`) and writes rows to a
file (JSON), one for each seed. `run.py` starts it, with PyTensor's cache where it wants it.

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
import json
import resource
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import nutpie
import pymc as pm
import xarray as xr
from pymc.model.transform.optimization import freeze_dims_and_data

from benchmarks import models
from benchmarks.common import store
from rethinking import compile_cache
from rethinking.diagnostics import diagnostics
from rethinking.gate import judge
from rethinking.sampling import ordered_starts

CHAINS = 4
CORES = 2
NUTPIE = "nutpie, numba"
SAMPLERS = (NUTPIE, "nutpie, JAX", "PyMC", "NumPyro", "BlackJAX")
#: Samplers with other settings than the default: what goes to `nutpie.sample`.
VARIANTS = {
    f"{NUTPIE}, low-rank mass matrix": {"adaptation": "low_rank"},
    f"{NUTPIE}, acceptance 0.6": {"target_accept": 0.6},
    f"{NUTPIE}, one core": {"cores": 1},
}

# --- Time and memory -------------------------------------------------------------------------


def covered(intervals: list[tuple[float, float]], start: float, end: float) -> float:
    """Return how much of a stretch of time intervals cover; they may overlap."""
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

    def note(event: str, duration: float, **_: object) -> None:
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            intervals.append((now - duration, now))

    jax.monitoring.register_event_duration_secs_listener(note)
    return intervals


def _peak_mb() -> float:
    """Return the most memory this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


# --- A fit -----------------------------------------------------------------------------------

#: Draws, seconds to compile (None where nothing was), seconds to sample, nutpie's compiled model.
type Draws = Iterator[tuple[xr.DataTree, float | None, float, object]]


def draw(model: pm.Model, task: dict) -> Draws:
    """Sample a model with each seed: nutpie compiles once, `pm.sample` each time."""
    starts = ordered_starts(model)
    sampler = task["sampler"]
    on_jax = sampler in ("nutpie, JAX", "NumPyro", "BlackJAX")
    compilations = _jax_compilations() if on_jax else []
    settings = {k: task[k] for k in ("draws", "tune", "target_accept") if task[k] is not None}
    settings |= {"chains": CHAINS, "cores": CORES} | VARIANTS.get(sampler, {})
    function = _nutpie if sampler.startswith("nutpie") else _pymc
    return function(freeze_dims_and_data(model), task, starts, settings, compilations)


def _nutpie(model: pm.Model, task: dict, starts: dict, settings: dict, compilations: list) -> Draws:
    backend = task["sampler"].split(", ")[1].lower()
    start = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model, backend=backend, initial_points=starts)
    compiling = time.perf_counter() - start
    for seed in task["seeds"]:
        start = time.perf_counter()
        idata = nutpie.sample(compiled, seed=seed, progress_bar=False, **settings)
        end = time.perf_counter()
        inside = covered(compilations, start, end)
        yield idata, compiling and compiling + inside, end - start - inside, compiled
        compiling = None


def _pymc(model: pm.Model, task: dict, starts: dict, settings: dict, compilations: list) -> Draws:
    sampler = task["sampler"].lower()
    called: list[float] = []
    watch: Callable = contextlib.nullcontext
    if sampler != "pymc":
        import pymc.sampling.jax as pymc_jax

        name = f"_sample_{sampler}_nuts"
        inner = getattr(pymc_jax, name)

        def timed(**arguments: object) -> object:
            called.append(time.perf_counter())
            return inner(**arguments)

        watch = partial(mock.patch.object, pymc_jax, name, timed)
    for seed in task["seeds"]:
        start = time.perf_counter()
        with model, watch():
            idata = pm.sample(
                nuts_sampler=sampler,
                random_seed=seed,
                initvals=starts or None,
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
                discard_tuned_samples=sampler != "pymc",  # its warm-up is counted
                **settings,
            )
            for group in ("posterior", "sample_stats"):  # JAX may still be at work on them
                for values in idata[group].data_vars.values():
                    np.asarray(values)
        end = time.perf_counter()
        if called:
            begun = called.pop()
            compiling = begun - start + covered(compilations, begun, end)
            yield idata, compiling, end - start - compiling, None
        else:
            sampling = float(idata["posterior"].attrs["sampling_time"])
            yield idata, end - start - sampling, sampling, None


def _gradients(idata: xr.DataTree) -> tuple[int, bool]:
    """Return steps of the trajectories of all chains, and whether those of warm-up are among them.

    Each step takes one gradient; the few that look for a first step size are not counted.
    """
    groups = [name for name in ("sample_stats", "warmup_sample_stats") if name in idata.children]
    return sum(int(idata[name]["n_steps"].sum()) for name in groups), len(groups) == 2


def _bare_gradient(compiled: object) -> float | None:
    """Return the microseconds of one log-probability with its gradient, called from one thread.

    It is the least mean of five batches, since all else only adds.
    """
    if not hasattr(compiled, "logp_func"):  # only nutpie on numba has it
        return None
    point = np.asarray(compiled.initial_point_func(1))
    function = compiled.logp_func.vm.jit_fn  # as the sampler calls it, without PyTensor's checks
    timer = timeit.Timer(lambda: function(point))
    timer.timeit(1)
    count = max(1, int(0.06 / timer.timeit(1)))
    return min(timer.repeat(5, count)) / count * 1e6


def _quality(idata: xr.DataTree, name: str) -> dict:
    """Judge the draws, over every entry of every parameter and Deterministic."""
    seen = judge(idata, name=name)
    if not seen.judged:
        raise ValueError(f"{name} cannot be judged: {seen.problems[0]}.")
    posterior = idata["posterior"].to_dataset().transpose("chain", "draw", ...)
    parts = [v.values.reshape(seen.chains, seen.draws, -1) for v in posterior.data_vars.values()]
    stacked = np.moveaxis(np.concatenate(parts, axis=2), 2, 0)
    without = []
    for chain in range(seen.chains):
        _, bulk, tail = diagnostics(np.delete(stacked, chain, axis=1))
        scale = seen.chains / (seen.chains - 1)
        without.append(f"{scale * min(bulk.min(), tail.min()):.1f}")
    return {
        "parameters": len(stacked),
        "max_rhat": seen.max_rhat,
        "divergences": seen.divergences,
        "min_ess": seen.min_ess,
        "min_ess_without": ";".join(without),
        "passes": seen.passed,
        "problems": "; ".join(seen.problems),
    }


def fit(task: dict) -> Iterator[dict]:
    """Fit a form with each seed: rows of ``samplers.csv``.

    The cache is cold or warm for the first in a process; then what was compiled is in memory.
    """
    model = models.FORMS[task["family"], task["form"]]()
    cache = "cold" if 1 in task["seeds"] else "warm"
    for seed, drawn in zip(task["seeds"], draw(model, task), strict=True):
        idata, compiling, sampling, compiled = drawn
        memory = _peak_mb()
        gradients, with_warmup = _gradients(idata)
        yield {
            "seed": seed,
            "cache": cache,
            "compile_s": compiling,
            "sample_s": sampling,
            "gradients": gradients,
            "warmup_counted": with_warmup,
            "peak_mb": memory,
            "bare_us": _bare_gradient(compiled),
            **_quality(idata, task["family"]),
        }
        cache = "in memory"


def growth(task: dict) -> Iterator[dict]:
    """Fit one size of a growing model with few draws: a row of ``growth.csv``."""
    (seed,) = task["seeds"]
    ((idata, compiling, sampling, compiled),) = draw(
        models.GROWTH[task["what"]](task["times"], seed), task
    )
    memory = _peak_mb()
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


# --- The process -----------------------------------------------------------------------------

KINDS = {"fit": fit, "growth": growth}


def rows_of(task: dict) -> Iterator[dict]:
    """Measure a task; what is missing or broken gets a status, in a sentence, not numbers."""
    try:
        for row in KINDS[task["kind"]](task):
            yield {"status": "ok"} | row
    except ModuleNotFoundError as error:
        command = ".venv/bin/python -m pip install --editable '.[samplers]'"
        yield {"status": f"skipped: {error.name} not installed ({command})"}
    except Exception as error:  # whatever a sampler raises: the others are to go on
        message = (str(error).strip().splitlines() or ["no message"])[0]
        yield {"status": f"skipped: broken here, {type(error).__name__}: {message[:160]}"}


def main(task: str, answer: str) -> None:
    """Write all rows so far whenever there is one more."""
    compile_cache.install()
    rows = []
    for row in rows_of(json.loads(task)):
        rows.append(row)
        store(Path(answer), json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
