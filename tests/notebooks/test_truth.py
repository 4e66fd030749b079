"""Numerical truth: what the notebooks' fits say, against numerical integration done here.

Nothing of ``utils`` is used: the integrals are plain sums on grids, fine enough that halving the
number of points changes nothing (``test_grids_are_fine_enough``). The executed notebook wrote its
posterior means and their Monte Carlo errors to the run record; this module compares them.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from tests.standard_errors import FAMILY_WISE, check, z_scores

pytestmark = pytest.mark.notebook("12")
SIGMAS = np.linspace(0.1, 5, 20)


@cache
def frogs():
    return pd.read_csv("data/reedfrogs.csv")


@cache
def likelihood(step):
    """Grid of log-odds, their probabilities, and the likelihood of each tank on it."""
    alpha = np.arange(-14, 22, step)
    p = special.expit(alpha)
    table = stats.binom.pmf(
        frogs()["surv"].to_numpy()[:, None], frogs()["density"].to_numpy()[:, None], p
    )
    return alpha, p, table


class Integrals:
    """For a sigma and a grid of mu: each tank's marginal likelihood and moments given (mu, sigma).

    Attributes of shape (mu, tank): ``log_l``; conditional means ``alpha``, ``p``; ``p_alpha``, the
    conditional mean of the product.
    """

    def __init__(self, mu, sigma, step=0.02):
        alpha, p, table = likelihood(min(step, sigma / 4))
        weights = stats.norm.pdf(alpha, mu[:, None], sigma) * (alpha[1] - alpha[0])
        total = weights @ table.T
        self.log_l = np.log(total)
        self.alpha = weights @ (table * alpha).T / total
        self.p = weights @ (table * p).T / total
        self.p_alpha = weights @ (table * p * alpha).T / total


def summarize(log_weight, integrals):
    """Posterior means and leave-one-tank-out scores; first axes of all arrays are the grid."""
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()

    def mean(values):
        return np.tensordot(weight, values, axes=weight.ndim)

    d = frogs()["density"].to_numpy()
    follows = mean(integrals["p_alpha"]) - mean(integrals["p"]) * mean(integrals["alpha"])
    return {
        "alpha": mean(integrals["alpha"]),
        "p": mean(integrals["p"]),
        "elpd": -np.log(mean(np.exp(-integrals["log_l"]))),
        "flexibility": float(d @ follows),
    }


@cache
def exact_fixed(sigma, step=0.02, points=301):
    mu = np.linspace(-2.5, 5, points)
    cell = Integrals(mu, sigma, step)
    log_weight = stats.norm.logpdf(mu, 0, 1.5) + cell.log_l.sum(axis=1)
    result = summarize(log_weight, vars(cell))
    weight = np.exp(log_weight - log_weight.max())
    return result | {"alpha_bar": float(weight @ mu / weight.sum())}


@cache
def exact_multilevel(rate=1.0, step=0.02, points=151, n_sigma=61):
    mu = np.linspace(-0.5, 3.5, points)
    log_sigma = np.linspace(np.log(0.7), np.log(4.0), n_sigma)
    cells = [Integrals(mu, np.exp(t), step) for t in log_sigma]
    stacked = {
        key: np.stack([getattr(c, key) for c in cells], axis=1)
        for key in ("log_l", "alpha", "p", "p_alpha")
    }
    sigma = np.exp(log_sigma)
    log_weight = (
        stats.norm.logpdf(mu, 0, 1.5)[:, None]
        + stats.expon.logpdf(sigma, scale=1 / rate)
        + log_sigma  # the grid is even in log sigma
        + stacked["log_l"].sum(axis=-1)
    )
    result = summarize(log_weight, stacked)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    return result | {
        "alpha_bar": float(weight.sum(axis=1) @ mu),
        "sigma": float(weight.sum(axis=0) @ sigma),
    }


@cache
def exact_predator(beta_sd=0.5, step=0.04, h=0.05, n_sigma=61):
    """Means over (alpha_bar, beta_P, sigma); mu of a tank with predators is their sum."""
    predators = (frogs()["pred"] == "pred").to_numpy()
    first, last = -5.0, 5.0
    mu = np.arange(round((last - first) / h) + 1) * h + first
    a = np.arange(round(4.5 / h) + 1)  # alpha_bar from 0 to 4.5, in steps of h
    b = np.arange(round(5 / h) + 1)  # beta_P from -5 to 0
    alpha_bar, beta = a * h, b * h - 5.0
    at_a = a + round(-first / h)
    at_sum = a[:, None] + b[None, :] + round((-5.0 - first) / h)
    log_sigma = np.linspace(np.log(0.25), np.log(2.5), n_sigma)
    cells = [Integrals(mu, np.exp(t), step) for t in log_sigma]
    log_weight = np.stack(
        [
            stats.norm.logpdf(alpha_bar, 0, 1.5)[:, None]
            + stats.norm.logpdf(beta, 0, beta_sd)[None, :]
            + stats.expon.logpdf(np.exp(t))
            + t
            + cell.log_l[:, ~predators].sum(axis=1)[at_a][:, None]
            + cell.log_l[:, predators].sum(axis=1)[at_sum]
            for t, cell in zip(log_sigma, cells, strict=True)
        ]
    )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    p, inverse = np.zeros(48), np.zeros(48)
    for w, cell in zip(weight, cells, strict=True):
        # mass of each mu: for tanks without and with predators
        without = np.bincount(np.repeat(at_a, len(b)), w.ravel(), len(mu))
        with_ = np.bincount(at_sum.ravel(), w.ravel(), len(mu))
        for rows, mass in ((~predators, without), (predators, with_)):
            p[rows] += mass @ cell.p[:, rows]
            inverse[rows] += mass @ np.exp(-cell.log_l[:, rows])
    return {
        "alpha_bar": float(weight.sum(axis=(0, 2)) @ alpha_bar),
        "beta_P": float(weight.sum(axis=(0, 1)) @ beta),
        "sigma": float(weight.sum(axis=(1, 2)) @ np.exp(log_sigma)),
        "p": p,
        "elpd": -np.log(inverse),
    }


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("12")


def test_grids_are_fine_enough():
    coarse = exact_multilevel(step=0.04, points=76, n_sigma=31)
    fine = exact_multilevel()
    for key in ("alpha_bar", "sigma", "p", "elpd"):
        np.testing.assert_allclose(coarse[key], fine[key], atol=2e-5, err_msg=key)
    coarse, fine = exact_predator(step=0.08, h=0.1, n_sigma=31), exact_predator()
    for key in ("alpha_bar", "beta_P", "sigma", "p", "elpd"):
        np.testing.assert_allclose(coarse[key], fine[key], atol=2e-4, err_msg=key)
    for sigma in SIGMAS[[0, -1]]:
        coarse, fine = exact_fixed(sigma, step=0.04, points=151), exact_fixed(sigma)
        for key in ("alpha_bar", "alpha", "elpd"):
            np.testing.assert_allclose(coarse[key], fine[key], atol=2e-5, err_msg=key)


def test_multilevel_posterior(record):
    variables = ("alpha_bar", "sigma", "p", "alpha")
    check(z_scores(record, "multilevel", exact_multilevel(), variables), "multilevel")


@pytest.mark.parametrize(("name", "rate"), [("Exponential(0.2)", 0.2), ("Exponential(5)", 5.0)])
def test_prior_sensitivity(record, name, rate):
    variables = ("alpha_bar", "sigma", "p")
    check(z_scores(record, f"multilevel, {name}", exact_multilevel(rate), variables), name)


@pytest.mark.parametrize(("name", "sd"), [("predator", 0.5), ("predator, wide prior", 1.5)])
def test_predator_posterior(record, name, sd):
    variables = ("alpha_bar", "sigma", "beta_P", "p")
    check(z_scores(record, name, exact_predator(sd), variables), name)


def test_twenty_sigmas(record):
    z = [
        z_scores(record, f"sigma {s:.2f}", exact_fixed(float(s)), ("alpha_bar", "alpha"))
        for s in SIGMAS
    ]
    check(np.concatenate(z), "the grid of sigmas")


def test_leave_one_out(record):
    """The integrated leave-one-out score of every tank, for every model that is compared."""
    z = [
        z_scores(record, f"integrated, sigma {s:.2f}", exact_fixed(float(s)), ("elpd",))
        for s in SIGMAS
    ]
    z.append(z_scores(record, "multilevel", exact_multilevel(), ("elpd",)))
    z.append(z_scores(record, "predator", exact_predator(), ("elpd",)))
    for s in (1.0, 5.0):
        z.append(z_scores(record, f"sigma = {s:g}", exact_fixed(s), ("elpd",)))
    check(np.concatenate(z), "leave-one-out scores")


def test_flexibility(record):
    """The differences of flexibility that the text states, against exact covariances."""
    claims = {r["statement"]: r for r in record if r["kind"] == "claim"}
    exact = {
        "multilevel": exact_multilevel()["flexibility"],
        "sigma = 1": exact_fixed(1.0)["flexibility"],
        "sigma = 5": exact_fixed(5.0)["flexibility"],
    }
    for words, more, less in (
        ("is less flexible than sigma = 5", "sigma = 5", "multilevel"),
        ("is more flexible than sigma = 1", "multilevel", "sigma = 1"),
    ):
        (claim,) = (c for s, c in claims.items() if words in s)
        z = (claim["estimate"] - (exact[more] - exact[less])) / claim["standard_error"]
        assert abs(z) < stats.norm.isf(FAMILY_WISE / 4), f"{words}: z = {z:.1f}"


def test_flexibility_is_a_derivative():
    """Cov(D p, alpha) is d E[S] / d S: against a finite difference in the data."""
    alpha, p, _ = likelihood(0.02)
    prior = stats.norm.pdf(alpha, 1.3, 1.6)
    d, s, eps = 25, 20.0, 1e-4

    def expected(s):
        log_posterior = s * alpha - d * np.logaddexp(0, alpha)
        weight = prior * np.exp(log_posterior - log_posterior.max())
        return d * (weight @ p) / weight.sum(), weight / weight.sum()

    _, weight = expected(s)
    covariance = d * (weight @ (p * alpha) - (weight @ p) * (weight @ alpha))
    slope = (expected(s + eps)[0] - expected(s - eps)[0]) / (2 * eps)
    assert covariance == pytest.approx(slope, rel=1e-6)


def test_leave_one_tadpole_out_identity():
    """1 / E[1/p] over the whole posterior is the mean of p without that survivor."""
    alpha, p, _ = likelihood(0.02)
    prior = stats.norm.pdf(alpha, 1.3, 1.6)
    d, s = 10, 7
    whole = prior * p**s * (1 - p) ** (d - s)
    without = prior * p ** (s - 1) * (1 - p) ** (d - s)
    shortcut = whole.sum() / (whole @ (1 / p))
    assert shortcut == pytest.approx((without @ p) / without.sum(), rel=1e-10)
