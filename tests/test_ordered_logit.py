"""The ordered logit of the course: PyMC's distribution, cheaper, and right where that gives up."""

import numpy as np
import pymc as pm
import pytest
from scipy import special, stats

from ordered_logit import OrderedLogit, OrderedMultinomial

RNG = np.random.default_rng(5)
KAPPA = np.array([-2.0, -0.7, 0.1, 0.4, 2.5])
PHI = RNG.normal(0, 1.5, size=40)
RATINGS = RNG.integers(0, 6, size=40)
COUNTS = RNG.integers(0, 5, size=(40, 6))
ordered = pm.distributions.transforms.ordered


def by_rating(distribution, observed=RATINGS, **options):
    with pm.Model() as model:
        kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
        phi = pm.Normal("phi", 0, 1.5, shape=40)
        distribution("R", phi, kappa, observed=observed, **options)
    return model


def by_table(distribution, **options):
    with pm.Model() as model:
        kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
        phi = pm.Normal("phi", 0, 1.5, shape=40)
        distribution("C", phi, kappa, COUNTS.sum(axis=1), observed=COUNTS, **options)
    return model


def points(model, n=4):
    rng = np.random.default_rng(6)
    start = model.initial_point()
    return [{k: rng.normal(0, 0.7, size=v.shape) for k, v in start.items()} for _ in range(n)]


def test_ratings_have_pymcs_log_probability_and_gradient():
    ours, stock = by_rating(OrderedLogit), by_rating(pm.OrderedLogistic, compute_p=False)
    logp, dlogp = ours.compile_logp(), ours.compile_dlogp()
    stock_logp, stock_dlogp = stock.compile_logp(), stock.compile_dlogp()
    for point in points(ours):
        assert logp(point) == pytest.approx(stock_logp(point), rel=1e-12)
        np.testing.assert_allclose(dlogp(point), stock_dlogp(point), atol=1e-10)


def test_counts_differ_from_pymcs_by_a_constant():
    ours, stock = by_table(OrderedMultinomial), by_table(pm.OrderedMultinomial, compute_p=False)
    orders = special.gammaln(COUNTS.sum(axis=1) + 1) - special.gammaln(COUNTS + 1).sum(axis=1)
    logp, dlogp = ours.compile_logp(), ours.compile_dlogp()
    stock_logp, stock_dlogp = stock.compile_logp(), stock.compile_dlogp()
    for point in points(ours):
        assert logp(point) + orders.sum() == pytest.approx(stock_logp(point), rel=1e-12)
        np.testing.assert_allclose(dlogp(point), stock_dlogp(point), atol=1e-9)


def test_a_table_has_the_likelihood_of_its_ratings():
    rows = np.repeat(np.arange(40), COUNTS.sum(axis=1))
    ratings = np.concatenate([np.repeat(np.arange(6), counts) for counts in COUNTS])
    with pm.Model() as one_by_one:
        kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
        phi = pm.Normal("phi", 0, 1.5, shape=40)
        OrderedLogit("R", phi[rows], kappa, observed=ratings)
    table = by_table(OrderedMultinomial)
    for point in points(table):
        assert table.compile_logp()(point) == pytest.approx(
            one_by_one.compile_logp()(point), rel=1e-12
        )


def test_a_sum_of_effects_and_one_phi_for_all():
    """Where phi is a sum, exponentials are taken of its terms; values and gradients stay."""
    person, case = RNG.integers(0, 7, size=40), RNG.integers(0, 3, size=40)

    def crossed(distribution, **options):
        with pm.Model() as model:
            kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
            u, theta = pm.Normal("u", 0, 1, shape=7), pm.Normal("theta", 0, 1, shape=3)
            level = pm.Normal("level", 0, 1)
            distribution("R", u[person] + theta[case] + level, kappa, observed=RATINGS, **options)
            distribution("Q", level, kappa, observed=RATINGS, **options)
        return model

    ours, stock = crossed(OrderedLogit), crossed(pm.OrderedLogistic, compute_p=False)
    for point in points(ours, 2):
        assert ours.compile_logp()(point) == pytest.approx(stock.compile_logp()(point), rel=1e-12)
        np.testing.assert_allclose(
            ours.compile_dlogp()(point), stock.compile_dlogp()(point), atol=1e-9
        )


def test_far_out_where_the_difference_of_sigmoids_cancels():
    """At phi - kappa = 45 PyMC's form says -inf; the value is phi - kappa by the asymptote."""
    with pm.Model() as model:
        OrderedLogit("R", np.array([45.0, -45.0, 300.0]), KAPPA, observed=[0, 5, 0])
    expected = (KAPPA[0] - 45.0) + (-45.0 - KAPPA[-1]) + (KAPPA[0] - 300.0)
    assert model.compile_logp()({}) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [-1, 6, 100])
def test_a_rating_that_is_none(value):
    model = by_rating(OrderedLogit, observed=np.r_[RATINGS[:-1], value])
    assert model.compile_logp()(points(model, 1)[0]) == -np.inf


@pytest.mark.parametrize("table", [False, True])
def test_draws_have_the_right_shares(table):
    n = 4000
    with pm.Model() as model:
        if table:
            OrderedMultinomial("y", np.array([0.8, -0.5]), KAPPA, np.array([n, 7]))
        else:
            OrderedLogit("y", np.full(n, 0.8), KAPPA)
    draws = pm.draw(model["y"], random_seed=1)
    if table:
        assert draws.shape == (2, 6) and draws.sum(axis=1).tolist() == [n, 7]
        counts = draws[0]
    else:
        counts = np.bincount(draws, minlength=6)
    p = np.diff(np.r_[0, special.expit(KAPPA - 0.8), 1])
    assert stats.chisquare(counts, n * p).pvalue > 1e-3


def test_log_likelihood_and_predictions_of_a_fitted_model():
    """Pointwise log-likelihood, prior and posterior prediction work as for PyMC's own."""
    with pm.Model() as model:
        kappa = pm.Deterministic("kappa", pm.math.cumsum(pm.Exponential("step", 1, shape=5)))
        phi = pm.Normal("phi", 0, 1.5, shape=40)
        OrderedLogit("R", phi, kappa, observed=RATINGS)
    prior = pm.sample_prior_predictive(20, model=model, random_seed=1)
    assert set(np.unique(prior["prior_predictive"]["R"])) <= set(range(6))
    tree = prior.copy()
    tree["posterior"] = prior["prior"]
    with model:
        pm.compute_log_likelihood(tree, progressbar=False)
    log_likelihood = tree["log_likelihood"]["R"].values[0]
    kappas, phis = prior["prior"]["kappa"].values[0], prior["prior"]["phi"].values[0]
    cumulative = special.expit(kappas[:, None, :] - phis[..., None])
    p = np.diff(np.pad(cumulative, ((0, 0), (0, 0), (1, 1)), constant_values=(0, 1)), axis=-1)
    p[..., -1] = 1 - cumulative[..., -1]
    expected = np.log(np.take_along_axis(p, RATINGS[None, :, None], axis=2)[..., 0])
    np.testing.assert_allclose(log_likelihood, expected, rtol=1e-6, atol=1e-8)
    predicted = pm.sample_posterior_predictive(tree, model=model, random_seed=1, progressbar=False)[
        "posterior_predictive"
    ]["R"]
    assert predicted.shape == (1, 20, 40)


@pytest.mark.parametrize("mode", [None, "FAST_COMPILE"])
def test_lengths_that_do_not_fit_are_refused(mode):
    """numba would read beyond the end of the shorter one."""
    for lengths, distribution in (((40, 39), OrderedLogit), ((39, 40), OrderedLogit)):
        with pm.Model() as model:
            kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
            phi = pm.Data("phi", PHI[: lengths[0]])
            distribution("R", phi, kappa, observed=pm.Data("r", RATINGS[: lengths[1]]))
        with pytest.raises((ValueError, AssertionError)):
            model.compile_logp(mode=mode)(model.initial_point())
    for counts in (COUNTS[:, :5], COUNTS[:39], np.pad(COUNTS, ((0, 0), (0, 1)))):
        with pm.Model() as model:
            kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
            OrderedMultinomial("C", PHI, kappa, 30, observed=pm.Data("counts", counts))
        with pytest.raises((ValueError, AssertionError)):
            model.compile_logp(mode=mode)(model.initial_point())


def test_two_sets_of_cutpoints_are_refused():
    with pm.Model(), pytest.raises(NotImplementedError, match="one set of cutpoints"):
        OrderedLogit("R", PHI[:2], np.stack([KAPPA, KAPPA + 1]), observed=[0, 1])
        pm.Model.get_context().compile_logp()
