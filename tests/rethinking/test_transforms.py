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
