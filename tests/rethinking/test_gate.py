"""The convergence gate: its numbers are ArviZ's, and every criterion goes red on a planted fit."""

import json
import re
import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

import utils
from rethinking import gate
from utils import ConvergenceError, check_convergence, diagnostics, judge

CHAINS, DRAWS = 4, 1000


def ar1(rng, rho, shape):
    """Stationary autoregression along the last axis, each draw of variance 1."""
    noise = rng.normal(size=shape) * np.sqrt(1 - rho**2)
    noise[..., 0] /= np.sqrt(1 - rho**2)
    return lfilter([1], [1, -rho], noise, axis=-1)


# --- diagnostics


RHOS = (-0.9, -0.5, 0, 0.3, 0.9, 0.99, 0.999)


def awkward_draws(rng, chains, n):
    """Chains of every kind that a gate may meet, by name; shape (chain, draw) each."""
    shape = (chains, n)
    return {f"AR(1), rho {rho}": ar1(rng, rho, shape) for rho in RHOS} | {
        "ties": np.round(ar1(rng, 0.5, shape), 1),
        "repeated draws": np.repeat(ar1(rng, 0.2, shape), 3, axis=-1)[:, :n],
        "shifted chains": ar1(rng, 0.5, shape) + np.arange(chains)[:, None],
        "one chain shifted": ar1(rng, 0.5, shape) + 0.3 * (np.arange(chains)[:, None] == 1),
        "one chain wide": rng.normal(size=shape) * np.where(np.arange(chains) == 0, 5, 1)[:, None],
        "trend": rng.normal(size=shape) + np.linspace(0, 3, n),
        "Cauchy": rng.standard_cauchy(shape),
        "discrete": rng.integers(0, 9, shape) * 1.0,
        "zeros and ones": np.concatenate(
            [rng.integers(0, 2, (chains, n - 2)), np.tile([0, 1], (chains, 1))], axis=1
        )
        * 1.0,
        "as many zeros as ones": rng.permuted(np.tile([0.0, 1.0], (chains, n))[:, :n], axis=1),
        "one chain constant": np.where(
            np.arange(chains)[:, None] == 0, 0.2, rng.normal(size=shape)
        ),
        "large offset": 1e6 + rng.normal(size=shape),
        "tiny": 1e-9 * rng.normal(size=shape),
    }


@pytest.mark.parametrize("chains", [2, 3, 4, 5])
@pytest.mark.parametrize("n", [8, 51, 200, 1001])
def test_diagnostics_are_those_of_arviz(chains, n):
    named = awkward_draws(np.random.default_rng([chains, n]), chains, n)
    draws = np.stack(list(named.values()))
    before = draws.copy()
    found = diagnostics(draws)
    np.testing.assert_array_equal(draws, before)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (
            [az.rhat(x) for x in draws],
            [az.ess(x, method="bulk") for x in draws],
            [az.ess(x, method="tail", prob=(0.05, 0.95)) for x in draws],
        )
    for what, a, b in zip(("R-hat", "bulk ESS", "tail ESS"), found, expected, strict=True):
        assert a.shape == (len(named),)
        for key, x, y in zip(named, a, b, strict=True):
            assert x == pytest.approx(y, rel=1e-10), f"{what} of {key}"


def test_diagnostics_take_lists_and_whole_numbers():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 5, (3, 4, 100))
    for given in (whole, whole.tolist(), whole.astype(np.int8), xr.DataArray(whole)):
        for a, b in zip(diagnostics(given), diagnostics(whole.astype(float)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_diagnostics_of_one_parameter_do_not_depend_on_its_neighbours():
    rng = np.random.default_rng(1)
    draws = np.stack(list(awkward_draws(rng, 4, 200).values()))
    together = np.stack(diagnostics(draws))
    apart = np.concatenate([np.stack(diagnostics(x[None])) for x in draws], axis=1)
    np.testing.assert_allclose(together, apart, rtol=1e-12)


def test_diagnostics_see_independent_draws_as_such():
    rhat, bulk, tail = diagnostics(np.random.default_rng(2).normal(size=(200, 4, 1000)))
    assert rhat.max() < 1.01
    assert bulk.mean() == pytest.approx(4000, rel=0.03)
    assert tail.mean() == pytest.approx(4000, rel=0.05)


# --- check_convergence


def good(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=(CHAINS, DRAWS, *shape))


def fit_of(*, diverging=(), energy=None, coords=None, dims=None, **posterior):
    """Draws as a sampler returns them: arrays (chain, draw, ...) by name."""
    rng = np.random.default_rng(4)
    n_chains, n_draws = next(iter(posterior.values())).shape[:2]
    stats = {
        "diverging": np.zeros((n_chains, n_draws), bool),
        "energy": rng.normal(size=(n_chains, n_draws)) if energy is None else energy,
    }
    for place in diverging:
        stats["diverging"][place] = True
    variables = {
        key: (
            ("chain", "draw", *(dims or {}).get(key, [f"{key}_{i}" for i in range(v.ndim - 2)])),
            v,
        )
        for key, v in posterior.items()
    }
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(variables, coords=coords),
            "sample_stats": xr.Dataset({k: (("chain", "draw"), v) for k, v in stats.items()}),
        }
    )


def tanks(values):
    """A fit with a sound scalar and `values` along a dimension that has coordinates."""
    return fit_of(
        mu=good(seed=5), alpha=values, dims={"alpha": ["tank"]}, coords={"tank": ["A", "B", "C"]}
    )


def shifted():
    values = good(3)
    values[2, :, 1] += 2
    return values


def slow(rho):
    values = good(3)
    values[..., 2] = ar1(np.random.default_rng(6), rho, (CHAINS, DRAWS))
    return values


def thin_tail():
    """Independent in the bulk, but all values below the 5% quantile come in one long visit."""
    values = good(3)
    ordered = np.sort(values[..., 0], axis=1)
    low, rest = ordered[:, :100], ordered[:, 100:]
    np.random.default_rng(7).shuffle(rest, axis=1)
    values[..., 0] = np.concatenate([rest[:, :450], low, rest[:, 450:]], axis=1)
    return values


def test_a_sound_fit_passes_and_is_reported():
    idata = tanks(good(3))
    seen = check_convergence(idata, name="sound")
    assert (seen.name, seen.chains, seen.draws, seen.divergences) == ("sound", CHAINS, DRAWS, 0)
    assert seen.problems == () and seen.passed and seen.judged
    assert judge(idata, name="sound") == seen
    assert seen.min_ess == min(seen.min_ess_bulk, seen.min_ess_tail)
    flat = np.concatenate([idata["posterior"]["mu"].values[..., None], good(3)], axis=2)
    rhat, bulk, tail = diagnostics(np.moveaxis(flat, 2, 0))
    assert seen.max_rhat == rhat.max()
    assert (seen.min_ess_bulk, seen.min_ess_tail) == (bulk.min(), tail.min())
    assert seen.min_bfmi == pytest.approx(float(az.bfmi(idata)["energy"].min()))


def test_the_bounds_are_those_of_the_source():
    assert (utils.MAX_RHAT, utils.MIN_ESS, utils.MIN_BFMI, utils.CHAINS) == (1.01, 400, 0.3, 4)


def low_energy():
    return ar1(np.random.default_rng(8), 0.99, (CHAINS, DRAWS))


PLANTED = {
    "R-hat": (lambda: tanks(shifted()), r"R-hat 1\.\d{3} for alpha\[B\] \(at most 1\.01\)"),
    "bulk ESS": (lambda: tanks(slow(0.9)), r"bulk ESS \d+ for alpha\[C\] \(at least 400\)"),
    "tail ESS": (lambda: tanks(thin_tail()), r"tail ESS \d+ for alpha\[A\] \(at least 400\)"),
    "a divergence": (
        lambda: fit_of(mu=good(), diverging=[(3, 7)]),
        r"1 divergences \(none allowed\)",
    ),
    "E-BFMI": (lambda: fit_of(mu=good(), energy=low_energy()), r"E-BFMI 0\.0\d \(at least 0\.3\)"),
    "three chains": (lambda: fit_of(mu=good()[:3]), r"3 chains \(at least 4: pass chains=4\)"),
    "one chain stuck": (
        lambda: tanks(np.where(np.arange(4)[:, None, None] == 1, 0.1, good(3))),
        r"R-hat \d\.\d+ for alpha\[.\]",
    ),
    "each chain stuck elsewhere": (
        lambda: tanks(np.where(np.arange(3) == 1, np.arange(4.0)[:, None, None], good(3))),
        r"R-hat (inf|\d{2,}\.\d+) for alpha\[B\]",
    ),
    "energy that is no number": (
        lambda: fit_of(mu=good(), energy=np.where(np.arange(DRAWS) == 3, np.nan, good())),
        r"E-BFMI nan \(at least 0\.3\)",
    ),
    "constant energy": (
        lambda: fit_of(mu=good(), energy=np.ones((CHAINS, DRAWS))),
        r"E-BFMI nan \(at least 0\.3\)",
    ),
}


@pytest.mark.parametrize("case", PLANTED)
def test_each_criterion_goes_red(case):
    make, message = PLANTED[case]
    with pytest.raises(ConvergenceError, match=r"^planted has not converged: ") as caught:
        check_convergence(make(), name="planted")
    assert re.search(message, str(caught.value)), caught.value
    assert str(caught.value).endswith("another seed is no remedy.")
    verdict = judge(make(), name="planted")
    assert verdict.judged and not verdict.passed
    assert any(re.search(message, problem) for problem in verdict.problems)
    seen = check_convergence(make(), name="planted", expect_failure="planted")
    assert seen.problems == verdict.problems


@pytest.mark.parametrize("case", ["bulk ESS", "tail ESS", "a divergence", "E-BFMI", "three chains"])
def test_nothing_but_the_planted_criterion(case):
    """Most planted fits fail in one way only, so that the tests above see that criterion."""
    seen = check_convergence(PLANTED[case][0](), expect_failure="planted")
    alone = {"bulk ESS": ("bulk", "tail", "R-hat")}.get(case, (case.split()[-1].rstrip("s"),))
    assert all(any(word in problem for word in alone) for problem in seen.problems), seen.problems


def test_all_failed_criteria_are_named_at_once():
    values = good(3)[:3]
    values[0] += 5
    with pytest.raises(ConvergenceError) as caught:
        check_convergence(fit_of(alpha=values, diverging=[(0, 0), (1, 1)]))
    for word in ("R-hat", "bulk ESS", "tail ESS", "2 divergences", "3 chains"):
        assert word in str(caught.value)


# 0.1 and 1/3: their mean over many draws is another number in the last digit
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, -7e22, np.nan, np.inf])
@pytest.mark.parametrize("expected", [None, "planted"])
def test_stuck_or_undefined_entries_are_never_let_through(value, expected):
    values = good(3)
    values[..., 1] = value
    with pytest.raises(ConvergenceError, match=r"stuck cannot be judged: alpha\[B\] never varies"):
        check_convergence(tanks(values), name="stuck", expect_failure=expected)
    verdict = judge(tanks(values), name="stuck")
    assert not verdict.judged and not verdict.passed
    assert (verdict.max_rhat, verdict.min_ess, verdict.min_bfmi) == (np.inf, 0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("constant", [(), ("alpha",)])
def test_a_single_undefined_draw_is_seen(value, constant):
    values = good(3)
    values[1, 500, 2] = value
    with pytest.raises(ConvergenceError, match=r"alpha\[C\] never varies or is not a finite"):
        check_convergence(tanks(values), constant=constant)


def test_the_number_of_stuck_entries_is_told():
    with pytest.raises(ConvergenceError, match=r"alpha\[A\] and 2 more never varies"):
        check_convergence(tanks(np.zeros((CHAINS, DRAWS, 3))))


def correlation(corner=None):
    """A correlation matrix: unit diagonal, one free entry that stands twice."""
    values = np.empty((CHAINS, DRAWS, 2, 2))
    values[..., 0, 0] = values[..., 1, 1] = 1
    values[..., 0, 1] = values[..., 1, 0] = np.tanh(good()) if corner is None else corner
    return fit_of(
        mu=good(seed=9),
        R=values,
        dims={"R": ["row", "column"]},
        coords={"row": ["a", "b"], "column": ["a", "b"]},
    )


def test_constant_lets_a_fixed_diagonal_through():
    seen = check_convergence(correlation(), constant=["R"])
    assert seen.problems == ()
    with pytest.raises(ConvergenceError, match=r"R\[a, a\] and 1 more never varies.*constant="):
        check_convergence(correlation())


def test_constant_does_not_hide_what_varies_badly():
    corner = np.tanh(good() + np.array([3, 0, 0, 0])[:, None])
    with pytest.raises(ConvergenceError, match=r"R-hat 1\.\d+ for R\[a, b\]") as caught:
        check_convergence(correlation(corner), constant=["R"])
    for word in ("R-hat", "bulk ESS", "tail ESS"):
        assert re.search(rf"{word} [\d.]+ for R\[a, b\]", str(caught.value))


def test_constant_lets_nothing_stuck_through_elsewhere():
    idata = correlation()
    idata["posterior"]["mu"] = idata["posterior"]["mu"] * 0
    with pytest.raises(ConvergenceError, match=r"mu never varies"):
        check_convergence(idata, constant=["R"])


def test_constant_may_name_any_kind_of_variable():
    n = (CHAINS, DRAWS)
    idata = fit_of(mu=good(), a=np.ones(n), b=np.ones((*n, 2), int), c=np.ones((*n, 2), bool))
    seen = check_convergence(idata, constant=["a", "b", "c", "mu", "not there"])
    assert seen.max_rhat == check_convergence(fit_of(mu=good())).max_rhat
    with pytest.raises(ValueError, match="no entry that varies"):
        check_convergence(idata, var_names=["a", "b"], constant=["a", "b"])


def test_a_file_can_hold_the_verdict():
    attrs = judge(fit_of(mu=good(), diverging=[(3, 7), (0, 1)])).as_attrs()
    assert attrs["problems"] == "2 divergences (none allowed)" and attrs["divergences"] == 2
    assert {type(value) for value in attrs.values()} == {float, int, str}
    assert judge(fit_of(mu=good())).as_attrs()["problems"] == ""


def test_no_entry_beyond_the_last_one_has_a_name():
    with pytest.raises(IndexError):
        gate._entry(fit_of(mu=good())["posterior"].to_dataset(), 1)


def test_truth_values_and_whole_numbers_are_judged_like_others():
    idata = fit_of(k=(good(2) > 0), n=np.round(good(2) * 3).astype(int))
    assert check_convergence(idata).problems == ()


def test_var_names_choose_what_is_looked_at():
    idata = fit_of(mu=good(), bad=shifted())
    assert check_convergence(idata, var_names=["mu"]).problems == ()
    with pytest.raises(ConvergenceError, match=r"for bad\[1\]"):
        check_convergence(idata, var_names=["mu", "bad"])
    with pytest.raises(ValueError, match=r"fit f has no 'nu' in its posterior; it has mu, bad\."):
        check_convergence(idata, name="f", var_names=["mu", "nu"])
    with pytest.raises(ValueError, match="no variable to look at"):
        check_convergence(idata, var_names=[])


def test_order_of_dimensions_does_not_matter():
    idata = tanks(shifted())
    turned = xr.DataTree.from_dict(
        {
            "posterior": idata["posterior"].to_dataset().transpose("tank", "draw", "chain"),
            "sample_stats": idata["sample_stats"].to_dataset(),
        }
    )
    assert judge(turned) == judge(idata)


@pytest.mark.parametrize("group", ["posterior", "sample_stats"])
def test_a_missing_group_is_named(group):
    idata = fit_of(mu=good())
    del idata[group]
    with pytest.raises(
        ValueError, match=f"fit f has no group '{group}'; pass the result of a samp"
    ):
        check_convergence(idata, name="f", expect_failure="whatever")


@pytest.mark.parametrize("key", ["diverging", "energy"])
def test_a_sampler_without_hamilton_is_refused(key):
    idata = fit_of(mu=good())
    del idata["sample_stats"][key]
    with pytest.raises(ValueError, match=f"fit f holds no '{key}' in sample_stats"):
        check_convergence(idata, name="f")


@pytest.mark.parametrize("n", [0, 3])
def test_too_few_draws_to_judge(n):
    with pytest.raises(ValueError, match=f"fit f has {n} draws a chain"):
        check_convergence(fit_of(mu=good()[:, :n]), name="f")


def test_expected_failure_that_passes_is_an_error():
    with pytest.raises(ConvergenceError) as caught:
        check_convergence(fit_of(mu=good()), name="easy", expect_failure="the funnel is deep")
    assert "easy was meant to fail (the funnel is deep), but it passes" in str(caught.value)


def test_the_fit_is_left_as_it_was():
    idata = correlation()
    before = idata.copy(deep=True)
    with warnings.catch_warnings():
        filters = list(warnings.filters)
        check_convergence(idata, constant=["R"])
        assert warnings.filters == filters
    xr.testing.assert_identical(idata["posterior"].to_dataset(), before["posterior"].to_dataset())
    assert idata.attrs == before.attrs


def test_a_plain_fit_gets_its_line_in_the_record_once(tmp_path, monkeypatch):
    path = tmp_path / "record.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(path))
    frog_idata = tanks(good(3))
    check_convergence(frog_idata)
    check_convergence(frog_idata, name="frogs")
    frog_idata.attrs["max_rhat"] = 1.0  # as `fit` leaves it
    check_convergence(frog_idata)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["name"], line["variable"]) for line in lines] == [
        ("frog_idata", "frog_idata"),
        ("frogs", "frog_idata"),
    ]
    assert lines[0]["max_rhat"] <= 1.01 and lines[0]["chains"] == 4


def test_the_record_holds_the_verdict_and_the_estimates(tmp_path, monkeypatch):
    path = tmp_path / "record.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(path))
    monkeypatch.setenv("COURSE_ESTIMATES", "1")
    idata = tanks(shifted())
    idata["posterior"].attrs["sampling_time"] = 2.5
    verdict = check_convergence(idata, name="frogs", expect_failure="planted")
    found, *estimates = [json.loads(line) for line in path.read_text().splitlines()]
    idata.attrs["max_rhat"] = 1.0  # as `fit` leaves it, which has recorded it
    check_convergence(idata, name="frogs", expect_failure="planted")
    assert len(path.read_text().splitlines()) == 3
    del found["variable"]
    expected = {"kind": "fit", "name": "frogs", "seconds": {"sample": 2.5}}
    expected |= {"draws": DRAWS, "chains": CHAINS, "expected_failure": "planted"}
    assert found == expected | verdict.as_attrs()
    assert [(line["name"], line["variable"]) for line in estimates] == [
        ("frogs", "mu"),
        ("frogs", "alpha"),
    ]


def test_a_bound_that_is_just_met_is_met(monkeypatch):
    idata = fit_of(mu=good(), diverging=[(0, 0)])
    seen = judge(idata)
    bounds = {"MAX_RHAT": seen.max_rhat, "MIN_BFMI": seen.min_bfmi, "CHAINS": seen.chains}
    for name, value in bounds.items():
        monkeypatch.setattr(gate, name, value)
    for kind, size in {"bulk": seen.min_ess_bulk, "tail": seen.min_ess_tail}.items():
        monkeypatch.setattr(gate, "MIN_ESS", size)
        assert not any(word in p for p in judge(idata).problems for word in ("R-hat", "BFMI", kind))
    monkeypatch.setattr(gate, "CHAINS", 5)
    monkeypatch.setattr(gate, "MIN_ESS", 0)
    assert judge(idata).as_attrs()["problems"] == (
        "4 chains (at least 5: pass chains=5); 1 divergences (none allowed)"
    )


def test_a_run_cut_short_is_not_judged():
    idata = fit_of(mu=good(), diverging=[(0, 0), (1, 2)])
    settings = json.dumps({"settings": {"num_draws": DRAWS + 1}})
    idata["sample_stats"].attrs["inference_library_settings"] = settings
    said = f"it was interrupted after {DRAWS} of {DRAWS + 1} draws a chain; let it run to its end"
    size = (CHAINS, DRAWS)
    expected = gate.Convergence("fit", *size, np.inf, 0.0, 0.0, 2, 0.0, (said,), judged=False)
    assert judge(idata) == expected
    drawn = xr.DataArray(np.arange(DRAWS) < 900, dims="draw")  # shorter chains end in NaN
    stats = idata["sample_stats"]
    stats["diverging"] = stats["diverging"].where(drawn)
    assert judge(idata) == expected
    stuck = judge(tanks(np.zeros((CHAINS, DRAWS, 3))), name="stuck")
    assert stuck == gate.Convergence(
        "stuck", *size, np.inf, 0.0, 0.0, 0, 0.0, stuck.problems, judged=False
    )


def test_a_fit_that_nobody_named_is_a_fit():
    verdicts = judge(tanks(good(3))), check_convergence(tanks(good(3)))
    assert [verdict.name for verdict in verdicts] == ["fit", "fit"]


def test_a_verdict_reads_as_a_sentence():
    assert repr(judge(tanks(good(3)), name="frogs")).startswith("frogs converged: R-hat ≤")
    assert "frogs fails: R-hat" in repr(judge(tanks(shifted()), name="frogs"))
