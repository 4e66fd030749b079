"""Causal graphs that carry their alternative text."""

from __future__ import annotations

import graphlib
import html
import math
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import graphviz
import matplotlib.colors as mcolors

from rethinking.plots import COLOR_NAMES

type Edge = tuple[str, str]

_DIRECTIONS = {"UD": "TB", "LR": "LR"}


class CausalGraph(graphviz.Digraph):
    """A ``graphviz.Digraph`` that carries its alternative text into notebooks and pages.

    Made by :func:`draw_causal_graph`.

    Attributes
    ----------
    alt : str
        What the picture shows, every arrow included.
    """

    def __init__(self, *args: Any, alt: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alt = alt

    def _copy_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        return {**super()._copy_kwargs(**kwargs), "alt": self.alt}

    def __repr__(self) -> str:
        """Return the alternative text: an object's address would differ from run to run."""
        return f"<{self.alt}>"

    def svg(self) -> str:
        """Return the picture as an SVG element, with its alternative text as title and label.

        Returns
        -------
        str
            The same text for the same graph: no version, ids or paths.

        Raises
        ------
        RuntimeError
            If Graphviz's program ``dot`` is not installed.
        ValueError
            If ``dot`` cannot draw the graph, or would leave something of it out.
        """
        drawn, remarks = self._draw()
        if remarks:
            raise ValueError(
                f"Graphviz's program dot does not draw all of this graph: {'; '.join(remarks)}."
                " Correct or remove what it names."
            )
        # The prologue and the comments name the version of dot; the ids are alike in every graph
        # and would clash on a page with two of them.
        drawn = re.sub(r"<!--.*?-->\n?", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
        drawn = re.sub(r'<g id="[^"]*" ', "<g ", drawn)
        alt = html.escape(self.alt)
        return re.sub(
            r"<svg ([^>]*)>",
            lambda m: f'<svg role="img" aria-label="{alt}" {m[1]}>\n<title>{alt}</title>',
            drawn,
            count=1,
        )

    def _draw(self) -> tuple[str, list[str]]:
        """Return the SVG as dot writes it, and what dot would leave out, in its words."""
        command = ["dot", f"-K{self.engine}", "-Tsvg"]
        try:
            done = subprocess.run(
                command, input=self.source.encode(), capture_output=True, check=False
            )
        except FileNotFoundError:
            raise RuntimeError(_NO_DOT) from None
        said = done.stderr.decode(errors="replace")
        if done.returncode:
            raise ValueError(
                f"Graphviz's program dot cannot draw this graph: {' '.join(said.split())}. Look at"
                " the labels and attributes."
            )
        remarks = [
            line.partition(": ")[2].strip().rstrip(".")
            for line in said.splitlines()
            if line.startswith(("Warning: ", "Error: ")) and not _OF_THE_MACHINE.search(line)
        ]
        return done.stdout.decode(), remarks

    def _repr_mimebundle_(
        self,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        **_: Any,
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Return picture and alternative text for IPython, as (data, metadata)."""
        wanted = {"image/svg+xml", "text/plain"} if include is None else set(include)
        wanted -= set(exclude or ())
        data = {}
        if "image/svg+xml" in wanted:
            data["image/svg+xml"] = self.svg()
        if "text/plain" in wanted:
            data["text/plain"] = repr(self)
        return data, {kind: {"alt": self.alt} for kind in data if kind.startswith("image/")}


def draw_causal_graph(
    edge_list: Iterable[Sequence[str]],
    node_props: Mapping[str, Mapping[str, object]] | None = None,
    edge_props: Mapping[Edge, Mapping[str, object]] | None = None,
    graph_direction: Literal["UD", "LR"] = "UD",
    unobserved: str | Iterable[str] = (),
) -> CausalGraph:
    """Draw a causal graph (a directed graph without cycles).

    Parameters
    ----------
    edge_list : sequence of (str, str)
        Arrows as pairs (cause, effect). Nodes appear in the order in which they are first named.
        A name is drawn as it is written (``"β_P"``); one in angle brackets is a Graphviz
        HTML-like label (``"<β<SUB>P</SUB>>"``).
    node_props : dict of str to dict, optional
        Graphviz attributes of nodes: ``{"S": {"color": utils.RED}}``. A colored node gets a
        thicker border, too, unless ``penwidth`` is given: color is never the only sign. Colors
        are those of Graphviz and those of Matplotlib (``"C0"``, ``"tab:red"``, ``(1, 0, 0)``).
    edge_props : dict of (str, str) to dict, optional
        Graphviz attributes of arrows: ``{("P", "S"): {"color": utils.RED}}``; as for nodes. With
        ``{"dir": "both"}`` an arrow has two heads.
    graph_direction : {"UD", "LR"}
        Whether arrows run from top to bottom ("up, down") or from left to right.
    unobserved : str or sequence of str
        Latent nodes. They are drawn dashed, and a legend says so.

    Returns
    -------
    CausalGraph
        A ``graphviz.Digraph`` with the attribute ``alt``. Shown in a notebook, it is an SVG
        picture whose alternative text lists every arrow.

    Raises
    ------
    ValueError
        If an edge is not a pair of names, occurs twice, or leads from a node to itself; if there
        is a cycle; if a name is blank; if properties or ``unobserved`` name what is not in the
        graph; if the direction is unknown; if ``dot`` cannot draw an attribute, or would ignore
        it: nothing is dropped without a word.
    RuntimeError
        If Graphviz's program ``dot`` is not installed.

    Examples
    --------
    >>> draw_causal_graph([("P", "S"), ("G", "S"), ("G", "P")], unobserved="G")
    <Causal graph. P → S, G → S, G → P. G is unobserved (dashed).>
    """
    if graph_direction not in _DIRECTIONS:
        raise ValueError(
            f'The graph_direction is {graph_direction!r}. Use "UD" (top to bottom) or "LR" (left to'
            " right)."
        )
    edges = _checked_edges(edge_list)
    nodes = list(dict.fromkeys(node for edge in edges for node in edge))
    node_props = _checked_props("node_props", node_props, nodes, _NODE_ATTRIBUTES)
    edge_props = _checked_props("edge_props", edge_props, edges, _EDGE_ATTRIBUTES)
    latent = [unobserved] if isinstance(unobserved, str) else list(dict.fromkeys(unobserved))
    for node in latent:
        if node not in nodes:
            raise ValueError(
                f"The unobserved node {node!r} is not in the graph. Its nodes are {_listed(nodes)}."
            )
    _check_dashes(node_props, latent)
    if shutil.which("dot") is None:
        # Asked here because IPython would only print an error raised while displaying.
        raise RuntimeError(_NO_DOT)

    words = {node: _in_words(node, node_props[node].get("label")) for node in nodes}
    for node, text in words.items():
        if not _can_be_seen(text):
            raise ValueError(
                f"The node {node!r} is blank: nothing of its label can be seen. Give it a name, or"
                " a label, with letters in it."
            )
    arrows = {edge: _arrow(edge, words, edge_props[edge]) for edge in edges}
    graph = CausalGraph(
        name="causal graph",
        alt=_alt_text(words, arrows, node_props, edge_props, latent),
        graph_attr={
            "rankdir": _DIRECTIONS[graph_direction],
            "bgcolor": "white",
            "fontname": "Helvetica,Arial,sans-serif",
            "fontsize": "12",
            "fontcolor": "#222222",
            "pad": "0.15",
            "nodesep": "0.45",
            "ranksep": "0.5",
        },
        node_attr={
            "fontname": "Helvetica,Arial,sans-serif",
            "fontsize": "16",
            "width": "0.6",
            "height": "0.6",
            "margin": "0.08,0.04",
            "penwidth": "1.2",
        },
        edge_attr={"arrowsize": "0.8", "penwidth": "1.2"},
    )
    if latent:
        graph.attr(label=_DASHED_LEGEND, labelloc="b")

    ids = {}
    for node in nodes:
        key = _id(words[node])
        while key in ids.values():  # two nodes that read alike
            key = f"{key} ({len(ids)})"
        ids[node] = key
        attributes = {"label": node if _is_html(node) else _escaped(node)}
        attributes |= _emphasized(node_props[node])
        if node in latent:
            attributes["style"] = ",".join(filter(None, ["dashed", attributes.get("style")]))
        graph.node(ids[node], **attributes)
    for cause, effect in edges:
        graph.edge(ids[cause], ids[effect], **_emphasized(edge_props[cause, effect]))
    # What cannot be drawn must fail here, not while it is displayed.
    for remark in graph._draw()[1]:
        raise ValueError(_named(remark, {"node_props": node_props, "edge_props": edge_props}))
    return graph


_NO_DOT = (
    "Graphviz's program `dot` was not found. Install Graphviz (Debian and Ubuntu:"
    " `sudo apt-get install graphviz`, Fedora: `sudo dnf install graphviz`, macOS:"
    " `brew install graphviz`, conda: `conda install graphviz`) and restart the kernel."
)
_DASHED_LEGEND = (
    '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4"><TR>'
    '<TD BORDER="1" STYLE="rounded,dashed" WIDTH="36" HEIGHT="18" FIXEDSIZE="TRUE"></TD>'
    "<TD>dashed: unobserved</TD></TR></TABLE>>"
)


#: Remarks of dot that tell of the machine's fonts and libraries, not of the graph.
_OF_THE_MACHINE = re.compile(r"hard-coded metrics|fontconfig|pango|load font|could not load", re.I)

_WHOLE, _NUMBER, _POSITIVE = "a whole number from 0", "a number", "a number from 0"
_PAIR = "a number, or two with a comma between"
_TRUTH, _TEXT, _COLOR, _STYLE = "true or false", "text", "a color", "a style"
_LINES = ("solid", "dashed", "dotted")  # bold does nothing beside penwidth, which all lines have
#: What dot draws of a node and of an arrow, and what each takes: all else it ignores in silence.
_ATTRIBUTES = dict.fromkeys(
    ["URL", "class", "fontname", "href", "label", "target", "tooltip"], _TEXT
)
_ATTRIBUTES |= dict.fromkeys(["color", "fillcolor", "fontcolor"], _COLOR)
_ATTRIBUTES |= dict.fromkeys(["fontsize", "penwidth"], _POSITIVE)
_ATTRIBUTES |= {"colorscheme": _TEXT, "style": _STYLE, "xlabel": _TEXT}
_NODE_ATTRIBUTES = _ATTRIBUTES | {
    **dict.fromkeys(["height", "width"], _POSITIVE),
    **dict.fromkeys(["distortion", "gradientangle", "orientation", "skew"], _NUMBER),
    **dict.fromkeys(["peripheries", "sides"], _WHOLE),
    **{"fixedsize": "true, false or shape", "labelloc": "t, c or b", "regular": _TRUTH},
    **{"margin": _PAIR, "ordering": "in or out", "shape": _TEXT},
}
_EDGE_ATTRIBUTES = _ATTRIBUTES | {
    **dict.fromkeys(["arrowhead", "arrowtail", "headlabel", "headport", "labelfontname"], _TEXT),
    **dict.fromkeys(["taillabel", "tailport"], _TEXT),
    **dict.fromkeys(["constraint", "decorate", "headclip", "labelfloat", "tailclip"], _TRUTH),
    **dict.fromkeys(["arrowsize", "labeldistance", "labelfontsize"], _POSITIVE),
    **{"dir": "forward, both or none", "labelangle": _NUMBER, "labelfontcolor": _COLOR},
    **dict.fromkeys(["minlen", "weight"], _WHOLE),
}
_WORDS = {
    _COLOR: 'one color that Matplotlib or Graphviz knows, such as "C0" or "#1b62b3"',
    _TEXT: "a text without control characters, whose backslashes are in pairs or before n, l or r",
}
_FILLS = ("filled", "radial", "striped", "wedged")
_STYLES = {
    "node_props": (*_LINES, *_FILLS, "rounded", "diagonals"),
    "edge_props": (*_LINES, "tapered"),
}
#: Attributes that show only beside another one.
_END_LABELS = ("headlabel", "taillabel")
_BESIDE = {
    **dict.fromkeys(["fontcolor", "fontname", "fontsize"], ("label", "xlabel", *_END_LABELS)),
    **dict.fromkeys(["labelfontcolor", "labelfontname", "labelfontsize"], _END_LABELS),
    **dict.fromkeys(["labelangle", "labeldistance"], _END_LABELS),
    **dict.fromkeys(["decorate", "labelfloat"], ("label",)),
}


def _listed(things: Iterable[object]) -> str:
    return ", ".join(repr(thing) for thing in things)


def _checked_edges(edge_list: Iterable[Sequence[str]]) -> list[Edge]:
    """Return the edges as a list of tuples: pairs of names, each once, without a cycle."""
    edges = []
    for edge in edge_list:
        if not isinstance(edge, (tuple, list)) or len(edge) != 2:
            raise ValueError(
                f'The edge {edge!r} is not a pair. Write each arrow as ("cause", "effect").'
            )
        for node in edge:
            if isinstance(node, str) and (found := _CONTROL.search(node)):
                raise ValueError(
                    f"The node {node!r} holds the control character {found[0]!r}, which cannot be"
                    " drawn. Remove it."
                )
        if not all(isinstance(node, str) and node for node in edge):
            raise ValueError(f"The edge {edge!r} holds a node that is not a name. Use strings.")
        cause, effect = edge
        if cause == effect:
            raise ValueError(f"The edge {edge!r} leads from a node to itself. Remove it.")
        if (cause, effect) in edges:
            raise ValueError(f"The edge {edge!r} occurs twice. Remove one of them.")
        edges.append((cause, effect))
    if not edges:
        raise ValueError('The edge_list is empty. Give at least one arrow, such as ("X", "Y").')

    causes = {}
    for cause, effect in edges:
        causes.setdefault(effect, []).append(cause)
    try:
        graphlib.TopologicalSorter(causes).prepare()
    except graphlib.CycleError as error:
        raise ValueError(
            f"A causal graph has no cycle, but this one has {' → '.join(error.args[1])}."
            " Remove or turn one of these arrows."
        ) from None
    return edges


def _checked_props[T](
    option: str,
    props: Mapping[T, Mapping[str, object]] | None,
    members: Sequence[T],
    known: Mapping[str, str],
) -> dict[T, dict[str, str]]:
    """Return a copy of the properties, an entry for every member, values as text."""
    props = {} if props is None else props
    if not isinstance(props, Mapping):
        raise ValueError(
            f"The argument {option} is {props!r}. Give a dict of dicts of Graphviz attributes."
        )
    for member, attributes in props.items():
        if member not in members:
            raise ValueError(
                f"The argument {option} names {member!r}, which is not in the graph. It has"
                f" {_listed(members)}."
            )
        if not isinstance(attributes, Mapping):
            raise ValueError(
                f"The argument {option} gives {attributes!r} for {member!r}. Give a dict of"
                ' Graphviz attributes, such as {"color": "red"}.'
            )
    checked = {member: dict(props.get(member, {})) for member in members}
    for member, attributes in checked.items():
        for key, value in attributes.items():
            if key not in known:
                raise ValueError(
                    f"The argument {option} gives {member!r} the attribute {key!r}, which Graphviz"
                    f" does not draw. Use one of {', '.join(sorted(known))}."
                )
            text = value
            takes = known[key]
            if known[key] == _COLOR and "colorscheme" not in attributes:
                text = _color(value)
            attributes[key] = str(text)
            # Of several colors, only the first would be drawn.
            one = takes != _COLOR or key == "fillcolor" or (option, key) == ("edge_props", "color")
            one = one or ":" not in attributes[key]
            if value is None or not one or not _fits(attributes[key], takes, _STYLES[option]):
                if takes == _STYLE:
                    takes = f"one or several of {', '.join(_STYLES[option])}, with commas between"
                raise ValueError(
                    f"The argument {option} gives {value!r} as the {key} of {member!r}, which"
                    f" Graphviz does not draw. Give {_WORDS.get(takes, takes)}."
                )
        if beside := _alone(option, attributes):
            raise ValueError(
                f"The argument {option} gives {member!r} a {beside[0]}, which cannot be seen"
                f" without {beside[1]}. Add that, or remove the {beside[0]}."
            )
    return checked


def _color(value: object) -> object:
    """Return a color in a form that Graphviz knows; what Matplotlib does not know, as it is."""
    if isinstance(value, str) and (
        value.lower() in {"none", *mcolors.CSS4_COLORS} - _NOT_IN_GRAPHVIZ
    ):
        return value.lower()
    if mcolors.is_color_like(value):
        return mcolors.to_hex(value, keep_alpha=mcolors.to_rgba(value)[3] < 1)
    return value


_NOT_IN_GRAPHVIZ = {"rebeccapurple"}


def _fits(text: str, kind: str, styles: Sequence[str]) -> bool:
    """Return whether an attribute of this kind takes the text; the rest is asked of dot."""
    if kind == _TEXT:
        # \\N and the like would stand for a name that only Graphviz sees.
        return bool(re.fullmatch(r"([^\\]|\\[\\nlr])+", text, re.S)) and not _CONTROL.search(text)
    if kind == _COLOR:
        return bool(text)
    if kind == _TRUTH:
        return text.lower() in ("true", "false")
    if kind == _STYLE:
        parts = [part.strip() for part in text.split(",")]
        return all(part in styles for part in parts)
    if kind == _PAIR:
        parts = text.split(",")
        return len(parts) < 3 and all(_fits(part, _POSITIVE, ()) for part in parts)
    if kind in (_WHOLE, _NUMBER, _POSITIVE):
        try:
            number = float(text)
        except ValueError:
            return False
        whole = kind != _WHOLE or text.isdigit()
        return math.isfinite(number) and whole and (kind == _NUMBER or number >= 0)
    return text in re.split(r", | or ", kind)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # what no SVG may hold


def _alone(option: str, attributes: Mapping[str, str]) -> tuple[str, str] | None:
    """Return an attribute that would not be seen, and what it lacks."""
    style = attributes.get("style", "")
    filled = any(fill in style for fill in _FILLS)
    if option == "node_props":
        if "fillcolor" in attributes and not filled:
            return "fillcolor", 'the style "filled"'
        if attributes.get("shape") in ("none", "plain", "plaintext") and not filled:
            for key in ("color", "penwidth"):
                if key in attributes:
                    return key, "an outline, which its shape does not have"
        if "rounded" in style and "shape" not in attributes:
            return "style rounded", "a shape that has corners"
        if "sides" in attributes and attributes.get("shape") != "polygon":
            return "number of sides", 'the shape "polygon"'
        return None
    if attributes.get("color") in ("none", "transparent"):
        return "color", "a line, which every arrow of the graph must have"
    if "arrowtail" in attributes and attributes.get("dir") != "both":
        return "arrowtail", 'the dir "both"'
    for key in attributes:
        if not set(_BESIDE.get(key, attributes)) & set(attributes):
            return key, f"a {' or '.join(_BESIDE[key])}"
    return None


def _check_dashes(node_props: Mapping[str, Mapping[str, str]], latent: Sequence[str]) -> None:
    """Refuse a line that says the contrary of the legend."""
    for node, attributes in node_props.items():
        style = {part.strip() for part in attributes.get("style", "").split(",")}
        if node in latent and style & {"solid", "dotted"}:
            raise ValueError(
                f"The node {node!r} is unobserved, so it is dashed, but node_props gives it the"
                f" style {attributes['style']!r}. Remove the one or the other."
            )
        if latent and node not in latent and "dashed" in style:
            raise ValueError(
                f"The node {node!r} is dashed, which means unobserved in this graph. Name it in"
                " unobserved, or give it another style."
            )


def _named(remark: str, options: Mapping[str, Mapping[Any, Mapping[str, str]]]) -> str:
    """Return the sentence that refuses what a remark of dot is about."""
    found = []
    for option, props in options.items():
        for member, attributes in props.items():
            for key, value in attributes.items():
                for part in {value, *re.split(r"[^\w#.-]+", value)} - {""}:
                    if re.search(rf"(?<!\w){re.escape(part)}(?!\w)", remark):
                        found.append((len(part), option, value, key, member))
    if found:
        _, option, value, key, member = max(found, key=lambda one: one[0])
        return (
            f"The argument {option} gives {value!r} as the {key} of {member!r}, which Graphviz does"
            f" not draw: {remark}. Correct or remove it."
        )
    return (
        f"Graphviz's program dot does not draw all of this graph: {remark}. Correct or remove what"
        " it names."
    )


def _id(words: str) -> str:
    """Return a node's name for Graphviz, which no port, escape or HTML-like string can be in."""
    key = _escaped_entities(words).replace(":", "&#58;").replace("\\", "&#92;")
    return f"&#60;{key[1:]}" if _is_html(key) else key


def _escaped_entities(text: str) -> str:
    """Return a text in which nothing is an entity: Graphviz would draw its character."""
    return re.sub(r"&(?=#?\w+;)", "&amp;", text)


def _escaped(name: str) -> str:
    """Return a label that is drawn as the name is written."""
    return graphviz.escape(_escaped_entities(name))


def _can_be_seen(text: str) -> bool:
    """Return whether a text has a character that leaves ink."""
    return any(unicodedata.category(character)[0] not in "CZM" for character in text)


def _emphasized(attributes: dict[str, str]) -> dict[str, str]:
    """Return the attributes with a thicker line where a color was asked for."""
    return {"penwidth": "2.8", **attributes} if "color" in attributes else attributes


def _is_html(label: str) -> bool:
    """Return whether Graphviz takes a label as HTML-like."""
    return label.startswith("<") and label.endswith(">")


def _in_words(name: str, label: str | None = None) -> str:
    """Return the text of a node, without markup and line breaks; only a label has escapes."""
    text = name if label is None else label
    if _is_html(text):
        text = html.unescape(re.sub(r"<[^<>]*>", "", text[1:-1]))
    elif label is not None:
        text = re.sub(r"\\(.)", lambda m: " " if m[1] in "nlr" else m[1], text)
        text = html.unescape(text)
    return " ".join(text.split())


def _arrow(edge: Edge, words: Mapping[str, str], attributes: Mapping[str, str]) -> str:
    """Return an arrow in words, with the heads and the labels that are drawn."""
    direction = attributes.get("dir", "forward")
    head = direction != "none" and attributes.get("arrowhead") != "none"
    tail = direction == "both" and attributes.get("arrowtail") != "none"
    if tail and not head:
        raise ValueError(
            f"The edge {edge!r} would be drawn backwards. Turn it around in edge_list, and remove"
            " its dir."
        )
    sign = "↔" if tail else "→" if head else "—"
    labels = [
        _in_words("", attributes[key])
        for key in ("taillabel", "label", "xlabel", "headlabel")
        if key in attributes
    ]
    text = f"{words[edge[0]]} {sign} {words[edge[1]]}"
    return f"{text} ({', '.join(labels)})" if labels else text


def _color_name(color: str) -> str | None:
    """Return what a color is called, if it has a name; digits tell a listener nothing."""
    if color.startswith("#"):
        return COLOR_NAMES.get(color) or _NAMES.get(color)
    name = re.fullmatch(r"([a-z]+)\d*", color)  # Graphviz has a red3, too
    return name and name[1]


_NAMES = {
    mcolors.to_hex(code): name.partition(":")[2] or name
    for names in (mcolors.XKCD_COLORS, mcolors.TABLEAU_COLORS, mcolors.CSS4_COLORS)
    for name, code in names.items()
    if "grey" not in name
} | {mcolors.to_hex(name[0]): name for name in ("cyan", "magenta", "yellow")}


def _alt_text(
    words: Mapping[str, str],
    arrows: Mapping[Edge, str],
    node_props: Mapping[str, Mapping[str, str]],
    edge_props: Mapping[Edge, Mapping[str, str]],
    latent: Sequence[str],
) -> str:
    """Return the alternative text: every arrow, the highlights, the unobserved nodes."""
    sentences = ["Causal graph.", f"{', '.join(arrows.values())}."]
    highlights = {}
    for shown, props in ((words, node_props), (arrows, edge_props)):
        for member, text in shown.items():
            color = props[member].get("color", "none")
            if color not in ("none", "transparent"):
                thick = float(props[member].get("penwidth", "inf")) > 1.2  # than other lines
                name = None if "colorscheme" in props[member] else _color_name(color)
                how = [f"in {name}"] if name else []
                how += ["with thick lines"] if thick else []
                if how:
                    highlights.setdefault((", ".join(how), color), []).append(text)
    for (how, _), texts in highlights.items():
        sentences.append(f"Drawn {how}: {', '.join(texts)}.")
    if latent:
        names = [words[node] for node in latent]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        sentences.append(f"{listed} {'is' if len(names) == 1 else 'are'} unobserved (dashed).")
    return " ".join(sentences)
