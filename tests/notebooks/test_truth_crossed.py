"""Numerical truth of the crossed model: the whole posterior with the likelihood that PyMC brings.

The executed notebook wrote its posterior means to the run record. The model is written here again,
a rating at a time, and uses nothing of ``ordered_logit``.
"""

from functools import cache

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest

import utils
from tests.standard_errors import check

pytestmark = pytest.mark.notebook("12f-Practical_Difficulties")


@cache
def reference():
    """Means and Monte Carlo errors of all variables, by name."""
    trolley = pd.read_csv("data/Trolley.csv")
    cases = trolley.drop_duplicates("case").sort_values("case")
    action, intention, contact = (
        cases[k].to_numpy(float) for k in ("action", "intention", "contact")
    )
    with pm.Model() as model:
        kappa = pm.Normal("kappa", 0, 1.5, shape=6, transform=pm.distributions.transforms.ordered)
        tau_u, tau_s = pm.Exponential("tau_u", 1), pm.Exponential("tau_s", 1)
        u = pm.ZeroSumNormal("u", tau_u, shape=331)
        s = pm.ZeroSumNormal("s", tau_s, shape=12)
        slopes = {k: pm.Normal(f"beta_{k}", 0, 0.5) for k in ("A", "I", "C", "IA", "IC")}
        theta = slopes["A"] * action + slopes["I"] * intention + slopes["C"] * contact
        theta = theta + slopes["IA"] * intention * action + slopes["IC"] * intention * contact
        theta = theta + s[pd.factorize(cases["story"], sort=True)[0]]
        phi = theta[pd.factorize(trolley["case"], sort=True)[0]]
        pm.OrderedLogistic(
            "R",
            eta=phi + u[pd.factorize(trolley["id"], sort=True)[0]],
            cutpoints=kappa,
            observed=trolley["response"].to_numpy() - 1,
            compute_p=False,
        )
    posterior = utils.fit(model, name="crossed, PyMC's", random_seed=98, tune=500)["posterior"]
    return {
        name: (draws.mean(("chain", "draw")).to_numpy(), az.mcse(draws).to_numpy())
        for name, draws in posterior.data_vars.items()
    }


def test_stories_and_people_against_pymcs_own_likelihood(run_record):
    """The full model: all its effects, cutpoints and slopes."""
    rows = {
        row["variable"]: row
        for row in run_record("12f-Practical_Difficulties")
        if row["kind"] == "estimate" and row["name"] == "crossed_idata"
    }
    assert set(reference()) <= set(rows), f"the record has {set(rows)} only"
    scores = []
    for name, (mean, mcse) in reference().items():
        difference = np.array(rows[name]["mean"]) - mean
        scores.append(np.ravel(difference / np.hypot(rows[name]["mcse"], mcse)))
    check(np.concatenate(scores), "stories and people")
