"""Causal graphs: picture and text say the same, and nothing is dropped without a word."""

import html
import re
import shutil
import xml.etree.ElementTree as ET

import graphviz
import matplotlib as mpl
import matplotlib.colors as mcolors
import numpy as np
import pytest

from rethinking import graphs
from rethinking.graphs import draw_causal_graph
from rethinking.plots import BLUE, RED

pytestmark = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
SVG = "{http://www.w3.org/2000/svg}"
EDGE = [("A", "B")]


def drawn(graph, kind="node"):
    """Groups of the picture by the text of its title."""
    groups = ET.fromstring(graph.svg()).iter(f"{SVG}g")
    return {g.find(f"{SVG}title").text: g for g in groups if g.get("class") == kind}


def labels(graph):
    return [" ".join(t.text for t in g.iter(f"{SVG}text")).strip() for g in drawn(graph).values()]


def stroke(graph):
    """The color of A's outline; with its opacity, if that is not 1."""
    outline = next(part for part in drawn(graph)["A"] if part.tag != f"{SVG}title")
    return (outline.get("stroke"), outline.get("stroke-opacity"))


# --- what Graphviz would ignore

NODES = [
    ({"color": "reddish"}, "'reddish' as the color of 'A', .*reddish is not a known color"),
    ({"color": None}, "None as the color of 'A'.* Give one color that Matplotlib"),
    ({"color": ""}, "'' as the color of 'A'.*Give one color that"),
    ({"color": "red:bleu"}, "'red:bleu' as the color of 'A'.* Give one color"),
    ({"fontcolor": "C0x"}, "'C0x' as the fontcolor of 'A'"),
    ({"style": "filled", "fillcolor": "blu"}, "'blu' as the fillcolor of 'A'"),
    ({"fillcolor": "red"}, 'fillcolor, which cannot be seen without the style "filled"'),
    ({"style": "wiggly"}, "'wiggly' as the style of 'A'.* one or several of solid, dashed"),
    ({"style": "filled,wiggly"}, "'filled,wiggly' as the style of 'A'"),
    ({"style": "invis"}, "'invis' as the style of 'A'"),
    ({"style": "bold"}, "'bold' as the style of 'A'"),
    ({"style": "rounded"}, "style rounded, which cannot be seen without a shape that has corners"),
    ({"style": "striped"}, "'striped' as the style of 'A'.* unsupported style striped"),
    ({"shape": "blob"}, "'blob' as the shape of 'A'.* using box for unknown shape blob"),
    ({"shape": "plaintext", "color": "red"}, "color, which cannot be seen without an outline"),
    ({"sides": 5}, 'cannot be seen without the shape "polygon"'),
    ({"colour": "red"}, "the attribute 'colour', which Graphviz does not draw. Use one of URL, "),
    ({"arrowhead": "vee"}, "the attribute 'arrowhead', which Graphviz"),
    ({"image": "frog.png"}, "the attribute 'image', which"),
    ({3: "red"}, "the attribute 3, which"),
    ({"penwidth": "thick"}, "'thick' as the penwidth of 'A'.* Give a number from 0"),
    ({"penwidth": -1}, "-1 as the penwidth of 'A'.* Give a number from 0"),
    ({"fontsize": np.nan}, "nan as the fontsize of 'A'"),
    ({"peripheries": 1.5}, "1.5 as the peripheries of 'A'.* Give a whole number from 0"),
    ({"fixedsize": "yess"}, "'yess' as the fixedsize of 'A'.* Give true, false or shape"),
    ({"margin": "1,2,3"}, "'1,2,3' as the margin of 'A'.* Give a number, or two with"),
    ({"regular": "maybe"}, "'maybe' as the regular of 'A'.* Give true or false"),
    ({"label": "A\\"}, "as the label of 'A'"),
    ({"label": "a\x00b"}, "as the label of 'A'"),
    ({"label": "\\N"}, "as the label of 'A'.* whose backslashes are in pairs or before n, l or r"),
    ({"label": "\\n"}, "The node 'A' is blank"),
    ({"label": "<<BLINK>a</BLINK>>"}, "dot cannot draw this graph|does not draw"),
    ({"label": '<<FONT COLOR="blu">a</FONT>>'}, "as the label of 'A'.*blu is not a known color"),
]
EDGES = [
    ({"color": "reddish"}, "'reddish' as the color of \\('A', 'B'\\)"),
    ({"color": "red:bleu"}, "'red:bleu' as the color of .*: bleu is not a known color"),
    ({"fontcolor": "red:blue", "label": "b"}, "'red:blue' as the fontcolor of "),
    ({"color": "none"}, "cannot be seen without a line"),
    ({"arrowhead": "foo"}, "'foo' as the arrowhead of .*Arrow type \"foo\" unknown"),
    ({"arrowtail": "vee"}, 'arrowtail, which cannot be seen without the dir "both"'),
    ({"arrowtail": "foo", "dir": "both"}, "'foo' as the arrowtail of "),
    ({"dir": "sideways"}, "'sideways' as the dir of .* Give forward, both or none"),
    ({"dir": "back"}, "'back' as the dir of "),
    ({"dir": "both", "arrowhead": "none"}, r"The edge \('A', 'B'\) would be drawn backwards"),
    ({"style": "rounded"}, "'rounded' as the style of "),
    ({"style": "filled"}, "'filled' as the style of "),
    ({"style": "invis"}, "'invis' as the style of "),
    ({"shape": "box"}, "the attribute 'shape', which"),
    ({"headport": "q"}, "'q' as the headport of .*port q unrecognized"),
    ({"weight": "x"}, "'x' as the weight of .* Give a whole number from 0"),
    ({"minlen": -1}, "-1 as the minlen of "),
    ({"constraint": "maybe"}, "'maybe' as the constraint of "),
    ({"fontsize": 9}, "fontsize, which cannot be seen without a label"),
    ({"labelfontcolor": "red"}, "cannot be seen without a headlabel or taillabel"),
    ({"labelfontcolor": "foo", "headlabel": "x"}, "'foo' as the labelfontcolor of "),
]


@pytest.mark.parametrize(("attributes", "says"), NODES, ids=repr)
def test_what_graphviz_would_not_draw_of_a_node_is_named(attributes, says):
    with pytest.raises(ValueError, match=says):
        draw_causal_graph(EDGE, {"A": attributes})


@pytest.mark.parametrize(("attributes", "says"), EDGES, ids=repr)
def test_what_graphviz_would_not_draw_of_an_arrow_is_named(attributes, says):
    with pytest.raises(ValueError, match=says):
        draw_causal_graph(EDGE, edge_props={("A", "B"): attributes})


GIVEN = {
    **dict.fromkeys(["penwidth", "fontsize", "labelfontsize", "labeldistance"], 7),
    **dict.fromkeys(["height", "width", "arrowsize", "peripheries", "minlen", "weight"], 3),
    **dict.fromkeys(["distortion", "skew"], 0.5),
    **{"gradientangle": 90, "margin": "0.5,0.3", "orientation": 45, "sides": 5, "labelangle": 80},
    **dict.fromkeys(["color", "fillcolor", "fontcolor", "labelfontcolor"], "red"),
    **{"colorscheme": "blues9", "style": "dashed", "fixedsize": "shape", "labelloc": "t"},
    **{"shape": "box", "dir": "none", "headport": "n", "tailport": "n", "ordering": "out"},
    **dict.fromkeys(["arrowhead", "arrowtail"], "dot"),
    **dict.fromkeys(["fontname", "labelfontname"], "Courier"),
    **dict.fromkeys(["constraint", "headclip", "tailclip"], False),
    **dict.fromkeys(["decorate", "labelfloat", "regular"], True),
}
BESIDE = {
    "fillcolor": {"style": "filled"},
    "fixedsize": {"label": "a label that is long"},
    "gradientangle": {"style": "filled", "fillcolor": "red:blue"},
    "regular": {"width": 3},
    "colorscheme": {"color": "3"},
    "labelloc": {"height": 3},
    "target": {"URL": "#here"},
    "arrowtail": {"dir": "both"},
    **{key: {"shape": "polygon"} for key in ["sides", "distortion", "skew", "orientation"]},
}
GRAPH = [("A", "B"), ("C", "B"), ("A", "D"), ("C", "D"), ("D", "B"), ("A", "E")]


@pytest.mark.parametrize("option", ["node_props", "edge_props"])
def test_what_is_allowed_is_drawn(option):
    """Each attribute that is let through makes a difference, here or beside another one."""
    member = "A" if option == "node_props" else ("A", "B")
    known = graphs._NODE_ATTRIBUTES if option == "node_props" else graphs._EDGE_ATTRIBUTES
    unseen = []
    for key in known:
        beside = BESIDE.get(key, {})
        if option == "edge_props":
            needs = graphs._BESIDE.get(key, ["arrowsize"])
            texts = {name: "a long label" for name in needs if name != "arrowsize"}
            beside = {**texts, **{k: v for k, v in beside.items() if k in known and k != "style"}}
        before = {} if key == "colorscheme" else beside
        without = draw_causal_graph(GRAPH, **{option: {member: before}}).svg()
        given = beside | {key: GIVEN.get(key, "text")}
        if draw_causal_graph(GRAPH, **{option: {member: given}}).svg() == without:
            unseen.append(key)
    assert unseen == []


@pytest.mark.parametrize("option", ["node_props", "edge_props"])
def test_every_style_that_is_allowed_is_drawn(option):
    member = "A" if option == "node_props" else ("A", "B")
    for style in graphs._STYLES[option]:
        beside = {"fillcolor": "red:blue"} if style in graphs._FILLS else {}
        if style in ("rounded", "striped"):
            beside["shape"] = "box"
        plain = beside | ({"style": "filled"} if style in graphs._FILLS[1:] else {})
        without = {k: v for k, v in plain.items() if k != "fillcolor" or "style" in plain}
        first = draw_causal_graph(GRAPH, **{option: {member: without}}).svg()
        second = draw_causal_graph(GRAPH, **{option: {member: beside | {"style": style}}}).svg()
        assert (first == second) == (style == "solid"), style


def test_a_graph_changed_by_hand_is_not_drawn_in_part():
    graph = draw_causal_graph(EDGE)
    graph.node("A", color="reddish")
    with pytest.raises(ValueError, match="does not draw all of this graph: reddish is not a known"):
        graph.svg()


def test_what_dot_says_of_the_machine_is_no_mistake(monkeypatch, tmp_path):
    remarks = [
        "Fontconfig error: Cannot load default config file",
        "Warning: no hard-coded metrics for 'Helvetica'.  Falling back to 'Times' metrics",
        'Warning: Could not load "/usr/lib/graphviz/libgvplugin_pango.so.6"',
        "(process:12): Pango-WARNING **: couldn't load font",
    ]
    (tmp_path / "remarks").write_text("\n".join(remarks) + "\n")
    path = tmp_path / "dot"
    path.write_text(f'#!/bin/sh\ncat "{tmp_path}/remarks" >&2\nexec "{shutil.which("dot")}" "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert draw_causal_graph(EDGE).alt == "Causal graph. A → B."


# --- colors


@pytest.mark.parametrize(
    ("color", "code", "name"),
    [
        (RED, RED, "red"),
        (RED.upper(), RED, "red"),
        ("r", "#ff0000", "red"),
        ("tab:red", "#d62728", "red"),
        ("xkcd:blood red", "#980002", "blood red"),
        ("#f00", "#ff0000", "red"),
        ("#abc", "#aabbcc", None),
        ((1, 0, 0), "#ff0000", "red"),
        (np.array([0.0, 0.0, 1.0]), "#0000ff", "blue"),
        ([0.2, 0.4, 0.8], "#3366cc", None),
        ("0.5", "#808080", "gray"),
        ("Red", "red", "red"),
        ("rebeccapurple", "#663399", "rebeccapurple"),
        ("red3", "#cd0000", "red"),
        ("0.0 1 1", "#ff0000", None),
    ],
)
def test_colors_of_matplotlib_and_of_graphviz(color, code, name):
    graph = draw_causal_graph(EDGE, {"A": {"color": color}})
    assert stroke(graph) == (code, None)
    how = f"in {name}, with thick lines" if name else "with thick lines"
    assert graph.alt == f"Causal graph. A → B. Drawn {how}: A."


def test_the_cycle_s_colors_are_those_of_the_style():
    for cycle, name in ((["#1b62b3", RED], "blue"), ([RED, BLUE], "red")):
        with mpl.rc_context({"axes.prop_cycle": mpl.cycler(color=cycle)}):
            graph = draw_causal_graph(EDGE, {"A": {"color": "C0"}})
        assert stroke(graph) == (cycle[0], None)
        assert f"Drawn in {name}, with thick lines: A." in graph.alt


def test_every_name_of_matplotlib_is_drawn_in_its_color():
    names = sorted({*mcolors.CSS4_COLORS, *mcolors.TABLEAU_COLORS, *mcolors.BASE_COLORS})
    edges = [(name, "end") for name in names]
    graph = draw_causal_graph(edges, {name: {"color": name} for name in names})
    for name, group in drawn(graph).items():
        if name != "end":
            outline = next(part for part in group if part.tag != f"{SVG}title")
            assert mcolors.to_hex(outline.get("stroke", "black")) == mcolors.to_hex(name)


def test_opacity_is_kept():
    assert stroke(draw_causal_graph(EDGE, {"A": {"color": ("r", 0.5)}}))[0] == "#ff0000"
    opacity = float(stroke(draw_causal_graph(EDGE, {"A": {"color": ("r", 0.5)}}))[1])
    assert opacity == pytest.approx(0.5, abs=0.01)


# --- what the text says


def test_thick_lines_are_told_where_they_are_drawn():
    graph = draw_causal_graph(
        [("A", "B"), ("B", "C"), ("C", "D")],
        {
            "A": {"color": "gray", "penwidth": 1},
            "B": {"color": "gray", "penwidth": 5},
            "C": {"color": "#abcdef", "penwidth": 1},
            "D": {"color": "none"},
        },
    )
    told = "Drawn in gray: A. Drawn in gray, with thick lines: B."
    assert graph.alt == f"Causal graph. A → B, B → C, C → D. {told}"


def test_heads_and_labels_of_arrows_are_told():
    graph = draw_causal_graph(
        [("A", "B"), ("B", "C"), ("C", "D"), ("D", "E")],
        edge_props={
            ("A", "B"): {"dir": "both"},
            ("B", "C"): {"dir": "none"},
            ("C", "D"): {"label": "β\\nR&amp;D", "headlabel": "+"},
            ("D", "E"): {"arrowhead": "none"},
        },
    )
    assert graph.alt == "Causal graph. A ↔ B, B — C, C → D (β R&D, +), D — E."


def test_a_line_does_not_contradict_the_legend():
    with pytest.raises(
        ValueError, match="'A' is unobserved, so it is dashed, but node_props gives"
    ):
        draw_causal_graph(EDGE, {"A": {"style": "filled, solid"}}, unobserved="A")
    with pytest.raises(ValueError, match="'B' is dashed, which means unobserved in this graph"):
        draw_causal_graph(EDGE, {"B": {"style": "dashed"}}, unobserved="A")
    draw_causal_graph(EDGE, {"A": {"style": "filled"}}, unobserved="A")
    draw_causal_graph(EDGE, {"B": {"style": "dashed"}})


# --- names

NAMES = [
    "end\\",
    "end\\\\",
    "\\",
    '\\"',
    '"',
    "a\\N",
    "\\l",
    "<",
    ">",
    "<b",
    "b>",
    " <b> ",
    "</b>x",
]
NAMES += ["a&amp;b", "a&b", "a:b", "a&#58;b", "&lt;", "a;b", "a->b", "{a|b}", "1", "1.0", "-.5"]
NAMES += [
    "X",
    "x",
    "X (1)",
    "graph",
    "Node",
    "%",
    "'",
    "é",
    "e\u0301",
    "日本",
    "📈",
    "_",
    "A",
    "＜",
]


def test_every_name_is_drawn_as_it_is_written():
    graph = draw_causal_graph([(name, "the end") for name in NAMES])
    assert sorted(labels(graph)) == sorted(name.strip() for name in [*NAMES, "the end"])
    assert len(drawn(graph)) == len(NAMES) + 1 and len(drawn(graph, "edge")) == len(NAMES)
    assert all(f"{' '.join(name.split())} → the end" in graph.alt for name in NAMES)
    root = ET.fromstring(graph.svg())
    assert root.get("aria-label") == graph.alt == root[0].text


@pytest.mark.parametrize(
    "alike",
    [
        ["<<B>X</B>>", "X", "X (1)", "X (2)", "<X>"],
        ["a:b", "a&#58;b", "<a:b>", "<a&#58;b>"],
        ["A", " A", "A ", "A\n", "<A>"],
        ["R&D", "R&amp;D", "<R&amp;D>"],
        ["x\\", "x&#92;", "<x\\>"],
        ['"', '\\"', "&quot;"],
        ["<&lt;b&gt;>", "<b", "&lt;b&gt;"],
    ],
)
def test_no_two_nodes_are_drawn_as_one(alike):
    graph = draw_causal_graph([(name, "end") for name in alike])
    assert len(drawn(graph)) == len(drawn(graph, "edge")) + 1 == len(alike) + 1
    assert graph.alt.count("→ end") == len(alike)


@pytest.mark.parametrize(
    "name", [" ", "\t", "\n", "\u00a0", "\u200b", "<>", "<<B></B>>", "<&nbsp;>"]
)
def test_a_blank_name_is_refused(name):
    with pytest.raises(ValueError, match=r"is blank: nothing of its label can be seen\. Give it a"):
        draw_causal_graph([(name, "Y")])


@pytest.mark.parametrize("name", ["a\x00b", "\x07", "a\x1b[0m", "\r"])
def test_a_control_character_is_refused(name):
    with pytest.raises(ValueError, match="control character"):
        draw_causal_graph([(name, "Y")])


def test_a_label_is_told_as_it_is_drawn():
    own = {"A": {"label": "R&amp;D\\nof \\\\N"}, "B": {"label": "<<I>b</I>>"}}
    graph = draw_causal_graph(EDGE, own)
    assert labels(graph) == ["R&D of \\N", "b"]
    assert graph.alt == "Causal graph. R&D of \\N → b."


def test_the_same_bytes_as_graphviz_own_way():
    graph = draw_causal_graph(EDGE, {"A": {"color": "red"}}, unobserved="B")
    own = graph.pipe(format="svg", encoding="utf-8", quiet=True)
    text = re.sub(r"<!--.*?-->\n?", "", own[own.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*" ', "<g ", text)
    alt = html.escape(graph.alt)
    title = f'<svg role="img" aria-label="{alt}" '
    assert graph.svg() == text.replace("<svg ", title, 1).replace(
        ">", f">\n<title>{alt}</title>", 1
    )
    assert isinstance(graph, graphviz.Digraph)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"colorscheme": "svg", "color": "red"}, " Drawn with thick lines: A."),
        ({"color": "transparent"}, ""),
        ({"color": "red", "penwidth": "1.2"}, " Drawn in red: A."),
    ],
)
def test_only_what_tells_a_node_apart_is_told(node, says):
    graph = draw_causal_graph([("A", "B")], {"A": node})
    assert graph.alt == f"Causal graph. A → B.{says}"


def test_a_tail_without_a_head_on_it_is_none():
    both = {"dir": "both", "arrowtail": "none"}
    assert draw_causal_graph([("A", "B")], None, {("A", "B"): both}).alt.endswith("A → B.")


def test_a_name_that_reads_like_markup_is_kept():
    graph = draw_causal_graph([("<&lt;ab&gt;>", "B")])
    assert graph.alt == "Causal graph. <ab> → B."
    assert set(drawn(graph)) == {"<ab>", "B"}


def test_the_nodes_that_there_are_are_listed():
    with pytest.raises(ValueError, match=r"Its nodes are 'A', 'B', 'C'\.$"):
        draw_causal_graph([("A", "B"), ("A", "C")], unobserved="D")
