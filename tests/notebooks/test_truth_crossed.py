"""Numerical truth of stories and people in one model: the likelihood that PyMC brings."""

import arviz as az
import pandas as pd
import pymc as pm
import pytest

import utils
from tests.notebooks.test_truth_trolley import compare, trolley

pytestmark = pytest.mark.notebook("12f")


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("12f")


def test_stories_and_people_against_pymcs_own_likelihood(record):
    """The full model, all its effects, cutpoints and slopes: the likelihood that PyMC brings."""
    cases = trolley().drop_duplicates("case").sort_values("case")
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
        theta = theta + s[cases["story_idx"].to_numpy()]
        phi = theta[pd.factorize(trolley()["case"], sort=True)[0]]
        pm.OrderedLogistic(
            "R",
            eta=phi + u[trolley()["person_idx"].to_numpy()],
            cutpoints=kappa,
            observed=trolley()["response"].to_numpy() - 1,
            compute_p=False,
        )
    posterior = utils.fit(model, name="crossed, PyMC's", random_seed=98, tune=500)["posterior"]
    truth = {
        k: (v.mean(("chain", "draw")).to_numpy(), az.mcse(v).to_numpy())
        for k, v in posterior.data_vars.items()
    }
    compare(record, "crossed", truth, {k: k for k in truth})
