"""Causal graphs that carry their alternative text."""

from __future__ import annotations

import graphlib
import html
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import graphviz

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
            If ``dot`` cannot draw the graph.
        """
        try:
            # quiet: dot's remarks about fonts would end up in the notebook
            drawn = self.pipe(format="svg", encoding="utf-8", quiet=True)
        except graphviz.ExecutableNotFound:
            raise RuntimeError(_NO_DOT) from None
        except graphviz.CalledProcessError as error:
            said = error.stderr or b""
            said = said.decode(errors="replace") if isinstance(said, bytes) else said
            raise ValueError(
                f"Graphviz's program dot cannot draw this graph: {' '.join(said.split())}. Look at"
                " the labels and attributes."
            ) from None
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
        thicker border, too, unless ``penwidth`` is given: color is never the only sign.
    edge_props : dict of (str, str) to dict, optional
        Graphviz attributes of arrows: ``{("P", "S"): {"color": utils.RED}}``; as for nodes.
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
        is a cycle; if properties or ``unobserved`` name what is not in the graph; if the
        direction is unknown; if ``dot`` cannot draw the attributes.
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
    node_props = _checked_props("node_props", node_props, nodes)
    edge_props = _checked_props("edge_props", edge_props, edges)
    latent = [unobserved] if isinstance(unobserved, str) else list(dict.fromkeys(unobserved))
    for node in latent:
        if node not in nodes:
            raise ValueError(
                f"The unobserved node {node!r} is not in the graph. Its nodes are {_listed(nodes)}."
            )
    if shutil.which("dot") is None:
        # Asked here because IPython would only print an error raised while displaying.
        raise RuntimeError(_NO_DOT)

    words = {node: _in_words(node, node_props[node].get("label")) for node in nodes}
    arrows = {edge: f"{words[edge[0]]} → {words[edge[1]]}" for edge in edges}
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
        # In an edge statement a colon would start the name of a port.
        key = words[node].replace(":", "&#58;")
        ids[node] = key if key not in ids.values() else f"{key} ({len(ids)})"
        attributes = {"label": node if _is_html(node) else graphviz.escape(node)}
        attributes |= _emphasized(node_props[node])
        if node in latent:
            attributes["style"] = ",".join(filter(None, ["dashed", attributes.get("style")]))
        graph.node(ids[node], **attributes)
    for cause, effect in edges:
        graph.edge(ids[cause], ids[effect], **_emphasized(edge_props[cause, effect]))
    graph.svg()  # a picture that cannot be drawn must fail here, not while it is displayed
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
    option: str, props: Mapping[T, Mapping[str, object]] | None, members: Sequence[T]
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
    return {
        member: {key: str(value) for key, value in props.get(member, {}).items()}
        for member in members
    }


def _emphasized(attributes: dict[str, str]) -> dict[str, str]:
    """Return the attributes with a thicker line where a color was asked for."""
    return {"penwidth": "2.8", **attributes} if "color" in attributes else attributes


def _is_html(label: str) -> bool:
    """Return whether Graphviz takes a label as HTML-like."""
    return label.startswith("<") and label.endswith(">")


def _in_words(name: str, label: str | None = None) -> str:
    """Return the text of a node, without markup and line breaks; only a label has escapes."""
    text = name if label is None else re.sub(r"\\[nlr]", " ", label)
    if _is_html(text):
        text = html.unescape(re.sub(r"<[^<>]*>", "", text[1:-1]))
    return " ".join(text.split())


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
            if "color" in props[member]:
                color = COLOR_NAMES.get(props[member]["color"], props[member]["color"])
                highlights.setdefault(color, []).append(text)
    for color, texts in highlights.items():
        # A color written as digits tells a listener nothing.
        how = f"in {color}, with thick lines" if color.isalpha() else "with thick lines"
        sentences.append(f"Drawn {how}: {', '.join(texts)}.")
    if latent:
        names = [words[node] for node in latent]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        sentences.append(f"{listed} {'is' if len(names) == 1 else 'are'} unobserved (dashed).")
    return " ".join(sentences)
