"""Scores: observations are paired by their names, and what is no score says what is wrong."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from rethinking.scores import (
    integrated_log_likelihood,
    leave_one_out,
    mean_invlogit_normal,
    paired_difference,
)

TANKS = list("ABCDEFGH")


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def log_likelihood(seed=1, scale=1.0, tanks=TANKS):
    """Of draws of one mean and a datum a tank, so that the tanks differ."""
    rng = np.random.default_rng(seed)
    mu = xr.DataArray(rng.normal(0, 0.3, (4, 200)), dims=("chain", "draw"))
    y = xr.DataArray(np.linspace(-1, 2, len(tanks)), dims="tank")
    found = -0.5 * ((y - mu) / scale) ** 2 - np.log(scale)
    return found.transpose("chain", "draw", "tank").assign_coords(tank=tanks)


def score(of):
    return leave_one_out(of, name="one", recorded=False)


# --- paired_difference


def test_scores_are_paired_by_name_whatever_their_order():
    one, two = log_likelihood(), log_likelihood(2, 1.2)
    expected = paired_difference(score(one), score(two))
    order = np.random.default_rng(3).permutation(len(TANKS))
    shuffled = score(two.isel(tank=order))
    assert paired_difference(score(one), shuffled) == expected, "to the last bit"
    assert paired_difference(shuffled, score(one)) == pytest.approx((-expected[0], expected[1]))
    by_position = (score(one).elpd_i.values - shuffled.elpd_i.values).std()
    assert by_position != pytest.approx(expected[1], rel=0.1), "the order matters"


def test_without_names_scores_are_paired_by_position():
    one, two = score(log_likelihood()), score(log_likelihood(2, 1.2))
    bare = score(log_likelihood(2, 1.2).drop_vars("tank"))
    assert paired_difference(one, bare) == paired_difference(one, two)
    two.elpd_i = two.elpd_i.values
    with pytest.raises(ValueError, match="The one score is of 'tank', the other of 'observation'"):
        paired_difference(one, two)
    assert paired_difference(two, two) == (0, 0)


def test_stacked_observations_are_paired_by_both_names():
    index = pd.MultiIndex.from_product([["no", "pred"], list("abcd")], names=["kind", "place"])
    cells = log_likelihood().drop_vars("tank")
    cells = cells.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "tank"))
    turned = cells.isel(tank=slice(None, None, -1))
    assert paired_difference(score(cells), score(turned)) == (0, 0)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda of: of.assign_coords(tank=list("ABCDEFGI")), "same tank: only one of them has H"),
        (lambda of: of.assign_coords(tank=range(8)), "not of the same tank: only one of them has"),
        (lambda of: of.isel(tank=slice(7)), "Scores of 8 and of 7 observations cannot be paired"),
        (lambda of: of.rename(tank="frog"), "is of 'tank', the other of 'frog'. Score both"),
    ],
)
def test_scores_of_other_observations_are_refused(other, says):
    one = log_likelihood()
    with pytest.raises(ValueError, match=says):
        paired_difference(score(one), score(other(one)))


def test_names_given_twice_are_refused_where_the_order_differs():
    one = log_likelihood(tanks=[*"ABCDEFGG"])
    assert paired_difference(score(one), score(one)) == (0, 0)
    with pytest.raises(ValueError, match="Two observations are both called G along 'tank'"):
        paired_difference(score(one), score(one.isel(tank=[1, 0, 2, 3, 4, 5, 6, 7])))


def test_scores_that_cannot_be_subtracted():
    one, two = score(log_likelihood()), score(log_likelihood(2))
    two.elpd_i = two.elpd_i.where(two.elpd_i["tank"] != "C")
    with pytest.raises(ValueError, match="pointwise score must be finite, but at tank C it is nan"):
        paired_difference(one, two)
    two.elpd_i = None
    with pytest.raises(ValueError, match="A score is not pointwise"):
        paired_difference(one, two)
    three = score(log_likelihood(2))
    three.scale = "deviance"
    with pytest.raises(ValueError, match="on the scale 'log', the other on 'deviance'"):
        paired_difference(one, three)
    alone = score(log_likelihood(2))
    alone.elpd_i = alone.elpd_i.isel(tank=[0])
    with pytest.raises(ValueError, match="A single observation has no standard error"):
        paired_difference(alone, alone)


# --- leave_one_out

PLACE = "at chain 2, draw 17, tank C"


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize("order", [("chain", "draw", "tank"), ("tank", "chain", "draw")])
def test_one_draw_that_is_no_number_is_named(value, order):
    bad = log_likelihood()
    bad[2, 17, 2] = value
    place = PLACE if order[0] == "chain" else "at tank C, chain 2, draw 17"
    says = rf"log-likelihood must be finite, but {place} it is {value:g} \(1 of 6400 values"
    with pytest.raises(ValueError, match=says):
        score(bad.transpose(*order))


def test_a_constant_is_named():
    good = log_likelihood()
    with pytest.raises(ValueError, match=r"at tank A is the same in all draws, -1, .*\(8 of 8 obs"):
        score(good * 0 - 1)
    with pytest.raises(ValueError, match=r"at tank D is the same in all draws, 0, .*\(1 of 8 obs"):
        score(good.where(good["tank"] != "D", 0.0))
    with pytest.raises(ValueError, match=r"at tank 3 is the same in all draws, 0, "):
        score(good.where(good["tank"] != "D", 0.0).drop_vars("tank"))
    few = good.where((good["tank"] != "D") | (good["draw"] < 1), -9.0)
    with pytest.raises(ValueError, match="takes too few different values for a score"):
        score(few)


def test_other_dimensions_are_told():
    good = log_likelihood()
    two = good.expand_dims(question=2)
    with pytest.raises(
        ValueError, match=r"With \.stack\(obs=\('question', 'tank'\)\) each of"
    ) as told:
        score(two)
    assert "has the dimensions 'question', 'chain', 'draw', 'tank'; a score needs" in str(
        told.value
    )
    stacked = score(two.stack(obs=("question", "tank")))
    assert stacked.elpd == pytest.approx(2 * score(good).elpd)
    assert score(two.sum("question")).elpd < 0
    for lacking in (good.isel(tank=0), good.isel(chain=0), good.isel(draw=0), good.mean()):
        with pytest.raises(ValueError, match="Give 'chain', 'draw' and the observations"):
            score(lacking)


def test_correct_scores_are_those_of_arviz():
    good = log_likelihood()
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mu": good.isel(tank=0)}),
            "log_likelihood": xr.Dataset({"y": good}),
        }
    )
    theirs = az.loo(tree, pointwise=True, reff=1.0)
    np.testing.assert_array_equal(score(good).elpd_i, theirs.elpd_i)


# --- the integrals


def test_counts_and_draws_are_of_the_same_tanks():
    s = xr.DataArray([1, 2, 3], dims="tank", coords={"tank": ["A", "B", "C"]})
    n = xr.full_like(s, 10)
    mu = xr.DataArray(
        np.zeros((2, 3)), dims=("draw", "tank"), coords={"tank": ["A", "B", "C"], "draw": [0, 1]}
    )
    assert integrated_log_likelihood(s, n, mu, 1.0).shape == (2, 3)
    turned = [2, 1, 0]
    for args, says in {
        (0, 1, 1): "The successes and the trials have tank in another order",
        (1, 1, 0): "The successes and the mu have tank in another order, the one from C",
    }.items():
        given = [
            each.isel(tank=turned) if turn else each
            for each, turn in zip((s, n, mu), args, strict=True)
        ]
        with pytest.raises(ValueError, match=says):
            integrated_log_likelihood(*given, 1.0)
    with pytest.raises(ValueError, match="successes and the mu are not of the same tank: only one"):
        integrated_log_likelihood(s, n, mu.assign_coords(tank=["A", "B", "D"]), 1.0)
    with pytest.raises(ValueError, match="There are 2 successes, but mu has 3 along 'tank'"):
        integrated_log_likelihood([1, 2], [5, 5], mu, 1.0)
    sigma = xr.DataArray([1.0, 1.0], dims="draw", coords={"draw": [1, 2]})
    for function in (integrated_log_likelihood, mean_invlogit_normal):
        counts = (s, n) if function is integrated_log_likelihood else ()
        with pytest.raises(ValueError, match="mu and the sigma are not of the same draw: only one"):
            function(*counts, mu, sigma)


def test_counts_of_two_tables_are_refused():
    frogs = pd.DataFrame({"surv": [9, 3, 5], "density": [10, 25, 10]})
    with pytest.raises(ValueError, match="do not have the same index, so they may be of different"):
        integrated_log_likelihood(
            frogs["surv"].sort_values(), frogs["density"], xr.DataArray(0.0), 1.0
        )
    turned = frogs.sort_values("surv")
    assert integrated_log_likelihood(
        turned["surv"], turned["density"], xr.DataArray(0.0), 1.0
    ).shape == (3,)


def test_means_and_deviations_that_are_no_numbers():
    mu = xr.DataArray([[0.0, np.nan]], dims=("chain", "draw"))
    with pytest.raises(ValueError, match=r"mu must be finite, but at chain 0, draw 1 it is nan"):
        integrated_log_likelihood([1], [2], mu, 1.0)
    with pytest.raises(ValueError, match=r"mu must be finite, but alone it is inf"):
        integrated_log_likelihood([1], [2], xr.DataArray(np.inf), 1.0)
    for sigma in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"finite and not below 0; it is {sigma:g}"):
            mean_invlogit_normal(xr.DataArray(0.0), sigma)


def test_draws_in_another_order_are_paired_by_their_names():
    mu = xr.DataArray([0.0, 1.0, 2.0], dims="draw", coords={"draw": [0, 1, 2]})
    sigma = xr.DataArray([0.5, 1.0, 3.0], dims="draw", coords={"draw": [0, 1, 2]})
    turned = sigma.isel(draw=[2, 0, 1])
    for function in (
        mean_invlogit_normal,
        lambda mu, sigma: integrated_log_likelihood([1, 2], [3, 3], mu, sigma),
    ):
        found = function(mu, turned).sel(draw=[0, 1, 2])
        np.testing.assert_array_equal(found, function(mu, sigma))
    with pytest.raises(ValueError, match="There are 2 successes, but sigma has 3 along 'draw'"):
        integrated_log_likelihood([1, 2], [3, 3], xr.DataArray(0.0), sigma, dim="draw")


def test_the_spline_takes_the_nodes_that_were_asked_for():
    mu = xr.DataArray(np.linspace(-2, 2, 1000), dims="draw")
    few = integrated_log_likelihood([3], [9], mu, 4.0, n_nodes=3)
    direct = integrated_log_likelihood([3], [9], mu, xr.full_like(mu, 4.0), n_nodes=3)
    np.testing.assert_allclose(few, direct, rtol=0, atol=1e-6)
    assert abs(few - integrated_log_likelihood([3], [9], mu, 4.0)).max() > 1e-3


def test_the_two_scores_are_called_a_and_b():
    one = log_likelihood()
    two = one.assign_coords(tank=list("ABCDEFGI"))
    with pytest.raises(
        ValueError, match=r"^The scores a and the scores b are not of the same tank"
    ):
        paired_difference(score(one), score(two))
