"""The exact posterior of a school, against integrals done in other ways."""

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special, stats

from studies import school_grid, schools
from studies.school_grid import ALPHA_BAR, LOG_SIGMA, SchoolGrid
from studies.schools import School
from tests.standard_errors import check, z_scores


@pytest.fixture(scope="module")
def grid():
    return SchoolGrid([5, 10, 25, 35])


def school_of(size, passed):
    size = np.array(size)
    return School(size, np.array(passed), np.zeros(len(size)), 0.0, 1.0)


@pytest.mark.parametrize("kind", [(5, 5), (5, 0), (10, 7), (35, 2), (35, 35)])
@pytest.mark.parametrize("row", [0, 100, 160, 199, 320])
@pytest.mark.parametrize("column", [0, 60, 90, 91, 92, 130, 160])
def test_tables_against_adaptive_integration(grid, kind, row, column):
    n, s = kind
    mean, sigma = ALPHA_BAR[row], np.exp(LOG_SIGMA[column])
    at = np.flatnonzero((grid.kinds == kind).all(1)).item()
    flat = row * len(LOG_SIGMA) + column
    # where the integrand is largest: between the population's mean and the likelihood's top
    top = special.logit((s + 0.5) / (n + 1))
    points = sorted({mean, top, *(mean + sigma * np.array([-4, -1, 1, 4]))})
    low, high = mean - 15 * sigma, mean + 15 * sigma
    points = [x for x in points if low < x < high]
    middle = s * mean - n * np.logaddexp(0, mean)

    def integral(weight):
        def integrand(a):
            log = s * a - n * np.logaddexp(0, a) - middle
            return weight(a) * np.exp(log - ((a - mean) / sigma) ** 2 / 2)

        value, _ = integrate.quad(integrand, low, high, points=points, limit=400, epsabs=0)
        return value / (sigma * np.sqrt(2 * np.pi))

    total = integral(lambda a: 1.0)
    assert grid.log_marginal[at, flat] == pytest.approx(np.log(total) + middle, abs=2e-7)
    assert grid.p[at, flat] == pytest.approx(integral(special.expit) / total, abs=1e-7)
    assert grid.alpha[at, flat] == pytest.approx(integral(lambda a: a) / total, abs=2e-6)


def brute_force(size, passed, rate):
    """Posterior moments on another grid: sigma evenly spaced, alpha by Gauss-Hermite sums."""
    node, weight = np.polynomial.hermite_e.hermegauss(161)
    weight = weight / weight.sum()
    mean = np.linspace(-7, 7, 141)
    sigma = (np.arange(800) + 0.5) * 0.02  # midpoints from 0 to 16
    edges = np.arange(801) * 0.02
    log_posterior = stats.norm.logpdf(mean, 0, 1.5)[:, None] - rate * sigma
    means = []
    for n, s in zip(size, passed, strict=True):
        a = mean[:, None, None] + sigma[:, None] * node
        likelihood = np.exp(s * a - n * np.logaddexp(0, a))
        total = likelihood @ weight
        log_posterior = log_posterior + np.log(total)
        means.append((likelihood * special.expit(a)) @ weight / total)
    mass = np.exp(log_posterior - log_posterior.max())
    mass /= mass.sum()
    below = np.append(0, np.cumsum(mass.sum(0)))
    return {
        "alpha_bar_mean": mass.sum(1) @ mean,
        "sigma_mean": mass.sum(0) @ sigma,
        "sigma_sd": np.sqrt(mass.sum(0) @ sigma**2 - (mass.sum(0) @ sigma) ** 2),
        "sigma_lower": np.interp(schools.TAILS[0], below, edges),
        "sigma_upper": np.interp(schools.TAILS[1], below, edges),
        "p_mean": [np.sum(mass * p) for p in means],
    }


@pytest.mark.parametrize(
    ("size", "passed", "rate"),
    [([5, 10, 25], [5, 6, 20], 1.0), ([5, 5, 5], [5, 5, 5], 1.0), ([10, 35], [2, 31], 10.0)],
)
def test_posterior_against_another_grid(grid, size, passed, rate):
    found = grid.posterior([school_of(size, passed)], rate=rate).isel(school=0)
    for name, value in brute_force(size, passed, rate).items():
        np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)


def test_a_finer_grid_says_the_same(monkeypatch):
    sample = schools.simulate_schools(
        3, np.repeat([5, 10], 100), random_seed=3, alpha_bar=1.5, sigma=0.5
    )
    own = SchoolGrid([5, 10]).posterior(sample)
    monkeypatch.setattr(school_grid, "ALPHA_BAR", np.linspace(-8, 8, 641))
    monkeypatch.setattr(school_grid, "LOG_SIGMA", np.linspace(np.log(1e-3), np.log(16), 331))
    finer = SchoolGrid([5, 10]).posterior(sample)
    for name in own.data_vars:
        np.testing.assert_allclose(own[name], finer[name], atol=5e-4, err_msg=name)


def test_population_is_a_distribution_and_agrees_with_the_summaries(grid):
    school = schools.simulate_schools(1, [5, 10, 25, 35] * 3, random_seed=1)[0]
    population = grid.population(school)
    summary = grid.posterior([school]).isel(school=0)
    assert float(population.sum()) == pytest.approx(1)
    for name in ("alpha_bar", "sigma"):
        marginal = population.sum([d for d in population.dims if d != name])
        assert float((marginal * marginal[name]).sum()) == pytest.approx(summary[f"{name}_mean"])
        below = marginal.cumsum() - marginal / 2
        for end, tail in zip(("lower", "upper"), schools.TAILS, strict=True):
            at = np.interp(float(summary[f"{name}_{end}"]), marginal[name], below)
            assert at == pytest.approx(tail, abs=3e-3)  # interpolated linearly


def test_schools_do_not_depend_on_their_company(grid, monkeypatch):
    sample = schools.simulate_schools(7, [5, 10, 25, 35], random_seed=2)
    together = grid.posterior(sample)
    monkeypatch.setattr(school_grid, "BATCH", 3)
    xr.testing.assert_allclose(grid.posterior(sample), together, atol=1e-12)
    xr.testing.assert_allclose(
        grid.posterior(sample[4:5]).isel(school=0), together.isel(school=4), atol=1e-10
    )


def test_unknown_sizes_are_named(grid):
    with pytest.raises(ValueError, match="no table for classrooms of 7; make SchoolGrid"):
        grid.posterior([school_of([5, 7], [1, 1])])


@pytest.mark.notebook("12a-Simulating_Pooling_and_Shrinkage")
def test_the_fit_of_the_deep_dive(run_record, grid):
    """The one school of the notebook, with the textbook model and sampled, against the grid."""
    rng = np.random.default_rng(28)
    school = schools.simulate_school(
        np.repeat([5, 10, 25, 35], 15), alpha_bar=1.5, sigma=1.5, rng=rng
    )
    found = grid.posterior([school]).isel(school=0)
    exact = {name: float(found[f"{name}_mean"]) for name in ("alpha_bar", "sigma")}
    exact |= {"p": found["p_mean"].to_numpy(), "alpha": found["alpha_mean"].to_numpy()}
    record = run_record("12a-Simulating_Pooling_and_Shrinkage")
    check(z_scores(record, "school_idata", exact, exact), "school")
