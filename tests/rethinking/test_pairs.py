"""The likelihood of pairs of counts, against plain sums over a fine grid."""

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats

from rethinking.pairs import integrated_pair_log_likelihood
from rethinking.scores import integrated_log_likelihood

SUCCESSES = np.array([[12, 10], [0, 2], [0, 0], [34, 0], [3, 0], [17, 30], [0, 40]])
TRIALS = np.array([[20, 15], [0, 2], [0, 0], [34, 0], [35, 12], [63, 54], [0, 40]])
POPULATIONS = [
    (-0.7, 0.6, 0.5, 0.7, 0.0),
    (-0.7, 0.6, 0.5, 0.7, -0.7),
    (0.3, -1.0, 1.5, 0.2, 0.6),
    (-1.0, 0.0, 0.4, 0.0, 0.0),
    (-1.0, 0.5, 0.0, 0.9, 0.0),
    (-0.5, 0.2, 0.6, 0.6, -1.0),
]


def by_grid(s, n, alpha_bar, beta_bar, sigma, tau, rho, points=1201):
    z = np.linspace(-9, 9, points)
    weight = stats.norm.pdf(z) * (z[1] - z[0])
    x = (alpha_bar + sigma * z)[:, None]
    y = x + beta_bar + tau * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
    joint = stats.binom.pmf(s[0], n[0], special.expit(x)) * stats.binom.pmf(
        s[1], n[1], special.expit(y)
    )
    return np.log(weight @ joint @ weight)


@pytest.mark.parametrize("population", POPULATIONS)
def test_against_a_fine_grid(population):
    exact = [by_grid(s, n, *population) for s, n in zip(SUCCESSES, TRIALS, strict=True)]
    found = integrated_pair_log_likelihood(SUCCESSES, TRIALS, *population)
    assert found.dims == ("district",)
    np.testing.assert_allclose(found, exact, atol=1e-4)
    finer = integrated_pair_log_likelihood(SUCCESSES, TRIALS, *population, n_nodes=25)
    np.testing.assert_allclose(finer, exact, atol=1e-8)


def test_without_the_feature_it_is_the_integral_of_one_count():
    mu = xr.DataArray([-1.0, 0.5], dims="draw")
    pooled = integrated_log_likelihood(SUCCESSES.sum(1), TRIALS.sum(1), mu, 0.8, dim="district")
    choose = [
        stats.binom.logpmf(SUCCESSES, TRIALS, 0.5).sum(1),
        stats.binom.logpmf(SUCCESSES.sum(1), TRIALS.sum(1), 0.5),
    ]
    found = integrated_pair_log_likelihood(SUCCESSES, TRIALS, mu, 0.0, 0.8, 0.0, n_nodes=15)
    np.testing.assert_allclose(found, pooled + choose[0] - choose[1], atol=1e-6)


def test_independent_rates_are_a_product():
    s, n = SUCCESSES, TRIALS
    a, b, sd_a, sd_b = -0.9, -0.2, 0.5, 0.8
    tau = np.hypot(sd_a, sd_b)
    found = integrated_pair_log_likelihood(s, n, a, b - a, sd_a, tau, -sd_a / tau, n_nodes=15)
    product = integrated_log_likelihood(
        s[:, 0], n[:, 0], xr.DataArray(a), sd_a, dim="district"
    ) + integrated_log_likelihood(s[:, 1], n[:, 1], xr.DataArray(b), sd_b, dim="district")
    np.testing.assert_allclose(found, product, atol=1e-6)


def test_probabilities_of_all_counts_sum_to_one():
    first, second = np.meshgrid(np.arange(7), np.arange(5))
    s = np.column_stack([first.ravel(), second.ravel()])
    found = integrated_pair_log_likelihood(s, np.full(s.shape, [6, 4]), -0.4, 0.7, 0.9, 0.6, 0.3)
    assert float(np.exp(found).sum()) == pytest.approx(1, abs=1e-5)


def test_names_and_draws_stay_together():
    draws = {"chain": [0, 1], "draw": [5, 6, 7]}
    shape = ("chain", "draw")
    alpha_bar = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=shape, coords=draws)
    sigma = xr.DataArray(np.full((3, 2), 0.5), dims=("draw", "chain"), coords=draws)
    successes = xr.DataArray(SUCCESSES, dims=("district", "urban"), coords={"district": range(7)})
    found = integrated_pair_log_likelihood(successes, TRIALS, alpha_bar, 0.1, sigma, 0.2)
    assert found.dims == ("chain", "draw", "district")
    one = integrated_pair_log_likelihood(SUCCESSES, TRIALS, 4.0, 0.1, 0.5, 0.2)
    np.testing.assert_allclose(found.sel(chain=1, draw=6), one)
    assert found["district"].values.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"successes": [1, 2]}, "two columns"),
        ({"successes": [[3, 1]], "trials": [[2, 1]]}, "3"),
        ({"sigma": -1.0}, "sigma must be finite and not below 0"),
        ({"tau": np.nan}, "tau must be finite"),
        ({"rho": 1.1}, "rho must be between -1 and 1; in 1 of 1 draws"),
        ({"beta_bar": np.inf}, "must be finite"),
        ({"alpha_bar": xr.DataArray([0.0, 1.0], dims="district")}, "without it"),
    ],
)
def test_what_cannot_be_integrated_is_refused(changed, says):
    given = {"successes": [[1, 0]], "trials": [[2, 1]], "alpha_bar": 0.0, "beta_bar": 0.0}
    given |= {"sigma": 1.0, "tau": 1.0} | changed
    with pytest.raises(ValueError, match=says):
        integrated_pair_log_likelihood(**given)


def test_draws_of_other_fits_are_refused():
    one = xr.DataArray([0.0, 1.0], dims="draw", coords={"draw": [0, 1]})
    other = one.assign_coords(draw=[1, 2])
    with pytest.raises(ValueError, match="draw"):
        integrated_pair_log_likelihood([[1, 0]], [[2, 1]], one, 0.0, other, 1.0)
