"""The course's own likelihood keeps its promises on all paths, and takes what is possible."""

import numpy as np
import pymc as pm
import pytensor
import pytest
import xarray as xr
from pymc.model.transform.optimization import freeze_dims_and_data
from scipy import stats

from rethinking.ordered_logit import OrderedLogit, OrderedMultinomial
from utils import CompiledModel, check_indices

pytestmark = pytest.mark.compiles  # numba compiles the loops
ordered = pm.distributions.transforms.ordered
KAPPA = np.array([-1.0, 0.0, 1.5])
PERSON = np.array([0, 1, 2, 2])
CASE = np.array([0, 1, 1, 0])
COUNTS = np.array([[1, 2, 0, 0], [0, 1, 1, 3], [2, 2, 2, 2], [0, 0, 4, 1]])

PHI = {
    "one effect": lambda u, v, i, j: u[i],
    "two effects": lambda u, v, i, j: u[i] + v[j],
    "three effects": lambda u, v, i, j: u[j] + v[j] + u[i],
    "a product": lambda u, v, i, j: u[i] * v[j],
    "a table": lambda u, v, i, j: (u[:, None] + v[None, :])[i, j],
    "an index of an index": lambda u, v, i, j: v[j] + u[PERSON][i],
    "a Deterministic": lambda u, v, i, j: pm.Deterministic("phi", 2 * u[i]),
}


def rated(distribution, form, observed=None):
    with pm.Model() as model:
        person, case = pm.Data("person", PERSON), pm.Data("case", CASE)
        u, v = pm.Normal("u", 0, 1, shape=3), pm.Normal("v", 0, 1, shape=2)
        phi = PHI[form](u, v, person, case)
        if distribution is OrderedLogit:
            OrderedLogit("R", phi, KAPPA, observed=np.zeros(4, int))
        else:
            counts = pm.Data("counts", COUNTS if observed is None else observed)
            OrderedMultinomial("R", phi, KAPPA, pm.Data("n", COUNTS.sum(1)), observed=counts)
    return model


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(1)
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {
                    "u": (("chain", "draw", "u_"), rng.normal(size=(1, 3, 3))),
                    "v": (("chain", "draw", "v_"), rng.normal(size=(1, 3, 2))),
                }
            )
        }
    )


def paths(model, posterior, **options):
    """Whatever looks effects up: name of the path and a function that goes along it."""
    point = model.initial_point()
    quiet = {"model": model, "progressbar": False} | options

    def log_likelihood():
        copy = posterior.copy()
        with model:
            pm.compute_log_likelihood(copy, progressbar=False)

    return {
        "log-probability": lambda: model.compile_logp(**modes(options))(point),
        "gradient": lambda: model.compile_dlogp(**modes(options))(point),
        "prior draws": lambda: pm.sample_prior_predictive(2, model=model, random_seed=1, **options),
        "posterior draws": lambda: pm.sample_posterior_predictive(
            posterior, random_seed=1, **quiet
        ),
        "a draw": lambda: pm.draw(model["R"], random_seed=1, **modes(options)),
        "log-likelihood": log_likelihood,
        "a fit": lambda: CompiledModel(model),
    }


def modes(options):
    return options.get("compile_kwargs", {})


def refuse_all(model, posterior, **options):
    for name, go in paths(model, posterior, **options).items():
        with pytest.raises(IndexError):
            go()
            pytest.fail(f"{name} reads beyond the end")


@pytest.mark.parametrize("distribution", [OrderedLogit, OrderedMultinomial])
@pytest.mark.parametrize("form", PHI)
def test_every_path_refuses_an_index_beyond_the_end(distribution, form, posterior):
    model = rated(distribution, form)
    with model:
        pm.set_data({"person": np.array([0, 1, 1000, 2])})
    quick = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
    refuse_all(model, posterior, **quick)
    with pytest.raises(IndexError, match="person runs from 0 to 1000, but"):
        check_indices(model)
    with model:
        pm.set_data({"person": PERSON[::-1]})
    for name, go in paths(model, posterior, **quick).items():
        if name not in ("a fit", "log-likelihood"):
            go()


@pytest.mark.compiles
@pytest.mark.parametrize("distribution", [OrderedLogit, OrderedMultinomial])
@pytest.mark.parametrize("bad", [1000, -1])
def test_numba_refuses_too(distribution, bad, posterior):
    """There nothing else would: it reads whatever lies behind the effects."""
    model = rated(distribution, "two effects")
    with model:
        pm.set_data({"person": np.array([0, 1, bad, 2])})
    refuse_all(model, posterior)


def operations(function):
    return {type(node.op).__name__ for node in function.maker.fgraph.apply_nodes}


@pytest.mark.compiles
@pytest.mark.parametrize("distribution", [OrderedLogit, OrderedMultinomial])
def test_constant_data_are_checked_once(distribution):
    """No guard is left in what the sampler calls."""
    model = freeze_dims_and_data(rated(distribution, "two effects"))
    function = model.logp_dlogp_function(ravel_inputs=True)._pytensor_function
    assert not {"CheckAndRaise", "_PossibleCounts"} & operations(function)


# --- what cannot be


def log_probabilities(counts, n, mode, stock=False):
    phi = np.linspace(-1, 1, len(counts))
    with pm.Model() as model:
        if stock:
            pm.OrderedMultinomial("C", phi, KAPPA, n, observed=counts, compute_p=False)
        else:
            OrderedMultinomial("C", phi, KAPPA, n, observed=counts)
    (each,) = model.logp(sum=False)
    return pytensor.function([], each, mode=mode)()


def changed(row, column, by):
    counts = COUNTS.copy()
    counts[row, column] += by
    return counts


IMPOSSIBLE = {
    "one more than n": (changed(1, 2, 1), COUNTS.sum(1), 1),
    "one fewer than n": (changed(2, 3, -1), COUNTS.sum(1), 2),
    "below zero, with the right sum": (
        COUNTS + np.array([[0] * 4, [-1, 1, 0, 0], [0] * 4, [0] * 4]),
        COUNTS.sum(1),
        1,
    ),
    "below zero": (changed(3, 0, -1), COUNTS.sum(1), 3),
    "another n": (COUNTS, COUNTS.sum(1) + np.array([1, 0, 0, 0]), 0),
}


@pytest.mark.parametrize("mode", ["FAST_COMPILE", pytest.param(None, marks=pytest.mark.compiles)])
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_counts_that_cannot_be_have_probability_zero(case, mode):
    """As those of PyMC have; the other rows keep theirs."""
    counts, n, row = IMPOSSIBLE[case]
    found = log_probabilities(counts, n, mode)
    assert found[row] == -np.inf
    others = np.arange(4) != row
    possible = log_probabilities(COUNTS, COUNTS.sum(1), mode)
    np.testing.assert_array_equal(found[others], possible[others])
    theirs = log_probabilities(counts, n, "FAST_COMPILE", stock=True)
    assert np.isinf(theirs).tolist() == np.isinf(found).tolist()


def test_one_n_for_all_rows_and_every_type_of_count():
    counts = COUNTS[[2, 2]]
    expected = log_probabilities(counts, 8, "FAST_COMPILE")
    assert np.isfinite(expected).all()
    for kind in (np.uint8, np.int8, np.uint64, np.int64):
        np.testing.assert_array_equal(
            log_probabilities(counts.astype(kind), 8, "FAST_COMPILE"), expected
        )
    assert (log_probabilities(counts.astype(np.uint8), 7, "FAST_COMPILE") == -np.inf).all()


@pytest.mark.compiles
def test_impossible_counts_add_nothing_to_the_gradient():
    model = rated(OrderedMultinomial, "two effects", observed=changed(1, 2, 1))
    point = model.initial_point()
    assert model.compile_logp()(point) == -np.inf
    assert np.isfinite(model.compile_dlogp()(point)).all()


@pytest.mark.parametrize("mode", ["FAST_COMPILE", pytest.param(None, marks=pytest.mark.compiles)])
@pytest.mark.parametrize("as_data", [False, True])
@pytest.mark.parametrize("value", [-1, 4, 100])
def test_ratings_that_are_none_have_probability_zero(value, as_data, mode):
    """In the sum and rating by rating, whether they are constant or may change."""
    ratings = np.array([0, value, 3, 1])
    with pm.Model() as model:
        kappa = pm.Normal("kappa", KAPPA, 1, shape=3, transform=ordered)
        u = pm.Normal("u", 0, 1, shape=3)
        observed = pm.Data("ratings", ratings) if as_data else ratings
        OrderedLogit("R", u[PERSON], kappa, observed=observed)
    point = model.initial_point()
    assert model.compile_logp(mode=mode)(point) == -np.inf
    (each,) = model.logp(vars=model["R"], sum=False)
    each = pytensor.function(model.value_vars, each, mode=mode, on_unused_input="ignore")(
        **{v.name: point[v.name] for v in model.value_vars}
    )
    assert np.isinf(each).tolist() == [False, True, False, False]


def test_draws_are_those_of_the_likelihood():
    """The guard changes nothing where all is well."""
    with pm.Model() as model:
        u = pm.Normal("u", [-0.5, 0.5], 1e-9, shape=2)
        OrderedLogit("R", u[np.tile([0, 1], 2000)], KAPPA)
    drawn = pm.draw(model["R"], random_seed=2)
    for which, phi in ((0, -0.5), (1, 0.5)):
        p = np.diff(np.r_[0, 1 / (1 + np.exp(phi - KAPPA)), 1])
        counts = np.bincount(drawn[which::2], minlength=4)
        assert stats.chisquare(counts, 2000 * p).pvalue > 1e-3
