"""Numerical truth: what lecture 12's fits say, against numerical integration.

The executed notebook wrote its posterior means and their Monte Carlo errors to the run record; this
module compares them with ``tests/frog_quadrature.py``.
"""

import numpy as np
import pytest

from tests.frog_quadrature import SIGMAS, exact_fixed, exact_multilevel, exact_predator
from tests.standard_errors import check, z_scores

pytestmark = pytest.mark.notebook("12-Multilevel_Models")


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("12-Multilevel_Models")


def test_grids_are_fine_enough():
    coarse = exact_multilevel(step=0.04, points=76, n_sigma=31)
    fine = exact_multilevel()
    for key in ("alpha_bar", "sigma", "p", "elpd"):
        np.testing.assert_allclose(coarse[key], fine[key], atol=2e-5, err_msg=key)
    coarse, fine = exact_predator(step=0.08, h=0.1, n_sigma=31), exact_predator()
    for key in ("alpha_bar", "beta_P", "sigma", "p", "elpd"):
        np.testing.assert_allclose(coarse[key], fine[key], atol=2e-4, err_msg=key)
    for sigma in SIGMAS[[0, -1]]:
        coarse, fine = exact_fixed(sigma, step=0.04, points=151), exact_fixed(sigma)
        for key in ("alpha_bar", "alpha", "elpd"):
            np.testing.assert_allclose(coarse[key], fine[key], atol=2e-5, err_msg=key)


def test_multilevel_posterior(record):
    variables = ("alpha_bar", "sigma", "p", "alpha")
    check(z_scores(record, "multilevel_idata", exact_multilevel(), variables), "multilevel")


@pytest.mark.parametrize(("name", "rate"), [("Exponential(0.2)", 0.2), ("Exponential(5)", 5.0)])
def test_prior_sensitivity(record, name, rate):
    variables = ("alpha_bar", "sigma", "p")
    check(z_scores(record, f"multilevel, {name}", exact_multilevel(rate), variables), name)


@pytest.mark.parametrize(("name", "sd"), [("predator_idata", 0.5), ("wide_idata", 1.5)])
def test_predator_posterior(record, name, sd):
    variables = ("alpha_bar", "sigma", "beta_P", "p")
    check(z_scores(record, name, exact_predator(sd), variables), name)


def test_twenty_sigmas(record):
    z = [
        z_scores(record, f"sigma {s:.2f}", exact_fixed(float(s)), ("alpha_bar", "alpha"))
        for s in SIGMAS
    ]
    check(np.concatenate(z), "the grid of sigmas")


def test_leave_one_out(record):
    """The score of every tank, with its alpha integrated out, for every model of the lecture."""
    z = [z_scores(record, f"sigma {s:.2f}", exact_fixed(float(s)), ("elpd",)) for s in SIGMAS]
    z.append(z_scores(record, "sigma = 1", exact_fixed(1.0), ("elpd",)))
    z.append(z_scores(record, "multilevel", exact_multilevel(), ("elpd",)))
    z.append(z_scores(record, "predator", exact_predator(), ("elpd",)))
    check(np.concatenate(z), "leave-one-out scores")
