"""Surveys of the same districts and women, simulated: how often the intervals of lecture 13 hold.

Run it with the Python of the course: .venv/bin/python -m studies.survey_coverage

Each survey draws its districts from one population, and as many women as were asked in 1989. Model
DU of the lecture is fitted to it. A row of the result counts how many 89% intervals of one kind
held the truth. `load` gives the result to the notebook, and refuses one made by other code.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import yaml

from rethinking.data import load_data
from rethinking.sampling import CompiledModel
from rethinking.transforms import invlogit
from studies.pool import PACKAGES, StudyError, fit_judged, process_pool, run_all

HERE = Path(__file__).resolve().parent
RESULT, RECORD = HERE / "survey-coverage.csv", HERE / "survey-coverage.yml"
COMMAND = ".venv/bin/python -m studies.survey_coverage"
SEED = 1989
SURVEYS = 100
#: Near the posterior means of the real survey; log-odds.
TRUTH = {"alpha_bar": -0.7, "sigma": 0.5, "beta_bar": 0.6, "tau": 0.55}
TAILS = (0.055, 0.945)
#: Women of one kind in a district, each class up to and with its last.
CLASSES = {"0": 0, "1 to 9": 9, "10 to 29": 29, "30 or more": 10**6}


@cache
def cells() -> pd.DataFrame:
    """Count the women of each district and residence that has any."""
    groups = load_data("bangladesh").groupby(["district", "urban"]).size()
    return groups.rename("women").reset_index()


@cache
def women() -> np.ndarray:
    """Count the women of the districts 1 to 61, rural and urban."""
    table = cells().pivot(index="district", columns="urban", values="women")
    return table.reindex(range(1, 62)).fillna(0).to_numpy(dtype=int)


def simulate(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw log-odds of the 61 districts, rural and urban, and the users of each cell."""
    rng = np.random.default_rng([SEED, number])
    alpha = rng.normal(TRUTH["alpha_bar"], TRUTH["sigma"], 61)
    log_odds = np.stack([alpha, alpha + rng.normal(TRUTH["beta_bar"], TRUTH["tau"], 61)], axis=1)
    where = cells()["district"] - 1, cells()["urban"]
    return log_odds, rng.binomial(cells()["women"], invlogit(log_odds[where]))


@cache
def compiled() -> CompiledModel:
    """Model DU, its users open."""
    district_idx, urban = cells()["district"].to_numpy() - 1, cells()["urban"].to_numpy()
    with pm.Model(coords={"district": np.arange(1, 62), "residence": ["rural", "urban"]}) as model:
        users = pm.Data("users", simulate(0)[1])
        alpha_bar, beta_bar = pm.Normal("alpha_bar", 0, 1), pm.Normal("beta_bar", 0, 1)
        sigma, tau = pm.Exponential("sigma", 1), pm.Exponential("tau", 1)
        alpha = pm.Normal("alpha", alpha_bar, sigma, dims="district")
        z = pm.Normal("z", 0, 1, dims="district")
        both = pm.math.stack([alpha, alpha + beta_bar + tau * z], axis=1)
        log_odds = pm.Deterministic("log_odds", both, dims=("district", "residence"))
        pm.Binomial(
            "C",
            n=cells()["women"].to_numpy(),
            logit_p=log_odds[district_idx, urban],
            observed=users,
        )
    return CompiledModel(model, vary=["users"], store=["alpha_bar", "beta_bar", "tau", "log_odds"])


def fit_survey(number: int) -> dict:
    """Fit one survey, in a worker: what the intervals held, and the gate's verdict."""
    log_odds, users = simulate(number)
    attempts = [{"draws": 1000, "tune": 500}, {"draws": 4000, "tune": 1000, "target_accept": 0.95}]
    idata, verdict, refits = fit_judged(
        compiled(), {"users": users}, attempts, seed=SEED + number, name=f"survey {number}"
    )
    posterior = idata["posterior"]
    rows = []

    def count(what: str, size: str, low: np.ndarray, high: np.ndarray, true: np.ndarray) -> None:
        rows.append(
            {
                "survey": number,
                "what": what,
                "size": size,
                "intervals": int(np.size(true)),
                "held": int(np.sum((low < true) & (true < high))),
                "length": float(np.mean(high - low)),
            }
        )

    low, high = posterior["beta_bar"].quantile(TAILS).values
    count("beta_bar", "", low, high, np.array(TRUTH["beta_bar"]))
    low, high = posterior["log_odds"].quantile(TAILS, ("chain", "draw")).values
    centre = np.array([TRUTH["alpha_bar"], TRUTH["alpha_bar"] + TRUTH["beta_bar"]])
    spread = np.array([TRUTH["sigma"], np.hypot(TRUTH["sigma"], TRUTH["tau"])])
    outlying = np.abs(log_odds - centre) > 1.5 * spread
    size = np.searchsorted(list(CLASSES.values()), women())
    for column, kind in enumerate(("rural", "urban")):
        for code, label in enumerate(CLASSES):
            for far in (False, True):
                at = (size[:, column] == code) & (outlying[:, column] == far)
                if at.any():
                    what = f"{kind}, outlying" if far else kind
                    ends = (each[at, column] for each in (low, high))
                    count(what, label, *ends, log_odds[at, column])
    return {"rows": rows, "refits": refits, "passed": bool(verdict.passed)}


def versions() -> dict[str, str]:
    """Versions of the packages that make the numbers."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def key_of(made_with: dict[str, str]) -> str:
    """SHA-256 of this file's code, of the sizes of the districts and of versions."""
    code = ast.unparse(ast.parse(Path(__file__).read_text(encoding="utf-8")))
    parts = [code, cells().to_csv(), *(f"{k} {v}" for k, v in sorted(made_with.items()))]
    return hashlib.sha256("\n\0".join(parts).encode()).hexdigest()


def load() -> tuple[pd.DataFrame, dict]:
    """Load the stored result and its record, if they belong to the present code.

    Raises
    ------
    StudyError
        A file is missing, changed, or made by other code.
    """
    if not (RESULT.is_file() and RECORD.is_file()):
        raise StudyError(f"The result of {Path(__file__).name} is missing: run `{COMMAND}`.")
    record = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
    if record["key"] != key_of(record["versions"]):
        raise StudyError(f"{RESULT.name} was made by other code: run `{COMMAND}`.")
    if record["sha256"] != hashlib.sha256(RESULT.read_bytes()).hexdigest():
        raise StudyError(f"{RESULT.name} has changed: `git checkout -- studies`, or `{COMMAND}`.")
    return pd.read_csv(RESULT, keep_default_na=False), record


def main() -> None:
    """Run the study, or what is left of it; store the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--surveys", type=int, default=SURVEYS)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tasks = [(number,) for number in range(options.surveys)]
    with process_pool(options.workers) as pool:
        found = run_all(fit_survey, tasks, name="surveys", executor=pool)
    table = pd.DataFrame([row for one in found for row in one["rows"]])
    table.to_csv(RESULT, index=False, float_format="%.4f", lineterminator="\n")
    record = {
        "what": "Coverage of model DU's 89% intervals in simulated surveys (lecture 13).",
        "seed": SEED,
        "surveys": options.surveys,
        "refitted": sum(one["refits"] > 0 for one in found),
        "failed": sum(not one["passed"] for one in found),
        "sha256": hashlib.sha256(RESULT.read_bytes()).hexdigest(),
        "versions": versions(),
    }
    record["key"] = key_of(record["versions"])
    RECORD.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    # not as __main__: a worker has to find the functions under their module's name
    from studies import survey_coverage

    survey_coverage.main()
