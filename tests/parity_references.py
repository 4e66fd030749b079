"""Exact answers for the page *Parity*, computed here without a sampler and without the helpers.

Each function integrates a posterior of the notebooks: over a grid where that can be done, else by
importance sampling with draws from a multivariate t around the mode, whose means have a Monte Carlo
error of their own. Nothing of ``utils``, ``rethinking`` or PyMC is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from tests.notebooks.test_truth_trolley import log_shares

Means = dict[str, tuple[float, float]]  # by name: mean, Monte Carlo error


def posterior_means(
    log_density: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    variables: Callable[[np.ndarray], dict[str, np.ndarray]],
    draws: int = 20_000,
) -> Means:
    """Means by self-normalized importance sampling; the density takes (draws, parameters)."""

    def objective(theta):
        return -float(log_density(theta[None])[0])

    mode = optimize.minimize(objective, start, method="BFGS", options={"gtol": 1e-2}).x
    size, step = len(mode), 1e-3
    moves = np.eye(size) * step
    corners = [moves[:, None] + moves, moves[:, None] - moves]
    ahead, across = (log_density((mode + c).reshape(-1, size)) for c in corners)
    back, acrossback = (log_density((mode - c).reshape(-1, size)) for c in corners)
    hessian = (ahead + back - across - acrossback).reshape(size, size) / (4 * step**2)
    center, cov = mode, np.linalg.inv(-hessian)
    # Each round from the moments of the one before it.
    for round_, number in enumerate((draws // 4, draws // 4, draws)):
        proposal = stats.multivariate_t(center, cov, df=8, seed=round_ + 1)
        theta = proposal.rvs(number)
        log_weight = np.concatenate([log_density(part) for part in np.array_split(theta, 50)])
        log_weight -= proposal.logpdf(theta)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        center, cov = weight @ theta, 1.1 * np.cov(theta.T, aweights=weight)
    assert 1 / (weight**2).sum() > draws / 10, "the proposals miss the posterior"
    found = {}
    for name, values in variables(theta).items():
        mean = weight @ values
        found[name] = float(mean), float(np.sqrt(weight**2 @ (values - mean) ** 2))
    return found


# --- Ordered categories ------------------------------------------------------------------------


def cutpoints(theta: np.ndarray) -> np.ndarray:
    """The first as it is, then logarithms of the gaps."""
    return np.cumsum(np.concatenate([theta[:, :1], np.exp(theta[:, 1:])], axis=1), axis=1)


def ordered_logit(counts: np.ndarray, design: np.ndarray, names: list[str]) -> Means:
    """Ratings counted by cell (cells, 7), slopes Normal(0, 0.5), cutpoints Normal(0, 1)."""

    def log_density(theta):
        kappa, slopes = cutpoints(theta[:, :6]), theta[:, 6:]
        shares = log_shares(slopes @ design.T, kappa)
        return (
            (counts * shares).sum(axis=(-2, -1))
            + stats.norm.logpdf(kappa).sum(axis=1)
            + theta[:, 1:6].sum(axis=1)
            + stats.norm.logpdf(slopes, 0, 0.5).sum(axis=1)
        )

    share = np.cumsum(counts.sum(axis=0))[:-1] / counts.sum()
    first = special.logit(share)
    start = np.r_[first[0], np.log(np.diff(first)), np.zeros(len(names))]
    return posterior_means(
        log_density,
        start,
        lambda theta: (
            {f"kappa[{k}]": value for k, value in enumerate(cutpoints(theta[:, :6]).T)}
            | dict(zip(names, theta[:, 6:].T, strict=True))
        ),
    )


@cache
def trolley_fit(kind: str) -> Means:
    """Lecture 11: cutpoints alone, treatments, treatments by gender, and with a main effect."""
    table = pd.read_csv("data/Trolley.csv")
    by = [] if kind == "cutpoints" else ["male", "action", "intention", "contact"]
    wide = table.groupby([*by, "response"]).size().unstack(fill_value=0) if by else None
    if wide is None:
        counts = table["response"].value_counts().sort_index().to_numpy()[None]
        return ordered_logit(counts, np.zeros((1, 0)), [])
    cells = wide.index.to_frame().to_numpy(float)
    treatments, male = cells[:, 1:], cells[:, :1]
    slopes = ["beta_A", "beta_I", "beta_C"]
    if kind == "treatments":
        return ordered_logit(wide.to_numpy(), treatments, slopes)
    design = np.hstack([treatments * (1 - male), treatments * male])
    names = [f"{name}[{g}]" for g in (0, 1) for name in slopes]
    if kind == "main effect":
        design, names = np.hstack([design, male]), [*names, "beta_G"]
    return ordered_logit(wide.to_numpy(), design, names)


def ordered_probit(ratings: np.ndarray, group: np.ndarray, *, two: bool) -> Means:
    """Deep dive 11a: cutpoints Normal(0, 2), mu Normal(0, 1), lambda Normal(0, 0.7) if `two`."""
    counts = np.array(
        [[np.sum((ratings == r) & (group == g)) for r in range(1, 6)] for g in (0, 1)]
    )

    def log_density(theta):
        kappa, mu = cutpoints(theta[:, :4]), theta[:, 4]
        lambda_ = theta[:, 5] if two else np.zeros(len(theta))
        total = stats.norm.logpdf(kappa, 0, 2).sum(axis=1) + theta[:, 1:4].sum(axis=1)
        total = total + stats.norm.logpdf(mu) + (stats.norm.logpdf(lambda_, 0, 0.7) if two else 0)
        for g in (0, 1):
            at = (kappa - g * mu[:, None]) / np.exp(g * lambda_)[:, None]
            below = np.concatenate(
                [np.zeros((len(at), 1)), special.ndtr(at), np.ones((len(at), 1))], axis=1
            )
            total = total + np.log(np.diff(below, axis=1)) @ counts[g]
        return total

    def variables(theta):
        found = {f"kappa[{k}]": value for k, value in enumerate(cutpoints(theta[:, :4]).T)}
        return found | {"mu": theta[:, 4]} | ({"lambda": theta[:, 5]} if two else {})

    start = np.r_[-0.5, np.zeros(3) - 0.5, 0.5, [0.3] * two]
    return posterior_means(log_density, start, variables)


# --- One population of binomial units ----------------------------------------------------------


def binomial_population(seen: np.ndarray, trials: np.ndarray) -> dict[str, np.ndarray | float]:
    """alpha ~ Normal(alpha_bar, sigma), alpha_bar ~ Normal(0, 1.5), sigma ~ Exponential(1).

    Two sums: over each unit's log-odds inside, over the population's mean and log sd outside.
    """
    alpha = np.arange(-12, 14, 0.04)
    mu = np.linspace(-1.5, 4, 89)
    log_sigma = np.linspace(np.log(0.05), np.log(6), 73)
    pairs, which = np.unique(np.stack([seen, trials]), axis=1, return_inverse=True)
    like = np.exp(pairs[0][:, None] * alpha - pairs[1][:, None] * np.logaddexp(0, alpha))
    like /= like.max(axis=1, keepdims=True)
    log_mass = np.empty((len(log_sigma), len(mu)))
    inner = np.empty((len(log_sigma), len(mu), pairs.shape[1]))
    for i, t in enumerate(log_sigma):
        sigma = np.exp(t)
        if sigma > 0.12:
            at, table = alpha, like
        else:  # a population narrower than the grid: one of its own
            at = np.arange(-12, 14, sigma / 4)
            table = np.exp(pairs[0][:, None] * at - pairs[1][:, None] * np.logaddexp(0, at))
            peak = np.exp(
                pairs[0][:, None] * alpha - pairs[1][:, None] * np.logaddexp(0, alpha)
            ).max(axis=1, keepdims=True)
            table /= peak
        weights = stats.norm.pdf(at, mu[:, None], sigma) * (at[1] - at[0])
        total = weights @ table.T
        inner[i] = (weights * special.expit(at)) @ table.T / total
        log_mass[i] = np.log(total)[:, which].sum(axis=1) + stats.norm.logpdf(mu, 0, 1.5)
        log_mass[i] += stats.expon.logpdf(sigma) + t
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    return {
        "alpha_bar": float(mass.sum(axis=0) @ mu),
        "sigma": float(mass.sum(axis=1) @ np.exp(log_sigma)),
        "p": np.tensordot(mass, inner, axes=2)[which],
    }


def two_groups(seen: np.ndarray, trials: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """alpha ~ Normal(0, sigma) a unit, beta ~ Normal(0, 1.5) a group, sigma ~ Exponential(1).

    Given sigma the groups are independent: a sum for each over its units and its beta.
    """
    alpha, beta = np.arange(-12, 14, 0.04), np.linspace(-4, 6, 201)
    log_sigma = np.linspace(np.log(0.15), np.log(3), 61)
    like = np.exp(seen[:, None] * alpha - trials[:, None] * np.logaddexp(0, alpha))
    like /= like.max(axis=1, keepdims=True)
    log_mass, means = np.empty(len(log_sigma)), np.empty((len(log_sigma), 2))
    for i, t in enumerate(log_sigma):
        weights = stats.norm.pdf(alpha, beta[:, None], np.exp(t)) * 0.04
        log_unit = np.log(weights @ like.T)
        log_mass[i] = stats.expon.logpdf(np.exp(t)) + t
        for k in (0, 1):
            log_beta = log_unit[:, group == k].sum(axis=1) + stats.norm.logpdf(beta, 0, 1.5)
            log_mass[i] += special.logsumexp(log_beta)
            means[i, k] = np.exp(log_beta - special.logsumexp(log_beta)) @ beta
    mass = np.exp(log_mass - special.logsumexp(log_mass))
    return {
        "sigma": float(mass @ np.exp(log_sigma)),
        "beta[0]": float(mass @ means[:, 0]),
        "beta[1]": float(mass @ means[:, 1]),
    }


# --- Random confounds --------------------------------------------------------------------------


def confounded(data: dict[str, np.ndarray], kind: str) -> Means:
    """The five models of lecture 12's bonus: groups' intercepts summed over a grid.

    In the latent model U has a Normal posterior given X and the parameters of X, so that U and the
    intercept together are one Normal number a group.
    """
    group, x, y = (np.asarray(data[k]) for k in ("group_idx", "trait", "survived"))
    order = np.argsort(group, kind="stable")
    group, x, y = group[order], x[order], y[order]
    first = np.searchsorted(group, np.arange(group.max() + 1))  # of each group
    z_trait = np.asarray(data["group_trait"])
    size = np.bincount(group)
    sums = np.bincount(group, weights=x)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    log_weights = np.log(weights / weights.sum())
    names = {
        "naive": ["alpha", "beta_ZY", "beta_XY"],
        "fixed effects": ["beta_ZY", "beta_XY"],
        "multilevel": ["beta_ZY", "beta_XY", "alpha_bar", "tau"],
        "Mundlak": ["beta_ZY", "beta_XY", "alpha_bar", "tau", "beta_xbar"],
        "latent": ["beta_ZY", "beta_XY", "alpha_bar", "tau", "beta_UY"]
        + ["alpha_X", "sigma_X", "beta_UX"],
    }[kind]
    positive = [name in {"tau", "sigma_X", "beta_UX"} for name in names]

    def natural(theta):
        return {n: np.exp(t) if p else t for n, p, t in zip(names, positive, theta.T, strict=True)}

    def of_groups(center, sd, slope):
        """Log-likelihood of all groups, their intercepts Normal(center, sd): (draws,)."""
        if kind == "fixed effects":  # a wide prior, and groups where all are alike: a fine grid
            at = np.linspace(-45, 45, 361)
            offset = center[..., None] + at
            log_w = stats.norm.logpdf(at, 0, 10) + np.log(at[1] - at[0])
        else:
            offset, log_w = center[..., None] + sd[..., None] * nodes, log_weights
        eta = offset[:, group] + (slope[:, None] * x)[..., None]
        each = y[:, None] * eta - np.logaddexp(0, eta)
        total = np.add.reduceat(each, first, axis=1)
        return special.logsumexp(total + log_w, axis=-1).sum(axis=1)

    def log_density(theta):
        v = natural(theta)
        prior = sum(stats.norm.logpdf(v[n]) for n in ("beta_ZY", "beta_XY"))
        center = v["beta_ZY"][:, None] * z_trait
        if kind == "naive":
            prior = prior + stats.norm.logpdf(v["alpha"], 0, 10)
            eta = (v["alpha"][:, None] + center)[:, group] + v["beta_XY"][:, None] * x
            return prior + (y * eta - np.logaddexp(0, eta)).sum(axis=1)
        if kind == "fixed effects":
            return prior + of_groups(center, None, v["beta_XY"])
        prior = prior + stats.norm.logpdf(v["alpha_bar"])
        prior = prior + stats.expon.logpdf(v["tau"]) + np.log(v["tau"])
        center = center + v["alpha_bar"][:, None]
        sd = np.repeat(v["tau"][:, None], len(size), axis=1)
        if kind == "Mundlak":
            prior = prior + stats.norm.logpdf(v["beta_xbar"])
            center = center + v["beta_xbar"][:, None] * (sums / size)
        if kind == "latent":
            a, s, b = (v[n][:, None] for n in ("alpha_X", "sigma_X", "beta_UX"))
            prior = prior + stats.norm.logpdf(v["beta_UY"]) + stats.norm.logpdf(v["alpha_X"])
            for name in ("sigma_X", "beta_UX"):
                prior = prior + stats.expon.logpdf(v[name]) + np.log(v[name])
            precision = 1 + size * b**2 / s**2
            mean = b * (sums - size * a) / s**2 / precision
            squares = np.bincount(group, weights=x**2)
            around = squares - 2 * a * sums + size * a**2
            prior = prior + (
                -size * (np.log(s) + 0.5 * np.log(2 * np.pi))
                - 0.5 * around / s**2
                - 0.5 * np.log(precision)
                + 0.5 * precision * mean**2
            ).sum(axis=1)
            center = center + v["beta_UY"][:, None] * mean
            sd = np.sqrt(sd**2 + v["beta_UY"][:, None] ** 2 / precision)
        return prior + of_groups(center, sd, v["beta_XY"])

    draws = {"naive": 20_000, "fixed effects": 2_000}.get(kind, 8_000)
    return posterior_means(log_density, np.zeros(len(names)), natural, draws=draws)


# --- Schools -----------------------------------------------------------------------------------


def gains(schools: int = 150, seed: int = 20) -> dict[int, tuple[float, float]]:
    """What pooling gains in classrooms of 5, 10, 25 and 35: mean absolute errors, fresh schools."""
    rng = np.random.default_rng(seed)
    size = np.repeat([5, 10, 25, 35], 15)
    gain = np.empty((schools, 60))
    for school in range(schools):
        true = special.expit(rng.normal(1.5, 1.5, 60))
        passed = rng.binomial(size, true)
        pooled = binomial_population(passed, size)["p"]
        gain[school] = np.abs(passed / size - true) - np.abs(pooled - true)
    return {
        int(n): (
            float(gain[:, size == n].mean()),
            float(gain[:, size == n].mean(axis=1).std(ddof=1) / np.sqrt(schools)),
        )
        for n in (5, 10, 25, 35)
    }
