"""What holds whatever the arguments are, of the parts that only compute."""

import ast
import codecs
import hashlib
import re
from fractions import Fraction
from itertools import pairwise, permutations

import arviz as az
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rethinking import data, gate, graphs
from rethinking.diagnostics import diagnostics
from rethinking.formula.parse import FormulaError, parse_formula, parse_line
from rethinking.formula.typeset import latex
from rethinking.scores import leave_one_out, paired_difference
from rethinking.transforms import as_counts, as_floats, invlogit, is_missing, logit

fewest = settings(max_examples=6, deadline=None, derandomize=True)
few = settings(max_examples=20, deadline=None, derandomize=True)
many = settings(max_examples=100, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


# --- transforms


@many
@given(st.floats(1e-12, 1), st.floats(1e-12, 1))
def test_log_odds_keep_the_order_and_mirror_at_one_half(p, q):
    assert (logit(p) <= logit(q)) == (p <= q) or p == pytest.approx(q, rel=1e-12)
    assert logit(p) == pytest.approx(-logit(1 - p), rel=1e-3, abs=1e-3)
    assert invlogit(logit(p) + 1) >= p


MISSING = [None, np.nan, pd.NA, pd.NaT, np.ma.masked]


@many
@given(st.lists(st.one_of(st.integers(-9, 9), st.sampled_from(range(len(MISSING)))), max_size=6))
def test_what_is_missing_is_missing_in_every_container(places):
    values = [MISSING[place] if place in range(len(MISSING)) else place for place in places]
    expected = np.array([place in range(len(MISSING)) for place in places], bool)
    held = np.empty(len(values), object)
    held[:] = values
    plain = np.where(expected, np.nan, np.array(places, float))
    masked = np.ma.masked_array(np.array(places, float), mask=expected)
    for given_values in (values, tuple(values), held, pd.Series(held), plain, masked):
        floats = as_floats(given_values)
        assert floats.dtype == float and floats.shape == expected.shape
        np.testing.assert_array_equal(np.isnan(floats), expected)
        np.testing.assert_array_equal(floats[~expected], plain[~expected])
        np.testing.assert_array_equal(as_floats(floats), floats)
    for given_values in (held, pd.Series(held), masked):
        np.testing.assert_array_equal(is_missing(given_values), expected)


counts = st.sampled_from([-1, 0, 1, 2, 3, 2.5, np.nan, np.inf])


@many
@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=4), st.booleans())
def test_counts_are_taken_where_each_is_possible(pairs, none):
    possible = all(0 <= s <= n < np.inf and s % 1 == n % 1 == 0 and n >= 1 - none for s, n in pairs)
    s, n = zip(*pairs, strict=True)
    if possible:
        np.testing.assert_array_equal(as_counts(s, n, none=none), [s, n])
    else:
        with pytest.raises(ValueError, match="at position"):
            as_counts(s, n, none=none)


# --- data

TABLE = b"pool,size,kept\nno,big,9\nNA,small,10\n"


@pytest.fixture(scope="module")
def frogs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    columns = "[{name: pool, type: str}, {name: size, type: str}, {name: kept, type: int64}]"
    checksum = hashlib.sha256(TABLE).hexdigest()
    (folder / "frogs.yml").write_text(f"sha256: {checksum}\nrows: 2\ncolumns: {columns}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "DATA_DIR", folder)
        yield folder / "frogs.csv"


@many
@given(place=st.integers(0, len(TABLE) - 1), byte=st.integers(0, 255), how=st.integers(0, 2))
def test_a_byte_more_less_or_other_is_a_change(frogs, place, byte, how):
    rest = TABLE[place + (how < 2) :]
    changed = TABLE[:place] + (b"" if how == 0 else bytes([byte])) + rest
    assume(changed.replace(b"\r", b"\n").split() != TABLE.split())
    frogs.write_bytes(changed)
    with pytest.raises(data.DataError, match="has changed: its checksum is"):
        data.load_data("frogs")


@many
@given(
    mark=st.booleans(),
    ending=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    last=st.integers(0, 4),
)
def test_the_same_text_in_any_bytes_is_told_by_all_its_causes(frogs, mark, ending, last):
    text = (TABLE.rstrip(b"\n") + b"\n" * last).replace(b"\n", ending)
    frogs.write_bytes(codecs.BOM_UTF8 * mark + text)
    if not mark and ending == b"\n" and last == 1:
        assert data.load_data("frogs")["kept"].tolist() == [9, 10]
        return
    with pytest.raises(data.DataError, match="Leave sha256 as it is") as told:
        data.load_data("frogs")
    causes = {"byte-order mark": mark, "line endings": ending != b"\n", "line breaks": last != 1}
    assert {cause: cause in str(told.value) for cause in causes} == causes


# --- diagnostics and the gate


def draws_of(seed, chains, n, kind, shift):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, chains, n)) + shift * np.arange(chains)[:, None]
    if kind == "walk":
        values = np.cumsum(values, axis=-1)
    elif kind == "whole":
        values = np.round(values)
    values[:, 0, :2] = [-3, 5]  # never constant
    return values


fits = {
    "seed": seeds,
    "chains": st.integers(2, 6),
    "n": st.integers(4, 80),
    "kind": st.sampled_from(["normal", "walk", "whole"]),
    "shift": st.sampled_from([0.0, 0.2, 3.0]),
}


@few
@given(**fits)
def test_diagnostics_are_those_of_arviz_for_any_shape(**options):
    draws = draws_of(**options)
    found = diagnostics(draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = [
            [az.rhat(x) for x in draws],
            [az.ess(x, method="bulk") for x in draws],
            [az.ess(x, method="tail", prob=(0.05, 0.95)) for x in draws],
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@few
@given(**fits, scale=st.sampled_from([0.25, 8.0]), order=st.randoms(use_true_random=False))
def test_neither_units_nor_the_order_of_chains_matter(scale, order, **options):
    draws = draws_of(**options)
    chains = list(range(draws.shape[1]))
    order.shuffle(chains)
    turned = diagnostics(scale * draws[:, chains])  # a shift would round
    np.testing.assert_allclose(turned, diagnostics(draws), rtol=1e-9)


def fit_of(draws, diverging=0, energy=1):
    rng = np.random.default_rng(energy)
    stats = {
        "diverging": np.zeros(draws.shape[1:], bool),
        "energy": rng.normal(size=draws.shape[1:]),
    }
    stats["diverging"].flat[:diverging] = True
    posterior = {"mu": draws[0], "sigma": draws[1]}
    return az.from_dict({"posterior": posterior, "sample_stats": stats})


def kinds(verdict):
    return [re.search(r"R-hat|bulk|tail|diverg|BFMI|chains", each)[0] for each in verdict.problems]


@few
@given(
    **fits | {"n": st.integers(100, 400)},
    diverging=st.integers(0, 1),
    bounds=st.tuples(st.floats(1, 1.5), st.floats(10, 2000), st.floats(0, 2), st.integers(1, 6)),
    looser=st.tuples(st.floats(0, 1), st.floats(0, 500), st.floats(0, 1), st.integers(0, 3)),
)
def test_a_looser_bound_lets_no_fewer_fits_through(diverging, bounds, looser, **options):
    idata = fit_of(draws_of(**options), diverging)
    found = []
    for loose in (0, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gate, "MAX_RHAT", bounds[0] + loose * looser[0])
            patch.setattr(gate, "MIN_ESS", bounds[1] - loose * looser[1])
            patch.setattr(gate, "MIN_BFMI", bounds[2] - loose * looser[2])
            patch.setattr(gate, "CHAINS", bounds[3] - loose * looser[3])
            found.append(gate.judge(idata))
            values = found[-1]
            assert kinds(values) == [
                kind
                for kind, holds in {
                    "chains": values.chains >= gate.CHAINS,
                    "R-hat": values.max_rhat <= gate.MAX_RHAT,
                    "bulk": values.min_ess_bulk >= gate.MIN_ESS,
                    "tail": values.min_ess_tail >= gate.MIN_ESS,
                    "diverg": values.divergences == 0,
                    "BFMI": values.min_bfmi >= gate.MIN_BFMI,
                }.items()
                if not holds
            ]
    assert set(kinds(found[1])) <= set(kinds(found[0]))


@few
@given(**fits | {"n": st.integers(20, 200)}, order=st.randoms(use_true_random=False))
def test_the_verdict_does_not_depend_on_the_order_of_chains_and_variables(order, **options):
    idata = fit_of(draws_of(**options), diverging=2)
    chains = list(range(options["chains"]))
    order.shuffle(chains)
    turned = idata.isel(chain=chains)
    turned["posterior"] = turned["posterior"].to_dataset()[["sigma", "mu"]]
    one, other = gate.judge(idata).as_attrs(), gate.judge(turned).as_attrs()
    assert kinds(gate.judge(idata)) == kinds(gate.judge(turned))
    del one["problems"], other["problems"]
    assert other == pytest.approx(one, rel=1e-9)


# --- formulas

NUMBERS = ["2", "3", "0.5", "0.00001", "1234567"]
expressions = st.recursive(
    st.sampled_from(["a", "b", "c", *NUMBERS]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda x: f"({' '.join(x)})"),
        st.tuples(inner, st.sampled_from(["2", "n", "n - 1", "-n"])).map(
            lambda x: f"({x[0]} ** ({x[1]}))"
        ),
        inner.map(lambda x: f"(-{x})"),
        inner.map(lambda x: f"exp({x})"),
    ),
    max_leaves=7,
)


def exactly(text):
    """Value of an expression in fractions, with a polynomial in place of the exponential."""
    known = {name: Fraction(value, 7) for name, value in zip("abc", (5, 11, 23), strict=True)}
    known |= {"n": Fraction(2), "exp": lambda x: x * x + 3, "F": Fraction}
    try:
        return eval(re.sub(r"\d+(\.\d+)?", r'F("\g<0>")', text), known)
    except ZeroDivisionError:
        assume(False)


def in_python(text):
    """Read LaTeX as it is printed: brackets come only from fractions and exponents."""
    text = re.sub(r"\\text\{(\w+)\}", r"\1", text).replace(r"\, ", " * ").replace(r"\times", "*")
    text = text.replace("}{", ")/(").replace(r"\frac", "").replace("^", "**")
    return text.replace("{", "(").replace("}", ")")


@many
@given(expressions)
def test_what_is_typeset_has_the_value_of_what_is_typed(text):
    assert exactly(in_python(latex(parse_line(f"y = {text}").expression))) == exactly(text)


@many
@given(st.lists(expressions, min_size=1, max_size=3), st.text(" \t", max_size=3))
def test_blanks_change_nothing(texts, blank):
    rows = [f"log(y_{k}[i]) = {text}" for k, text in enumerate(texts)]
    wide = "\n\n".join(re.sub(r"([()~=*])", rf"{blank}\1{blank}", row) for row in rows)
    wide = wide.replace(f"*{blank}{blank}*", "**")
    for one, other in zip(parse_formula("\n".join(rows)), parse_formula(wide), strict=True):
        assert (one.name, one.index, one.link) == (other.name, other.index, other.link)
        assert one.condensed == other.condensed
        assert ast.dump(one.expression) == ast.dump(other.expression)


@many
@given(st.text("ab1_~=()[],. +*-'", max_size=14))
def test_any_text_is_a_line_or_is_refused_in_words(text):
    try:
        line = parse_line(text)
    except FormulaError as error:
        assert repr(text) in str(error)
    else:
        assert line.name.isidentifier() and ("~" in text) == (line.link is None)


# --- scores


def scored(seed, n=12):
    rng = np.random.default_rng(seed)
    mu = rng.normal(0, 0.4, (4, 50, 1))
    values = -0.5 * (rng.normal(size=n) - mu) ** 2
    return xr.DataArray(values, dims=("chain", "draw", "obs"), coords={"obs": np.arange(n)})


def score(log_likelihood):
    return leave_one_out(log_likelihood, name="any", recorded=False)


@fewest
@given(seeds, seeds)
def test_scores_do_not_depend_on_the_order_of_draws_or_observations(seed, other):
    rng, of = np.random.default_rng(other), scored(seed)
    expected = score(of)
    order = {dim: rng.permutation(size) for dim, size in of.sizes.items()}
    found = score(of.isel(order))
    np.testing.assert_allclose(found.elpd_i.sortby("obs"), expected.elpd_i, rtol=1e-9)
    assert (found.elpd, found.se) == pytest.approx((expected.elpd, expected.se))
    shift = rng.normal(size=of.sizes["obs"])
    np.testing.assert_allclose(score(of + shift).elpd_i, expected.elpd_i + shift, rtol=1e-9)


@fewest
@given(seeds, seeds)
def test_a_difference_turns_its_sign_and_adds_up(seed, other):
    rng = np.random.default_rng(other)
    one, two, three = (score(scored(s)) for s in (seed, other, seed // 2 + 1))
    between = paired_difference(one, two)
    assert paired_difference(two, one) == pytest.approx((-between[0], between[1]))
    assert between[0] == pytest.approx(one.elpd - two.elpd)
    by_three = paired_difference(one, three)[0] + paired_difference(three, two)[0]
    assert between[0] == pytest.approx(by_three)
    two.elpd_i = two.elpd_i.isel(obs=rng.permutation(two.elpd_i.size))
    assert paired_difference(one, two) == pytest.approx(between), "paired by name"
    one.elpd_i, two.elpd_i = one.elpd_i + 3, two.elpd_i + 3
    assert paired_difference(one, two) == pytest.approx(between)


# --- graphs

NODES = "ABCDE"
LETTERS = 'aβ_&;:#\\"<x→é'
arrows = st.lists(st.sampled_from([*permutations(NODES, 2)]), min_size=1, max_size=8, unique=True)


@pytest.fixture(scope="module")
def undrawn():
    """Causal graphs without the program dot, which takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs.CausalGraph, "_draw", lambda self: ("<svg >", []))
        patch.setattr(graphs.shutil, "which", lambda program: program)
        yield


@many
@given(edges=arrows, latent=st.sets(st.sampled_from(NODES)))
def test_a_graph_tells_each_arrow_and_node_once_or_its_cycle(undrawn, edges, latent):
    graph = nx.DiGraph(edges)
    latent = sorted(latent & set(graph))
    if not nx.is_directed_acyclic_graph(graph):
        with pytest.raises(ValueError, match="has no cycle, but this one has") as told:
            graphs.draw_causal_graph(edges)
        around = re.search(r"has ([A-E](?: → [A-E])+)\.", str(told.value))[1].split(" → ")
        assert around[0] == around[-1]
        assert all(graph.has_edge(*pair) for pair in pairwise(around))
        return
    drawn = graphs.draw_causal_graph(edges, unobserved=latent)
    assert re.findall("([A-E]) → ([A-E])", drawn.alt) == edges
    assert (" unobserved (dashed)." in drawn.alt) == bool(latent)
    assert re.findall("[A-E]", drawn.alt.split(".")[2]) == latent
    assert re.findall(r"^\t([A-E]) -> ([A-E])", drawn.source, re.MULTILINE) == edges
    assert re.findall(r"^\t([A-E]) \[.*style=dashed", drawn.source, re.MULTILINE) == [
        node for node in dict.fromkeys(sum(edges, ())) if node in latent
    ]


@many
@given(
    edges=arrows,
    names=st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=5, max_size=5, unique=True),
)
def test_other_names_make_the_same_graph(undrawn, edges, names):
    edges = [edge for edge in edges if edge[0] < edge[1]] or [("A", "B")]  # no cycle
    called = dict(zip(NODES, names, strict=True))
    drawn = graphs.draw_causal_graph([(called[a], called[b]) for a, b in edges])
    assert (
        drawn.alt == f"Causal graph. {', '.join(f'{called[a]} → {called[b]}' for a, b in edges)}."
    )
