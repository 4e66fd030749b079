"""Numerical truth of lecture 13: its fits, against sums over grids done here.

Districts are independent given the population, so that the posterior of model D is an integral
over two numbers (the mean and the standard deviation of the districts) and that of model DU one
over four. Nothing of ``utils`` or ``rethinking`` is used. The executed notebook wrote its posterior
means, standard deviations, interval ends and scores, and their Monte Carlo errors, to the run
record; this module compares them.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import interpolate, special, stats

from tests.standard_errors import FAMILY_WISE, check, z_scores

pytestmark = pytest.mark.notebook("13-Multilevel_Adventures")
TAILS = (0.055, 0.945)  # of an 89% equal-tailed interval


@cache
def counts():
    """Users and women of the 60 districts with women, each with the columns rural and urban."""
    survey = pd.read_csv("data/bangladesh.csv")
    groups = survey.groupby(["district", "urban"])["use.contraception"]
    table = groups.agg(["sum", "size"]).unstack(fill_value=0)
    return table["sum"].to_numpy(), table["size"].to_numpy()


def log_choose(s, n):
    return special.gammaln(n + 1) - special.gammaln(s + 1) - special.gammaln(n - s + 1)


def likelihood(s, n, eta):
    """Of each district (first axis) at log-odds `eta`, without the number of orders."""
    s, n = (each.reshape(-1, *[1] * eta.ndim) for each in (s, n))
    return np.exp(s * eta - n * np.logaddexp(0, eta))


def of_one(points, density, low=None):
    """Mean, sd and interval of a number whose density is known at some points."""
    fine = np.linspace(points[0] if low is None else low, points[-1], 4001)
    log = interpolate.CubicSpline(points, np.log(density))(fine)
    mass = np.exp(log - log.max())
    below = np.concatenate([[0], np.cumsum(mass[1:] + mass[:-1])])
    mean = np.average(fine, weights=mass)
    return {
        "mean": mean,
        "sd": np.sqrt(np.average((fine - mean) ** 2, weights=mass)),
        "lower": np.interp(TAILS[0], below / below[-1], fine),
        "upper": np.interp(TAILS[1], below / below[-1], fine),
    }


def population_grid(mean, sd, x):
    """Mass of each point of `x` for each pair (mean, sd), as columns."""
    a, s = (each.ravel() for each in np.meshgrid(mean, sd, indexing="ij"))
    return stats.norm.pdf(x[:, None], a, s) * (x[1] - x[0])


@cache
def exact_d(coarse=False):
    """One parameter of a district inside, two of the population outside."""
    s, n = (each.sum(axis=1) for each in counts())
    points = 15 if coarse else 31
    alpha_bar = np.linspace(-1.05, 0.0, points)
    log_sigma = np.linspace(np.log(0.24), np.log(1.1), points)
    sigma = np.exp(log_sigma)
    x = np.arange(-7, 6, 0.1 if coarse else 0.05)
    f = likelihood(s, n, x)
    weights = population_grid(alpha_bar, sigma, x)
    total = f @ weights  # district, population
    prior = np.add.outer(
        stats.norm.logpdf(alpha_bar, 0, 1), stats.expon.logpdf(sigma) + log_sigma
    ).ravel()
    log_mass = prior + np.log(total).sum(axis=0)
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    p = ((f * special.expit(x)) @ weights / total) @ mass
    new = mass @ (special.expit(x) @ weights)
    square = mass.reshape(alpha_bar.size, sigma.size)
    choose = log_choose(*counts()).sum(axis=1)
    return {
        "alpha_bar": of_one(alpha_bar, square.sum(axis=1)),
        "sigma": of_one(sigma, square.sum(axis=0) / sigma),
        "p": np.insert(p, 53, new),  # district 54, where nobody was asked
        "elpd": choose - np.log((1 / total) @ mass),
    }


@cache
def exact_du(coarse=False):
    """Two parameters of a district inside, four of the population outside."""
    (s0, s1), (n0, n1) = (each.T for each in counts())
    points = 12 if coarse else 17
    alpha_bar = np.linspace(-1.2, -0.2, points)
    beta_bar = np.linspace(-0.2, 1.45, points)
    log_sigma = np.linspace(np.log(0.2), np.log(1.05), points)
    sigma = np.exp(log_sigma)
    # tau may be 0, where its density does not vanish: nodes for an interval with ends
    nodes, node_weights = np.polynomial.legendre.leggauss(16 if coarse else 24)
    tau = nodes + 1
    x = np.arange(-5, 3.6, 0.12 if coarse else 0.08)
    z = np.linspace(-5.5, 5.5, 19 if coarse else 25)
    z_weights = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    weights = population_grid(alpha_bar, sigma, x)
    p_x = special.expit(x)
    f0 = likelihood(s0, n0, x)
    prior = np.add.outer(
        stats.norm.logpdf(alpha_bar, 0, 1), stats.expon.logpdf(sigma) + log_sigma
    ).ravel()
    pairs, which = np.unique(np.stack([s1, n1]), axis=1, return_inverse=True)
    log_mass, inverse, rural, urban = [], [], [], []
    for b in beta_bar:
        for t, w in zip(tau, node_weights, strict=True):
            y = x[:, None] + b + t * z
            f1 = likelihood(*pairs, y)
            g = (f1 @ z_weights)[which]  # of the urban women, given alpha
            g_p = ((f1 * special.expit(y)) @ z_weights)[which]
            total = (f0 * g) @ weights
            outer = stats.norm.logpdf(b, 0, 1) + stats.expon.logpdf(t) + np.log(w)
            log_mass.append(prior + np.log(total).sum(axis=0) + outer)
            inverse.append(1 / total)
            rural.append(((f0 * g * p_x) @ weights) / total)
            urban.append(((f0 * g_p) @ weights) / total)
    mass = np.exp(np.array(log_mass) - np.max(log_mass))
    mass /= mass.sum()

    def mean(of_districts):
        return sum(each @ m for each, m in zip(of_districts, mass, strict=True))

    block = mass.reshape(points, tau.size, points, points)
    return {
        "alpha_bar": of_one(alpha_bar, block.sum(axis=(0, 1, 3))),
        "sigma": of_one(sigma, block.sum(axis=(0, 1, 2)) / sigma),
        "beta_bar": of_one(beta_bar, block.sum(axis=(1, 2, 3))),
        "tau": of_one(tau, block.sum(axis=(0, 2, 3)) / node_weights, low=0),
        "p_rural": mean(rural),
        "p_urban": mean(urban),
        "elpd": log_choose(*counts()).sum(axis=1) - np.log(mean(inverse)),
    }


MODELS = {"D": exact_d, "DU": exact_du}
HYPERPARAMETERS = {
    "D": ("alpha_bar", "sigma"),
    "DU": ("alpha_bar", "beta_bar", "sigma", "tau"),
}


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("13-Multilevel_Adventures")


@pytest.mark.parametrize("model", MODELS)
def test_grids_are_fine_enough(model):
    coarse, fine = MODELS[model](coarse=True), MODELS[model]()
    for name in HYPERPARAMETERS[model]:
        for what, value in fine[name].items():
            assert coarse[name][what] == pytest.approx(value, abs=2e-3), (name, what)
    for name in set(fine) - set(HYPERPARAMETERS[model]):
        np.testing.assert_allclose(coarse[name], fine[name], atol=1e-3, err_msg=name)


def means(model):
    """Return exact means by name."""
    exact = MODELS[model]()
    return exact | {name: exact[name]["mean"] for name in HYPERPARAMETERS[model]}


@pytest.mark.parametrize(
    ("fit", "model", "more"),
    [
        ("district_idata", "D", ("p",)),
        ("noncentred_idata", "D", ()),
        ("integrated_idata", "D", ()),
        ("town_idata", "DU", ()),
    ],
)
def test_hyperparameters(record, fit, model, more):
    within_errors(z_scores(record, fit, means(model), HYPERPARAMETERS[model]), fit)
    if more:
        check(z_scores(record, fit, means(model), more), fit)


def test_rural_and_urban_rates(record):
    check(z_scores(record, "rates", means("DU"), ("p_rural", "p_urban")), "rates by district")


def test_standard_deviations_and_intervals(record):
    found = []
    for model, names in HYPERPARAMETERS.items():
        exact = MODELS[model]()
        flat = {f"{name} {what}": v for name in names for what, v in exact[name].items()}
        wanted = [f"{name} {what}" for name in names for what in ("sd", "lower", "upper")]
        found.append(z_scores(record, f"{model}, shape", flat, wanted))
    within_errors(np.concatenate(found), "sds and interval ends")


@pytest.mark.parametrize("model", MODELS)
def test_leave_one_district_out(record, model):
    within_errors(z_scores(record, model, means(model), ("elpd",)), f"scores of {model}")


def within_errors(z, what):
    """Refuse errors beyond chance; too few, or too much alike, for a look at their spread."""
    bound = stats.norm.isf(FAMILY_WISE / (2 * len(z)))
    assert np.abs(z).max() < bound, (what, z)
