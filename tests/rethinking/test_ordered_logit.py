"""The ordered logit of the course: PyMC's distribution, cheaper, and right where that gives up."""

import time

import mpmath
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import dfs_rewriter
from scipy import special, stats

import utils
from rethinking import ordered_logit
from rethinking.ordered_logit import LARGEST, OrderedLogit, OrderedMultinomial

pytestmark = pytest.mark.compiles  # numba compiles the loops afresh in each process

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


QUICK = "FAST_COMPILE"  # stock models need no numba to give a value


def test_ratings_have_pymcs_log_probability_and_gradient():
    ours, stock = by_rating(OrderedLogit), by_rating(pm.OrderedLogistic, compute_p=False)
    logp, dlogp = ours.compile_logp(), ours.compile_dlogp()
    stock_logp, stock_dlogp = stock.compile_logp(mode=QUICK), stock.compile_dlogp(mode=QUICK)
    for point in points(ours):
        assert logp(point) == pytest.approx(stock_logp(point), rel=1e-12)
        np.testing.assert_allclose(dlogp(point), stock_dlogp(point), atol=1e-10)


def test_counts_differ_from_pymcs_by_a_constant():
    ours, stock = by_table(OrderedMultinomial), by_table(pm.OrderedMultinomial, compute_p=False)
    orders = special.gammaln(COUNTS.sum(axis=1) + 1) - special.gammaln(COUNTS + 1).sum(axis=1)
    logp, dlogp = ours.compile_logp(), ours.compile_dlogp()
    stock_logp, stock_dlogp = stock.compile_logp(mode=QUICK), stock.compile_dlogp(mode=QUICK)
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
    logp, logp_one_by_one = table.compile_logp(mode=QUICK), one_by_one.compile_logp(mode=QUICK)
    for point in points(table):
        assert logp(point) == pytest.approx(logp_one_by_one(point), rel=1e-12)


PERSON, CASE = RNG.integers(0, 7, size=40), RNG.integers(0, 3, size=40)
FORMS = {
    "two effects": lambda u, theta, level: u[PERSON] + theta[CASE],
    "and a scalar": lambda u, theta, level: level + u[PERSON] + theta[CASE],
    "one effect": lambda u, theta, level: u[PERSON],
    "three effects": lambda u, theta, level: (u[PERSON] + theta[CASE]) + u[PERSON[::-1]],
    "an effect and a slope": lambda u, theta, level: u[PERSON] + level * PHI,
    "a product": lambda u, theta, level: u[PERSON] * theta[CASE],
    "one for all": lambda u, theta, level: level,
}


def crossed(distribution, form, observed=RATINGS, **options):
    with pm.Model() as model:
        kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
        u, theta = pm.Normal("u", 0, 1, shape=7), pm.Normal("theta", 0, 1, shape=3)
        level = pm.Normal("level", 0, 1)
        if isinstance(observed, str):
            observed = pm.Data("ratings", RATINGS)
        distribution("R", FORMS[form](u, theta, level), kappa, observed=observed, **options)
    return model


@pytest.mark.parametrize("form", FORMS)
def test_phi_of_any_form(form):
    """However phi is made, and whether its ratings are sorted beforehand or not."""
    stock = crossed(pm.OrderedLogistic, form, compute_p=False)
    ways = [(OrderedLogit, RATINGS, QUICK)]
    if form == "two effects":
        ways += [(OrderedLogit, RATINGS, None)]
        ways += [(OrderedLogit, "pm.Data", None)]  # may change, so it is not sorted beforehand
    logp, dlogp = stock.compile_logp(mode=QUICK), stock.compile_dlogp(mode=QUICK)
    for distribution, observed, mode in ways:
        model = crossed(distribution, form, observed)
        ours_logp, ours_dlogp = model.compile_logp(mode=mode), model.compile_dlogp(mode=mode)
        for point in points(stock, 2):
            assert ours_logp(point) == pytest.approx(logp(point), rel=1e-12)
            np.testing.assert_allclose(ours_dlogp(point), dlogp(point), atol=1e-9)


def operations(function):
    return [type(node.op).__name__ for node in function.maker.fgraph.apply_nodes]


def test_one_loop_gives_value_and_gradient():
    """Compiled as the sampler does, and as PyMC does; no exponential of forty numbers is left."""
    model = crossed(OrderedLogit, "two effects")
    for function in (
        utils.CompiledModel(model)._compiled.logp_func,
        freeze_dims_and_data(model).logp_dlogp_function(ravel_inputs=True)._pytensor_function,
    ):
        found = operations(function)
        assert found.count("_PackedTotal") == 1
        assert not {"_Total", "_LogProbability", "AdvancedSubtensor", "AdvancedIncSubtensor"} & {
            *found
        }


def reference(value, i, j, kappa, a, b):
    """Sum of log-probabilities and its gradient by kappa, a, b, from the definition.

    With each the sum of the sizes of its terms: where they nearly cancel, no sum of 64-bit numbers
    is nearer to the truth than a share of that.
    """
    with mpmath.workdps(700):  # at |phi| = 500 sigmoids differ in the 435th digit
        kappa, a, b = ([mpmath.mpf(float(v)) for v in x] for x in (kappa, a, b))
        total = mpmath.mpf(0)
        gradient = [[mpmath.mpf(0)] * len(x) for x in (kappa, a, b)]
        sizes = [[mpmath.mpf(0)] * len(x) for x in (kappa, a, b)]

        def count(which, entry, term):
            gradient[which][entry] += term
            sizes[which][entry] += abs(term)

        for c, row, column in zip(value, i, j, strict=True):
            phi = a[row] + b[column]
            upper = 1 / (1 + mpmath.exp(phi - kappa[c])) if c < len(kappa) else mpmath.mpf(1)
            lower = 1 / (1 + mpmath.exp(phi - kappa[c - 1])) if c > 0 else mpmath.mpf(0)
            p = upper - lower
            total += mpmath.log(p)
            up, down = upper * (1 - upper) / p, lower * (1 - lower) / p
            if c < len(kappa):
                count(0, c, up)
            if c > 0:
                count(0, c - 1, -down)
            count(1, row, down - up)
            count(2, column, down - up)
        found = [np.array([float(v) for v in x]) for x in gradient]
        return [float(total), *found], [-float(total), *(np.array(x, float) for x in sizes)]


def scaled(to):
    """Effects and cutpoints whose largest sizes add up to `to`."""
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=3), rng.normal(size=7)
    kappa = np.sort(rng.normal(size=5))
    factor = to / sum(np.abs(x).max() for x in (kappa, a, b))
    return {"kappa": kappa * factor, "a": a * factor, "b": b * factor}


PLACES = {
    "where posteriors are": {"kappa": KAPPA, "a": [-0.8, 0, 0.6], "b": np.linspace(-3, 3, 7)},
    "phi up to 500": {"kappa": KAPPA, "a": [-250.0, 3, 250], "b": np.linspace(-250, 250, 7)},
    "phi up to 160": {"kappa": KAPPA, "a": [-80.0, 3, 80], "b": np.linspace(-80, 80, 7)},
    "cutpoints almost equal": {
        "kappa": [-1.0, -1 + 1e-13, 0.5, 0.5 + 1e-9, 2],
        "a": [-0.8, 0, 0.6],
        "b": np.linspace(-3, 3, 7),
    },
    "almost equal, far out": {
        "kappa": [-1.0, -1 + 1e-13, 0.5, 0.5 + 1e-9, 2],
        "a": [-250.0, 3, 250],
        "b": np.linspace(-250, 250, 7),
    },
    "cutpoints far apart": {
        "kappa": [-300.0, -100, 0, 10, 300],
        "a": [-0.8, 0, 0.6],
        "b": np.linspace(-30, 30, 7),
    },
    "just before the switch": scaled(np.nextafter(LARGEST, 0) * (1 - 1e-15)),
    "just after the switch": scaled(LARGEST * (1 + 1e-14)),
}


@pytest.mark.parametrize("sorted_before", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_against_seven_hundred_digits(place, sorted_before):
    parameters = {k: np.array(v, float) for k, v in PLACES[place].items()}
    data = (RATINGS, CASE, PERSON)
    if sorted_before:
        order = np.lexsort((PERSON, RATINGS, CASE))
        key = (CASE * 6 + RATINGS)[order].astype(np.uint32)
        limits = np.array([6, 3, 7])
        found = ordered_logit._packed_total(
            key, PERSON[order].astype(np.uint32), limits, *parameters.values()
        )
    else:
        kappa, a, b = parameters.values()
        found = ordered_logit._rating_total(RATINGS, kappa, a, CASE, b, PERSON)
        one_by_one = ordered_logit._rating_values(RATINGS, kappa, a, CASE, b, PERSON)
        assert one_by_one.sum() == pytest.approx(float(found[0]), rel=1e-12)
    expected, sizes = reference(*data, *parameters.values())
    for ours, true, size in zip(found, expected, sizes, strict=True):
        assert (np.abs(ours - true) <= 1e-10 * size).all()


def test_both_ways_at_the_switch():
    """The same point in products and in logarithms."""
    at = scaled(np.nextafter(LARGEST, 0) * (1 - 1e-15)).values()
    key = (CASE * 6 + RATINGS).astype(np.uint32)
    column = PERSON.astype(np.uint32)
    products = ordered_logit._total(key, column, 6, *at)
    values, *logarithms = ordered_logit._one_by_one(key, column, 6, *at)
    for ours, others in zip(products, (values.sum(), *logarithms), strict=True):
        np.testing.assert_allclose(ours, others, rtol=1e-12)


def test_a_category_that_nobody_chose():
    """Its cutpoints may coincide; elsewhere coinciding cutpoints have probability zero."""
    ratings = np.where(RATINGS == 2, 3, RATINGS)
    kappa = np.array([-2.0, -0.7, -0.7, 0.4, 2.5])
    a, b = np.zeros(3), np.linspace(-2, 2, 7)
    total, by_kappa, by_a, by_b = ordered_logit._rating_total(ratings, kappa, a, CASE, b, PERSON)
    # without that category, its two cutpoints are one
    fewer = np.where(ratings > 2, ratings - 1, ratings)
    true, _ = reference(fewer, CASE, PERSON, np.delete(kappa, 1), a, b)
    assert total == pytest.approx(true[0], rel=1e-12)
    assert by_kappa[1] + by_kappa[2] == pytest.approx(true[1][1], rel=1e-10)
    np.testing.assert_allclose(by_a, true[2], rtol=1e-10)
    np.testing.assert_allclose(by_b, true[3], rtol=1e-10)
    nobody = np.where(RATINGS == 5, 4, RATINGS)  # nor is the last category needed
    assert np.isfinite(ordered_logit._rating_total(nobody, KAPPA, a, CASE, b, PERSON)[0])
    assert ordered_logit._rating_total(RATINGS, kappa, a, CASE, b, PERSON)[0] == -np.inf


def test_products_that_grow_beyond_the_largest_number():
    """A logarithm is taken before the running product overflows, however many ratings."""
    n = 5000
    key, column = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    for a in (-150.0, 20.0, 150.0, 330.0):
        total = ordered_logit._total(key, column, 6, KAPPA, np.array([a]), np.zeros(1))[0]
        assert total == pytest.approx(-n * np.logaddexp(0, a - KAPPA[0]), rel=1e-12)


def test_other_weights_than_one():
    """A sum with weights has no loop of its own; its gradient is right nevertheless."""
    weight = RNG.uniform(size=40)

    def weighted(distribution, mode=None, **options):
        model = crossed(distribution, "two effects", **options)
        (each,) = model.logp(vars=model["R"], sum=False)
        values = model.continuous_value_vars
        total = (weight * each).sum()
        return pytensor.function(
            values, [total, *pt.grad(total, values, disconnected_inputs="ignore")], mode=mode
        )

    ours, stock = weighted(OrderedLogit), weighted(pm.OrderedLogistic, QUICK, compute_p=False)
    point = points(crossed(OrderedLogit, "two effects"), 1)[0]
    for mine, theirs in zip(ours(*point.values()), stock(*point.values()), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_stock_expressions_where_there_is_no_numba():
    """What JAX and MLX get instead of the loops."""
    for model in (crossed(OrderedLogit, "two effects"), by_table(OrderedMultinomial)):
        inputs = model.continuous_value_vars
        outputs = [*model.logp(sum=False), model.logp(), *pt.grad(model.logp(), inputs)]
        plain = FunctionGraph(inputs, outputs, clone=True)
        dfs_rewriter(ordered_logit.in_stock_pytensor).rewrite(plain)
        assert not any("ordered_logit" in type(n.op).__module__ for n in plain.apply_nodes)
        loops = pytensor.function(inputs, outputs)
        stock = pytensor.function(plain.inputs, plain.outputs, mode=QUICK)
        point = points(model, 1)[0]
        for mine, theirs in zip(loops(*point.values()), stock(*point.values()), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed: pip install '.[samplers]'")
    model = crossed(OrderedLogit, "two effects")
    point = points(model, 1)[0]
    assert model.compile_logp(mode="JAX")(point) == pytest.approx(model.compile_logp()(point))
    np.testing.assert_allclose(
        model.compile_dlogp(mode="JAX")(point), model.compile_dlogp()(point), atol=1e-9
    )


def test_it_is_cheaper_than_pymcs():
    """A loose bound, since the machine may be busy: it is twenty times or more."""
    rng = np.random.default_rng(9)
    rows, columns, ratings = (rng.integers(0, k, size=6000) for k in (30, 200, 6))

    def seconds(distribution, **options):
        with pm.Model() as model:
            kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
            u, theta = pm.Normal("u", 0, 1, shape=200), pm.Normal("theta", 0, 1, shape=30)
            distribution("R", u[columns] + theta[rows], kappa, observed=ratings, **options)
        function = freeze_dims_and_data(model).logp_dlogp_function(ravel_inputs=True)
        function.set_extra_values({})
        point = rng.normal(0, 0.3, size=235)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            function(point)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(OrderedLogit) < seconds(pm.OrderedLogistic, compute_p=False) / 5


@pytest.mark.parametrize("bad", [-1, 7])
def test_an_effect_looked_up_beyond_its_end(bad):
    """numba would read other memory without a word, and -1 is the mark of a missing value."""
    person = PERSON.copy()
    person[3] = bad
    with pm.Model() as model:
        kappa = pm.Normal("kappa", np.linspace(-2, 2, 5), 1.5, shape=5, transform=ordered)
        u = pm.Normal("u", 0, 1, shape=7)
        OrderedLogit("R", u[pt.as_tensor(person)] + 0.5, kappa, observed=RATINGS)
    for mode in (None, QUICK):
        with pytest.raises(IndexError, match="looked up beyond its end"):
            model.compile_logp(mode=mode)(model.initial_point())


def test_far_out_where_the_difference_of_sigmoids_cancels():
    """At phi - kappa = 45 PyMC's form says -inf; the value is phi - kappa by the asymptote."""
    with pm.Model() as model:
        OrderedLogit("R", np.array([45.0, -45.0, 300.0]), KAPPA, observed=[0, 5, 0])
    expected = (KAPPA[0] - 45.0) + (-45.0 - KAPPA[-1]) + (KAPPA[0] - 300.0)
    assert model.compile_logp()({}) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("value", "mode"), [(-1, QUICK), (6, None), (100, QUICK)])
def test_a_rating_that_is_none(value, mode):
    model = by_rating(OrderedLogit, observed=np.r_[RATINGS[:-1], value])
    assert model.compile_logp(mode=mode)(points(model, 1)[0]) == -np.inf


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
    quick = {"compile_kwargs": {"mode": QUICK}, "random_seed": 1, "model": model}
    prior = pm.sample_prior_predictive(20, **quick)
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
    predicted = pm.sample_posterior_predictive(tree, progressbar=False, **quick)
    predicted = predicted["posterior_predictive"]["R"]
    assert predicted.shape == (1, 20, 40)


@pytest.mark.parametrize("distribution", [OrderedLogit, OrderedMultinomial])
def test_prior_prediction_with_ordered_cutpoints(distribution):
    """PyMC draws such cutpoints in any order; ratings are those of the same cutpoints sorted."""
    n = 3
    with pm.Model() as model:
        kappa = pm.Normal("kappa", 0, 1.5, shape=5, transform=ordered)
        if distribution is OrderedLogit:
            OrderedLogit("R", np.full(n, 0.4), kappa, observed=np.zeros(n, int))
        else:
            OrderedMultinomial(
                "R", np.full(1, 0.4), kappa, n, observed=np.array([[n, 0, 0, 0, 0, 0]])
            )
    drawn = pm.sample_prior_predictive(4000, model=model, random_seed=3)["prior_predictive"]["R"]
    drawn = drawn.values[0]
    if distribution is OrderedLogit:
        assert set(np.unique(drawn)) == set(range(6))
        drawn = (drawn[..., None] == np.arange(6)).sum(axis=1)
    assert (drawn.sum(axis=-1) == n).all()
    shares = drawn.reshape(-1, 6) / n
    # normals that are sorted have the density of normals that are in order
    cutpoints = np.sort(np.random.default_rng(4).normal(0, 1.5, size=(200_000, 5)), axis=1)
    p = np.diff(
        special.expit(
            np.pad(cutpoints, ((0, 0), (1, 1)), constant_values=((0, 0), (-np.inf, np.inf))) - 0.4
        ),
        axis=1,
    )
    z = (shares.mean(axis=0) - p.mean(axis=0)) / (shares.std(axis=0) / np.sqrt(len(shares)))
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("mode", [None, QUICK])
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
