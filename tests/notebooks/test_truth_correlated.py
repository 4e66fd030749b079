"""Numerical truth of lecture 14's fits: importance sampling, with districts summed over a grid.

Each district's two effects are summed over a grid of standard Normals, with code written here;
nothing of `rethinking.pairs` is used. Proposals are draws from a multivariate t, so the means
come with a Monte Carlo error of their own. The executed notebook wrote its posterior means to the
run record.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

from rethinking.pairs import integrated_pair_log_likelihood
from studies import correlation_study
from tests.standard_errors import check

notebook = pytest.mark.notebook("14-Correlated_Features")
DRAWS = 2500


@cache
def table():
    return pd.read_csv("data/bangladesh.csv")


@cache
def counts():
    """Users and women, (60, 2): in the villages, in the towns."""
    groups = table().groupby(["district", "urban"])["use.contraception"]
    both = groups.agg(["sum", "size"]).unstack(fill_value=0)
    return both["sum"].to_numpy(), both["size"].to_numpy()


def log_likelihood(population, step=0.3, reach=5.1):
    """Of all districts, for each row (alpha_bar, beta_bar, sigma, tau, rho)."""
    users, women = counts()
    z = np.arange(-reach, reach + step / 2, step)
    weight = stats.norm.pdf(z) * step
    choose = stats.binom.logpmf(users, women, 0.5).sum() + women.sum() * np.log(2)
    total = np.empty(len(population))
    for i, (alpha_bar, beta_bar, sigma, tau, rho) in enumerate(population):
        rural = alpha_bar + sigma * z
        slopes = beta_bar + tau * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
        urban = (rural[:, None] + slopes).ravel()
        village = np.outer(users[:, 0], rural) - np.outer(women[:, 0], np.logaddexp(0, rural))
        town = np.outer(users[:, 1], urban) - np.outer(women[:, 1], np.logaddexp(0, urban))
        town = town.reshape(len(users), len(z), len(z))
        top = town.max(axis=(1, 2), keepdims=True)
        inner = np.log(np.exp(town - top) @ weight) + top[..., 0]
        total[i] = special.logsumexp(village + inner, b=weight, axis=1).sum()
    return total + choose


def level_and_difference(theta):
    """Rates' parameters (rural, urban, two log sds, atanh r) as those of level and difference."""
    a, b, s, t, r = natural(theta)
    tau = np.sqrt(s**2 + t**2 - 2 * r * s * t)
    return np.column_stack([a, b - a, s, tau, (r * t - s) / tau])


def natural(theta):
    return [
        theta[:, 0],
        theta[:, 1],
        np.exp(theta[:, 2]),
        np.exp(theta[:, 3]),
        np.tanh(theta[:, 4]),
    ]


def log_prior(theta):
    """Normal(0, 1) means, Exponential(1) standard deviations, LKJ(4), with their Jacobians."""
    _, _, s, t, r = natural(theta)
    flat = theta[:, 2] + theta[:, 3] - s - t + stats.beta.logpdf((r + 1) / 2, 4, 4)
    return flat + np.log1p(-(r**2)) + stats.norm.logpdf(theta[:, :2]).sum(axis=1)


def lognormal_prior(theta):
    """The priors of statsmodels: Normal(0, 1) means, Normal(0, 0.5) logarithms of sds."""
    return stats.norm.logpdf(theta[:, :2]).sum(1) + stats.norm.logpdf(theta[:, 2:], 0, 0.5).sum(1)


def importance(log_p, start, spread, draws=DRAWS, seed=5):
    """Draws and weights, in two rounds: the second from where the first found the posterior."""
    center, cov = np.array(start), np.diag(np.array(spread) ** 2)
    for number in (600, draws):
        proposal = stats.multivariate_t(center, cov, df=6, seed=seed)
        theta = proposal.rvs(number)
        log_weight = log_p(theta) - proposal.logpdf(theta)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        center = weight @ theta
        cov = 1.1 * np.cov(theta.T, aweights=weight)
        seed += 1
    assert 1 / (weight**2).sum() > draws / 4, "the proposal misses the posterior"
    return theta, weight


def moments(values, weight):
    """Means, their Monte Carlo errors, standard deviations."""
    values = np.asarray(values)
    mean = values @ weight
    off = (values - mean[:, None]) ** 2
    return mean, np.sqrt(off @ weight**2), np.sqrt(off @ weight)


@cache
def exact(model):
    """Posterior of DUR, of DU, or of correlated rates: draws in natural parameters, weights."""
    start, spread = [-0.7, 0.65, -0.6, -0.35, -0.6], [0.12, 0.2, 0.25, 0.4, 0.35]
    if model == "DUR":
        theta, weight = importance(
            lambda t: log_prior(t) + log_likelihood(np.column_stack(natural(t))), start, spread
        )
    elif model == "rates":
        theta, weight = importance(
            lambda t: log_prior(t) + log_likelihood(level_and_difference(t)),
            [-0.7, -0.05, -0.6, -0.5, -0.1],
            spread,
        )
    else:  # DU: four parameters

        def log_p(four):
            theta = np.column_stack([four, np.zeros(len(four))])
            return log_prior(theta) + log_likelihood(np.column_stack(natural(theta)))

        theta, weight = importance(log_p, [-0.7, 0.62, -0.75, -0.7], [0.12, 0.2, 0.25, 0.6])
        theta = np.column_stack([theta, np.zeros(len(theta))])
    return natural(theta), weight


NAMES = ("alpha_bar", "beta_bar", "sigma", "tau", "rho")


def test_the_grid_is_fine_enough():
    points = np.array([[-0.7, 0.7, 0.55, 0.75, -0.55], [-0.6, 0.4, 0.35, 0.1, 0.2]])
    coarse, fine = log_likelihood(points), log_likelihood(points, step=0.15, reach=6)
    np.testing.assert_allclose(coarse, fine, atol=2e-3)
    quadrature = integrated_pair_log_likelihood(*counts(), *points[0], n_nodes=21)
    assert fine[0] == pytest.approx(float(quadrature.sum()), abs=1e-3)


def test_the_fit_by_integration_agrees():
    values, weight = exact("DUR")
    mean, error, sd = moments(values, weight)
    fit = correlation_study.integrated_fit(*counts(), random_seed=3, draws=2000)
    for i, name in enumerate(NAMES):
        own = fit.sd(name) / np.sqrt(fit.ess)
        assert abs(fit.mean(name) - mean[i]) < 4 * np.hypot(own, error[i]), name
        assert fit.sd(name) == pytest.approx(sd[i], rel=0.12), name


def recorded(record, fit, variable):
    (row,) = (
        r for r in record
        if r["kind"] == "estimate" and r["name"] == fit and r["variable"] == variable
    )  # fmt: skip
    return np.ravel(row["mean"]), np.ravel(row["mcse"])


FITS = {
    "du_idata": ("DU", {name: [i] for i, name in enumerate(NAMES[:4])}),
    "dur_idata": ("DUR", {name: [i] for i, name in enumerate(NAMES)}),
    "dur_centred_idata": ("DUR", {"mean": [0, 1], "L_stds": [2, 3]}),
    "rates_idata": ("rates", {"mean": [0, 1], "sd": [2, 3], "r": [4]}),
}


@notebook
def test_posterior_means(run_record):
    """Every hyperparameter of every model with a closed likelihood, within Monte Carlo error."""
    record, scores = run_record("14-Correlated_Features"), []
    for fit, (model, variables) in FITS.items():
        mean, error, _ = moments(*exact(model))
        for variable, places in variables.items():
            found, mcse = recorded(record, fit, variable)
            scores.append((found - mean[places]) / np.hypot(mcse, error[places]))
    check(np.concatenate(scores), "hyperparameters of lecture 14")


def test_statsmodels_fits_the_same_model_without_a_correlation():
    """Its variational fit of DU, under its own priors, lies where the exact posterior is."""
    rows = table()
    urban = rows["urban"].to_numpy(float)
    level = pd.get_dummies(rows["district"]).to_numpy(float)
    model = BinomialBayesMixedGLM(
        rows["use.contraception"].to_numpy(float),
        np.column_stack([np.ones(len(rows)), urban]),
        np.hstack([level, level * urban[:, None]]),
        np.repeat([0, 1], level.shape[1]),
        vcp_p=0.5,
        fe_p=1,
    )
    rng = np.random.default_rng(1)
    start = rng.normal(0, 0.1, len(model.ident) + 4), np.full(len(model.ident) + 4, 0.3)
    fit = model.fit_vb(mean=start[0], sd=start[1])

    def log_p(four):
        _, _, s, t, _ = natural(np.column_stack([four, np.zeros(len(four))]))
        population = np.column_stack([four[:, :2], s, t, np.zeros(len(four))])
        return lognormal_prior(four) + log_likelihood(population)

    theta, weight = importance(log_p, [-0.7, 0.6, -0.7, -0.6], [0.12, 0.2, 0.25, 0.4], draws=800)
    mean, _, sd = moments(theta.T, weight)
    distance = (np.r_[fit.fe_mean, fit.vcp_mean] - mean) / sd
    assert np.abs(distance[:2]).max() < 0.3, distance
    # a factorized posterior is too sure of the effects, and so finds too little spread
    assert np.abs(distance[2:]).max() < 1.2, distance
