"""Ellipses by simulation, and the arrival of departments against importance sampling."""

import numpy as np
import pytest

from rethinking.correlated import arrivals, ellipse


@pytest.mark.parametrize("mass", [0.5, 0.89, 0.99])
def test_an_ellipse_holds_its_mass(mass):
    cov = np.array([[1.0, -0.9], [-0.9, 1.5]])
    x, y = ellipse([1, -2], cov, mass, points=401)
    off = np.stack([x - 1, y + 2])
    radius = (off * np.linalg.solve(cov, off)).sum(0)
    draws = np.random.default_rng(1).multivariate_normal([0, 0], cov, 100_000).T
    inside = (draws * np.linalg.solve(cov, draws)).sum(0) < radius[0]
    np.testing.assert_allclose(radius, radius[0])
    assert inside.mean() == pytest.approx(mass, abs=4 * np.sqrt(mass * (1 - mass) / 100_000))


def test_a_degenerate_ellipse_is_a_line():
    x, y = ellipse([0, 0], [[1, 1], [1, 1]])
    np.testing.assert_allclose(x, y, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mass": 1}, "mass must be between 0 and 1"),
        ({"cov": np.eye(3)}, "symmetric matrix of two rows"),
        ({"cov": [[1, 2], [2, 1]]}, "negative eigenvalue, -1"),
    ],
)
def test_what_is_no_ellipse_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ellipse(**{"mean": [0, 0], "cov": np.eye(2)} | change)


MEASURED = np.array([[1.0, 1.3], [-0.8, np.nan], [0.4, 0.1], [np.nan, -1.0]])
ERROR = 0.5


def by_importance(correlated, draws=400_000):
    """Posterior means of the last department, from draws of the prior of everything."""
    rng = np.random.default_rng(3)
    mu, sd = rng.normal(size=(draws, 2)), rng.exponential(size=(draws, 2))
    rho = rng.uniform(-1, 1, draws) * correlated
    z = rng.normal(size=(2, draws, len(MEASURED)))
    first = mu[:, :1] + sd[:, :1] * z[0]
    second = mu[:, 1:] + sd[:, 1:] * (rho[:, None] * z[0] + np.sqrt(1 - rho**2)[:, None] * z[1])
    off = (np.stack([first, second], axis=2) - MEASURED) / ERROR
    log_weight = -0.5 * np.nansum(off**2, axis=(1, 2))
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    values = np.stack([first[:, 3], second[:, 3], rho, mu[:, 0]])
    mean = values @ weight
    error = np.sqrt((values - mean[:, None]) ** 2 @ weight**2)
    return mean, np.sqrt((values - mean[:, None]) ** 2 @ weight), error


@pytest.mark.parametrize("correlated", [True, False])
def test_arrivals_against_importance_sampling(correlated):
    last = arrivals(MEASURED, ERROR, correlated=correlated)[-1]
    mean, sd, error = by_importance(correlated)
    found = np.array([*last.means[3], last.rho, last.population_mean[0]])
    assert (np.abs(found - mean) < 4 * error + 0.004).all()
    np.testing.assert_allclose(np.sqrt(np.diag(last.covs[3])), sd[:2], rtol=0.05)
    assert last.rho_sd == pytest.approx(sd[2], rel=0.05)


def test_before_anything_arrives_it_is_the_prior():
    first, *_, last = arrivals(MEASURED, ERROR)
    assert first.rho == pytest.approx(0) and first.rho_sd == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert first.means.shape == (0, 2) and last.covs.shape == (4, 2, 2)


def test_only_the_looks_that_are_asked_for():
    whole = arrivals(MEASURED, ERROR)
    some = arrivals(MEASURED, ERROR, counts=[1, 4])
    assert [len(each.means) for each in some] == [1, 4]
    np.testing.assert_allclose(some[1].means, whole[4].means)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="two features a department"):
        arrivals([[1, 2, 3]], 0.5)
    with pytest.raises(ValueError, match="error must be above 0"):
        arrivals([[1, 2]], 0)
