"""Causal graphs: the picture, its alternative text, and what is refused."""

import copy
import os
import pickle
import random
import shutil
import xml.etree.ElementTree as ET

import graphviz
import numpy as np
import pytest

import utils

FROGS = [("T", "S"), ("D", "S"), ("G", "S"), ("P", "S")]
CONFOUND = [("U", "X"), ("U", "Y"), ("X", "Y"), ("Z", "Y")]
SVG = "{http://www.w3.org/2000/svg}"

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def random_states():
    """The global states of both generators, which no helper may move."""
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


def elements(graph, kind):
    """Groups of the drawn SVG by the title that dot gives them."""
    root = ET.fromstring(graph.svg())
    groups = root.iter(f"{SVG}g")
    return {g.find(f"{SVG}title").text: g for g in groups if g.get("class") == kind}


def outline(group):
    return next(part for part in group if part.tag != f"{SVG}title")


@needs_dot
def test_returns_a_digraph_with_every_node_and_arrow():
    graph = utils.draw_causal_graph(FROGS)
    assert isinstance(graph, graphviz.Digraph)
    assert set(elements(graph, "node")) == set("TDGPS")
    assert set(elements(graph, "edge")) == {f"{cause}->S" for cause in "TDGP"}


@needs_dot
def test_alt_text_lists_every_arrow():
    graph = utils.draw_causal_graph(CONFOUND, unobserved=["U"])
    assert graph.alt == ("Causal graph. U → X, U → Y, X → Y, Z → Y. U is unobserved (dashed).")
    two = utils.draw_causal_graph([*CONFOUND, ("V", "Y")], unobserved=("U", "V"))
    assert two.alt.endswith("V → Y. U and V are unobserved (dashed).")


@needs_dot
def test_alt_text_reaches_notebook_and_page():
    graph = utils.draw_causal_graph(CONFOUND, unobserved="U")
    data, metadata = graph._repr_mimebundle_()
    assert set(data) == {"image/svg+xml", "text/plain"}
    assert metadata == {"image/svg+xml": {"alt": graph.alt}}
    assert "0x" not in data["text/plain"]
    root = ET.fromstring(data["image/svg+xml"])
    assert root.get("role") == "img"
    assert root.get("aria-label") == graph.alt
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == graph.alt


@needs_dot
def test_mimebundle_keeps_to_include_and_exclude():
    graph = utils.draw_causal_graph(FROGS)
    assert graph._repr_mimebundle_(include=["text/plain"], exclude=None) == (
        {"text/plain": repr(graph)},
        {},
    )
    data, metadata = graph._repr_mimebundle_(include=None, exclude=["text/plain"])
    assert set(data) == set(metadata) == {"image/svg+xml"}
    assert graph._repr_mimebundle_(include=["image/png"]) == ({}, {})


@needs_dot
def test_ipython_shows_picture_and_alt_text():
    formatters = pytest.importorskip("IPython.core.formatters")
    graph = utils.draw_causal_graph(FROGS)
    data, metadata = formatters.DisplayFormatter().format(graph)
    assert set(data) == {"image/svg+xml", "text/plain"}
    assert metadata["image/svg+xml"]["alt"] == graph.alt
    assert data["text/plain"] == f"<{graph.alt}>"


@needs_dot
@pytest.mark.parametrize(("direction", "rankdir"), [("UD", "TB"), ("LR", "LR")])
def test_directions(direction, rankdir):
    graph = utils.draw_causal_graph([("A", "B")], graph_direction=direction)
    assert f"rankdir={rankdir}" in graph.source
    places = {name: outline(node) for name, node in elements(graph, "node").items()}
    along = "cy" if direction == "UD" else "cx"
    assert float(places["A"].get(along)) < float(places["B"].get(along))


@needs_dot
def test_latent_nodes_are_dashed_and_a_legend_says_so():
    graph = utils.draw_causal_graph(
        CONFOUND, {"U": {"style": "filled", "fillcolor": "#eeeeee"}}, unobserved=["U", "U"]
    )
    nodes = elements(graph, "node")
    assert outline(nodes["U"]).get("stroke-dasharray")
    assert outline(nodes["U"]).get("fill") == "#eeeeee"
    assert not outline(nodes["X"]).get("stroke-dasharray")
    assert ">dashed: unobserved<" in graph.svg()
    assert ">dashed: unobserved<" not in utils.draw_causal_graph(CONFOUND).svg()


@needs_dot
def test_color_is_never_the_only_sign():
    graph = utils.draw_causal_graph(
        FROGS,
        node_props={"S": {"color": utils.RED}, "D": {"color": "gray", "penwidth": 1}},
        edge_props={("P", "S"): {"color": utils.RED}},
    )
    nodes, edges = elements(graph, "node"), elements(graph, "edge")
    plain = float(outline(nodes["T"]).get("stroke-width"))
    assert outline(nodes["S"]).get("stroke") == utils.RED
    assert float(outline(nodes["S"]).get("stroke-width")) >= 2 * plain
    assert float(outline(edges["P->S"]).get("stroke-width")) >= 2 * plain
    assert outline(nodes["D"]).get("stroke-width") is None  # 1, the default of SVG
    assert "Drawn in red, with thick lines: S, P → S." in graph.alt


@needs_dot
def test_same_bytes_twice_without_ids_versions_and_paths():
    first, second = (utils.draw_causal_graph(CONFOUND, unobserved=["U"]).svg() for _ in range(2))
    assert first == second
    assert first.startswith("<svg ")
    assert ' id="' not in first
    assert "<!--" not in first
    assert "graphviz" not in first.lower()
    assert str(utils.DATA_DIR.parent) not in first


@needs_dot
def test_ground_is_opaque_and_white():
    root = ET.fromstring(utils.draw_causal_graph(FROGS).svg())
    ground = next(root.iter(f"{SVG}polygon"))
    assert ground.get("fill") == "white"


@needs_dot
def test_names_are_drawn_as_they_are_written():
    names = ["β_P", "X̄", "a:b", 'say "so"', "back\\nslash", "node", "two words", "x<y", "R&D"]
    graph = utils.draw_causal_graph([(name, "S") for name in names])
    assert set(elements(graph, "node")) == {*names, "S"}
    drawn = {g.find(f"{SVG}text").text for g in elements(graph, "node").values()}
    assert drawn == {*names, "S"}
    assert all(f"{name} → S" in graph.alt for name in names)


@needs_dot
def test_html_like_labels():
    graph = utils.draw_causal_graph(
        [("<β<SUB>P</SUB>>", "S"), ("T", "S")], {"S": {"label": "S\\nsurvivors"}}
    )
    assert graph.alt == "Causal graph. βP → S survivors, T → S survivors."
    assert "<SUB>" not in graph.svg()
    assert ">survivors<" in graph.svg()


@needs_dot
def test_nodes_that_read_alike_stay_apart():
    graph = utils.draw_causal_graph([("<<B>X</B>>", "Y"), ("X", "Y")])
    assert len(elements(graph, "node")) == 3


@needs_dot
def test_copy_keeps_the_alt_text():
    graph = utils.draw_causal_graph(FROGS)
    again = graph.copy()
    assert (again.alt, again.source) == (graph.alt, graph.source)


@needs_dot
def test_arguments_and_random_state_are_left_alone():
    arguments = {
        "edge_list": [list(edge) for edge in FROGS],
        "node_props": {"S": {"color": "red"}},
        "edge_props": {("T", "S"): {"penwidth": 3}},
        "unobserved": ["T"],
    }
    before = copy.deepcopy(arguments)
    states = random_states()
    utils.draw_causal_graph(**arguments)
    assert arguments == before
    assert random_states() == states


@needs_dot
def test_edges_may_come_from_an_iterator():
    assert "T → S" in utils.draw_causal_graph(iter(FROGS)).alt


@pytest.mark.parametrize(
    ("edges", "options", "says"),
    [
        ([("A", "B", "C")], {}, r"The edge \('A', 'B', 'C'\) is not a pair\. Write each arrow as"),
        ([("A", "B"), "CD"], {}, r"The edge 'CD' is not a pair"),
        ([("A", 2)], {}, r"The edge \('A', 2\) holds a node that is not a name\. Use strings"),
        ([("A", "")], {}, r"holds a node that is not a name"),
        ([("A", "A")], {}, r"The edge \('A', 'A'\) leads from a node to itself\. Remove it"),
        ([("A", "B"), ("A", "B")], {}, r"The edge \('A', 'B'\) occurs twice\. Remove one"),
        ([], {}, r"The edge_list is empty\. Give at least one arrow"),
        (FROGS, {"node_props": {"Q": {}}}, r"node_props names 'Q', which is not in the"),
        (FROGS, {"edge_props": {("S", "T"): {}}}, r"edge_props names \('S', 'T'\), which is not"),
        (FROGS, {"node_props": {"S": "red"}}, r"gives 'red' for 'S'\. Give a dict of Gr"),
        (FROGS, {"node_props": ["S"]}, r"node_props is \['S'\]\. Give a dict of dicts"),
        (FROGS, {"unobserved": ["U"]}, r"unobserved node 'U' is not in the graph\. Its nodes are"),
        (
            FROGS,
            {"graph_direction": "TB"},
            r"direction is 'TB'\. Use \"UD\" .* or \"LR\"",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(edges, options, says):
    with pytest.raises(ValueError, match=says):
        utils.draw_causal_graph(edges, **options)


def test_a_cycle_is_spelled_out():
    with pytest.raises(ValueError, match="has no cycle") as error:
        utils.draw_causal_graph([("A", "B"), ("B", "C"), ("C", "A"), ("C", "D")])
    turns = ["A → B → C → A", "B → C → A → B", "C → A → B → C"]
    assert any(f"this one has {turn}." in str(error.value) for turn in turns)
    assert "Remove or turn one of these arrows" in str(error.value)


@needs_dot
def test_what_dot_cannot_draw_fails_at_once():
    with pytest.raises(ValueError, match="dot cannot draw this graph"):
        utils.draw_causal_graph([("A", "B")], {"A": {"label": "<<B>open>"}})


def test_missing_dot_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"`dot` was not found\. Install Graphviz") as error:
        utils.draw_causal_graph(FROGS)
    assert "apt-get install graphviz" in str(error.value)
    assert "brew install graphviz" in str(error.value)
    with pytest.raises(RuntimeError, match="`dot` was not found"):
        utils.CausalGraph(alt="").svg()


@needs_dot
def test_remarks_of_dot_stay_out_of_the_notebook(monkeypatch, tmp_path, capfd):
    talkative = tmp_path / "dot"
    talkative.write_text(f'#!/bin/sh\necho "no fonts" >&2\nexec "{shutil.which("dot")}" "$@"\n')
    talkative.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    utils.draw_causal_graph(FROGS)
    assert capfd.readouterr().err == ""
