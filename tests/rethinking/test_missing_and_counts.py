"""Every spelling of a missing value is one; and no more survivors than tadpoles."""

import copy
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from rethinking.frogs import plot_survival
from rethinking.living import point_explorer, tank_scrubber
from rethinking.plots import check_probabilities, plot_errorbar, plot_line, plot_scatter
from rethinking.scores import integrated_log_likelihood
from rethinking.transforms import as_counts, as_floats, invlogit, logit

mpl.use("Agg")
ROW = [0.25, 0.5, 0.75]
#: The second of three numbers is missing; what is under a mask is not to be seen.
MASKED = np.ma.masked_array([0.25, 99, 0.75], mask=[False, True, False])
SPELLINGS = {
    "nan": np.array([0.25, np.nan, 0.75]),
    "None": [0.25, None, 0.75],
    "None in objects": np.array([0.25, None, 0.75], dtype=object),
    "pd.NA": [0.25, pd.NA, 0.75],
    "NaT": [0.25, pd.NaT, 0.75],
    "NaT of numpy": [0.25, np.datetime64("NaT", "D"), 0.75],
    "masked": MASKED,
    "masked objects": MASKED.astype(object),
    "masked, in a list": [0.25, np.ma.masked, 0.75],
    "masked, element by element": list(MASKED),
    "masked float32": MASKED.astype("float32"),
    "Float64": pd.Series([0.25, pd.NA, 0.75], dtype="Float64"),
    "an array of pandas": pd.array([0.25, pd.NA, 0.75], dtype="Float64"),
    "a series of objects": pd.Series([0.25, pd.NA, 0.75], dtype=object, index=list("abc")),
    "a series with None": pd.Series([0.25, None, 0.75], dtype=object),
    "xarray": xr.DataArray([0.25, np.nan, 0.75], dims="tank"),
    "xarray of objects": xr.DataArray(np.array([0.25, None, 0.75], dtype=object), dims="tank"),
}


@pytest.fixture(autouse=True)
def no_warning_and_no_figure():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


@pytest.fixture(params=SPELLINGS)
def missing(request):
    return copy.deepcopy(SPELLINGS[request.param])


def elements(missing):
    """The values one by one, each spelled as it was."""
    return list(missing.to_numpy() if isinstance(missing, xr.DataArray) else missing)


# --- missing values


def test_as_floats(missing):
    np.testing.assert_array_equal(as_floats(missing), [0.25, np.nan, 0.75])
    rows = as_floats([MASKED, MASKED])
    np.testing.assert_array_equal(rows, [[0.25, np.nan, 0.75]] * 2)
    np.testing.assert_array_equal(as_floats(pd.array([1, None], dtype="Int64")), [1, np.nan])
    np.testing.assert_array_equal(as_floats(pd.array([True, None], dtype="boolean")), [1, np.nan])
    assert as_floats([]).shape == (0,)


@pytest.mark.parametrize("values", [["a"], np.array(["2026-11-28"], "M8[D]"), [1j], [object()]])
def test_what_is_no_number_and_not_missing(values):
    with pytest.raises((TypeError, ValueError)):
        as_floats(values)
    with pytest.raises(ValueError, match="x holds something that is not a number"):
        plot_line(values, [1])
    with pytest.raises(TypeError, match="needs numbers"):
        logit(values)


def test_a_line_has_a_gap(missing):
    for x, y in ((ROW, missing), (missing, ROW)):
        (line,) = plot_line(x, y).lines
        drawn = np.asarray(line.get_xydata())
        np.testing.assert_array_equal(np.isnan(drawn).any(axis=1), [False, True, False])
        assert not np.ma.is_masked(line.get_xydata()) and 99 not in drawn


def test_points_and_intervals_name_the_place(missing):
    for which in range(4):
        rows = [missing if i == which else ROW for i in range(4)]
        name = ["x", "y", "lower", "upper"][which]
        with pytest.raises(ValueError, match=rf"{name}\[1\] is nan, which cannot be drawn"):
            plot_errorbar(*rows)
        if which < 2:
            with pytest.raises(ValueError, match=rf"{name}\[1\] is nan, which cannot be drawn"):
                plot_scatter(*rows[:2])
    with pytest.raises(ValueError, match=r"p\[1\] is nan"):
        check_probabilities(p=missing)
    assert not plt.get_fignums()


def test_the_frogs_name_the_place(missing):
    frogs = pd.DataFrame({"density": [10, 10, 10], "surv": [1, 2, 3]})
    for name in ("mean", "lower", "upper"):
        given = {"mean": ROW, "lower": ROW, "upper": ROW} | {name: missing}
        with pytest.raises(ValueError, match=rf"{name}\[1\] is nan, which cannot be drawn"):
            plot_survival(frogs, **given)
        with pytest.raises(ValueError, match=rf"\['{name}'\]\[1\] is nan, which cannot be drawn"):
            tank_scrubber(frogs, {1.0: given}, {1.0: 0.5})
    nothing = elements(missing)[1]
    with pytest.raises(ValueError, match=r"population\['a'\]\[0\] is nan"):
        plot_survival(frogs, population={"a": nothing})
    with pytest.raises(ValueError, match=r"median\[1\]\[0\] is nan"):
        tank_scrubber(frogs, {1.0: {"mean": ROW, "lower": ROW, "upper": ROW}}, {1.0: nothing})


def test_counts_name_the_place(missing):
    with pytest.raises(ValueError, match="at position 1 there are nan of 5"):
        as_counts(missing, [5, 5, 5])
    with pytest.raises(ValueError, match="at position 1 there are 0 of nan"):
        integrated_log_likelihood([0, 0, 0], missing, xr.DataArray(0.0), 1.0)
    table = pd.DataFrame({"density": elements(missing), "surv": [0, 0, 0]})
    with pytest.raises(ValueError, match="at position 1 there are 0 of nan"):
        plot_survival(table)


def test_the_explorer_names_the_place(missing):
    table = pd.DataFrame({"tank": [1, 2, 3], "p": elements(missing), "q": ROW})
    columns = {"tank": "tank", "p": "share", "q": "other"}
    options = {"label": "tank", "columns": columns, "title": "Three tanks", "alt": "Three."}
    for where in ({"x": "p", "y": "q"}, {"x": "q", "y": "p"}, {"x": "q", "y": "q", "raw": "p"}):
        with pytest.raises(
            ValueError, match=r"column 'p' must hold finite numbers .* row 1 holds nan"
        ):
            point_explorer(table, **where, **options)
    with pytest.raises(ValueError, match="'p' must name each point, but row 1 has no name"):
        point_explorer(table, x="q", y="q", **options | {"label": "p"})


def test_the_explorer_tells_that_a_number_is_missing(missing, monkeypatch):
    held = []
    monkeypatch.setattr(
        "rethinking.living._show_living", lambda name, data, plain: held.append(data)
    )
    table = pd.DataFrame({"tank": [1, 2, 3], "p": elements(missing), "q": ROW})
    columns = {"p": "share", "q": "other"}
    texts = {"title": "Three tanks", "alt": "Three."}
    point_explorer(table, x="q", y="q", label="tank", columns=columns, **texts)
    assert held[0]["cells"][1] == ["missing", "0.50"]


@pytest.mark.parametrize("function", [logit, invlogit])
def test_log_odds_keep_what_is_missing(missing, function):
    before = copy.deepcopy(missing)
    found = function(missing)
    expected = function(np.array(ROW))
    np.testing.assert_array_equal(as_floats(found), [expected[0], np.nan, expected[2]])
    kept = pd.Series | xr.DataArray | np.ma.MaskedArray
    if isinstance(missing, kept):
        assert type(found) is type(missing)
    if isinstance(missing, pd.Series):
        assert list(found.index) == list(missing.index)
    if isinstance(missing, np.ma.MaskedArray):
        assert found.mask.tolist() == [False, True, False]
        found.mask = False
        assert missing.mask.tolist() == [False, True, False]
    np.testing.assert_array_equal(as_floats(missing), as_floats(before))


def test_log_odds_of_a_table_and_of_single_values():
    table = pd.DataFrame({"a": pd.array([0.5, None], dtype="Float64"), "b": [0.5, 0.5]})
    assert logit(table)["a"].isna().tolist() == [False, True]
    objects = pd.DataFrame({"a": [0.5, None], "b": [pd.NA, 0.5]}, dtype=object)
    assert logit(objects).isna().to_numpy().tolist() == [[False, True], [True, False]]
    for nothing in (np.nan, pd.NA, pd.NaT, np.ma.masked):
        assert np.isnan(logit(nothing)) and np.isnan(invlogit(nothing))
    with pytest.raises(ValueError, match=r"not of 1.5 \(1 of 2 values lie outside\)"):
        logit(np.ma.masked_array([1.5, 99], mask=[False, True]))


# --- survivors and tadpoles

FROGS = pd.DataFrame({"density": [10, 10, 25], "surv": [7, 1, 20]})
MEAN = {"mean": ROW, "lower": ROW, "upper": ROW}
HELPERS = {
    "plot_survival": plot_survival,
    "tank_scrubber": lambda table: tank_scrubber(table, {1.0: MEAN}, {1.0: 0.5}),
    "integrated_log_likelihood": lambda table: integrated_log_likelihood(
        table["surv"], table["density"], xr.DataArray([0.0, 1.0], dims="draw"), 1.0
    ),
}


@pytest.fixture(params=HELPERS)
def helper(request):
    HELPERS[request.param](FROGS)
    plt.close("all")
    return HELPERS[request.param]


@pytest.mark.parametrize(
    ("surv", "density", "says"),
    [
        (
            [10, 10, 25],
            [7, 1, 20],
            "position 0 there are 10 of 7. Exchange the two: they seem to be",
        ),
        ([10, 10, 25], [10, 1, 25], "position 1 there are 10 of 1. Exchange the two"),
        ([7, 11, 20], [10, 10, 25], "position 1 there are 11 of 10. Correct them"),
        ([7, -1, 20], [10, 10, 25], "position 1 there are -1 of 10. Correct them"),
        ([7, np.inf, 20], [10, np.inf, 25], "position 1 there are inf of inf"),
        (
            [7, 0.5, 20],
            [10, 10, 25],
            "whole numbers; at position 1 there are 0.5 of 10. Give count",
        ),
        ([7, "many", 20], [10, 10, 25], "hold something that is not a number. Give whole numbers"),
        ([], [], "no rows. Give at least one tank|Give at least one of each"),
    ],
)
def test_impossible_counts_get_a_sentence(helper, surv, density, says):
    with pytest.raises(ValueError, match=says) as error:
        helper(pd.DataFrame({"surv": surv, "density": density}))
    assert "zip" not in str(error.value) and str(error.value).endswith(".")
    assert not plt.get_fignums()


def test_none_of_none_has_no_share_but_a_likelihood():
    nobody = FROGS.assign(surv=[7, 0, 20], density=[10, 0, 25])
    for name in ("plot_survival", "tank_scrubber"):
        with pytest.raises(ValueError, match="undefined at position 1, where there are 0 of 0"):
            HELPERS[name](nobody)
    assert not plt.get_fignums()
    assert HELPERS["integrated_log_likelihood"](nobody).shape == (2, 3)


def test_the_scrubber_names_what_its_tables_lack():
    with pytest.raises(ValueError, match="no column 'density'"):
        tank_scrubber(FROGS[["surv"]], {1.0: MEAN}, {1.0: 0.5})
    with pytest.raises(ValueError, match="argument survival is empty"):
        tank_scrubber(FROGS, {}, {})
    with pytest.raises(ValueError, match="survival for sigma 1 has no 'upper'"):
        tank_scrubber(FROGS, {1.0: {"mean": ROW, "lower": ROW}}, {1.0: 0.5})
    with pytest.raises(ValueError, match=r"frogs has 3, survival\[1\]\['mean'\] has 2"):
        tank_scrubber(FROGS, {1.0: MEAN | {"mean": ROW[:2]}}, {1.0: 0.5})
