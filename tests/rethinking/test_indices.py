"""Indices beyond the end are refused, wherever a model is shown or fitted."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from utils import check_indices, show_formula

GOOD = {
    "from 0": [0, 1, 2],
    "some only": [1, 1],
    "two dimensions": [[0, 2], [1, 1]],
    "none at all": np.zeros(0, int),
    "a mask": [True, False, True],
}
BAD = {
    "from 1": ([1, 2, 3], "1 to 3"),
    "a missing value": ([0, -1, 2], "-1 to 2"),
    "far too large": ([0, 10**9], "0 to 1000000000"),
    "two dimensions": ([[0, 1], [3, 1]], "0 to 3"),
    "one only": ([3], "3 to 3"),
}
PLACES = {
    "likelihood": lambda a, index: pm.Normal("y", a[index].sum(), 1, observed=0.0),
    "Deterministic": lambda a, index: pm.Deterministic("d", a[index]),
    "Potential": lambda a, index: pm.Potential("q", a[index].sum()),
    "prior": lambda a, index: pm.Normal("b", a[index].sum(), 1),
    "take": lambda a, index: pm.Deterministic("d", pt.take(a, index)),
    "written to": lambda a, index: pm.Deterministic("d", pt.zeros(3)[index].set(a[0])),
    "added to": lambda a, index: pm.Deterministic("d", a[index].inc(1.0)),
}


def indexed(place, index, as_data=False):
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=3)
        index = np.asarray(index)
        PLACES[place](a, pm.Data("tank", index) if as_data else index)
    return model


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("index", GOOD)
def test_good_indices_pass(place, index):
    check_indices(indexed(place, GOOD[index]))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("index", BAD)
@pytest.mark.parametrize("as_data", [False, True])
def test_bad_indices_are_refused(place, index, as_data):
    values, found = BAD[index]
    name = "tank" if as_data else "array"
    with pytest.raises(IndexError, match=f"index {name} runs from {found}, but .*") as caught:
        check_indices(indexed(place, values, as_data))
    assert "has 3 entries, 0 to 2. Count from 0: `codes, labels = pd.f" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([0, 1], [0, 3], None),
        ([0, 2], [0, 3], "index array runs from 0 to 2, but beta has 2 entries"),
        ([0, 1], [1, 4], "index array runs from 1 to 4, but beta has 4 entries"),
        (slice(None), [0, 3], None),
        (slice(None), [2, 4], "index array runs from 2 to 4, but beta has 4 entries"),
        (slice(0, 1), [-1, 0], "index array runs from -1 to 0, but beta has 4 entries"),
        ([0, 1], slice(None), None),
        ([1, 2], slice(None), "index array runs from 1 to 2, but beta has 2 entries"),
        ([[0], [1]], [[0, 3]], None),
        ([[0], [1]], [[0, 4]], "index array runs from 0 to 4, but beta has 4 entries"),
        (1, [0, 3], None),
        (1, [0, 4], "index array runs from 0 to 4, but beta.* has 4 entries"),
    ],
)
def test_every_axis_has_its_own_length(rows, columns, message):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=(2, 4))
        rows, columns = (np.array(i) if isinstance(i, list) else i for i in (rows, columns))
        pm.Deterministic("d", beta[rows, columns])
    if message is None:
        check_indices(model)
    else:
        with pytest.raises(IndexError, match=message.replace("beta has", ".* has")):
            check_indices(model)


def test_length_that_is_known_at_run_time_only():
    with pm.Model(coords={"tank": list("abc")}) as model:
        index = pm.Data("tank_idx", np.array([0, 1, 2, 2]), dims="row")
        a = pm.Normal("a", 0, 1, dims="tank")
        pm.Normal("y", a[index], 1, observed=np.zeros(4), dims="row")
    check_indices(model)
    with model:
        pm.set_data({"tank_idx": np.array([0, 1, 2, 3])})
    with pytest.raises(IndexError, match="tank_idx runs from 0 to 3, but a has 3 entries"):
        check_indices(model)


def test_an_index_into_data_is_looked_at_too():
    with pm.Model() as model:
        x = pm.Data("x", np.arange(3.0))
        pm.Normal("y", x[np.array([1, 3])].sum() * pm.Normal("b"), 1, observed=0.0)
    with pytest.raises(IndexError, match="runs from 1 to 3, but x has 3 entries"):
        check_indices(model)


def test_latent_index_is_skipped():
    with pm.Model() as model:
        kind = pm.Poisson("kind", 50, shape=4)  # out of range in nearly every draw
        a = pm.Normal("a", 0, 1, shape=2)
        pm.Normal("y", a[kind], 1, observed=np.zeros(4))
    check_indices(model)


@pytest.mark.parametrize(("at", "right"), [(2, True), (-3, True), (3, False), (-4, False)])
def test_one_number_from_data_as_an_index(at, right):
    """numba checks these no more than lists; -1 is the last entry, as in Python."""
    for written in (False, True):
        with pm.Model() as model:
            a = pm.Normal("a", 0, 1, shape=3)
            index = pm.Data("k", np.array(at))
            pm.Deterministic("d", a[index].set(0.0) if written else a[index])
        if right:
            check_indices(model)
        else:
            with pytest.raises(IndexError, match=f"The index k is {at}, but a has 3 entries"):
                check_indices(model)


@pytest.mark.parametrize("first", [0, 1])
def test_show_formula_looks_at_indices(first, shown):
    """A model that plain pm.sample fits is shown: R's 1 to 3 into three effects turns red."""
    with pm.Model() as model:
        tank_idx = pm.Data("tank_idx", np.array([0, 1, 2]) + first)
        alpha = pm.Normal("alpha", 0, 1, shape=3)
        pm.Normal("y", alpha[tank_idx], 1, observed=np.zeros(3))
    formula = "y[i] ~ Normal(alpha[tank_idx[i]], 1)\nalpha[j] ~ Normal(0, 1)"
    if first:
        with pytest.raises(IndexError, match="tank_idx runs from 1 to 3, but alpha has 3 entries"):
            show_formula(model, formula, name="tanks")
        assert shown == []
    else:
        show_formula(model, formula, name="tanks")
