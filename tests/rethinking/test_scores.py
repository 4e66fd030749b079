"""Leave-one-out scores and the integrals behind them, against adaptive integration by SciPy."""

import warnings
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, special, stats

import utils
from rethinking import scores
from utils import (
    integrated_log_likelihood,
    leave_one_out,
    mean_invlogit_normal,
    paired_difference,
)

COUNTS = [(0, 0), (0, 1), (1, 1), (0, 10), (5, 10), (10, 10), (1, 35), (17, 35), (34, 35), (35, 35)]
# largest error of 31 nodes over COUNTS and MUS, by sigma
TOLERANCES = {0.05: 1e-10, 0.3: 1e-10, 1: 1e-9, 2: 1e-6, 3: 5e-5, 4: 5e-4, 5: 2e-3, 6: 3e-3}
MUS = (-3.0, 0.0, 1.4, 4.0)


def by_quad(s, n, mu, sigma):
    """Log of the integral, over pieces so narrow that no peak is missed."""

    def log_integrand(a):
        return s * a - n * np.logaddexp(0, a) - 0.5 * ((a - mu) / sigma) ** 2

    raw = np.log((s + 0.5) / (n - s + 0.5))
    margin = 14 * sigma + 2
    edges = np.linspace(min(mu, raw) - margin, max(mu, raw) + margin, 80)
    shift = log_integrand(np.linspace(edges[0], edges[-1], 4001)).max()
    total = sum(
        integrate.quad(lambda a: np.exp(log_integrand(a) - shift), a, b, epsabs=1e-14)[0]
        for a, b in pairwise(edges)
    )
    return float(
        np.log(special.comb(n, s)) + shift + np.log(total) - np.log(sigma) - np.log(2 * np.pi) / 2
    )


@pytest.mark.parametrize("sigma", TOLERANCES)
def test_integral_against_adaptive_integration(sigma):
    s, n = np.array(COUNTS).T
    found = integrated_log_likelihood(s, n, xr.DataArray(list(MUS), dims="draw"), sigma)
    assert found.dims == ("draw", "tank")
    for (k, mu), (i, (a, b)) in product(enumerate(MUS), enumerate(COUNTS)):
        exact = by_quad(a, b, mu, sigma)
        assert float(found[k, i]) == pytest.approx(exact, abs=TOLERANCES[sigma]), (a, b, mu)


@pytest.mark.parametrize("sigma", [1, 3, 5, 6])
def test_twice_the_nodes_show_the_error(sigma):
    s, n = np.array(COUNTS).T
    mu = xr.DataArray(list(MUS), dims="draw")
    plain = integrated_log_likelihood(s, n, mu, sigma)
    doubled = integrated_log_likelihood(s, n, mu, sigma, n_nodes=62)
    exact = np.array([[by_quad(a, b, m, sigma) for a, b in COUNTS] for m in MUS])
    error, error_doubled = abs(plain - exact).max(), abs(doubled - exact).max()
    assert error_doubled < max(error / 10, 1e-10)
    assert float(abs(plain - doubled).max()) == pytest.approx(float(error), rel=0.2, abs=1e-10)


@pytest.mark.parametrize("mu", [-25.0, -12.0, 12.0, 25.0])
@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_population_far_from_the_counts(mu, sigma):
    """Newton's method has a long way to go to the peak."""
    for s, n in ((0, 35), (35, 35), (17, 35), (200, 400)):
        found = integrated_log_likelihood([s], [n], xr.DataArray(mu), sigma)
        assert found.item() == pytest.approx(by_quad(s, n, mu, sigma), abs=1e-7), (s, n)


def test_probabilities_of_all_counts_sum_to_one():
    n = 12
    counts = np.arange(n + 1)
    for mu, sigma in product((-2.0, 0.0, 3.0), (0.1, 1.0, 2.0)):
        log_p = integrated_log_likelihood(counts, np.full(n + 1, n), xr.DataArray(mu), sigma)
        assert float(np.exp(log_p).sum()) == pytest.approx(1, abs=1e-6)


def test_a_tank_without_tadpoles_says_nothing():
    log_p = integrated_log_likelihood([0], [0], xr.DataArray([-9.0, 0.0, 9.0], dims="draw"), 6.0)
    np.testing.assert_allclose(log_p, 0, atol=1e-12)


def test_success_and_failure_are_mirror_images():
    s, n = np.array(COUNTS).T
    mu = xr.DataArray(list(MUS), dims="draw")
    a = integrated_log_likelihood(s, n, mu, 2.5)
    b = integrated_log_likelihood(n - s, n, -mu, 2.5)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.fixture(scope="module")
def frogs():
    return utils.load_data("reedfrogs")


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(1)
    return xr.DataArray(
        rng.normal(1.4, 0.4, (4, 300)),
        dims=("chain", "draw"),
        coords={"chain": range(4), "draw": range(300)},
    )


@pytest.mark.parametrize("spread", [0.1, 1, 5])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 6.0])
def test_many_draws_and_one_sigma_take_a_spline(frogs, draws, spread, sigma, monkeypatch):
    mu = 1.4 + spread * (draws - 1.4)
    assert mu.size > 4 * scores._SPLINE_POINTS
    monkeypatch.setattr(scores, "make_interp_spline", spline := Counting(scores.make_interp_spline))
    fast = integrated_log_likelihood(frogs["surv"], frogs["density"], mu, sigma)
    assert spline.calls == 1
    direct = integrated_log_likelihood(frogs["surv"], frogs["density"], mu, xr.full_like(mu, sigma))
    assert spline.calls == 1
    np.testing.assert_allclose(fast, direct, rtol=0, atol=1e-7)
    assert fast.dims == direct.dims == ("chain", "draw", "tank")
    assert fast.name == direct.name == "log_likelihood"
    assert fast.shape == (4, 300, 48)
    xr.testing.assert_equal(fast["draw"], mu["draw"])


class Counting:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **options):
        self.calls += 1
        return self.function(*args, **options)


def test_draws_that_are_all_the_same_need_no_spline(frogs):
    mu = xr.DataArray(np.full((4, 300), 1.4), dims=("chain", "draw"))
    one = integrated_log_likelihood(frogs["surv"], frogs["density"], xr.DataArray(1.4), 1.5)
    many = integrated_log_likelihood(frogs["surv"], frogs["density"], mu, 1.5)
    np.testing.assert_allclose(many, np.broadcast_to(one, many.shape), rtol=1e-12)


def test_mu_and_sigma_may_have_the_tanks_dimension(draws):
    s, n = np.array([3, 3, 9]), np.array([10, 10, 10])  # two tanks alike, but for mu or sigma
    few = draws.isel(draw=slice(5))
    coords = {"tank": ["A", "B", "C"]}
    shift = xr.DataArray([0.0, 1.0, -1.0], dims="tank", coords=coords)
    scale = xr.DataArray([1.0, 2.0, 0.5], dims="tank", coords=coords)
    for mu, sigma in (
        (few + shift, 1.5),
        (few + shift, abs(few)),
        (few, scale),
        (few + shift, scale),
    ):
        found = integrated_log_likelihood(s, n, mu, sigma)
        assert set(found.dims) == {"chain", "draw", "tank"}
        assert list(found["tank"].values) == ["A", "B", "C"]
        for i, tank in enumerate("ABC"):

            def part(x, tank=tank):
                return x.sel(tank=tank, drop=True) if "tank" in getattr(x, "dims", ()) else x

            alone = integrated_log_likelihood(s[[i]], n[[i]], part(mu), part(sigma))
            np.testing.assert_allclose(
                found.sel(tank=tank).transpose("chain", "draw"), alone.isel(tank=0), rtol=1e-12
            )


def test_shapes_names_and_kinds_of_counts(frogs):
    mu = xr.DataArray([1.0, 2.0], dims="draw")
    a = integrated_log_likelihood(frogs["surv"], frogs["density"], mu, 1.0, dim="group")
    assert a.dims == ("draw", "group")
    for kind in (list, np.array, pd.Series, xr.DataArray):
        b = integrated_log_likelihood(kind([1, 2, 2]), kind([5, 5, 5]), mu, 1.0)
        assert b.shape == (2, 3)
        assert float(b[0, 1]) == float(b[0, 2]) != float(b[0, 0])


BAD_COUNTS = {
    "negative": ([1, -1], [5, 5], "at position 1 there are -1 of 5"),
    "too many": ([6, 1], [5, 5], "at position 0 there are 6 of 5"),
    "missing": ([1, np.nan], [5, 5], "at position 1 there are nan of 5"),
    "missing trials": ([1, 1], [np.nan, 5], "at position 0 there are 1 of nan"),
    "lengths": (
        [1, 1, 1],
        [5, 5],
        r"shape \(3,\), and .* \(2,\), must be rows of one length",
    ),
    "a table": ([[1, 1]], [[5, 5]], "must be rows of one length"),
}


@pytest.mark.parametrize("case", BAD_COUNTS)
def test_impossible_counts_are_refused(case):
    s, n, message = BAD_COUNTS[case]
    with pytest.raises(ValueError, match=message):
        integrated_log_likelihood(s, n, xr.DataArray(0.0), 1.0)


@pytest.mark.parametrize("sigma", [0, -1.0, np.nan, np.inf, [1.0, 0.0]])
def test_impossible_sigma_is_refused(sigma):
    sigma = xr.DataArray(sigma, dims="draw") if isinstance(sigma, list) else sigma
    with pytest.raises(ValueError, match="sigma must be positive and finite, not"):
        integrated_log_likelihood([1], [5], xr.DataArray([0.0, 1.0], dims="draw"), sigma)


def test_arguments_stay_as_they_are(draws):
    s, n, mu, sigma = np.array([1, 2]), np.array([5, 5]), draws.copy(), abs(draws)
    before = s.copy(), n.copy(), mu.copy(), sigma.copy()
    integrated_log_likelihood(s, n, mu, sigma)
    integrated_log_likelihood(s, n, mu, 1.0)
    mean_invlogit_normal(mu, sigma)
    for a, b in zip((s, n, mu, sigma), before, strict=True):
        np.testing.assert_array_equal(a, b)


# --- mean_invlogit_normal


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1, 2, 5, 10])
@pytest.mark.parametrize("mu", [-6.0, -1.0, 0.0, 0.3, 2.0])
def test_mean_survival_against_adaptive_integration(mu, sigma):
    def integrand(z):
        return special.expit(mu + sigma * z) * stats.norm.pdf(z)

    exact = sum(integrate.quad(integrand, a, a + 1, epsabs=1e-13)[0] for a in range(-9, 9))
    assert float(mean_invlogit_normal(xr.DataArray(mu), sigma)) == pytest.approx(exact, abs=1e-8)


def test_mean_survival_lies_between_the_median_tank_and_one_half(draws):
    mean = mean_invlogit_normal(draws, abs(draws) + 0.1)
    assert mean.dims == draws.dims
    median = utils.invlogit(draws)
    assert (abs(mean - 0.5) < abs(median - 0.5)).all()
    assert float(mean_invlogit_normal(xr.DataArray(0.0), 3.0)) == pytest.approx(0.5, abs=1e-12)
    np.testing.assert_allclose(mean_invlogit_normal(draws, 0.0), median)


# --- leave_one_out


@pytest.fixture(scope="module")
def normal_model():
    """Normal data of known scale, Normal(0, 10) mean: posterior and scores are known exactly."""
    rng = np.random.default_rng(2)
    y = rng.normal(1, 1, 30)
    precision = y.size + 1 / 100
    mean = rng.normal(y.sum() / precision, precision**-0.5, (4, 2000))
    log_likelihood = xr.DataArray(
        stats.norm.logpdf(y, mean[..., None], 1), dims=("chain", "draw", "obs")
    )
    without = precision - 1
    exact = stats.norm.logpdf(y, (y.sum() - y) / without, np.sqrt(1 + 1 / without))
    return log_likelihood, exact


def test_leave_one_out_of_a_model_with_known_scores(normal_model):
    log_likelihood, exact = normal_model
    score = leave_one_out(log_likelihood, name="normal")
    np.testing.assert_allclose(score.elpd_i, exact, atol=0.01)
    assert score.elpd == pytest.approx(exact.sum(), abs=0.05)
    assert score.elpd == pytest.approx(float(score.elpd_i.sum()))
    assert score.se == pytest.approx(np.sqrt(30 * exact.var()), rel=0.05)
    assert score.pareto_k.shape == (30,)
    assert float(score.pareto_k.max()) < score.good_k


def outlier(log_likelihood):
    """The first observation so far out that reweighting cannot follow."""
    rng = np.random.default_rng(3)
    return log_likelihood.where(
        log_likelihood["obs"] > 0,
        xr.DataArray(-(rng.standard_normal((4, 2000)) ** 2) * 20, dims=("chain", "draw")),
    )


def test_the_lamp_is_lit_without_a_warning(normal_model):
    log_likelihood, _ = normal_model
    bad = outlier(log_likelihood.assign_coords(obs=np.arange(30)))
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        score = leave_one_out(bad, name="outlier")
    assert seen == []
    assert warnings.filters == filters
    assert float(score.pareto_k[0]) > score.good_k
    assert (score.pareto_k[1:] < score.good_k).all()
    # every other warning still comes through
    with pytest.warns(UserWarning, match="point-wise LOO is the same with the sum"):
        leave_one_out(log_likelihood.isel(obs=[0]), name="one")


def test_order_of_dimensions_and_input_do_not_change(normal_model):
    log_likelihood, _ = normal_model
    before = log_likelihood.copy(deep=True)
    a = leave_one_out(log_likelihood, name="a")
    b = leave_one_out(log_likelihood.transpose("obs", "draw", "chain"), name="b")
    np.testing.assert_allclose(a.elpd_i, b.elpd_i)
    xr.testing.assert_identical(log_likelihood, before)


def test_counts_with_exact_scores(frogs):
    """Integrated over the tanks, with draws of the mean from its exact posterior on a grid."""
    s, n = frogs["surv"].to_numpy()[:12], frogs["density"].to_numpy()[:12]
    grid = xr.DataArray(np.linspace(-4, 8, 1201), dims="draw")
    log_l = integrated_log_likelihood(s, n, grid, 1.5).values
    log_posterior = stats.norm.logpdf(grid, 0, 1.5) + log_l.sum(axis=1)
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= weight.sum()
    exact = -np.log(weight @ np.exp(-log_l))
    mu = np.random.default_rng(4).choice(grid, size=(4, 2000), p=weight)
    mu = xr.DataArray(mu, dims=("chain", "draw"))
    score = leave_one_out(integrated_log_likelihood(s, n, mu, 1.5), name="tanks")
    np.testing.assert_allclose(score.elpd_i, exact, atol=0.02)
    assert float(score.pareto_k.max()) < score.good_k


def test_scores_are_recorded_where_the_tests_ask_for_them(normal_model, tmp_path, monkeypatch):
    log_likelihood, exact = normal_model
    path = tmp_path / "record.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(path))
    monkeypatch.delenv("COURSE_ESTIMATES", raising=False)
    leave_one_out(log_likelihood, name="normal")
    assert not path.exists()
    monkeypatch.setenv("COURSE_ESTIMATES", "1")
    leave_one_out(log_likelihood, name="not this", recorded=False)
    assert not path.exists()
    leave_one_out(log_likelihood, name="normal")
    (row,) = pd.read_json(path, lines=True).to_dict("records")
    assert (row["kind"], row["name"], row["variable"]) == ("estimate", "normal", "elpd")
    z = (np.array(row["mean"]) - exact) / np.array(row["mcse"])
    assert np.abs(z).max() < 4.5


# --- paired_difference


def score_of(normal_model, scale):
    log_likelihood, _ = normal_model
    return leave_one_out(log_likelihood * scale, name=f"scale {scale}")


def test_paired_difference_by_hand(normal_model):
    a, b = score_of(normal_model, 1.0), score_of(normal_model, 0.5)
    d = a.elpd_i.values - b.elpd_i.values
    difference, error = paired_difference(a, b)
    assert difference == pytest.approx(a.elpd - b.elpd)
    assert error == pytest.approx(np.sqrt(30 / 29 * ((d - d.mean()) ** 2).sum()))
    assert paired_difference(b, a) == pytest.approx((-difference, error))
    assert paired_difference(a, a) == (0, 0)
    assert all(type(value) is float for value in (difference, error))


def test_scores_of_other_observations_cannot_be_paired(normal_model):
    log_likelihood, _ = normal_model
    a = leave_one_out(log_likelihood, name="a")
    b = leave_one_out(log_likelihood.isel(obs=slice(3)), name="b")
    with pytest.raises(ValueError, match="30 and of 3 observations cannot be paired"):
        paired_difference(a, b)
