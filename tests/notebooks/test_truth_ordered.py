"""Numerical truth of lecture 11: the closed form, and maximum likelihood by statsmodels.

Both take the 9,930 ratings and nothing of the course. A posterior mean differs from a maximum by
what the prior pulls and by the skew of the posterior; with so many ratings both are a small part of
a standard error, which is the unit of the bounds here. The executed notebook wrote its posterior
means to the run record.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import special
from statsmodels.miscmodels.ordinal_model import OrderedModel

pytestmark = pytest.mark.notebook("11-Ordered_Categories")
SLOPES = ("beta_A", "beta_I", "beta_C")


@cache
def trolley():
    return pd.read_csv("data/Trolley.csv")


@pytest.fixture(scope="module")
def means(run_record):
    """Posterior means by name of the fit and variable."""
    return {
        (row["name"], row["variable"]): np.array(row["mean"])
        for row in run_record("11-Ordered_Categories")
        if row["kind"] == "estimate"
    }


def test_cutpoints_against_their_closed_form(means):
    counts = trolley()["response"].value_counts().sort_index()
    share = (counts.cumsum() / counts.sum()).to_numpy()[:-1]
    error = 1 / np.sqrt(counts.sum() * share * (1 - share))  # of a log-odds, delta method
    gap = means["cutpoint_idata", "kappa"] - special.logit(share)
    assert np.abs(gap / error).max() < 0.15


@cache
def maximum_likelihood(kind):
    """Slopes, cutpoints and the slopes' standard errors of one model."""
    table = trolley()
    if kind in ("women", "men"):
        table = table[table["male"] == (kind == "men")]
    X = table[["action", "intention", "contact"]].to_numpy(float)
    if kind in ("gender", "main"):
        male = table[["male"]].to_numpy(float)
        X = np.hstack([X * (1 - male), X * male, *([male] if kind == "main" else [])])
    model = OrderedModel(table["response"].to_numpy(), X, distr="logit")
    found = model.fit(method="bfgs", disp=False, maxiter=500, gtol=1e-7)
    slopes, cutpoints = found.params[: X.shape[1]], model.transform_threshold_params(found.params)
    return slopes, cutpoints[1:-1], found.bse[: X.shape[1]]


def close(found, expected, error, bound):
    assert np.abs((found - expected) / error).max() < bound


def test_treatments_against_statsmodels(means):
    slopes, cutpoints, error = maximum_likelihood("treatments")
    found = np.concatenate([means["treatment_idata", name] for name in SLOPES])
    close(found, slopes, error, 0.6)  # Normal(0, 0.5) pulls beta_C by a third of its error
    close(means["treatment_idata", "kappa"], cutpoints, error.mean(), 0.8)


@pytest.mark.parametrize(("fit", "kind"), [("gender_idata", "gender"), ("main_idata", "main")])
def test_slopes_by_gender_against_statsmodels(means, fit, kind):
    slopes, _, error = maximum_likelihood(kind)
    found = np.array([means[fit, name][g] for g in (0, 1) for name in SLOPES])
    if kind == "main":
        found = np.append(found, means[fit, "beta_G"])
    close(found, slopes, error, 0.8)


@pytest.mark.parametrize("gender", ["women", "men"])
def test_one_gender_alone_against_statsmodels(means, gender):
    slopes, _, error = maximum_likelihood(gender)
    found = np.concatenate([means[f"treatments, {gender} alone", name] for name in SLOPES])
    close(found, slopes, error, 0.8)


def test_the_sign(means):
    """A positive slope raises ratings: treatments lower the mean, and slopes are negative."""
    mean = trolley().groupby(["action", "intention", "contact"])["response"].mean()
    assert mean[1, 0, 0] < mean[0, 0, 0] and means["treatment_idata", "beta_A"] < 0
