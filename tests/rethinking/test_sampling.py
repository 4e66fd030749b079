"""Compiled models and their fits: what is refused, what is kept, what goes to the run record."""

import gc
import json
import os
import pickle
import random

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

import utils
from rethinking import record, sampling
from utils import CompiledModel, ConvergenceError, SamplingError, check_indices, fit

SEED = 12
SURVIVORS, TADPOLES, TANKS = np.array([3, 4, 9, 8, 1]), np.full(5, 10), np.array([0, 0, 1, 1, 2])


# --- CompiledModel


def tank_model(*, sd=1.0, survivors=SURVIVORS, tadpoles=TADPOLES, tanks=TANKS):
    with pm.Model(coords={"tank": ["A", "B", "C"]}) as model:
        pm.Data("sd", sd)
        pm.Data("tadpoles", tadpoles)
        pm.Data("survivors", survivors)
        pm.Data("tank_idx", tanks)
        alpha = pm.Normal("alpha", 0, model["sd"], dims="tank")
        pm.Deterministic("p", pm.math.invlogit(alpha), dims="tank")
        pm.Binomial(
            "S",
            model["tadpoles"],
            pm.math.invlogit(alpha[model["tank_idx"]]),
            observed=model["survivors"],
        )
    return model


VARY = ("sd", "tadpoles", "survivors", "tank_idx")


def own_data(model):
    return {v.name: v.get_value() for v in model.data_vars}


def assert_data_of(model, expected):
    assert own_data(model).keys() == expected.keys()
    for key, value in own_data(model).items():
        np.testing.assert_array_equal(value, expected[key], strict=True)


@pytest.fixture(scope="module")
def compiled():
    return CompiledModel(tank_model(), vary=VARY)


@pytest.fixture(autouse=True)
def data_as_they_were(request):
    """Whatever a test does with the shared model, its data are the same afterwards."""
    yield
    if "compiled" in request.fixturenames:
        assert_data_of(request.getfixturevalue("compiled").model, own_data(tank_model()))


def short(compiled, **options):
    """A fit of few draws, for tests that are not about convergence."""
    return compiled.fit(
        **{"name": "short", "random_seed": SEED, "draws": 500, "tune": 300} | options
    )


def draws_of(idata):
    return idata["posterior"].to_dataset().drop_attrs()


def same_draws(a, b):
    return draws_of(a).identical(draws_of(b))


def test_a_fit_holds_what_it_needs(compiled):
    idata = compiled.fit(name="tanks", random_seed=SEED)
    posterior = idata["posterior"]
    assert posterior.sizes["chain"] == utils.CHAINS
    assert posterior.sizes["draw"] == sampling.DRAWS
    assert list(posterior["tank"].values) == ["A", "B", "C"]
    np.testing.assert_allclose(posterior["p"], utils.invlogit(posterior["alpha"]))
    np.testing.assert_array_equal(idata["observed_data"]["S"], SURVIVORS)
    assert idata.attrs["problems"] == "" and idata.attrs["max_rhat"] < 1.01
    # against sums on a grid
    grid = np.linspace(-8, 8, 4001)
    for tank, (s, n) in {"A": (7, 20), "B": (17, 20), "C": (1, 10)}.items():
        density = np.exp(s * grid - n * np.logaddexp(0, grid) - grid**2 / 2)
        exact = density @ grid / density.sum()
        assert float(posterior["alpha"].sel(tank=tank).mean()) == pytest.approx(exact, abs=0.05)


def test_same_seed_same_draws_other_seed_others(compiled):
    first = short(compiled)
    other = short(compiled, random_seed=SEED + 1)
    assert same_draws(first, short(compiled))
    assert same_draws(first, short(compiled, random_seed=np.int64(SEED)))
    assert not np.isin(other["posterior"]["alpha"], first["posterior"]["alpha"]).any()
    chains = first["posterior"]["alpha"].values
    assert len(np.unique(chains[:, -1, 0])) == utils.CHAINS


def test_global_random_states_stay_untouched(compiled):
    before = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    short(compiled, data={"sd": 2.0})
    check_indices(compiled.model)
    assert (random.getstate(), pickle.dumps(np.random.get_state())) == before  # noqa: NPY002


def test_sampler_options_are_passed_on(compiled):
    idata = short(compiled, draws=600, chains=5)
    assert dict(idata["posterior"].sizes) == {"chain": 5, "draw": 600, "tank": 3}
    assert not same_draws(short(compiled), short(compiled, target_accept=0.95))
    assert not same_draws(short(compiled), short(compiled, tune=400))


NEW = {"sd": 0.5, "survivors": [10, 0, 5, 5, 5], "tank_idx": np.array([2, 1, 0, 0, 0])}


def test_new_data_hold_for_one_fit(compiled):
    before = short(compiled)
    given = {key: np.array(value) for key, value in NEW.items()}
    changed = short(compiled, data=given)
    assert_data_of(compiled.model, own_data(tank_model()))
    np.testing.assert_array_equal(changed["observed_data"]["S"], NEW["survivors"])
    assert float(changed["constant_data"]["sd"]) == 0.5
    assert float(before["constant_data"]["sd"]) == 1
    assert not same_draws(before, changed)
    assert same_draws(before, short(compiled))
    for key, value in given.items():  # the caller's arrays
        np.testing.assert_array_equal(value, NEW[key])


def test_new_data_give_what_a_new_model_gives(compiled):
    written = tank_model(sd=0.5, survivors=np.array(NEW["survivors"]), tanks=NEW["tank_idx"])
    anew = CompiledModel(written, vary=VARY)
    assert same_draws(short(anew), short(compiled, data=NEW))
    # compiled in as constants: the same density by other instructions
    frozen = short(CompiledModel(written), draws=2000)["posterior"]["alpha"]
    varied = short(compiled, data=NEW, draws=2000)["posterior"]["alpha"]
    np.testing.assert_allclose(
        frozen.mean(("chain", "draw")), varied.mean(("chain", "draw")), atol=0.05
    )


def test_data_of_another_length(compiled):
    more = {
        "tadpoles": np.full(7, 10),
        "survivors": np.arange(7),
        "tank_idx": np.array([0, 0, 0, 0, 0, 0, 1]),
    }
    idata = short(compiled, data=more)
    assert idata["observed_data"]["S"].size == 7
    prior = idata["posterior"]["alpha"].sel(tank="C")  # a tank without data
    assert float(prior.std()) == pytest.approx(1, abs=0.15)


def test_all_kinds_of_values_may_be_given(compiled):
    same = short(compiled, data={"sd": 2.0})
    for value in (2, np.float32(2), np.array(2), np.int8(2)):
        assert same_draws(same, short(compiled, data={"sd": value}))
    for kind in (list, tuple, pd.Series, xr.DataArray):
        assert same_draws(short(compiled), short(compiled, data={"survivors": kind(SURVIVORS)}))


REFUSED = {
    "unknown": ({"sigma": 1.0}, KeyError, r"'sigma' was compiled in, or is no pm.Data: .*\['sd'"),
    "misspelt": ({"survivor": SURVIVORS}, KeyError, r"Did you mean 'survivors'\? Name it in vary="),
    "a parameter": ({"alpha": np.zeros(3)}, KeyError, "'alpha' was compiled in, or is no pm.Data"),
    "lossy": ({"survivors": SURVIVORS + 0.7}, TypeError, r"'survivors' is compiled as int\d+ and"),
    "NaN in counts": ({"survivors": [np.nan] * 5}, TypeError, r"'survivors' is compiled as int"),
    "words": ({"sd": "wide"}, TypeError, r"'sd' is compiled as float64 and would change 'wide'"),
    "dimensions": ({"sd": [1.0, 2.0]}, ValueError, "'sd' must have 0 dimensions"),
    "counted from 1": ({"tank_idx": TANKS + 1}, IndexError, "tank_idx runs from 1 to 3, but alpha"),
    "missing tank": ({"tank_idx": TANKS - 1}, IndexError, "tank_idx runs from -1 to 1, but alpha"),
    "too many survivors": (
        {"survivors": SURVIVORS + 5},
        SamplingError,
        "refused: the sampler found no place to start, because the log-probability of S is not fin",
    ),
    "negative scale": ({"sd": -1.0}, SamplingError, "log-probability of alpha is not finite"),
    "NaN": ({"sd": np.nan}, TypeError, r"'sd' .* would change nan: .* none that is missing"),
    "lengths": ({"survivors": [1, 2]}, SamplingError, "cannot be evaluated: .* different lengths"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_data_are_refused_and_the_model_keeps_its_own(compiled, case):
    data, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        # together with a good one, which has to go back as well
        short(compiled, name="refused", data={"sd": 3.0} | data)
    assert_data_of(compiled.model, own_data(tank_model()))


def test_an_index_is_refused_before_sampling(compiled, monkeypatch):
    monkeypatch.setattr(nutpie, "sample", lambda *a, **k: pytest.fail("sampled"))
    with pytest.raises(IndexError):
        short(compiled, data={"tank_idx": TANKS + 1})
    with pytest.raises(IndexError):
        CompiledModel(tank_model(tanks=TANKS + 1))


def test_data_are_restored_when_the_gate_fails(compiled):
    with pytest.raises(ConvergenceError, match=r"few has not converged: .*ESS"):
        short(compiled, name="few", data=NEW, draws=20)
    with pytest.raises(ConvergenceError, match="2 chains"):
        short(compiled, data=NEW, chains=2)
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:

        def interrupted(*args, **options):
            raise KeyboardInterrupt

        patch.setattr(nutpie, "sample", interrupted)
        short(compiled, data=NEW)
    assert_data_of(compiled.model, own_data(tank_model()))


def test_expected_failure(compiled):
    idata = short(compiled, draws=20, expect_failure="twenty draws")
    assert "bulk ESS" in idata.attrs["problems"]
    with pytest.raises(ConvergenceError, match=r"was meant to fail \(twenty draws\)"):
        short(compiled, expect_failure="twenty draws")


@pytest.mark.parametrize("seed", [None, True, False, "x", 1.0, np.float64(3), [1]])
def test_every_fit_has_a_seed(compiled, seed):
    with pytest.raises(TypeError, match=r"must be an integer, not .*random_seed=RANDOM_SEED"):
        short(compiled, random_seed=seed)


def test_gate_may_look_at_some_variables(compiled):
    whole, part = short(compiled), short(compiled, gate=["p"])
    assert same_draws(whole, part)
    with pytest.raises(ValueError, match="has no 'q' in its posterior"):
        short(compiled, gate=["q"])


def test_unknown_names_are_refused_before_compiling(monkeypatch):
    monkeypatch.setattr(nutpie, "compile_pymc_model", lambda *a, **k: pytest.fail("compiled"))
    with pytest.raises(
        KeyError, match=r"The model has no pm.Data 'alpha' to vary; it has \['sd', "
    ):
        CompiledModel(tank_model(), vary=["sd", "alpha"])
    with pytest.raises(
        KeyError, match=r"The model draws no 'q' to store; it draws \['alpha', 'p'\]"
    ):
        CompiledModel(tank_model(), store=["alpha", "q"])


@pytest.mark.compiles
def test_shape_that_is_compiled_in_cannot_change():
    with pm.Model() as model:
        x, z = pm.Data("x", np.arange(3.0)), pm.Data("z", np.ones(3))
        a = pm.Normal("a")
        pm.Deterministic("mu", a * z + x)
        pm.Normal("y", a * x.sum() * z.mean(), 1, observed=0.0)
    compiled = CompiledModel(model, vary=["x", "z"])
    short(compiled, data={"x": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="The new data do not fit each other"):
        short(compiled, data={"x": np.arange(4.0)})
    with pytest.raises(ValueError, match=r"change mu from shape \(3,\) to \(4,\), and the former"):
        short(compiled, data={"x": np.arange(4.0), "z": np.ones(4)})
    assert_data_of(model, {"x": np.arange(3.0), "z": np.ones(3)})
    short(CompiledModel(model, vary=["x"], store=["a"]), data={"x": np.arange(4.0)})  # no mu kept


# --- fit, and the run record


@pytest.fixture(scope="module")
def line():
    with pm.Model() as model:
        pm.Data("x", np.linspace(-1, 1, 5))
        a = pm.Normal("a")
        pm.Deterministic("mu", a + model["x"])
        pm.Normal("y", a + model["x"], 1, observed=np.linspace(0, 2, 5))
    return model


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Where the record goes, and a function that reads it."""
    path = tmp_path / "a folder" / "record.jsonl"
    path.parent.mkdir()
    monkeypatch.setenv("COURSE_RECORD", str(path))

    def read(kind=None):
        if not path.exists():
            return []
        found = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
        return [row for row in found if kind is None or row["kind"] == kind]

    return read


@pytest.mark.compiles
def test_fit_compiles_and_samples(line, records):
    idata = fit(line, name="line", random_seed=SEED, store=["a"], draws=600, tune=300)
    assert list(idata["posterior"].data_vars) == ["a"]
    assert idata["posterior"].sizes["draw"] == 600
    (row,) = records()
    assert row == {
        "kind": "fit",
        "name": "line",
        "model": record.number_of(line),
        "seconds": row["seconds"],
        "draws": 600,
        "chains": 4,
        "seed": SEED,
        **idata.attrs,
        "expected_failure": None,
    }
    assert set(row["seconds"]) == {"compile", "sample", "check"}
    assert all(seconds > 0 for seconds in row["seconds"].values())


def test_nothing_is_written_unless_asked_for(compiled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_ESTIMATES", "1")  # alone it means nothing
    short(compiled)
    utils.check_claim("One is more than none.", 1.0, 0.1, above=0)
    record.estimates("x", {"a": xr.DataArray(np.zeros((4, 100)), dims=("chain", "draw"))})
    assert os.listdir(tmp_path) == []


def test_each_fit_is_recorded_once(compiled, records):
    short(compiled, name="first")
    short(compiled, name="second", data=NEW, draws=20, expect_failure="twenty draws")
    first, second = records()
    assert [first["name"], second["name"]] == ["first", "second"]
    assert (first["expected_failure"], second["expected_failure"]) == (None, "twenty draws")
    assert (first["draws"], second["draws"], second["seed"]) == (500, 20, SEED)
    assert first["model"] == second["model"]
    assert second["seconds"]["compile"] == 0, "compiling is counted with the first fit only"


def test_failing_fits_leave_no_record(compiled, records):
    for options in (
        {"draws": 20},
        {"data": {"sd": -1.0}},
        {"data": {"q": 1}},
        {"random_seed": None},
    ):
        with pytest.raises((ConvergenceError, SamplingError, KeyError, TypeError)):
            short(compiled, **options)
    assert records() == []


def test_estimates_are_recorded_where_the_tests_ask_for_them(compiled, records, monkeypatch):
    short(compiled)
    assert records("estimate") == []
    monkeypatch.setenv("COURSE_ESTIMATES", "1")
    idata = short(compiled, name="all")
    short(compiled, name="p only", gate=["p"])
    rows = {(row["name"], row["variable"]): row for row in records("estimate")}
    assert set(rows) == {("all", "alpha"), ("all", "p"), ("p only", "p")}
    draws = idata["posterior"]["alpha"]
    row = rows["all", "alpha"]
    np.testing.assert_allclose(row["mean"], draws.mean(("chain", "draw")))
    roughly = draws.std(("chain", "draw")) / np.sqrt(draws.size / 3)
    np.testing.assert_allclose(row["mcse"], roughly, rtol=0.6)


def test_formulas_and_claims_are_recorded(line, records, shown):
    formula = "y[i] ~ Normal(mu[i], 1)\nmu[i] = a + x[i]\na ~ Normal(0, 1)"
    utils.show_formula(line, formula, name="recorded line")
    with pytest.raises(utils.FormulaError):
        utils.show_formula(line, formula.replace("0, 1", "0, 2"), name="wrong")
    utils.check_claim("Two is above one.", np.float64(2), np.float32(0.25), above=1)
    with pytest.raises(AssertionError):
        utils.check_claim("Two is below one.", 2.0, 0.25, below=1)
    assert records() == [
        {"kind": "formula", "name": "recorded line", "model": record.number_of(line)},
        {
            "kind": "claim",
            "statement": "Two is above one.",
            "estimate": 2.0,
            "standard_error": 0.25,
        },
    ]


def test_models_have_numbers_of_their_own():
    kept = [pm.Model() for _ in range(3)]
    numbers = [record.number_of(model) for model in kept]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert [record.number_of(model) for model in kept] == numbers
    del kept[0]
    gc.collect()
    assert record.number_of(pm.Model()) not in numbers


@pytest.mark.compiles
def test_ordered_variables_with_one_prior_find_a_start():
    """Equal prior means start all cutpoints at one value, where the density is zero."""
    ordered = pm.distributions.transforms.ordered
    with pm.Model() as model:
        kappa = pm.Normal("kappa", 0.3, 1.5, shape=3, transform=ordered)
        apart = pm.Normal("apart", [-1.0, 1.0], 1, shape=2, transform=ordered)
        pm.OrderedLogistic("R", 0.0, kappa, observed=[0, 1, 2, 3], compute_p=False)
        pm.Normal("y", apart, 1, observed=[0.0, 1.0])
    starts = sampling.ordered_starts(model)
    assert list(starts) == ["kappa"]
    assert (np.diff(starts["kappa"]) > 0).all() and starts["kappa"].mean() == pytest.approx(0.3)
    idata = fit(model, name="ordered", random_seed=SEED)
    assert (np.diff(idata["posterior"]["kappa"].to_numpy(), axis=-1) > 0).all()
