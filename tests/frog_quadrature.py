"""The reed frogs' posteriors and scores by numerical integration, for the tests of notebooks.

Nothing of ``utils`` is used: the integrals are plain sums on grids, fine enough that halving the
number of points changes nothing (``tests/notebooks/test_truth.py``).
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy import special, stats

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
