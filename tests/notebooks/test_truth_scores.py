"""Numerical truth: the fits and scores of the deep dive on scoring, against numerical integration.

See ``test_truth.py``, which does the same for the lecture.
"""

import numpy as np
import pytest
from scipy import stats

from tests.frog_quadrature import (
    SIGMAS,
    exact_fixed,
    exact_multilevel,
    exact_predator,
    likelihood,
)
from tests.standard_errors import FAMILY_WISE, check, z_scores

pytestmark = pytest.mark.notebook("12c-Scoring_Multilevel_Models")


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("12c-Scoring_Multilevel_Models")


@pytest.mark.parametrize(
    ("name", "exact", "variables"),
    [
        ("multilevel_idata", exact_multilevel, ("alpha_bar", "sigma", "p", "alpha")),
        ("sigma_1_idata", lambda: exact_fixed(1.0), ("alpha_bar", "alpha")),
        ("sigma_5_idata", lambda: exact_fixed(5.0), ("alpha_bar", "alpha")),
        ("predator_idata", exact_predator, ("alpha_bar", "sigma", "beta_P", "p")),
    ],
)
def test_posteriors(record, name, exact, variables):
    check(z_scores(record, name, exact(), variables), name)


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
