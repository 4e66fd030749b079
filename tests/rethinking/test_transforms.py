"""logit and invlogit: inverse, without overflow, in the type they were given."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import utils
from rethinking.transforms import as_counts, as_floats, is_missing

# A busy machine is no failure, and a failure must come back when the test is run again.
settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")

probabilities = st.floats(0, 1, allow_subnormal=False)
log_odds = st.floats(-700, 30)


@given(log_odds)
def test_round_trip_from_log_odds(x):
    p = utils.invlogit(x)
    assert 0 <= p <= 1
    # Near 1 the spacing of p alone moves x by spacing / (1 - p).
    allowed = 1e-12 * (1 + abs(x)) + 4 * np.spacing(p) / max(1 - p, np.spacing(1.0))
    assert abs(utils.logit(p) - x) <= allowed


@given(probabilities)
def test_round_trip_from_probabilities(p):
    assert math.isclose(utils.invlogit(utils.logit(p)), p, rel_tol=1e-12, abs_tol=1e-300)


@given(st.floats(allow_nan=False))
def test_invlogit_takes_any_number(x):
    with np.errstate(all="raise", under="ignore"):
        p, other = utils.invlogit(x), utils.invlogit(-x)
    assert 0 <= p <= 1
    assert math.isclose(p + other, 1, rel_tol=1e-15)


@given(arrays(float, array_shapes(max_dims=3, max_side=4), elements=st.floats(-50, 50)))
def test_arrays_keep_shape_and_values(x):
    before = x.copy()
    p = utils.invlogit(x)
    assert p.shape == x.shape
    assert np.array_equal(x, before)
    assert np.array_equal(utils.logit(p).ravel(), [utils.logit(v) for v in p.flat])


def test_known_values():
    assert utils.logit(0.5) == 0
    assert math.isclose(utils.logit(0.8), math.log(4))
    assert math.isclose(utils.invlogit(1.0), 1 / (1 + math.exp(-1)))


def test_ends_without_warnings():
    with np.errstate(all="raise", under="ignore"):
        assert utils.logit([0, 1]).tolist() == [-math.inf, math.inf]
        assert utils.invlogit([-800, 800, -math.inf, math.inf]).tolist() == [0, 1, 0, 1]
    assert np.isnan(utils.logit(math.nan))
    assert np.isnan(utils.invlogit(math.nan))


@pytest.mark.parametrize("function", [utils.logit, utils.invlogit])
def test_types_are_kept(function):
    values = [0.1, 0.5, 0.9]
    named = xr.DataArray(values, dims="tank", coords={"tank": [1, 2, 3]}, name="p")
    result = function(named)
    assert isinstance(result, xr.DataArray)
    assert result.dims == ("tank",)
    assert result["tank"].equals(named["tank"])
    series = function(pd.Series(values, index=list("abc")))
    assert isinstance(series, pd.Series)
    assert list(series.index) == list("abc")
    assert isinstance(function(np.array(values)), np.ndarray)
    assert isinstance(function(0.5), float)
    assert np.array_equal(function(values), result.to_numpy())


@pytest.mark.parametrize(
    ("p", "named"),
    [(1.2, "1.2"), (-0.1, "-0.1"), ([0.5, 3.0, 0.1, -2], "3"), (np.full((2, 2), 7.0), "7")],
)
def test_logit_refuses_what_is_no_probability(p, named):
    with pytest.raises(ValueError, match=rf"probabilities from 0 to 1, not of {named} \("):
        utils.logit(p)


@pytest.mark.parametrize("function", [utils.logit, utils.invlogit])
@pytest.mark.parametrize("x", ["half", None, ["a", "b"]])
def test_what_is_no_number_is_refused(function, x):
    with pytest.raises(TypeError, match="needs numbers"):
        function(x)


def test_model_variables_are_sent_to_pymc():
    tensor = pytest.importorskip("pytensor.tensor")
    with pytest.raises(TypeError, match=r"Inside a model use pm\.math\.invlogit"):
        utils.invlogit(tensor.dscalar())


@pytest.mark.parametrize(
    ("successes", "trials", "says"),
    [
        ([1, np.nan], [2, 2], "at position 1 there are nan of 2. Leave out what is missing."),
        ([1, 1], [np.nan, 2], "at position 0 there are 1 of nan. Leave out what is missing."),
        ([2, 3], [2, 2], "at position 1 there are 3 of 2. Exchange the two: they seem to be"),
        ([1, 3], [2, 2], "at position 1 there are 3 of 2. Correct them."),
        ([1, 3], [1.5, 3], "whole numbers; at position 0 there are 1 of 1.5. Give counts, not"),
        ([1], [1, 2], "of shape (1,), and the trials, of shape (2,), must be rows of one length"),
        ([[1]], [[1]], "of shape (1, 1), and the trials, of shape (1, 1), must be rows of one"),
    ],
)
def test_counts_are_refused_with_their_remedy(successes, trials, says):
    with pytest.raises(ValueError) as told:
        as_counts(successes, trials)
    assert str(told.value).startswith("The successes") and says in str(told.value)


def test_counts_are_called_as_the_caller_calls_them():
    with pytest.raises(ValueError, match=r"The born must lie between 0 and the eggs; .* 3 of 2\."):
        as_counts([3, 1], [2, 2], names=("born", "eggs"))
    with pytest.raises(ValueError, match="share of born among eggs is undefined at position 1"):
        as_counts([1, 0, 0], [2, 0, 0], names=("born", "eggs"), none=False)
    born, eggs = as_counts([1, 0], [2, 0])
    assert (born.tolist(), eggs.tolist()) == ([1, 0], [2, 0])


def test_counts_of_one_table_keep_together():
    table = pd.DataFrame({"born": [1, 2], "eggs": [2, 2]})
    as_counts(table["born"], table["eggs"])
    as_counts(table["born"].to_numpy()[::-1], table["eggs"].iloc[::-1])
    with pytest.raises(ValueError, match="do not have the same index"):
        as_counts(table["born"], table["eggs"].iloc[::-1])


@pytest.mark.parametrize("function", [utils.logit, utils.invlogit])
def test_the_function_that_was_meant_is_named(function):
    name = function.__name__
    with pytest.raises(
        TypeError, match=rf"^The function {name} needs numbers, not list\. .*\b{name}\.$"
    ):
        function(["a"])


def test_tables_and_objects_keep_their_names():
    table = pd.DataFrame({"a": [0.5, 0.8], "b": [0.1, 0.2]}, index=["x", "y"])
    for given_table in (table, table.astype(object)):
        pd.testing.assert_frame_equal(utils.logit(given_table), np.log(table / (1 - table)))
    series = pd.Series([0.5, 0.8], index=["x", "y"], name="p", dtype=object)
    pd.testing.assert_series_equal(utils.logit(series), utils.logit(series.astype(float)))
    named = xr.DataArray(np.array([0.5, None], object), dims="tank", coords={"tank": ["A", "B"]})
    assert utils.logit(named).sel(tank="A") == 0
    assert utils.logit(np.array([0.5], "float32")).dtype == "float32"
    whole = utils.invlogit(pd.Series([0, 1]))
    assert whole.tolist() == [0.5, utils.invlogit(1.0)]


def test_missing_in_tables_dates_and_masks():
    masked = np.ma.masked_array([1.0, np.nan, 3.0], mask=[True, False, False])
    assert is_missing(masked).tolist() == [True, True, False]
    assert is_missing(masked.astype(object)).tolist() == [True, True, False]
    assert is_missing(np.array([["a", None], [np.ma.masked, 1]], object)).tolist() == [
        [False, True],
        [True, False],
    ]
    assert is_missing(None).shape == () and bool(is_missing(np.ma.masked))
    assert is_missing(["no", ""]).tolist() == [False, False]
    for kind, value in (("M8[D]", "NaT"), ("m8[D]", "NaT"), (complex, np.nan)):
        found = as_floats(np.array([value], kind))
        assert np.isnan(found).all() and found.dtype == float
    assert as_floats([1, np.timedelta64("NaT", "D")]).tolist() == pytest.approx(
        [1, np.nan], nan_ok=True
    )
    for value in (np.timedelta64(1, "D"), np.datetime64("2026-11-28"), 1j):
        with pytest.raises((TypeError, ValueError)):
            as_floats([value])
        with pytest.raises((TypeError, ValueError)):
            as_floats([value, np.datetime64("NaT", "D")])
        with pytest.raises((TypeError, ValueError)):
            as_floats([value, None])
