"""What a fit refuses in words, and that an interrupt is told as an interrupt."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import nutpie
import pymc as pm
import pytest
import xarray as xr

from rethinking.ordered_logit import OrderedLogit, OrderedMultinomial
from utils import CompiledModel, ConvergenceError, ModelError, check_convergence, fit, judge

KAPPA = np.array([-1.0, 0.0])


def effect(n):
    return pm.Normal("phi", 0, 1, shape=n)


MISTAKES = {
    "a discrete parameter": (
        lambda: pm.Normal("y", pm.Poisson("k", 3), 1, observed=0.0),
        "k is discrete and not observed, and NUTS moves in continuous parameters only: if it is d",
    ),
    "nothing but a discrete parameter": (
        lambda: pm.Bernoulli("z", 0.3),
        "z is discrete and not observed",
    ),
    "an OrderedLogit that is not observed": (
        lambda: OrderedLogit("R", effect(3), KAPPA),
        "R is discrete and not observed.* write observed=",
    ),
    "an OrderedMultinomial that is not observed": (
        lambda: OrderedMultinomial("C", effect(2), KAPPA, 3),
        "C is discrete and not observed",
    ),
    "a missing rating": (
        lambda: OrderedLogit("R", effect(3), KAPPA, observed=[0, np.nan, 1]),
        r"observed values of R have missing ones among them, .*dropna",
    ),
    "a masked rating": (
        lambda: OrderedLogit(
            "R", effect(3), KAPPA, observed=np.ma.array([0, 1, 1], mask=[0, 1, 0])
        ),
        r"observed values of R have missing ones among them",
    ),
    "a missing count": (
        lambda: OrderedMultinomial("C", effect(2), KAPPA, 3, observed=[[1, np.nan, 1], [1, 1, 1]]),
        r"observed values of C have missing ones among them",
    ),
    "a missing count of PyMC's": (
        lambda: pm.Binomial("S", 3, pm.Beta("p", 1, 1), observed=[0, np.nan, 1]),
        r"observed values of S have missing ones among them",
    ),
    "no free parameter": (
        lambda: pm.Normal("y", 0, 1, observed=[0.0, 1.0]),
        r"no free parameter: all that it has is observed \(y\)\. Give it a prior",
    ),
    "nothing": (lambda: None, "The model is empty: write its variables inside `with pm.Model"),
}


@pytest.mark.filterwarnings(
    "ignore:Data in .* contains missing values", "ignore:invalid value encountered in cast"
)
@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_before_compiling(case, monkeypatch):
    monkeypatch.setattr(nutpie, "compile_pymc_model", lambda *a, **k: pytest.fail("compiled"))
    make, message = MISTAKES[case]
    with pm.Model() as model:
        make()
    with pytest.raises(ModelError, match=message):
        CompiledModel(model)
    with pytest.raises(ModelError, match=message):
        fit(model, name="a mistake", random_seed=1)


@pytest.mark.parametrize("value", [1.5, -0.5])
@pytest.mark.parametrize("distribution", [OrderedLogit, OrderedMultinomial])
def test_observations_that_are_no_whole_numbers(distribution, value):
    """PyMC would cut off what is behind the point."""
    with pm.Model(), pytest.raises(ValueError, match=f"R: {value} is no whole number"):
        if distribution is OrderedLogit:
            OrderedLogit("R", effect(3), KAPPA, observed=[0, value, 1])
        else:
            OrderedMultinomial("R", effect(1), KAPPA, 3, observed=[[1, value, 1]])


# --- a change that does nothing


def typed(rate, **more):
    with pm.Model() as model:
        data = pm.Data("rate", 1.0)
        sigma = pm.Exponential("sigma", data if rate is None else rate)
        for name, make in more.items():
            make(name, data, sigma)
    return model


READ = {
    "a prior": (None, {}),
    "the likelihood": (3, {"y": lambda n, w, s: pm.Normal(n, w, s, observed=0.0)}),
    "the observed values": (
        3,
        {"y": lambda n, w, s: pm.Normal(n, 0, s, observed=w)},
    ),
    "a Potential": (3, {"y": lambda n, w, s: pm.Potential(n, w * s)}),
    "through a Deterministic": (
        3,
        {"d": lambda n, w, s: pm.Normal("y", pm.Deterministic(n, w * s), 1, observed=0.0)},
    ),
}
UNREAD = {
    "nothing": (3, {}),
    "a Deterministic": (3, {"d": lambda n, w, s: pm.Deterministic(n, w * s)}),
}


class Compiled(Exception):
    pass


@pytest.fixture
def not_compiled(monkeypatch):
    def compiled(*args, **options):
        raise Compiled

    monkeypatch.setattr(nutpie, "compile_pymc_model", compiled)


@pytest.mark.parametrize("case", READ)
def test_data_that_a_density_reads_may_vary(case, not_compiled):
    rate, more = READ[case]
    with pytest.raises(Compiled):
        CompiledModel(typed(rate, **more), vary=["rate"])


@pytest.mark.parametrize("case", UNREAD)
def test_data_that_no_density_reads_may_not(case, not_compiled):
    """A number typed in its place: three fits for three rates would be one."""
    rate, more = UNREAD[case]
    with pytest.raises(ValueError, match="neither a prior nor the likelihood reads 'rate', so th"):
        CompiledModel(typed(rate, **more), vary=["rate"])
    with pytest.raises(Compiled):
        CompiledModel(typed(rate, **more))


# --- interrupts


def run_of(draws, asked, *, ragged=False, coords=None):
    """Draws as nutpie returns them, with what was asked for."""
    rng = np.random.default_rng(1)
    energy = rng.normal(size=(4, draws))
    mu = rng.normal(size=(4, draws))
    if ragged and draws:
        energy[2, draws // 2 :] = mu[2, draws // 2 :] = np.nan
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((4, draws), bool)),
            "energy": (("chain", "draw"), energy),
        },
        coords={"draw": np.arange(draws) if coords is None else coords},
        attrs={"inference_library_settings": json.dumps({"settings": {"num_draws": asked}})},
    )
    posterior = xr.Dataset({"mu": (("chain", "draw"), mu)}, coords={"draw": stats["draw"]})
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


@pytest.mark.parametrize(
    ("draws", "asked", "ragged"),
    [(0, 500, False), (300, 500, True), (3, 500, False), (500, 500, True)],
)
def test_a_run_that_is_too_short_was_interrupted(draws, asked, ragged):
    idata = run_of(draws, asked, ragged=ragged)
    verdict = judge(idata, name="short")
    assert not verdict.judged and not verdict.passed
    said = f"short cannot be judged: it was interrupted after {draws} of {asked} draws a chain"
    for expected in (None, "few draws"):
        with pytest.raises(ConvergenceError, match=said):
            check_convergence(idata, name="short", expect_failure=expected)


def test_whole_runs_and_thinned_ones_are_judged():
    assert judge(run_of(500, 500)).passed
    assert judge(run_of(500, 1000, coords=np.arange(500) * 2)).passed
    idata = run_of(500, 500)
    del idata["sample_stats"].attrs["inference_library_settings"]  # of another sampler
    assert judge(idata).passed


SCRIPT = """
    import os, signal, sys, threading
    import numpy as np, nutpie, pymc as pm
    from rethinking import compile_cache, sampling
    import utils

    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, shape=50)
        pm.Normal("y", pm.math.exp(x).cumsum(), 1, observed=np.arange(50.0))

    def interrupt(seconds):
        threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    def meets_an_interrupt(what, seconds, action):
        interrupt(seconds)
        try:
            action()
        except KeyboardInterrupt as error:
            print(what, "KeyboardInterrupt", error)

    meets_an_interrupt("compilation", 0.05, lambda: utils.CompiledModel(model))
    compiled = utils.CompiledModel(model)
    options = {"name": "long", "random_seed": 1, "data": None}
    for what, tune, draws in (("warm-up", 10**6, 50), ("draws", 5, 40_000)):
        meets_an_interrupt(
            what, 0.4, lambda: compiled.fit(tune=tune, draws=draws, target_accept=0.999, **options)
        )
    idata = compiled.fit(name="next", random_seed=1, draws=50, tune=50, expect_failure="few")
    print("next", idata["posterior"].sizes["draw"])
    sys.exit(0)
"""


@pytest.mark.compiles
def test_an_interrupt_is_one_in_a_script(tmp_path):
    """In compilation, warm-up and draws; afterwards the next fit works."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("compilation KeyboardInterrupt"), ran.stdout
    assert lines[1] == "warm-up KeyboardInterrupt interrupted after 0 of 50 draws a chain"
    assert lines[2].startswith("draws KeyboardInterrupt interrupted after ")
    assert lines[3:] == ["next 50"]
