"""How many districts it takes to tell a correlation from zero: what lecture 14 says of it.

Run it with the Python of the course: .venv/bin/python -m studies.correlation_study

Each survey is simulated with the sizes of Bangladesh's districts and fitted without a sampler: a
district's two effects are integrated out, and the five parameters of the population are drawn by
importance sampling. The result lies beside this file with a key of the code that made it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from numpy.typing import ArrayLike
from scipy import optimize, stats

from rethinking.data import load_data
from rethinking.pairs import integrated_pair_log_likelihood
from rethinking.transforms import invlogit
from studies.pool import StudyError, run_all

HERE = Path(__file__).resolve().parent
NAME = "correlation-study"
COMMAND = ".venv/bin/python -m studies.correlation_study"
PACKAGES = ("numpy", "scipy", "xarray")
SEED = 14
TRUTH = {"alpha_bar": -0.7, "beta_bar": 0.65, "sigma": 0.55, "tau": 0.75}
#: Districts and correlations, and how many surveys of each.
SURVEYS = {
    (30, -0.6): 150,
    (60, -0.6): 150,
    (60, 0.0): 150,
    (120, -0.6): 150,
    (240, -0.6): 100,
    (480, -0.6): 60,
}
NAMES = ("alpha_bar", "beta_bar", "sigma", "tau", "rho")


# --- The posterior without a sampler -----------------------------------------------------------


def in_population(theta: ArrayLike) -> dict[str, xr.DataArray]:
    """Parameters of the population from rows of unconstrained ones (logs, and atanh of rho)."""
    columns = np.atleast_2d(theta).T
    values = [*columns[:2], *np.exp(columns[2:4]), np.tanh(columns[4])]
    return {name: xr.DataArray(v, dims="draw") for name, v in zip(NAMES, values, strict=True)}


def log_posterior(
    theta: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    weights: ArrayLike = 1.0,
    eta: float = 4.0,
    n_nodes: int = 7,
) -> np.ndarray:
    """Logarithm of the posterior of unconstrained parameters, up to a constant, for each row.

    Parameters
    ----------
    theta : array_like, shape (n, 5)
        alpha_bar, beta_bar, log sigma, log tau, atanh rho.
    successes, trials : array_like of int, shape (districts, 2)
    weights : array_like, shape (districts,)
        How often each district counts.
    eta : float
        Of the LKJ prior of the correlation.
    n_nodes : int
        See `integrated_pair_log_likelihood`.
    """
    p = in_population(theta)
    each = integrated_pair_log_likelihood(successes, trials, **p, n_nodes=n_nodes)
    # priors, and the logarithms of the derivatives of sigma, tau and rho
    prior = -0.5 * (p["alpha_bar"] ** 2 + p["beta_bar"] ** 2) - p["sigma"] - p["tau"]
    prior = prior + np.log(p["sigma"] * p["tau"]) + eta * np.log1p(-(p["rho"] ** 2))
    return (prior + (each * weights).sum("district")).values


@dataclass(frozen=True)
class IntegratedFit:
    """Draws of the population from the posterior, and how good they are.

    Attributes
    ----------
    posterior : xarray.Dataset
        The parameters along ``draw``, with the ``weight`` of each draw; weights sum to 1.
    ess : float
        Effective number of draws, from the weights.
    """

    posterior: xr.Dataset
    ess: float

    def mean(self, name: str) -> float:
        """Posterior mean of a parameter."""
        return float(self.posterior[name] @ self.posterior["weight"])

    def sd(self, name: str) -> float:
        """Posterior standard deviation of a parameter."""
        square = (self.posterior[name] - self.mean(name)) ** 2
        return float(np.sqrt(square @ self.posterior["weight"]))

    def quantile(self, name: str, probability: ArrayLike) -> np.ndarray:
        """Posterior quantiles of a parameter."""
        values = self.posterior[name].values
        order = np.argsort(values)
        below = np.cumsum(self.posterior["weight"].values[order])
        return np.interp(probability, below, values[order])


def integrated_fit(
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    random_seed: int,
    draws: int = 4000,
    eta: float = 4.0,
    n_nodes: int = 7,
) -> IntegratedFit:
    """Fit the model with correlated effects without a sampler: independent, weighted draws.

    Each district's intercept and slope are integrated out. What remains has five parameters, and
    draws of them come from a multivariate t around the mode, each with the weight that turns
    them into draws from the posterior.

    Parameters
    ----------
    successes, trials : array_like of int, shape (districts, 2)
        Without the feature, with it.
    random_seed : int
    draws : int
    eta : float
        Of the LKJ prior of the correlation.
    n_nodes : int
        See `integrated_pair_log_likelihood`.

    Returns
    -------
    IntegratedFit
    """
    both = np.hstack([successes, trials])
    cells, counts = np.unique(both, axis=0, return_counts=True)
    options = {"weights": counts, "eta": eta, "n_nodes": n_nodes}

    def log_p(theta: np.ndarray) -> np.ndarray:
        return log_posterior(theta, cells[:, :2], cells[:, 2:], **options)

    step = 1e-3 * np.eye(5)

    def slope(theta: np.ndarray) -> np.ndarray:
        ahead, behind = np.split(-log_p(np.vstack([theta + step, theta - step])), 2)
        return (ahead - behind) / 2e-3

    start = np.array([-0.5, 0.5, -0.5, -0.5, -0.3])
    mode = optimize.minimize(
        lambda theta: -log_p(theta)[0], start, jac=slope, method="BFGS", options={"gtol": 1e-2}
    ).x
    wide = 0.05 * np.eye(5)
    corners = [mode + a * wide[i] + b * wide[j] for i in range(5) for j in range(5)
               for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]  # fmt: skip
    four = -log_p(np.array(corners)).reshape(5, 5, 4)
    curvature = (four[..., 0] - four[..., 1] - four[..., 2] + four[..., 3]) / (4 * 0.05**2)
    values, axes = np.linalg.eigh((curvature + curvature.T) / 2)
    scale = axes / np.clip(values, 0.5, None) @ axes.T
    center, spread = mode, 1.2 * scale
    for _ in range(8):
        proposal = stats.multivariate_t(center, spread, df=5, seed=random_seed)
        theta = proposal.rvs(draws)
        with np.errstate(all="ignore"):  # a draw far out in the tail counts for nothing
            log_weight = log_p(theta) - proposal.logpdf(theta)
        log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        if 1 / (weight**2).sum() >= draws / 4:
            break
        # The posterior is far from normal: propose from where the draws found it, with weights
        # that are made more even, so that no single draw decides.
        even = np.sqrt(weight) / np.sqrt(weight).sum()
        center, spread = even @ theta, 1.2 * np.cov(theta.T, aweights=even)
    posterior = xr.Dataset(in_population(theta)).assign(weight=("draw", weight))
    return IntegratedFit(posterior, float(1 / (weight**2).sum()))


# --- The study ---------------------------------------------------------------------------------


def simulate(districts: int, rho: float, survey: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a survey with sizes drawn from those of the districts: successes and trials."""
    table = load_data("bangladesh")
    sizes = table.groupby(["district", "urban"]).size().unstack(fill_value=0).to_numpy()
    rng = np.random.default_rng([SEED, districts, round(-100 * rho), survey])
    trials = sizes if districts == len(sizes) else sizes[rng.integers(len(sizes), size=districts)]
    z = rng.normal(size=(2, districts))
    alpha = TRUTH["alpha_bar"] + TRUTH["sigma"] * z[0]
    beta = TRUTH["beta_bar"] + TRUTH["tau"] * (rho * z[0] + np.sqrt(1 - rho**2) * z[1])
    return rng.binomial(trials, invlogit(np.column_stack([alpha, alpha + beta]))), trials


def one_survey(districts: int, rho: float, survey: int) -> dict:
    """Simulate and fit one survey: a row of the result."""
    counts = simulate(districts, rho, survey)
    fit = integrated_fit(*counts, random_seed=survey, draws=1000, n_nodes=5)
    low, high = fit.quantile("rho", [0.055, 0.945])
    row = {"mean": fit.mean("rho"), "lower": float(low), "upper": float(high), "ess": fit.ess}
    rounded = {name: round(value, 4) for name, value in row.items()}
    return {"districts": districts, "rho": rho, "survey": survey} | rounded


def key() -> str:
    """SHA-256 of this file's code; comments and line breaks do not count."""
    code = ast.unparse(ast.parse(Path(__file__).read_text(encoding="utf-8")))
    return hashlib.sha256(code.encode()).hexdigest()


def load() -> pd.DataFrame:
    """Return the stored result, a row a survey, if it belongs to the present code.

    Raises
    ------
    StudyError
        A file is missing, or the result was made by other code.
    """
    table, about = HERE / f"{NAME}.csv", HERE / f"{NAME}.yml"
    if not table.is_file() or not about.is_file():
        raise StudyError(f"The study {NAME} has no result: run `{COMMAND}`.")
    record = yaml.safe_load(about.read_text(encoding="utf-8"))
    if record["key"] != key():
        raise StudyError(f"The study {NAME} was made by other code: run `{COMMAND}`.")
    if record["sha256"] != hashlib.sha256(table.read_bytes()).hexdigest():
        raise StudyError(f"studies/{table.name} is not the file that was stored: restore it.")
    return pd.read_csv(table)


def main() -> int:
    """Run the study, and store it."""
    tasks = [
        (districts, rho, survey)
        for (districts, rho), number in SURVEYS.items()
        for survey in range(number)
    ]
    begin = time.monotonic()
    rows = run_all(one_survey, tasks, name="surveys")
    path = HERE / f"{NAME}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    about = {
        "what": "The correlation of varying effects in simulated surveys (lecture 14).",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "key": key(),
        "seed": SEED,
        "surveys": len(tasks),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    (HERE / f"{NAME}.yml").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
    print(f"{len(tasks)} surveys in {(time.monotonic() - begin) / 60:.0f} minutes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
