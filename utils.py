"""Shared helpers of the course: data, graphs, figures, fits and their checks."""

from __future__ import annotations

import ast
import difflib
import graphlib
import hashlib
import html
import inspect
import io
import itertools
import json
import logging
import os
import re
import shutil
import sys
import textwrap
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import arviz as az
import graphviz
import matplotlib.colors as mcolors
import matplotlib.patheffects as patheffects
import matplotlib.pyplot as plt
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
import yaml
from IPython import get_ipython
from IPython.display import display
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from pymc.backends.arviz import patch_nutpie_idata
from pymc.distributions.distribution import support_point
from pymc.distributions.multivariate import _OrderedMultinomial
from pymc.distributions.transforms import Ordered
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    indices_from_subtensor,
)
from scipy import fft, special
from scipy.interpolate import make_interp_spline

import compile_cache  # noqa: F401 (what is compiled goes into a folder for these versions)

# With fast maths the same model gives other last digits, and so other draws, when it comes from
# PyTensor's cache than when it is compiled afresh (measured: PyTensor 3.3, numba 0.68).
pytensor.config.numba__fastmath = False
# "Sampling: [...]" is no warning; convergence warnings still come through
logging.getLogger("pymc").setLevel(logging.WARNING)

# --- 1. Data -----------------------------------------------------------------

#: Folder of the course's tables, each with a sidecar of the same name ending in ``.yml``.
DATA_DIR = Path(__file__).resolve().parent / "data"


class DataError(ValueError):
    """A data set that is unknown, missing, changed, or not what its sidecar says."""


def load_data(name):
    """Load one of the course's data sets.

    The table is read from the repository, so this works from any directory and without a network.
    Before it is parsed, its bytes are compared with the checksum in its sidecar.

    Parameters
    ----------
    name : str
        Name of the data set as in ``data/``, without an ending: ``"reedfrogs"`` or ``"Trolley"``.
        Upper and lower case matter.

    Returns
    -------
    pandas.DataFrame
        One row an observation. Columns, types (``int64`` or ``str``), units and allowed values
        are those of the sidecar ``data/<name>.yml``.

    Raises
    ------
    DataError
        If no data set has this name, or its table or sidecar is missing, unreadable or changed.
    """
    names = sorted({path.stem for path in DATA_DIR.glob("*.csv")}, key=str.lower)
    if not names:
        raise DataError(
            f"no data sets found in {DATA_DIR}: install the course from its repository"
            " (`pip install --editable .`), where the data are kept"
        )
    if name not in names:
        # The table may be deleted while its sidecar is still there.
        if isinstance(name, str) and name in {path.stem for path in DATA_DIR.glob("*.yml")}:
            raise DataError(_missing(f"{name}.csv"))
        lowered = {known.lower(): known for known in names}
        near = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.4)
        hint = f"did you mean {lowered[near[0]]!r}? " if near else ""
        listed = ", ".join(repr(known) for known in names)
        raise DataError(f"no data set is called {name!r}; {hint}There are: {listed}")

    sidecar = _read_sidecar(name)
    content = (DATA_DIR / f"{name}.csv").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sidecar["sha256"]:
        raise DataError(
            f"data/{name}.csv has changed: its checksum is {found[:12]}, its sidecar says"
            f" {str(sidecar['sha256'])[:12]}; restore it with `git checkout -- data/{name}.csv`,"
            f" or, if the change is meant, update sha256 in data/{name}.yml"
        )

    types = {column["name"]: column["type"] for column in sidecar["columns"]}
    try:
        # No value stands for a missing one: a person's or a tank's "no" or "NA" stays text.
        table = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"data/{name}.csv does not have the types that data/{name}.yml says: {error}"
        ) from None
    if list(table.columns) != list(types) or len(table) != sidecar["rows"]:
        raise DataError(
            f"data/{name}.csv has {len(table)} rows and the columns {', '.join(table.columns)};"
            f" data/{name}.yml says {sidecar['rows']} rows and {', '.join(types)}: correct the"
            " sidecar"
        )
    return table


def _read_sidecar(name):
    """Sidecar of a data set as a dict; a ``DataError`` says what is wrong with it."""
    path = DATA_DIR / f"{name}.yml"
    restore = f"restore it with `git checkout -- data/{name}.yml`"
    if not path.exists():
        raise DataError(_missing(f"{name}.yml"))
    try:
        sidecar = yaml.safe_load(path.read_text(encoding="utf-8"))
        for column in sidecar["columns"]:
            column["name"], column["type"]
        sidecar["sha256"], sidecar["rows"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError):
        raise DataError(f"data/{name}.yml cannot be read as a sidecar: {restore}") from None
    except KeyError as error:
        raise DataError(f"data/{name}.yml does not say {error}: {restore}") from None
    return sidecar


def _missing(file):
    return f"data/{file} is missing: restore it with `git checkout -- data/{file}`"


# --- 2. Transforms -----------------------------------------------------------


def logit(p):
    """Log-odds of a probability, ``log(p / (1 - p))``.

    Parameters
    ----------
    p : float or array-like
        Probability, from 0 to 1, of any shape. NaN stays NaN.

    Returns
    -------
    float, numpy.ndarray, pandas.Series or xarray.DataArray
        Log-odds, in the type and shape of ``p``; 0 gives ``-inf`` and 1 gives ``inf``.

    Raises
    ------
    ValueError
        If a value lies outside [0, 1].

    See Also
    --------
    invlogit : the way back.
    scipy.special.logit : the computation.
    """
    values = _real_values("logit", p)
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(
            f"logit needs probabilities from 0 to 1, not {outside.flat[0]:g}"
            f" ({outside.size} of {values.size} values lie outside); is it on the log-odds"
            " scale already?"
        )
    return special.logit(p)


def invlogit(x):
    """Probability of log-odds, ``1 / (1 + exp(-x))``, without overflow.

    Parameters
    ----------
    x : float or array-like
        Log-odds, of any shape; ``-inf`` and ``inf`` give 0 and 1. NaN stays NaN.

    Returns
    -------
    float, numpy.ndarray, pandas.Series or xarray.DataArray
        Probability, in the type and shape of ``x``.

    See Also
    --------
    logit : the way back.
    scipy.special.expit : the computation.
    """
    _real_values("invlogit", x)
    return special.expit(x)


def _real_values(function, x):
    """Values of ``x`` as an array; what holds no numbers is refused in words."""
    try:
        if x is None:  # which numpy would take for NaN
            raise TypeError
        return np.asarray(x, dtype=float)
    except (TypeError, ValueError, NotImplementedError):
        raise TypeError(
            f"{function} needs numbers, not {type(x).__name__}; inside a model use"
            f" pm.math.{function}"
        ) from None


# --- 3. Causal graphs --------------------------------------------------------

_DIRECTIONS = {"UD": "TB", "LR": "LR"}


class CausalGraph(graphviz.Digraph):
    """A ``graphviz.Digraph`` that carries its alternative text into notebooks and pages.

    Made by :func:`draw_causal_graph`.

    Attributes
    ----------
    alt : str
        What the picture shows, every arrow included.
    """

    def __init__(self, *args, alt="", **kwargs):
        super().__init__(*args, **kwargs)
        self.alt = alt

    def _copy_kwargs(self, **kwargs):
        return {**super()._copy_kwargs(**kwargs), "alt": self.alt}

    def __repr__(self):
        """Return the alternative text: an object's address would differ from run to run."""
        return f"<{self.alt}>"

    def svg(self):
        """Picture as an SVG element, with its alternative text as title and label.

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
            raise ValueError(f"dot cannot draw this graph: {' '.join(said.split())}") from None
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

    def _repr_mimebundle_(self, include=None, exclude=None, **_):
        """Picture and alternative text for IPython, as (data, metadata)."""
        wanted = {"image/svg+xml", "text/plain"} if include is None else set(include)
        wanted -= set(exclude or ())
        data = {}
        if "image/svg+xml" in wanted:
            data["image/svg+xml"] = self.svg()
        if "text/plain" in wanted:
            data["text/plain"] = repr(self)
        return data, {kind: {"alt": self.alt} for kind in data if kind.startswith("image/")}


def draw_causal_graph(
    edge_list, node_props=None, edge_props=None, graph_direction="UD", unobserved=()
):
    """Draw a causal graph (a directed graph without cycles).

    Parameters
    ----------
    edge_list : sequence of (str, str)
        Arrows as pairs (cause, effect). Nodes appear in the order in which they are first named.
        A name is drawn as it is written (``"β_P"``); one in angle brackets is a Graphviz
        HTML-like label (``"<β<SUB>P</SUB>>"``).
    node_props : dict of str to dict, optional
        Graphviz attributes of nodes: ``{"S": {"color": utils.RED}}``. A coloured node gets a
        thicker border, too, unless ``penwidth`` is given: colour is never the only sign.
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
    """
    if graph_direction not in _DIRECTIONS:
        raise ValueError(
            f'graph_direction is {graph_direction!r}; use "UD" (top to bottom) or "LR" (left to'
            " right)"
        )
    edges = _checked_edges(edge_list)
    nodes = list(dict.fromkeys(node for edge in edges for node in edge))
    node_props = _checked_props("node_props", node_props, nodes)
    edge_props = _checked_props("edge_props", edge_props, edges)
    latent = [unobserved] if isinstance(unobserved, str) else list(dict.fromkeys(unobserved))
    for node in latent:
        if node not in nodes:
            raise ValueError(
                f"unobserved node {node!r} is not in the graph; its nodes are {_listed(nodes)}"
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
    "Graphviz's program `dot` was not found: install Graphviz (Debian and Ubuntu:"
    " `sudo apt-get install graphviz`, Fedora: `sudo dnf install graphviz`, macOS:"
    " `brew install graphviz`, conda: `conda install graphviz`) and restart the kernel"
)

_DASHED_LEGEND = (
    '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4"><TR>'
    '<TD BORDER="1" STYLE="rounded,dashed" WIDTH="36" HEIGHT="18" FIXEDSIZE="TRUE"></TD>'
    "<TD>dashed: unobserved</TD></TR></TABLE>>"
)


def _listed(things):
    return ", ".join(repr(thing) for thing in things)


def _checked_edges(edge_list):
    """Edges as a list of tuples: pairs of names, each once, without a cycle."""
    edges = []
    for edge in edge_list:
        if not isinstance(edge, (tuple, list)) or len(edge) != 2:
            raise ValueError(
                f'edge {edge!r} is not a pair; write each arrow as ("cause", "effect")'
            )
        if not all(isinstance(node, str) and node for node in edge):
            raise ValueError(f"edge {edge!r} holds a node that is not a name; use strings")
        cause, effect = edge
        if cause == effect:
            raise ValueError(f"edge {edge!r} leads from a node to itself; remove it")
        if (cause, effect) in edges:
            raise ValueError(f"edge {edge!r} occurs twice; remove one of them")
        edges.append((cause, effect))
    if not edges:
        raise ValueError('edge_list is empty; give at least one arrow, such as ("X", "Y")')

    causes = {}
    for cause, effect in edges:
        causes.setdefault(effect, []).append(cause)
    try:
        graphlib.TopologicalSorter(causes).prepare()
    except graphlib.CycleError as error:
        raise ValueError(
            f"a causal graph has no cycle, but this one has {' → '.join(error.args[1])};"
            " remove or turn one of these arrows"
        ) from None
    return edges


def _checked_props(option, props, members):
    """Copy of the properties, an entry for every member, values as text."""
    props = {} if props is None else props
    if not hasattr(props, "items"):
        raise ValueError(f"{option} is {props!r}; give a dict of dicts of Graphviz attributes")
    for member, attributes in props.items():
        if member not in members:
            raise ValueError(
                f"{option} names {member!r}, which is not in the graph; it has {_listed(members)}"
            )
        if not hasattr(attributes, "items"):
            raise ValueError(
                f"{option} gives {attributes!r} for {member!r}; give a dict of Graphviz"
                ' attributes, such as {"color": "red"}'
            )
    return {
        member: {key: str(value) for key, value in props.get(member, {}).items()}
        for member in members
    }


def _emphasized(attributes):
    """Attributes with a thicker line where a colour was asked for."""
    return {"penwidth": "2.8", **attributes} if "color" in attributes else attributes


def _is_html(label):
    """Whether Graphviz takes a label as HTML-like."""
    return label.startswith("<") and label.endswith(">")


def _in_words(name, label=None):
    """Text of a node without markup and line breaks; a name has no escapes, a label may."""
    text = name if label is None else re.sub(r"\\[nlr]", " ", label)
    if _is_html(text):
        text = html.unescape(re.sub(r"<[^<>]*>", "", text[1:-1]))
    return " ".join(text.split())


def _alt_text(words, arrows, node_props, edge_props, latent):
    """Alternative text: every arrow, the highlights, the unobserved nodes."""
    sentences = ["Causal graph.", f"{', '.join(arrows.values())}."]
    highlights = {}
    for shown, props in ((words, node_props), (arrows, edge_props)):
        for member, text in shown.items():
            if "color" in props[member]:
                color = _COLOR_NAMES.get(props[member]["color"], props[member]["color"])
                highlights.setdefault(color, []).append(text)
    for color, texts in highlights.items():
        # A colour written as digits tells a listener nothing.
        how = f"in {color}, with thick lines" if color.isalpha() else "with thick lines"
        sentences.append(f"Drawn {how}: {', '.join(texts)}.")
    if latent:
        names = [words[node] for node in latent]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        sentences.append(f"{listed} {'is' if len(names) == 1 else 'are'} unobserved (dashed).")
    return " ".join(sentences)


# --- 4. Plots ----------------------------------------------------------------

#: Style sheet of the course, for ``plt.style.use(utils.STYLE_PATH)``.
STYLE_PATH = Path(__file__).resolve().parent / "statistical-rethinking-2023.mplstyle"

#: The red and the blue of the lectures: the first two colours of the style sheet.
RED = "#c62a30"
BLUE = "#1b62b3"
_DARK = "#333333"
_COLOR_NAMES = {RED: "red", BLUE: "blue"}


def plot_scatter(
    x,
    y,
    *,
    ax=None,
    color="C0",
    marker="o",
    size=7.0,
    fill=None,
    linewidth=1.6,
    alpha=1.0,
    label=None,
    zorder=3,
):
    """Draw points as open circles.

    Parameters
    ----------
    x, y : array-like of float, shape (n,)
        Positions, all finite.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.
    color : colour or sequence of n colours
        Colour of the outlines.
    marker : str
        Matplotlib marker.
    size : float
        Diameter in points.
    fill : colour, optional
        Colour inside; ``None`` leaves the points open.
    linewidth : float
        Width of the outline in points.
    alpha : float
        Opacity.
    label : str, optional
        Entry in a legend.
    zorder : float
        Drawing order.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If lengths differ or a value is not a finite number.
    """
    x, y = _same_length(x=x, y=y)
    colors = _colors_of(color, len(x))
    ax = _axes(ax)
    ax.scatter(
        x,
        y,
        s=size**2,
        marker=marker,
        facecolors="none" if fill is None else fill,
        edgecolors=colors,
        linewidths=linewidth,
        alpha=alpha,
        label=label,
        zorder=zorder,
    )
    return ax


def plot_line(
    x,
    y,
    *,
    ax=None,
    color="C0",
    linewidth=2.5,
    linestyle="-",
    border="white",
    border_width=1.8,
    alpha=1.0,
    label=None,
    zorder=2.5,
):
    """Draw a line with a border, so that it stays visible over points, bars and other lines.

    Parameters
    ----------
    x, y : array-like of float, shape (n,)
        Positions in the order in which they are joined. NaN leaves a gap.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.
    color : colour
        Colour of the line.
    linewidth : float
        Width in points, without the border.
    linestyle : str or tuple
        Matplotlib line style.
    border : colour, optional
        Colour of the stroke beneath: ``"white"``, or a dark one; ``None`` for no border.
    border_width : float
        Width of the border on each side, in points.
    alpha : float
        Opacity.
    label : str, optional
        Entry in a legend.
    zorder : float
        Drawing order.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If lengths differ or a value is infinite.
    """
    x, y = _same_length(x=x, y=y, gaps=True)
    ax = _axes(ax)
    effects = []
    if border is not None:
        stroke = patheffects.Stroke(linewidth=linewidth + 2 * border_width, foreground=border)
        effects = [stroke, patheffects.Normal()]
    ax.plot(
        x,
        y,
        color=color,
        linewidth=linewidth,
        linestyle=linestyle,
        alpha=alpha,
        label=label,
        zorder=zorder,
        path_effects=effects,
    )
    return ax


def plot_errorbar(
    x,
    y,
    lower,
    upper,
    *,
    ax=None,
    orientation="vertical",
    color="C0",
    width=8.0,
    alpha=0.35,
    marker="o",
    size=7.0,
    fill="white",
    label=None,
    zorder=2,
):
    """Draw intervals as thick translucent bars with round ends, and the points on them.

    All bars are one collection. The ends are values on the axis, not distances from the point:
    an interval need not contain its point (a mean may lie outside the quartiles).

    Parameters
    ----------
    x, y : array-like of float, shape (n,)
        Positions of the points.
    lower, upper : array-like of float, shape (n,)
        Ends of the intervals: values of ``y`` if vertical, of ``x`` if horizontal.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.
    orientation : {"vertical", "horizontal"}
        Direction of the bars.
    color : colour or sequence of n colours
        Colour of bars and points.
    width : float
        Thickness of the bars in points.
    alpha : float
        Opacity of the bars.
    marker : str, optional
        Matplotlib marker of the points; ``None`` draws the bars alone.
    size : float
        Diameter of the points.
    fill : colour, optional
        Colour inside the points; ``None`` lets the bar show through.
    label : str, optional
        Entry in a legend.
    zorder : float
        Drawing order of the bars; the points are drawn one above.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If lengths differ, a value is not a finite number, a lower end lies above the upper one,
        or the orientation is unknown.
    """
    if orientation not in ("vertical", "horizontal"):
        raise ValueError(f'orientation is {orientation!r}; use "vertical" or "horizontal"')
    x, y, lower, upper = _same_length(x=x, y=y, lower=lower, upper=upper)
    for i in np.flatnonzero(lower > upper)[:1]:
        raise ValueError(
            f"interval {i} is upside down: lower[{i}] = {lower[i]:g} is above"
            f" upper[{i}] = {upper[i]:g}; give its ends, not distances"
        )
    colors = _colors_of(color, len(x))
    ax = _axes(ax)

    ends = [(x, lower), (x, upper)] if orientation == "vertical" else [(lower, y), (upper, y)]
    bars = LineCollection(
        np.stack([np.column_stack(end) for end in ends], axis=1),
        colors=colors,
        linewidths=width,
        alpha=alpha,
        capstyle="round",
        zorder=zorder,
        label=label if marker is None else None,
    )
    ax.add_collection(bars)
    ax.autoscale_view()
    if marker is not None:
        plot_scatter(
            x,
            y,
            ax=ax,
            color=color,
            marker=marker,
            size=size,
            fill=fill,
            label=label,
            zorder=zorder + 1,
        )
    return ax


_DENSITY_WORDS = {10: "small tanks", 25: "medium tanks", 35: "large tanks"}
_MARKERS = ["o", "s", "^", "D", "v", "P"]
_DASHES = [(0, (5, 2.5)), "-", (0, (1, 1.5)), "-."]


def plot_survival(
    frogs,
    *,
    mean=None,
    lower=None,
    upper=None,
    population=None,
    colors=None,
    markers=None,
    legend=None,
    interval="89% interval",
    ax=None,
):
    """Draw the share of tadpoles that survived in each tank, and what a model makes of it.

    Tanks run from left to right in the order of the table; vertical lines stand where the density
    changes. The observed share is a filled point, the posterior mean an open one on its interval.

    Parameters
    ----------
    frogs : pandas.DataFrame
        Table with a row for each of n tanks and the columns ``density`` and ``surv``.
    mean, lower, upper : array-like of float, shape (n,), optional
        Posterior mean of each tank's survival and the ends of its interval: probabilities.
        ``lower`` and ``upper`` go together.
    population : float or dict of str to float, optional
        Horizontal lines: a probability, or one for each label. The labels stand beside the lines;
        a line whose label is in ``legend`` gets the colour from there.
    colors : colour or sequence of n colours, optional
        One colour for all tanks, or one for each.
    markers : str or sequence of n markers, optional
        Shapes of the points. Without it, each colour gets a shape of its own, so that colour is
        never the only sign.
    legend : dict of str to colour, or False, optional
        What the colours mean, one entry for each colour in ``colors``; ``False`` for no legend.
    interval : str
        Name of the interval in the legend; say which kind it is.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If a column is missing, lengths differ, a value is no probability, only one end of the
        intervals is given, or the legend and the colours do not belong together.
    """
    for column in ("density", "surv"):
        if column not in frogs:
            raise ValueError(
                f"the table has no column {column!r}; load it with load_data('reedfrogs')"
            )
    if (lower is None) != (upper is None) or (lower is not None and mean is None):
        raise ValueError("mean, lower and upper go together: give all three, or the mean alone")
    density = np.asarray(frogs["density"])
    tank = np.arange(1, len(frogs) + 1)
    share = np.asarray(frogs["surv"]) / density
    if population is None:
        lines = {}
    elif hasattr(population, "items"):
        lines = {str(name): float(value) for name, value in population.items()}
    else:
        lines = {f"population {float(population):.2f}": float(population)}
    estimates = {"mean": mean, "lower": lower, "upper": upper}
    estimates = {name: values for name, values in estimates.items() if values is not None}
    _check_probabilities(**estimates, **{f"population[{k!r}]": [v] for k, v in lines.items()})
    if estimates:
        _same_length(frogs=tank, **estimates)

    n = len(tank)
    if colors is None:
        raw_colors, model_colors, kinds = [BLUE] * n, [RED] * n, []
    else:
        given = [mcolors.to_hex(color) for color in _colors_of(colors, n)]
        raw_colors = model_colors = given if len(given) == n else given * n
        kinds = list(dict.fromkeys(given))
    if markers is None:
        if len(kinds) > len(_MARKERS):
            raise ValueError(f"{len(kinds)} colours need shapes of their own: give markers, too")
        shapes = [_MARKERS[kinds.index(c)] for c in raw_colors] if kinds else ["o"] * n
    else:
        shapes = [markers] * n if isinstance(markers, str) else list(markers)
    if len(shapes) != n:
        raise ValueError(f"lengths differ: frogs has {n}, markers has {len(shapes)}")
    meaning = {name: mcolors.to_hex(color) for name, color in (legend or {}).items()}
    if meaning and sorted(meaning.values()) != sorted(kinds):
        raise ValueError(
            f"legend explains {_listed(meaning.values())}, but colors holds"
            f" {_listed(kinds) or 'none'}; give each colour one entry"
        )

    ax = _axes(ax)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlim(0, n + 1)
    _mark_densities(ax, density)
    for (name, value), dashes in zip(lines.items(), _DASHES * len(lines), strict=False):
        ax.axhline(value, color=meaning.get(name, _DARK), linestyle=dashes, linewidth=2, zorder=1.9)
    _label_lines(ax, {name: (value, meaning.get(name, _DARK)) for name, value in lines.items()})
    if lower is not None:
        plot_errorbar(
            tank, mean, lower, upper, ax=ax, color=model_colors, width=6, alpha=0.3, marker=None
        )
    for shape in dict.fromkeys(shapes):
        of = np.flatnonzero([each == shape for each in shapes])
        observed = [raw_colors[i] for i in of]
        ax.scatter(
            tank[of], share[of], s=4.8**2, marker=shape, color=observed, linewidths=0, zorder=3
        )
        if mean is not None:
            plot_scatter(
                tank[of],
                np.asarray(mean, dtype=float)[of],
                ax=ax,
                color=[model_colors[i] for i in of],
                marker=shape,
                size=8,
                linewidth=1.5,
                zorder=4,
            )

    ax.set_xlabel("tank")
    ax.set_ylabel("share that survived")
    if n == 48:
        ax.set_xticks([1, 8, 16, 24, 32, 40, 48])
    ax.grid(visible=False, axis="x")
    if legend is not False and (mean is not None or meaning):
        # Where colours tell groups apart, the kinds of point are explained without colour.
        raw, model = (_DARK, _DARK) if len(kinds) > 1 else (raw_colors[0], model_colors[0])
        handles = [
            _handle(name, color, shapes[raw_colors.index(color)], filled=True)
            for name, color in meaning.items()
        ]
        handles.append(_handle("observed", raw, "o", filled=True))
        if mean is not None:
            handles.append(_handle("posterior mean", model, "o"))
        if lower is not None:
            bar = {"color": model, "linewidth": 6, "alpha": 0.3, "solid_capstyle": "round"}
            handles.append(Line2D([], [], label=interval, **bar))
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            ncols=len(handles) if len(handles) < 4 else 3,
            frameon=False,
            handletextpad=0.5,
            columnspacing=1.4,
        )
    return ax


def _mark_densities(ax, density):
    """Dividers halfway between tanks of different density, and a label over each run of tanks."""
    starts = np.flatnonzero(np.diff(density, prepend=np.nan))
    for start, end in zip(starts, [*starts[1:], len(density)], strict=True):
        if start:
            ax.axvline(start + 0.5, color="#8a8a8a", linewidth=1.2, zorder=1)
        value = density[start]
        known = len(starts) == len(_DENSITY_WORDS) and value in _DENSITY_WORDS
        ax.annotate(
            f"{_DENSITY_WORDS[value]} ({value})" if known else f"density {value}",
            ((start + end + 1) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize="small",
        )


def _label_lines(ax, lines):
    """Labels of horizontal lines in the right margin, moved apart where they would overlap."""
    below = -np.inf
    for name, (value, color) in sorted(lines.items(), key=lambda item: item[1][0]):
        text = textwrap.fill(name, 12)
        half = 0.035 * (text.count("\n") + 1)
        place = max(value, below + half)
        below = place + half
        ax.annotate(
            text,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize="small",
            annotation_clip=False,
        )


def _handle(label, color, marker, *, filled=False):
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=6 if filled else 8,
        markerfacecolor=color if filled else "none",
        markeredgecolor=color,
        markeredgewidth=0 if filled else 1.5,
        label=label,
    )


def _axes(ax):
    """Return the given axes, or those of a new figure (never the current ones)."""
    return plt.subplots()[1] if ax is None else ax


def _same_length(*, gaps=False, **arrays):
    """One-dimensional float arrays of the same length; ``gaps`` allows NaN."""
    out = {}
    for name, values in arrays.items():
        try:
            out[name] = np.atleast_1d(np.asarray(values, dtype=float))
        except (TypeError, ValueError):
            raise ValueError(f"{name} holds something that is not a number") from None
        if out[name].ndim != 1:
            raise ValueError(f"{name} has the shape {out[name].shape}; give one row of values")
    lengths = {name: len(values) for name, values in out.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"lengths differ: {listed}; give one value for each point")
    for name, values in out.items():
        bad = np.isinf(values) if gaps else ~np.isfinite(values)
        for i in np.flatnonzero(bad)[:1]:
            raise ValueError(
                f"{name}[{i}] is {values[i]:g}, which cannot be drawn; leave such points out"
            )
    return out.values()


def _colors_of(color, n):
    """List with one colour for all n points, or with one for each."""
    if mcolors.is_color_like(color):
        return [color]
    if color is None or isinstance(color, str):
        raise ValueError(f"{color!r} is not a colour")
    colors = list(color)
    if len(colors) != n:
        raise ValueError(f"lengths differ: there are {n} points, color has {len(colors)}")
    for i, each in enumerate(colors):
        if not mcolors.is_color_like(each):
            raise ValueError(f"color[{i}] = {each!r} is not a colour")
    return colors


def _check_probabilities(**arrays):
    for name, values in arrays.items():
        values = np.atleast_1d(_real_values(name, values))
        outside = np.flatnonzero((values < 0) | (values > 1))
        if outside.size:
            raise ValueError(
                f"{name} holds {values.flat[outside[0]]:g}, which is no probability; turn log-odds"
                " into probabilities with invlogit"
            )


# --- 5. Display --------------------------------------------------------------

_WIDGETS = Path(__file__).resolve().parent / "widgets"


def say(text: str) -> None:
    """Show a sentence as Markdown output, so that its numbers come from the computation.

    Parameters
    ----------
    text : str
        Markdown. Line breaks and indentation of a triple-quoted string are folded away, so a
        long sentence can be wrapped in the source; a blank line starts a new paragraph.
    """
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    folded = "\n\n".join(paragraphs)
    display({"text/markdown": folded, "text/plain": folded}, raw=True)


def check_claim(
    statement: str,
    estimate: float,
    standard_error: float,
    *,
    above: float | None = None,
    below: float | None = None,
    within: float | None = None,
    margin: float = 2.0,
) -> None:
    """Assert a statement of the text and print it with its margin in standard errors.

    Exactly one of `above`, `below` and `within` says what is claimed.

    Parameters
    ----------
    statement : str
        The claim as a sentence, printed before its margin.
    estimate : float
        The computed figure.
    standard_error : float
        Its standard error, in the same unit.
    above, below : float, optional
        The figure lies above (below) this value by `margin` standard errors or more.
    within : float, optional
        The figure lies within `margin` standard errors of this value: the data do not tell
        the two apart. `margin` is then an upper bound.
    margin : float
        Number of standard errors.

    Raises
    ------
    AssertionError
        The computation no longer supports the statement.
    ValueError
        Not exactly one of `above`, `below`, `within`; a standard error that is not positive.
    """
    given = {
        k: v for k, v in (("above", above), ("below", below), ("within", within)) if v is not None
    }
    if len(given) != 1:
        raise ValueError(f"Give exactly one of above, below, within; got {sorted(given) or None}.")
    if not (np.isfinite(estimate) and np.isfinite(standard_error) and standard_error > 0):
        raise ValueError(
            f"estimate and standard_error must be finite and the latter positive; got {estimate!r} "
            f"and {standard_error!r}."
        )
    (kind, reference), *_ = given.items()
    distance = (estimate - reference) / standard_error
    holds = {
        "above": distance >= margin,
        "below": distance <= -margin,
        "within": abs(distance) <= margin,
    }[kind]
    if not holds:
        raise AssertionError(
            f"The text says: {statement!r} ({kind} {reference:g}, margin {margin:g} standard "
            f"errors), but the computed figure is {estimate:.4g} with standard error "
            f"{standard_error:.2g}, {distance:+.1f} standard errors away. Change the sentence, "
            "not the margin."
        )
    where = {
        "above": f"{abs(distance):.1f} standard errors above {reference:g}",
        "below": f"{abs(distance):.1f} standard errors below {reference:g}",
        "within": f"{abs(distance):.1f} standard errors from {reference:g}",
    }[kind]
    _record("claim", statement=statement, estimate=estimate, standard_error=standard_error)
    say(f"✓ {statement} Computed: {estimate:.3g} ± {standard_error:.2g}, {where}.")


def progress[T](
    items: Iterable[T], *, label: str, total: int | None = None, initial: int = 0
) -> Iterator[T]:
    """Yield `items` and show how many are done, in JupyterLab and in a terminal.

    One line is rewritten in place and ends as "20 of 20 label", so an executed notebook keeps
    a sentence and no debris of a bar. Work that takes long shows how much time is left.

    Parameters
    ----------
    items : iterable
    label : str
        What is counted, in the plural: "fits".
    total : int, optional
        Number of all items, for an iterable that does not know its own; it is then taken item by
        item and not read in advance.
    initial : int
        How many were done before, and are not among `items`.
    """
    if total is None:
        items = list(items)
        total = initial + len(items)
    show = _notebook_line() if _in_notebook() else _terminal_line()
    first = shown = time.monotonic()
    done = initial
    show(f"{done} of {total} {label}")
    try:
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if done == initial + 1:
                first = now  # what goes before it, a start of processes say, is not repeated
            if now - shown >= 0.2 and done < total:
                shown = now
                left = (now - first) / max(done - initial - 1, 1) * (total - done)
                show(f"{done} of {total} {label}" + (f", {_duration(left)}" if left > 5 else ""))
    finally:  # also where the work failed or was interrupted
        show(f"{done} of {total} {label}", last=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _in_notebook() -> bool:
    return hasattr(get_ipython(), "kernel")


def _notebook_line() -> Callable[..., None]:
    handles: list = []

    def show(text: str, *, last: bool = False) -> None:
        line = {"text/plain": text}
        if handles:
            handles[0].update(line, raw=True)
        elif (handle := display(line, raw=True, display_id=True)) is not None:
            handles.append(handle)

    return show


def _terminal_line() -> Callable[..., None]:
    def show(text: str, *, last: bool = False) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)

    return show


def tank_scrubber(
    frogs: pd.DataFrame,
    survival: Mapping[float, Mapping[str, ArrayLike]],
    median: Mapping[float, float],
) -> None:
    """Show a living figure: a slider over sigma, and how the tanks' estimates move with it.

    It needs no kernel, only a page that runs scripts; the still figure that a cell shows
    before it stands for it elsewhere.

    Parameters
    ----------
    frogs : pandas.DataFrame
        The n tanks, with columns ``density`` and ``surv``.
    survival : mapping of float to mapping
        For each sigma the ``mean``, ``lower`` and ``upper`` of each tank's survival, shape (n,):
        probabilities.
    median : mapping of float to float
        For each sigma the survival in the median tank, a probability.

    Raises
    ------
    ValueError
        `survival` and `median` are not of the same sigmas, or a number is not finite.
    """
    if list(survival) != list(median):
        raise ValueError("survival and median must hold the same sigmas in the same order.")

    def rounded(values: ArrayLike) -> list[float]:
        return np.round(np.asarray(values, float), 3).tolist()

    density = frogs["density"].to_numpy()
    first = np.flatnonzero(np.r_[True, np.diff(density) != 0])
    last = np.r_[first[1:] - 1, len(density) - 1]
    data = {
        "sigma": rounded(list(survival)),
        "raw": rounded(frogs["surv"] / density),
        "median": rounded(list(median.values())),
        "blocks": [
            {"first": int(a), "last": int(b), "label": f"{density[a]} tadpoles"}
            for a, b in zip(first, last, strict=True)
        ],
        "start": len(survival) // 3,
        **{
            key: [rounded(shown[key]) for shown in survival.values()]
            for key in ("mean", "lower", "upper")
        },
    }
    template = (_WIDGETS / "tank_scrubber.html").read_text(encoding="utf-8")
    page = template.replace("__DATA__", json.dumps(data, separators=(",", ":"), allow_nan=False))
    display(
        {"text/html": page, "text/plain": "A slider over sigma, where scripts run."},
        metadata={"course": {"role": "living"}},
        raw=True,
    )


def shrinkage_explorer(alpha_bar: float, *, sigma: float = 1.5) -> None:
    """Show a living figure: what the population makes of one classroom, given three sliders.

    The sliders are the size of the classroom N, the number S who passed, and sigma. Beside the
    raw share S/N and the median classroom, ``invlogit(alpha_bar)``, stands the estimate: the mean
    of p = invlogit(alpha) given S ~ Binomial(N, p) and alpha ~ Normal(alpha_bar, sigma), which
    the page itself integrates by a trapezoidal sum. It needs no kernel, only a page that runs
    scripts; the still figure that a cell shows before it stands for it elsewhere.

    Parameters
    ----------
    alpha_bar : float
        Mean of the population, in log-odds from -8 to 8; two decimals of it are used, as shown.
    sigma : float
        Standard deviation of the population at which the slider starts, in log-odds, from 0.1
        to 4; the slider takes the nearest of its 51 values.

    Raises
    ------
    ValueError
        A number lies outside its range.
    """
    if not -8 <= alpha_bar <= 8:
        raise ValueError(f"alpha_bar must be log-odds from -8 to 8, not {alpha_bar}.")
    if not 0.1 <= sigma <= 4:
        raise ValueError(f"sigma must be from 0.1 to 4, as on its slider, not {sigma}.")
    data = {
        "alpha_bar": round(float(alpha_bar), 2) + 0.0,
        "start": {"N": 5, "S": 1, "sigma": round(float(sigma), 3)},
    }
    _show_living("shrinkage_explorer", data, "Sliders over a classroom, where scripts run.")


def point_explorer(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    label: str,
    columns: Mapping[str, str],
    groups: str | None = None,
    interval: tuple[str, str] | None = None,
    raw: str | None = None,
    title: str,
    alt: str,
    digits: int = 2,
) -> None:
    """Show a living figure: a scatter chart that tells the numbers of the point one points at.

    By mouse, by touch, or with the arrow keys, from point to point in the order of `x`. The same
    numbers stand in a table below, folded. It needs no kernel, only a page that runs scripts;
    the still figure that a cell shows before it stands for it elsewhere.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a point, at most 400.
    x, y : str
        Columns of finite numbers: where the points are.
    label : str
        Column that names each point, each differently.
    columns : mapping of str to str
        The columns to tell of a point, in this order, and what to call each. The axes and the
        legend use the same words.
    groups : str, optional
        Column of up to four groups, each with a shape and a colour: in the order of its
        categories, if it has any, else in that of the rows.
    interval : tuple of str, optional
        Columns with the lower and the upper end of an interval of `y`.
    raw : str, optional
        Column with a second height of each point, for a small filled mark.
    title : str
        A few words above the figure.
    alt : str
        Chart type, axes and what is there, for those who do not see it.
    digits : int
        Decimals of the numbers that are not whole.

    Raises
    ------
    ValueError
        A column is missing, holds what cannot be drawn or names two points alike; there are too
        many rows or groups; or a text is empty.
    """
    needed = [x, y, label, *columns, *(c for c in (groups, raw) if c), *(interval or ())]
    for name in needed:
        if name not in table.columns:
            raise ValueError(f"The table has no column {name!r}; it has {list(table.columns)}.")
    if not 1 <= len(table) <= 400:
        raise ValueError(f"A point explorer takes 1 to 400 rows, not {len(table)}.")
    if not title.strip() or not alt.strip() or not columns:
        raise ValueError("title, alt and columns must not be empty.")
    names = table[label].astype(str).tolist()
    if len(set(names)) < len(names):
        twice = table[label].astype(str)[table[label].astype(str).duplicated()].iloc[0]
        raise ValueError(f"Two rows of {label!r} are called {twice!r}; names must differ.")

    def finite(name: str) -> list[float]:
        try:
            values = table[name].to_numpy(float)
        except (TypeError, ValueError):
            raise ValueError(f"The column {name!r} must hold numbers to be drawn.") from None
        if not np.isfinite(values).all():
            raise ValueError(f"The column {name!r} must hold finite numbers to be drawn.")
        return [float(f"{value:.5g}") for value in values]

    def words(name: str) -> list[str]:
        column = table[name]
        if pd.api.types.is_float_dtype(column.dtype):
            return [f"{round(value, digits) + 0.0:.{digits}f}" for value in column.tolist()]
        return [str(value) for value in column]

    data = {
        "title": title.strip(),
        "alt": " ".join(alt.split()),
        "label": columns.get(label, label),
        "x_heading": columns.get(x, x),
        "y_heading": columns.get(y, y),
        "names": names,
        "headings": [heading for name, heading in columns.items() if name != label],
        "cells": [
            list(row)
            for row in zip(*(words(name) for name in columns if name != label), strict=True)
        ],
        "x": finite(x),
        "y": finite(y),
    }
    if interval:
        data |= {"lower": finite(interval[0]), "upper": finite(interval[1])}
        if (np.array(data["lower"]) > data["upper"]).any():
            raise ValueError(f"{interval[0]!r} must nowhere lie above {interval[1]!r}.")
        data["interval"] = " … ".join(columns.get(name, name) for name in interval) + " …"
    if raw:
        data |= {"raw": finite(raw), "raw_heading": columns.get(raw, raw)}
    if groups:
        kinds = table[groups]
        kinds = kinds.cat.categories if hasattr(kinds, "cat") else kinds.drop_duplicates()
        kinds = kinds.tolist()
        if not len(kinds) <= 4 or table[groups].isna().any():
            raise ValueError(f"{groups!r} must name one of at most four groups in every row.")
        data |= {
            "groups": [str(kind) for kind in kinds],
            "group": [kinds.index(kind) for kind in table[groups]],
        }
    _show_living("point_explorer", data, "A chart whose points tell their numbers, with scripts.")


def _show_living(name: str, data: dict, plain: str) -> None:
    """Display a widget with its data; ``living.css`` and ``living.js`` are what widgets share."""
    page = (_WIDGETS / f"{name}.html").read_text(encoding="utf-8")
    for part in ("css", "js"):
        shared = (_WIDGETS / f"living.{part}").read_text(encoding="utf-8").rstrip("\n")
        page = page.replace(f"__LIVING_{part.upper()}__", shared)
    # A name with a "<" in it must not end the script that holds the data.
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    display(
        {"text/html": page.replace("__DATA__", content), "text/plain": plain},
        metadata={"course": {"role": "living"}},
        raw=True,
    )


# --- 6. Sampling and the convergence gate ------------------------------------

DRAWS = 2000  # a chain: with 100 parameters, R-hat <= 1.01 in every one needs room for chance
TUNE = 1000
CHAINS = 4
MAX_RHAT = 1.01  # Vehtari et al. (2021), doi:10.1214/20-BA1221
MIN_ESS = 400  # the same source: 100 a chain
MIN_BFMI = 0.3  # Betancourt (2016), arXiv:1604.00695


class ConvergenceError(RuntimeError):
    """A fit did not pass the convergence gate, or passed where it was meant to fail."""


class SamplingError(RuntimeError):
    """The sampler could not start."""


@dataclass(frozen=True)
class Convergence:
    """What the gate saw in one fit.

    Attributes
    ----------
    name : str
    chains, draws : int
    max_rhat, min_ess_bulk, min_ess_tail, min_bfmi : float
        Worst over all parameters (chains for `min_bfmi`).
    divergences : int
    problems : tuple of str
        One sentence a failed criterion, with the worst parameter; empty where all hold.
    """

    name: str
    chains: int
    draws: int
    max_rhat: float
    min_ess_bulk: float
    min_ess_tail: float
    divergences: int
    min_bfmi: float
    problems: tuple[str, ...]


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    """Rank-normalized values along the last axis, ties sharing their average rank."""
    n = draws.shape[-1]
    order = np.argsort(draws, axis=-1)
    ordered = np.take_along_axis(draws, order, axis=-1)
    # average ranks are halves of whole numbers: their quantiles come from a table
    table = special.ndtri((np.arange(2, 2 * n + 1) / 2 - 0.375) / (n + 0.25))
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(axis=-1)
    scores = np.empty(draws.shape)
    np.put_along_axis(scores, order, table[None, ::2], axis=-1)
    if tied.any():
        starts = np.ones(ordered[tied].shape, bool)
        np.not_equal(ordered[tied, 1:], ordered[tied, :-1], out=starts[:, 1:])
        ends = np.roll(starts, -1, axis=-1)
        place = np.arange(n)
        first = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
        last = np.minimum.accumulate(np.where(ends, place, n - 1)[:, ::-1], axis=-1)[:, ::-1]
        averaged = np.empty(starts.shape)
        np.put_along_axis(averaged, order[tied], table[first + last], axis=-1)
        scores[tied] = averaged
    return scores


def _effective_sizes(draws: np.ndarray) -> np.ndarray:
    """Effective sample sizes, shape (parameter,), of draws of shape (parameter, chain, draw)."""
    n_chains, n = draws.shape[1:]
    constant = np.ptp(draws, axis=(1, 2)) == 0
    if constant.any():
        sizes = np.full(len(draws), float(n_chains * n))
        sizes[~constant] = _effective_sizes(draws[~constant]) if not constant.all() else 0
        return sizes
    centred = draws - draws.mean(axis=-1, keepdims=True)
    spectrum = fft.rfft(centred, n=fft.next_fast_len(2 * n, real=True), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)  # the mean over chains is linear
    covariance = fft.irfft(power, n=fft.next_fast_len(2 * n, real=True), axis=-1)[:, :n] / n
    within = covariance[:, 0] * n / (n - 1)
    total = within * (n - 1) / n
    if n_chains > 1:
        total = total + draws.mean(axis=-1).var(axis=1, ddof=1)

    rho = np.zeros((n + 2, len(draws)))
    estimate = 1 - (within[:, None] - covariance).T / total
    rho[0], rho[1] = 1, estimate[1]
    # Geyer's initial positive sequence, all parameters in step until each has its end
    even, odd = rho[0].copy(), rho[1].copy()
    end = np.full(len(draws), -1)
    t = 1
    running = np.ones(len(draws), bool)
    while True:
        going = running & (even + odd > 0) & (t < n - 3)
        end[running & ~going] = t - 2
        running = going
        if not running.any():
            break
        even[running], odd[running] = estimate[t + 1, running], estimate[t + 2, running]
        keep = running & (even + odd >= 0)
        rho[t + 1, keep], rho[t + 2, keep] = even[keep], odd[keep]
        t += 2
    columns = np.flatnonzero(even > 0)
    rho[end[columns] + 1, columns] = even[columns]
    # Geyer's initial monotone sequence
    for t in range(1, end.max() - 1, 2):
        before = rho[t - 1] + rho[t]
        lower = (t <= end - 2) & (rho[t + 1] + rho[t + 2] > before)
        rho[t + 1, lower] = rho[t + 2, lower] = before[lower] / 2
    sums = np.cumsum(rho, axis=0)
    columns = np.arange(len(draws))
    tau = -1 + 2 * np.where(end >= 0, sums[end, columns], 0) + rho[end + 1, columns]
    size = n_chains * n
    return size / np.maximum(tau, 1 / np.log10(size))


def diagnostics(draws: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R-hat, bulk and tail effective sample size of many parameters at once.

    The same numbers as `arviz.rhat` and `arviz.ess`, which take the parameters one by one
    (a test compares them); a course that lets every one of its thousands of fits pass a gate
    needs them several times faster. The tail is that of the paper, 5% and 95%; ArviZ 1.3 looks
    at 11% and 89% unless told otherwise.

    Parameters
    ----------
    draws : array_like, shape (parameter, chain, draw)
        At least four draws a chain, and none constant.

    Returns
    -------
    rhat, ess_bulk, ess_tail : ndarray, shape (parameter,)

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), doi:10.1214/20-BA1221.
    """
    draws = np.asarray(draws, float)
    n_parameters, _, n_draws = draws.shape
    half = n_draws // 2

    def split(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[..., :half], values[..., -half:]], axis=1)

    def rhat(scores: np.ndarray) -> np.ndarray:
        between = half * scores.mean(axis=-1).var(axis=1, ddof=1)
        within = scores.var(axis=-1, ddof=1).mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # chains stuck apart: infinite
            return np.sqrt((between / within + half - 1) / half)

    halves = split(draws)
    flat = halves.reshape(n_parameters, -1)

    def of_location() -> tuple[np.ndarray, np.ndarray]:
        scores = _normal_scores(flat).reshape(halves.shape)
        return rhat(scores), _effective_sizes(scores)

    def of_scale() -> np.ndarray:
        folded = np.abs(flat - np.median(flat, axis=-1, keepdims=True))
        return rhat(_normal_scores(folded).reshape(halves.shape))

    def of_tail(probability: float) -> np.ndarray:
        quantile = np.quantile(draws.reshape(n_parameters, -1), probability, axis=-1)
        return _effective_sizes(split((draws <= quantile[:, None, None]) * 1.0))

    with ThreadPoolExecutor(2) as pool:  # sorting and transforms let go of the GIL
        location, scale = pool.submit(of_location), pool.submit(of_scale)
        lower, upper = pool.submit(of_tail, 0.05), pool.submit(of_tail, 0.95)
    rhat_location, ess_bulk = location.result()
    ess_tail = np.minimum(lower.result(), upper.result())
    # fmax: of as many zeros as ones, the distances from the median are all the same
    return np.fmax(rhat_location, scale.result()), ess_bulk, ess_tail


def _entry(posterior: xr.Dataset, position: int) -> str:
    """Name of an entry of the stacked posterior, with its coordinates."""
    for name, array in posterior.data_vars.items():
        shape = array.shape[2:]
        size = int(np.prod(shape))
        if position < size:
            index = np.unravel_index(position, shape) if shape else ()
            labels = ", ".join(
                str(array[dim].values[i] if dim in array.coords else i)
                for dim, i in zip(array.dims[2:], index, strict=True)
            )
            return f"{name}[{labels}]" if labels else str(name)
        position -= size
    raise IndexError(position)


def check_convergence(
    idata: xr.DataTree,
    *,
    name: str = "fit",
    var_names: Sequence[str] | None = None,
    constant: Collection[str] = (),
    expect_failure: str | None = None,
) -> Convergence:
    """Let a fit pass only if it has converged.

    R-hat <= 1.01, bulk and tail effective sample size >= 400, no divergences,
    E-BFMI >= 0.3, at least four chains. nutpie's results get none of these checks from
    `pymc.sample`, so this gate stands behind every fit of the course.

    Parameters
    ----------
    idata : xarray.DataTree
        With groups `posterior` and `sample_stats`.
    name : str
        Name of the fit, for messages.
    var_names : sequence of str, optional
        Posterior variables to look at; all by default.
    constant : collection of str
        Variables that may hold entries which never vary (the diagonal of a correlation
        matrix); such entries are left out. Anywhere else a constant is a stuck sampler.
    expect_failure : str, optional
        Why this fit is *meant* to fail. The gate then lets it through, and raises if it passes.

    Returns
    -------
    Convergence

    Raises
    ------
    ConvergenceError
        Names each failed criterion, its value, the bound and the worst parameter. A fit that
        cannot be judged (stuck or infinite entries, a group that is missing) raises it whatever
        `expect_failure` says.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), Bayesian Analysis 16(2):667-718.
    """
    for group in ("posterior", "sample_stats"):
        if group not in idata.children:
            raise ConvergenceError(f"{name}: no group {group!r}; pass the result of a sampler.")
    for key in ("diverging", "energy"):
        if key not in idata["sample_stats"].data_vars:
            raise ConvergenceError(f"{name}: sample_stats holds no {key!r}; sample with NUTS.")
    posterior = idata["posterior"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if draws < 4:
        raise ConvergenceError(f"{name}: {draws} draws a chain, the gate needs 4 or more.")
    if var_names is not None:
        unknown = sorted(set(var_names) - set(posterior.data_vars))
        if unknown:
            raise ConvergenceError(
                f"{name}: {unknown[0]!r} is not in the posterior; it has "
                f"{', '.join(map(str, posterior.data_vars))}."
            )
        posterior = posterior[list(var_names)]
    if not posterior.data_vars:
        raise ConvergenceError(f"{name}: there is no variable to look at.")
    posterior = posterior.transpose("chain", "draw", ...)
    parts = [(k, v.values.reshape(chains, draws, -1)) for k, v in posterior.data_vars.items()]
    stacked = np.concatenate([part for _, part in parts], axis=2)
    may_be_fixed = np.concatenate([np.full(part.shape[2], k in constant) for k, part in parts])
    fixed = (stacked == stacked[0, 0]).all(axis=(0, 1))
    stuck = np.flatnonzero((fixed & ~may_be_fixed) | ~np.isfinite(stacked).all(axis=(0, 1)))
    if stuck.size:
        more = f" and {stuck.size - 1} more" if stuck.size > 1 else ""
        raise ConvergenceError(
            f"{name}: {_entry(posterior, stuck[0])}{more} never varies or is not a finite number: "
            "a stuck chain, or an entry that is fixed by definition. Name the latter in constant=."
        )
    varying = np.flatnonzero(~fixed)
    if not varying.size:
        raise ConvergenceError(f"{name}: there is no entry that varies.")
    rhat, bulk, tail = diagnostics(np.moveaxis(stacked[:, :, varying], 2, 0))
    max_rhat, rhat_at = float(rhat.max()), _entry(posterior, varying[rhat.argmax()])
    min_bulk, bulk_at = float(bulk.min()), _entry(posterior, varying[bulk.argmin()])
    min_tail, tail_at = float(tail.min()), _entry(posterior, varying[tail.argmin()])
    problems = []
    if chains < CHAINS:
        problems.append(f"{chains} chains, at least {CHAINS} are needed: pass chains={CHAINS}")
    divergences = int(idata["sample_stats"]["diverging"].sum())
    with np.errstate(divide="ignore", invalid="ignore"):  # constant energy: NaN, which fails
        min_bfmi = float(np.min(az.bfmi(idata)["energy"].values))
    # "not (a <= b)" so that NaN fails
    if not max_rhat <= MAX_RHAT:
        problems.append(f"R-hat {max_rhat:.3f} for {rhat_at} (at most {MAX_RHAT})")
    if not min_bulk >= MIN_ESS:
        problems.append(f"bulk ESS {min_bulk:.0f} for {bulk_at} (at least {MIN_ESS})")
    if not min_tail >= MIN_ESS:
        problems.append(f"tail ESS {min_tail:.0f} for {tail_at} (at least {MIN_ESS})")
    if divergences:
        problems.append(f"{divergences} divergences (none allowed)")
    if not min_bfmi >= MIN_BFMI:
        problems.append(f"E-BFMI {min_bfmi:.2f} (at least {MIN_BFMI})")

    if problems and expect_failure is None:
        raise ConvergenceError(
            f"{name} has not converged: {'; '.join(problems)}. Reparameterize (centred or "
            "non-centred), or draw more; another seed is no remedy."
        )
    if not problems and expect_failure is not None:
        raise ConvergenceError(
            f"{name} was meant to fail ({expect_failure}), but it passes the gate: drop "
            "expect_failure and change the text around it."
        )
    return Convergence(
        name, chains, draws, max_rhat, min_bulk, min_tail, divergences, min_bfmi, tuple(problems)
    )


def check_indices(model: pm.Model) -> None:
    """Refuse a model that reads or writes beyond the end of a variable.

    PyTensor's numba backend does no bounds checking of index arrays: an index from 1 to J, or one
    with the -1 of a missing value, is sampled without a word from memory that is not the
    parameter's; writing there kills the kernel.

    Parameters
    ----------
    model : pymc.Model

    Raises
    ------
    IndexError
        Names the index, the indexed variable, the range found and the range allowed.
    """
    random = set(model.basic_RVs)
    outputs = [*model.basic_RVs, *model.deterministics, *model.potentials]
    for variable in ancestors(outputs):
        node = variable.owner
        if node is None or not isinstance(node.op, (AdvancedSubtensor, AdvancedIncSubtensor)):
            continue
        base, *rest = node.inputs
        if isinstance(node.op, AdvancedIncSubtensor):
            rest = rest[1:]  # the first is the value that is written
        indices = indices_from_subtensor(rest, node.op.idx_list)
        for axis, index in enumerate(i for i in indices if i is not None):
            if not isinstance(index, Variable) or index.type.dtype == "bool":
                continue
            if random & set(ancestors([index])):  # a latent index: known only while sampling
                continue
            values = np.asarray(index.eval(mode="FAST_COMPILE"))
            size = base.type.shape[axis]
            if size is None:
                size = int(base.shape[axis].eval(mode="FAST_COMPILE"))
            if values.size and (values.min() < 0 or values.max() >= size):
                raise IndexError(
                    f"The index {index.name or 'array'} runs from {values.min()} to "
                    f"{values.max()}, but {base.name or 'what it points into'} has {size} "
                    f"entries, 0 to {size - 1}. Count from 0: `codes, labels = "
                    "pd.factorize(column, sort=True)`; a code of -1 marks a missing value."
                )


class CompiledModel:
    """A model compiled once, to be fitted as often as wanted.

    Compiling takes seconds, sampling a small model a fraction of one. The `pm.Data` that are to
    change between fits have to be named; all others are compiled in as constants, which halves
    the time (measured: half a second for each that stays open, unless `compile_cache` has the
    model on disk). Shapes may change only where no parameter's and no stored Deterministic's
    shape depends on them.

    Parameters
    ----------
    model : pymc.Model
    vary : sequence of str
        Names of the `pm.Data` that `fit` may give new values.
    store : sequence of str, optional
        Deterministics and parameters to keep; all by default.

    Raises
    ------
    IndexError
        From `check_indices`.
    KeyError
        A name in `vary` that is no `pm.Data` of the model, or one in `store` that is no
        parameter or Deterministic.
    """

    def __init__(
        self,
        model: pm.Model,
        *,
        vary: Sequence[str] = (),
        store: Sequence[str] | None = None,
    ):
        known = [v.name for v in model.data_vars]
        for name in vary:
            if name not in known:
                raise KeyError(f"vary: the model has no pm.Data {name!r}; it has {known}.")
        drawn = [v.name for v in (*model.free_RVs, *model.deterministics)]
        for name in store or ():
            if name not in drawn:
                raise KeyError(f"store: the model draws no {name!r}; it draws {drawn}.")
        check_indices(model)
        self.model = model
        self.vary = tuple(vary)
        self.store = None if store is None else tuple(store)
        start = time.perf_counter()
        frozen = freeze_dims_and_data(model, data=[name for name in known if name not in vary])
        self._compiled = nutpie.compile_pymc_model(
            frozen, var_names=store, initial_points=ordered_starts(frozen)
        )
        self._compile_seconds = time.perf_counter() - start

    def _set_data(self, data: Mapping[str, ArrayLike]) -> None:
        cast, resized = {}, False
        for name, value in data.items():
            if name not in self.vary:
                near = difflib.get_close_matches(name, self.vary, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise KeyError(
                    f"{name!r} was compiled in, or is no pm.Data: this compiled model may change "
                    f"{list(self.vary)}.{hint} Name it in vary= when the model is compiled."
                )
            old = self.model[name].get_value()
            new = np.asarray(value)
            try:
                with np.errstate(invalid="ignore"):  # NaN into an integer
                    cast[name] = new.astype(old.dtype)
                kept = np.array_equal(cast[name], new)
            except (TypeError, ValueError):
                kept = False
            if not kept:
                raise TypeError(
                    f"pm.Data {name!r} is compiled as {old.dtype} and would change {value!r}: "
                    "give it a value of the right type when the model is written (1.0, not 1), and "
                    "none that is missing."
                )
            resized |= new.shape != old.shape
        own = self._shapes() if resized else {}
        with self.model:
            pm.set_data(cast)
        if not resized:
            return
        try:
            shapes = self._shapes()
        except (AssertionError, ValueError) as error:
            raise ValueError(f"The new data do not fit each other: {error}") from error
        for name, shape in shapes.items():
            if shape != own[name]:
                raise ValueError(
                    f"The new data would change {name} from shape {own[name]} to {shape}, and the "
                    "former is compiled in: compile a model of its own for these data."
                )

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        kept = [v for v in self.model.deterministics if self.store is None or v.name in self.store]
        return {
            v.name: tuple(int(n) for n in v.shape.eval(mode="FAST_COMPILE"))
            for v in (*self.model.free_RVs, *kept)
        }

    def fit(
        self,
        *,
        name: str,
        random_seed: int,
        data: Mapping[str, ArrayLike] | None = None,
        draws: int = DRAWS,
        tune: int = TUNE,
        chains: int = CHAINS,
        target_accept: float | None = None,
        gate: Sequence[str] | None = None,
        constant: Collection[str] = (),
        expect_failure: str | None = None,
    ) -> xr.DataTree:
        """Sample with nutpie and pass the convergence gate.

        Parameters
        ----------
        name : str
            Name of the fit, for messages and the record.
        random_seed : int
        data : mapping, optional
            Values of `pm.Data` variables for this fit; afterwards the model holds its own again.
        draws, tune, chains : int
            `draws` and `tune` count a chain.
        target_accept : float, optional
        gate : sequence of str, optional
            Variables that the gate looks at; all that are stored by default. For repeated fits,
            where an auxiliary variable says the same as the one that is used.
        constant, expect_failure
            See `check_convergence`.

        Returns
        -------
        xarray.DataTree
            Posterior, sample statistics, observed and constant data. What the gate saw is in
            `attrs["convergence"]` of the root.

        Raises
        ------
        ConvergenceError, SamplingError, KeyError, TypeError, ValueError, IndexError
        """
        seed = _as_seed(random_seed)
        own = {v.name: v.get_value() for v in self.model.data_vars}
        try:
            if data:
                self._set_data(data)
                check_indices(self.model)
            idata, seconds = self._sample(name, seed, draws, tune, chains, target_accept)
        finally:
            with self.model:
                pm.set_data({key: own[key] for key in data or () if key in own})
        start = time.perf_counter()
        convergence = check_convergence(
            idata, name=name, var_names=gate, constant=constant, expect_failure=expect_failure
        )
        idata.attrs["convergence"] = convergence
        _record(
            "fit",
            name=name,
            model=_model_id(self.model),
            seconds={
                "compile": self._compile_seconds,
                "sample": seconds,
                "check": time.perf_counter() - start,
            },
            draws=draws,
            chains=chains,
            seed=seed,
            max_rhat=convergence.max_rhat,
            min_ess=min(convergence.min_ess_bulk, convergence.min_ess_tail),
            divergences=convergence.divergences,
            min_bfmi=convergence.min_bfmi,
            expected_failure=expect_failure,
        )
        self._compile_seconds = 0.0  # counted with the first fit only
        if _keeps_estimates():
            posterior = idata["posterior"].to_dataset()
            kept = posterior if gate is None else posterior[list(gate)]
            record_estimates(name, {str(k): v for k, v in kept.data_vars.items()})
        return idata

    def _sample(
        self,
        name: str,
        seed: int,
        draws: int,
        tune: int,
        chains: int,
        target_accept: float | None,
    ) -> tuple[xr.DataTree, float]:
        options = {} if target_accept is None else {"target_accept": target_accept}
        # pm.Data that no density reads are not compiled in
        used = {v.name for v in self._compiled.shared_var_keys}
        values = {name: self.model[name].get_value() for name in self.vary if name in used}
        compiled = self._compiled.with_data(**values) if values else self._compiled
        start = time.perf_counter()
        try:
            idata = nutpie.sample(
                compiled,
                draws=draws,
                tune=tune,
                chains=chains,
                # as pymc.sample makes nutpie's seed of its own
                seed=int(np.random.default_rng(seed).spawn(chains)[0].integers(2**30)),
                progress_bar=False,
                save_warmup=False,
                **options,
            )
        except RuntimeError as error:
            raise SamplingError(_explain_start(self.model, name)) from error
        sampling_seconds = time.perf_counter() - start
        patch_nutpie_idata(idata, self.model, sampling_time=sampling_seconds)
        return idata, sampling_seconds


def fit(
    model: pm.Model,
    *,
    name: str,
    random_seed: int,
    store: Sequence[str] | None = None,
    **options,
) -> xr.DataTree:
    """Compile a model, sample it, pass the convergence gate; see `CompiledModel.fit`.

    Parameters
    ----------
    model : pymc.Model
    name : str
    random_seed : int
    store : sequence of str, optional
        See `CompiledModel`.
    **options
        Of `CompiledModel.fit`.

    Returns
    -------
    xarray.DataTree
    """
    return CompiledModel(model, store=store).fit(name=name, random_seed=random_seed, **options)


def ordered_starts(model: pm.Model) -> dict[str, np.ndarray]:
    """Where ordered variables start whose prior would start them all at one value.

    There the log-probability is minus infinity, and no sampler gets away.

    Parameters
    ----------
    model : pymc.Model

    Returns
    -------
    dict of str to ndarray
        By name of the variable, on its own scale; empty where none needs it.
    """
    starts = {}
    for variable, transform in model.rvs_to_transforms.items():
        if isinstance(transform, Ordered):
            centre = np.asarray(support_point(variable).eval(mode="FAST_COMPILE"))
            if not (np.diff(centre) > 0).all():
                starts[variable.name] = np.sort(centre) + np.linspace(-1, 1, centre.shape[-1])
    return starts


def _as_seed(random_seed: int) -> int:
    if isinstance(random_seed, bool) or not isinstance(random_seed, (int, np.integer)):
        raise TypeError(
            f"random_seed must be an integer, got {random_seed!r}: every fit has a seed, pass "
            "random_seed=RANDOM_SEED."
        )
    return int(random_seed)


def _explain_start(model: pm.Model, name: str) -> str:
    try:
        logps = model.point_logps()
    except (IndexError, TypeError, ValueError) as error:
        return (
            f"{name}: the sampler found no place to start, because the model cannot be evaluated: "
            f"{str(error).rstrip('.')}. Look for data of different lengths and for an index beyond "
            "the end."
        )
    bad = [key for key, value in logps.items() if not np.isfinite(value)]
    if bad:
        return (
            f"{name}: the sampler found no place to start, because the log-probability of "
            f"{', '.join(bad)} is not finite there. Look for data outside the support (more "
            "successes than trials, ratings counted from 1) and for equal cutpoints."
        )
    return (
        f"{name}: the sampler found no place to start, though every log-probability is finite at "
        "the model's initial point. Its own message stands above."
    )


# --- 7. Formula check --------------------------------------------------------

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega"
).split()
_LINKS = {"logit": special.expit, "log": np.exp, "identity": lambda value: value}
_FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "invlogit": special.expit,
    "logit": special.logit,
}
_DISTRIBUTIONS = {"OrderedLogit": "OrderedLogistic"}  # formula's word: PyMC's class
_TAKES_VECTORS = {
    "OrderedLogit",
    "OrderedLogistic",
    "OrderedMultinomial",
    "Dirichlet",
    "Categorical",
    "MvNormal",
}
_CHANGED_COLOUR = "#D6336C"  # 4.6:1 on white, 4.1:1 on JupyterLab's dark ground; words say it too
_formulas: dict[str, dict[str, str]] = {}


class FormulaError(ValueError):
    """A displayed formula and its model disagree."""


@dataclass(frozen=True)
class _Line:
    """One line of a formula: `lhs ~ Distribution(...)[, ordered]` or `link(lhs) = expression`."""

    text: str
    name: str
    index: tuple[str, ...]
    link: str | None  # None: stochastic
    expression: ast.expr
    ordered: bool = False  # entries of a vector increase


def _parse_line(text: str) -> _Line:
    stochastic = "~" in text
    left, separator, right = text.partition("~" if stochastic else "=")
    ordered = stochastic and bool(re.search(r",\s*ordered\s*$", right))
    if ordered:
        right = right[: right.rindex(",")]
    try:
        target = ast.parse(left.strip(), mode="eval").body
        expression = ast.parse(right.strip(), mode="eval").body
    except SyntaxError:
        separator = ""
    if not separator:
        raise FormulaError(
            f"Cannot read the line {text!r}: write `name[index] ~ Distribution(...)` or "
            "`link(name[index]) = expression`."
        )
    if any(
        isinstance(x, (ast.keyword, ast.Starred)) for s in (target, expression) for x in ast.walk(s)
    ):
        raise FormulaError(
            f"In {text!r}, write the parameters without their names, in the order of PyMC."
        )
    link = None
    if not stochastic:
        link = "identity"
        if isinstance(target, ast.Call):
            link = ast.unparse(target.func)
            if link not in _LINKS:
                raise FormulaError(f"Unknown link {link!r} in {text!r}; known: {sorted(_LINKS)}.")
            if len(target.args) != 1:
                raise FormulaError(f"The link {link} is of one name: {text!r}.")
            target = target.args[0]
    elif not isinstance(expression, ast.Call):
        raise FormulaError(f"Right of ~ there must be a distribution: {text!r}.")
    index: tuple[str, ...] = ()
    if isinstance(target, ast.Subscript):
        parts = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
        index, target = tuple(ast.unparse(part) for part in parts), target.value
        if not all(part.isidentifier() for part in index) or len(set(index)) < len(index):
            raise FormulaError(f"Left of ~ or =, each index is a letter of its own: {text!r}.")
    if not isinstance(target, ast.Name):
        raise FormulaError(f"Left of ~ or = there must be one name: {text!r}.")
    return _Line(text, target.id, index, link, expression, ordered)


def _latex_name(name: str) -> str:
    base, *subs = name.removesuffix("_").split("_")  # lambda_ is no keyword
    head = f"\\{base}" if base in _GREEK else base if len(base) == 1 else f"\\text{{{base}}}"
    if subs and subs[0] == "bar":
        head, subs = f"\\bar{{{head}}}", subs[1:]
    return head + (f"_{{{''.join(subs)}}}" if subs else "")


def _latex(node: ast.expr, level: int = 0) -> str:
    """LaTeX of an expression; `level` is the binding strength that the context asks for."""
    match node:
        case ast.Constant(value=int() | float() as value):
            digits, _, exponent = f"{value:.15g}".partition("e")
            if not exponent:
                return digits
            number = f"{digits} \\times 10^{{{int(exponent)}}}"
            return f"({number})" if level > 2 else number
        case ast.Name(id=name):
            return _latex_name(name)
        case ast.Subscript(value=value, slice=index):
            parts = index.elts if isinstance(index, ast.Tuple) else [index]
            inside = ", ".join(_latex_index(part) for part in parts)
            name = _latex(value)
            # a name with a subscript of its own: beta_P[i] -> \beta_{P, i}
            if name.endswith("}") and "_{" in name:
                return f"{name[:-1]}, {inside}}}"
            return f"{name}_{{{inside}}}"
        case ast.Call(func=func, args=args):
            return f"\\text{{{ast.unparse(func)}}}({', '.join(_latex(a) for a in args)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(-{_latex(operand, 3)})" if level > 2 else f"-{_latex(operand, 3)}"
        case ast.BinOp(left=left, op=op, right=right):
            if isinstance(op, (ast.Div, ast.Pow)):
                if isinstance(op, ast.Div):
                    inner = f"\\frac{{{_latex(left)}}}{{{_latex(right)}}}"
                else:
                    inner = f"{_latex(left, 4)}^{{{_latex(right)}}}"
                return f"({inner})" if level > 3 else inner
            own, sign = {ast.Add: (1, " + "), ast.Sub: (1, " - "), ast.Mult: (2, "\\, ")}[type(op)]
            after = 3 if isinstance(right, ast.UnaryOp) else own + isinstance(op, ast.Sub)
            inner = f"{_latex(left, own)}{sign}{_latex(right, after)}"
            return f"({inner})" if own < level else inner
    raise FormulaError(f"Cannot typeset {ast.unparse(node)!r} in a formula.")


def _latex_index(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return f"{_latex(node.value)}[{_latex_index(node.slice)}]"
    return _latex(node)


def _names(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


class _FormulaValues:
    """Values of all names of a formula at one random point of the parameter space."""

    def __init__(self, model: pm.Model, lines: Sequence[_Line], symbols: Mapping[str, str]):
        self.model, self.symbols = model, symbols
        self.lines = {line.name: line for line in lines}
        rng = np.random.default_rng(20231112)
        shapes = model.eval_rv_shapes()
        self.parameters = {
            rv: rng.uniform(0.2, 0.8, size=tuple(shapes[rv.name])).astype(rv.dtype)
            for rv in model.free_RVs
        }
        for rv in self.parameters:
            if isinstance(model.rvs_to_transforms[rv], Ordered):
                self.parameters[rv].sort(axis=-1)
        # real-valued data that the formula names at random too: at 1, sigma and sigma**w are one
        rights = {symbols.get(name, name) for line in lines for name in _names(line.expression)}
        # an observed variable on the right stands for the data that it observes
        self.observed = {rv.name: model.rvs_to_values[rv] for rv in model.observed_RVs}
        rights |= {self.observed[name].name for name in rights & set(self.observed)}
        lefts = {symbols.get(line.name, line.name) for line in lines}
        self.data = {
            data: rng.uniform(0.2, 0.8, size=data.get_value().shape).astype(data.dtype)
            for data in model.data_vars
            if np.issubdtype(data.dtype, np.floating) and data.name in rights - lefts
        }
        self.open: set[str] = set()
        self.cache: dict[str, np.ndarray] = {}

    def in_model(self, name: str):
        return self.model.named_vars.get(self.symbols.get(name, name))

    def at_point(self, outputs: Sequence[Variable], without: Variable | None = None):
        point = self.parameters | self.data
        fixed = {v: pt.as_tensor(value) for v, value in point.items() if v is not without}
        clones = clone_replace(list(outputs), replace=fixed, rebuild_strict=False)
        return [np.asarray(clone.eval(mode="FAST_COMPILE")) for clone in clones]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.cache:
            variable = self.in_model(name)
            line = self.lines.get(name)
            if line is not None and line.link is not None:
                if name in self.open:
                    raise FormulaError(f"The line {line.text!r} needs its own value.")
                self.open.add(name)
                value = np.asarray(_LINKS[line.link](self.evaluate(line.expression, line)))
                value = value.reshape((1,) * (len(line.index) - value.ndim) + value.shape)
            elif variable in self.parameters:
                value = self.parameters[variable]
            elif variable in self.data:
                value = self.data[variable]
            elif variable is not None and variable in self.model.data_vars:
                value = variable.get_value()
            elif variable is not None and variable.name in self.observed:
                seen = self.observed[variable.name]
                value = self.data[seen] if seen in self.data else seen.eval(mode="FAST_COMPILE")
            else:
                known = ", ".join(self.model.named_vars)
                raise FormulaError(
                    f"{name!r} of the formula is no parameter or pm.Data of the model, which "
                    f"has {known}. Use the model's name, or say symbols={{{name!r}: ...}}."
                )
            self.cache[name] = np.asarray(value)
        return self.cache[name]

    def evaluate(self, node: ast.expr, line: _Line, whole: bool = False) -> np.ndarray:
        """Value of an expression, with an axis for each index of its line.

        `whole` allows a vector: a name without an index, or a last index of its own.
        """
        match node:
            case ast.Constant(value=int() | float() as value):
                return np.asarray(value)
            case ast.Name(id=name):
                value = self[name]
                if value.ndim and not whole:
                    raise FormulaError(
                        f"In {line.text!r}, {name} has {value.size} entries: give it an index."
                    )
                return value
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                value = self[name]
                parts = index.elts if isinstance(index, ast.Tuple) else [index]
                if len(parts) != value.ndim:
                    raise FormulaError(
                        f"In {line.text!r}, {name} is written with {len(parts)} indices, but "
                        f"the model's has {value.ndim} dimensions."
                    )
                last = parts[-1]
                if whole and isinstance(last, ast.Name) and self.in_model(last.id) is None:
                    line = replace(line, index=tuple(dict.fromkeys([*line.index, last.id])))
                places = [
                    self.places(part, size, line)
                    for part, size in zip(parts, value.shape, strict=True)
                ]
                try:
                    return value[tuple(places)]
                except IndexError as error:
                    raise FormulaError(
                        f"In {line.text!r}, an index of {name} does not fit: {error}."
                    ) from error
            case ast.Call(func=ast.Name(id=function), args=[arg]) if function in _FUNCTIONS:
                return _FUNCTIONS[function](self.evaluate(arg, line))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.evaluate(operand, line)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self.evaluate(left, line), self.evaluate(right, line)
                operations = {
                    ast.Add: np.add,
                    ast.Sub: np.subtract,
                    ast.Mult: np.multiply,
                    ast.Div: np.divide,
                    ast.Pow: np.power,
                }
                if type(op) in operations:
                    try:
                        return operations[type(op)](a, b)
                    except ValueError:
                        raise FormulaError(
                            f"In {line.text!r}, {ast.unparse(left)} and {ast.unparse(right)} are "
                            f"of shapes {a.shape} and {b.shape}: an index is missing or wrong."
                        ) from None
        raise FormulaError(f"Cannot evaluate {ast.unparse(node)!r} in {line.text!r}.")

    def places(self, part: ast.expr, size: int, line: _Line) -> np.ndarray:
        """Entries of one axis that an index means, along the axes of the line's indices."""
        if isinstance(part, ast.Name) and part.id in line.index:
            own = line.index.index(part.id)
            return np.arange(size).reshape([-1 if k == own else 1 for k in range(len(line.index))])
        if isinstance(part, ast.Name) and self.in_model(part.id) is None:
            raise FormulaError(
                f"In {line.text!r}, the index {part.id} does not stand on the left: write it "
                f"there too, as in {line.name}[{part.id}]."
            )
        return self.evaluate(part, line)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        # rtol: to PyTensor, 1/3 is a number of single precision
        return np.allclose(*np.broadcast_arrays(a, b), rtol=1e-6, atol=1e-12)
    except ValueError:
        return False


def _check_formula(model: pm.Model, lines: Sequence[_Line], symbols: Mapping[str, str]) -> None:
    code_name = {line.name: symbols.get(line.name, line.name) for line in lines}
    if model.potentials:
        raise FormulaError(
            f"The model holds a pm.Potential ({model.potentials[0].name}), which no line of a "
            "formula can show: write it as a distribution."
        )
    written = {code_name[line.name] for line in lines}
    for variable in [*model.basic_RVs, *model.deterministics]:
        if variable.name not in written:
            raise FormulaError(
                f"The model has {variable.name}, the formula has not: add its line to the formula."
            )
    values = _FormulaValues(model, lines, symbols)
    used = {name for line in lines for name in _names(line.expression)}
    for line in reversed(lines):  # a wrong value is told where it arises, not where it is used
        variable = values.in_model(line.name)
        if line.link is not None:
            if variable is None:
                values[line.name]  # an intermediate name: it must at least have a value
                if line.name not in used:
                    raise FormulaError(
                        f"The formula has `{line.text}`, but no other line uses {line.name} and "
                        "the model has none: take the line out."
                    )
                continue
            _check_indices_of(line, variable.ndim, variable.ndim)
            (in_code,) = values.at_point([variable])
            if not _same(in_code, values[line.name]):
                raise FormulaError(
                    f"Formula and code disagree: the formula says `{line.text}`, but "
                    f"{variable.name} of the model has another value. Change one of the two."
                )
            continue
        if variable is None or variable not in model.basic_RVs:
            raise FormulaError(
                f"The formula has `{line.text}`, the model has no such random variable: add it to "
                "the code or take the line out."
            )
        vector = variable.ndim - variable.owner.op.ndim_supp  # without the axes of one draw
        _check_indices_of(line, vector, variable.ndim)
        _check_order_of(line, model, variable)
        assert isinstance(line.expression, ast.Call)
        word = ast.unparse(line.expression.func)
        distribution = getattr(pm, _DISTRIBUTIONS.get(word, word), None)
        if distribution is None or not hasattr(distribution, "dist"):
            raise FormulaError(f"{word!r} in `{line.text}` is no distribution of PyMC.")
        whole = word in _TAKES_VECTORS
        arguments = [values.evaluate(a, line, whole=whole) for a in line.expression.args]
        node = variable.owner
        if type(node.op).__name__ == word:  # a distribution of the course, as ordered_logit has
            in_code = values.at_point(node.op.dist_params(node), without=variable)
            _compare_parameters(line, variable, arguments, in_code)
            continue
        expected = _draw_from(distribution, arguments, line, variable.shape).owner
        if type(expected.op) is not type(node.op):
            raise FormulaError(
                f"Formula and code disagree: the formula says `{line.text}`, the code draws "
                f"{variable.name} from {type(node.op).__name__.removesuffix('RV')}. Change one "
                "of the two."
            )
        in_formula = [
            np.asarray(p.eval(mode="FAST_COMPILE")) for p in expected.op.dist_params(expected)
        ]
        in_code = values.at_point(node.op.dist_params(node), without=variable)
        _compare_parameters(line, variable, in_formula, in_code)
    in_formula_order = [code_name[line.name] for line in reversed(lines)]
    in_code_order = [name for name in model.named_vars if name in written]
    in_formula_order = [name for name in in_formula_order if name in model.named_vars]
    if in_formula_order != in_code_order:
        raise FormulaError(
            "The code runs through the formula from its last line to its first: "
            f"{', '.join(in_formula_order)}. The model was written in the order "
            f"{', '.join(in_code_order)}."
        )


def _compare_parameters(
    line: _Line,
    variable: Variable,
    in_formula: Sequence[np.ndarray],
    in_code: Sequence[np.ndarray],
) -> None:
    if len(in_formula) != len(in_code):
        raise FormulaError(
            f"Formula and code disagree: `{line.text}` has {len(in_formula)} parameters, "
            f"{variable.name} in the code has {len(in_code)}. Change one of the two."
        )
    for position, (a, b) in enumerate(zip(in_formula, in_code, strict=True), start=1):
        if not _same(a, b):
            raise FormulaError(
                f"Formula and code disagree: the formula says `{line.text}`, but parameter "
                f"{position} of {variable.name} in the code is another"
                f"{_show_values(a, b)}. Change one of the two, and mind the order of the "
                "parameters."
            )


def _check_order_of(line: _Line, model: pm.Model, variable: Variable) -> None:
    ordered = isinstance(model.rvs_to_transforms.get(variable), Ordered)
    if ordered and not line.ordered:
        raise FormulaError(
            f"In the code the entries of {variable.name} are ordered, in the formula not: write "
            f"`{line.text}, ordered`."
        )
    if line.ordered and not ordered:
        raise FormulaError(
            f"The formula has `{line.text}`, but in the code nothing orders {variable.name}: give "
            "it transform=pm.distributions.transforms.ordered."
        )


def _draw_from(
    distribution, arguments: Sequence[np.ndarray], line: _Line, shape: Variable
) -> Variable:
    """Return a variable of this distribution, with parameters in the order of its signature."""
    signature_of = distribution.dist
    if distribution is pm.OrderedMultinomial:  # its own takes *args
        signature_of = _OrderedMultinomial.dist
    accepted = inspect.signature(signature_of).parameters.values()
    named = [p.name for p in accepted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # vectors as variables: PyMC rescales constant probabilities that do not sum to one
    parameters = {
        key: pytensor.shared(value, shape=value.shape) if value.ndim else value.item()
        for key, value in zip(named, arguments, strict=False)
    }
    try:
        if len(arguments) > len(named):
            raise ValueError(f"it takes {', '.join(named)}")
        if distribution is pm.ZeroSumNormal:
            parameters["shape"] = tuple(shape.eval(mode="FAST_COMPILE"))
        return distribution.dist(**parameters)
    except (TypeError, ValueError) as error:
        raise FormulaError(f"PyMC cannot read `{line.text}`: {error}") from error


def _check_indices_of(line: _Line, least: int, most: int) -> None:
    if not least <= len(line.index) <= most:
        raise FormulaError(
            f"In `{line.text}`, {line.name} has {len(line.index)} indices, in the model "
            f"{most} dimensions."
        )


def _show_values(a: np.ndarray, b: np.ndarray) -> str:
    if a.size == b.size == 1:
        return f" (PyMC's own parameter: {a.item():.4g} by the formula, {b.item():.4g} by the code)"
    return ""


def show_formula(
    model: pm.Model,
    formula: str,
    *,
    name: str,
    symbols: Mapping[str, str] | None = None,
    since: str | None = None,
) -> None:
    r"""Typeset a model's formula, after comparing it with the model itself.

    The formula is plain text, a line a variable, in the order of the lectures (data first,
    priors last); the code runs through it from the last line to the first:

    .. code-block:: text

        S[i] ~ Binomial(D[i], p[i])
        logit(p[i]) = alpha[T[i]]
        alpha[j] ~ Normal(alpha_bar, 1)
        alpha_bar ~ Normal(0, 1.5)

    For every line the distribution, each of its parameters in order, and every deterministic
    value are compared with the model graph at a random point of the parameter space, with
    random numbers in place of the real-valued `pm.Data` that the formula names; a parameter
    without a line, a line without a variable and a different order are errors too.

    Parameters
    ----------
    model : pymc.Model
    formula : str
        Parameters in PyMC's order; an index in brackets (`alpha[T[i]]`, `beta[j]`). The name of an
        observed variable on the right stands for its data. `, ordered` at the end of a line says
        that the entries increase (`kappa[k] ~ Normal(0, 1.5), ordered`).
    name : str
        Name of the model in the text.
    symbols : mapping of str to str, optional
        Names that the formula and the model do not share: symbol to variable of the model.
    since : str, optional
        Name of an earlier formula; lines that it has not are coloured and marked in words.

    Raises
    ------
    FormulaError
        Formula and model disagree; the message shows the line.
    """
    symbols = dict(symbols or {})
    lines = [_parse_line(text.strip()) for text in formula.strip().splitlines() if text.strip()]
    doubled = sorted({a.name for a in lines if sum(a.name == b.name for b in lines) > 1})
    if doubled:
        raise FormulaError(f"The formula has two lines for {doubled[0]}.")
    for symbol, target in symbols.items():
        if target not in model.named_vars:
            raise FormulaError(f"symbols maps {symbol!r} to {target!r}, which the model has not.")
    if since is not None and since not in _formulas:
        raise FormulaError(f"since={since!r}: no formula of that name yet; {sorted(_formulas)}.")
    _check_formula(model, lines, symbols)

    before = _formulas[since] if since else None
    rows, plain, fresh, altered = [], [], [], []
    for line in lines:
        target = _latex_name(line.name)
        if line.index:
            subscript = ast.parse(f"x[{', '.join(line.index)}]", mode="eval").body
            subscript.value = ast.Name(id=line.name)
            target = _latex(subscript)
        if line.link not in (None, "identity"):
            target = f"\\text{{{line.link}}}({target})"
        relation = "\\sim" if line.link is None else "="
        right = _latex(line.expression)
        if line.ordered:
            right += r",\ \text{ordered}"
        mark = ""
        if before is not None and before.get(line.name) != "".join(line.text.split()):
            mark = "new" if line.name not in before else "changed"
            (fresh if mark == "new" else altered).append(f"${_latex_name(line.name)}$")
        if mark:
            colour = f"\\color{{{_CHANGED_COLOUR}}}"
            rows.append(
                f"{{{colour}{{{target}}}}} &{{{colour}{{{{}}{relation} {right}}}}} "
                f"&& {{{colour}{{\\text{{({mark})}}}}}}"
            )
        else:
            rows.append(f"{target} &{relation} {right}")
        plain.append(line.text + (f"  ({mark})" if mark else ""))
    body = " \\\\\n".join(rows)
    text = f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"
    notes = []
    if before is not None:
        if fresh:
            notes.append(f"New since the {since} model: the line of {_and(fresh)}.")
        if altered:
            notes.append(f"Changed: the line of {_and(altered)}.")
        gone = [f"${_latex_name(key)}$" for key in before if key not in {x.name for x in lines}]
        if gone:
            notes.append(f"Gone: {_and(gone)}.")
    renamed = [f"${_latex_name(symbol)}$ is `{target}`" for symbol, target in symbols.items()]
    if renamed:
        notes.append(f"In the code {_and(renamed)}.")
    if notes:
        text += "\n\n" + " ".join(notes)
    _formulas[name] = {line.name: "".join(line.text.split()) for line in lines}
    _record("formula", name=name, model=_model_id(model))
    display({"text/markdown": text, "text/plain": "\n".join(plain)}, raw=True)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# --- 8. Leave-one-out scores -------------------------------------------------


_SPLINE_POINTS = 201  # error below 1e-8 for the range of a posterior (tests/test_scores.py)


def integrated_log_likelihood(
    successes: ArrayLike,
    trials: ArrayLike,
    mu: xr.DataArray,
    sigma: xr.DataArray | float,
    *,
    dim: str = "tank",
    n_nodes: int = 31,
) -> xr.DataArray:
    r"""Log-likelihood of binomial counts with the varying intercept of each integrated out.

    .. math:: \log \int \text{Binomial}(S_i \mid D_i, \text{logit}^{-1}(a))
              \, \text{Normal}(a \mid \mu, \sigma) \, da

    by Gauss-Hermite quadrature centred on the mode of the integrand and scaled by its
    curvature, for each draw (adaptive quadrature: Naylor and Smith 1982, Applied Statistics
    31:214-225). Nodes centred on the population fail where sigma is large and the counts
    speak loudly.

    Parameters
    ----------
    successes, trials : array_like of int, shape (n,)
        Counts along `dim`.
    mu : xarray.DataArray
        Draws of the population mean in log-odds, with or without `dim`.
    sigma : xarray.DataArray or float
        Draws of the population standard deviation in log-odds, or a fixed one, with or without
        `dim`.
    dim : str
        Name of the dimension of the observations.
    n_nodes : int
        Number of nodes; doubling it shows the error of the integral.

    Returns
    -------
    xarray.DataArray
        Dimensions of `mu` and `dim`; natural logarithm of a probability.

    Raises
    ------
    ValueError
        Counts outside 0 to trials; sigma not positive and finite.
    """
    s = np.asarray(successes, float)
    n = np.asarray(trials, float)
    if s.shape != n.shape or s.ndim != 1:
        raise ValueError(f"successes {s.shape} and trials {n.shape} must be of one length.")
    impossible = ~((s >= 0) & (s <= n) & (n < np.inf))  # NaN is
    if impossible.any():
        position = int(np.argmax(impossible))
        raise ValueError(
            f"successes must lie between 0 and trials; at position {position} there are "
            f"{s[position]:g} of {n[position]:g}."
        )
    sigma = xr.DataArray(sigma)
    if not ((sigma > 0) & (sigma < np.inf)).all():
        raise ValueError("sigma must be positive and finite.")
    if dim not in (*mu.dims, *sigma.dims):  # tanks with the same counts share one integral
        pairs, which = np.unique(np.stack([s, n]), axis=1, return_inverse=True)
        if pairs.shape[1] < s.size:
            unique = integrated_log_likelihood(*pairs, mu, sigma, dim=dim, n_nodes=n_nodes)
            return unique.isel({dim: np.ravel(which)})
        if sigma.ndim == 0 and mu.size > 4 * _SPLINE_POINTS and mu.min() < mu.max():
            # a smooth function of mu alone: integrate on a grid, interpolate to the draws
            points = np.linspace(float(mu.min()), float(mu.max()), _SPLINE_POINTS)
            on_grid = integrated_log_likelihood(
                s, n, xr.DataArray(points, dims="mu"), sigma, dim=dim, n_nodes=n_nodes
            )
            spline = make_interp_spline(points, on_grid.transpose("mu", dim).values, k=5)
            return xr.DataArray(
                spline(mu.values), dims=(*mu.dims, dim), coords=mu.coords, name="log_likelihood"
            )
    counts = xr.Dataset({"s": (dim, s), "n": (dim, n)})
    if dim in mu.coords:
        counts = counts.assign_coords({dim: mu[dim]})
    mu_, sigma_, s_, n_ = xr.broadcast(mu, sigma, counts["s"], counts["n"])
    m, tau, s, n = mu_.values, sigma_.values**-2.0, s_.values, n_.values

    # Newton's method on a log-concave function, steps clipped to stay in reach
    mode = np.clip(np.log((s + 0.5) / (n - s + 0.5)), -4, 4) * (n > 0)
    weight = n * 0.2
    mode = (weight * mode + tau * m) / (weight + tau)
    for _ in range(50):
        p = special.expit(mode)
        step = (s - n * p - tau * (mode - m)) / (n * p * (1 - p) + tau)
        mode += np.clip(step, -1.5, 1.5)
        if np.abs(step).max() < 1e-8:
            break
    p = special.expit(mode)
    scale = (n * p * (1 - p) + tau) ** -0.5

    nodes, weights = special.roots_hermitenorm(n_nodes)
    # log sum exp over the nodes, one node at a time to keep memory at one array of draws
    total = np.zeros_like(mode)

    def log_integrand(a: np.ndarray) -> np.ndarray:
        softplus = np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
        return s * a - n * softplus - 0.5 * tau * (a - m) ** 2

    peak = log_integrand(mode)
    for node, w in zip(nodes, weights, strict=True):
        total += w * np.exp(log_integrand(mode + scale * node) - peak + 0.5 * node**2)
    choose = special.gammaln(n + 1) - special.gammaln(s + 1) - special.gammaln(n - s + 1)
    result = (
        choose + 0.5 * np.log(tau) + peak + np.log(scale) + np.log(total) - 0.5 * np.log(2 * np.pi)
    )
    return mu_.copy(data=result).rename("log_likelihood")


def mean_invlogit_normal(mu: xr.DataArray, sigma: xr.DataArray | float) -> xr.DataArray:
    r"""Mean survival of a new tank: the mean of ``invlogit(a)`` for ``a ~ Normal(mu, sigma)``.

    It is nearer to one half than ``invlogit(mu)``, which is the survival in the *median* tank.

    Parameters
    ----------
    mu : xarray.DataArray
        Population mean in log-odds, any shape.
    sigma : xarray.DataArray or float
        Population standard deviation in log-odds.

    Returns
    -------
    xarray.DataArray
        Probability, in the shape of ``mu`` and ``sigma`` together. Trapezoidal rule over eight
        standard deviations, whose error is below 1e-9 for sigma up to 10.
    """
    mu, sigma = xr.broadcast(mu, xr.DataArray(sigma))
    z = np.linspace(-8, 8, 401)
    weights = np.exp(-0.5 * z**2)
    weights /= weights.sum()
    total = np.zeros(mu.shape)
    for node, weight in zip(z, weights, strict=True):
        total += weight * special.expit(mu.values + sigma.values * node)
    return mu.copy(data=total)


def leave_one_out(log_likelihood: xr.DataArray, *, name: str, record: bool = True) -> az.ELPDData:
    """PSIS leave-one-out score from pointwise log-likelihoods.

    Parameters
    ----------
    log_likelihood : xarray.DataArray
        Dimensions chain, draw and one of observations; natural logarithm.
    name : str
        Name of the score, for the record.
    record : bool
        Whether the run record keeps the score.

    Returns
    -------
    arviz.ELPDData
        Its `pareto_k` is to be looked at; ArviZ's warning of large values is not repeated.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27:1413-1432.
    """
    (dim,) = (d for d in log_likelihood.dims if d not in ("chain", "draw"))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"draws": log_likelihood.isel({dim: 0}, drop=True)}),
            "log_likelihood": log_likelihood.to_dataset(name="y"),
            "observed_data": xr.Dataset(),
        }
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Estimated shape parameter of Pareto", category=UserWarning
        )
        score = az.loo(tree, pointwise=True, reff=1.0)
    if record and _keeps_estimates():
        # p(y_i | y_-i) = 1 / E[1 / p(y_i | theta)]; its Monte Carlo error by the delta method
        inverse = np.exp(-(log_likelihood - log_likelihood.min(("chain", "draw"))))
        error = az.mcse(inverse) / inverse.mean(("chain", "draw"))
        _record(
            "estimate",
            name=name,
            variable="elpd",
            mean=score.elpd_i.values.ravel().tolist(),
            mcse=error.values.ravel().tolist(),
        )
    return score


def paired_difference(a: az.ELPDData, b: az.ELPDData) -> tuple[float, float]:
    """Difference of two scores of the same observations, `a` minus `b`, and its standard error.

    Parameters
    ----------
    a, b : arviz.ELPDData
        With pointwise scores of the same observations in the same order.

    Returns
    -------
    difference, standard_error : float
        In log-likelihood units; the error is that of a sum over independent observations,
        ``sqrt(n * var(d_i))``, as in Vehtari, Gelman, Gabry (2017), equation 24.

    Raises
    ------
    ValueError
        Numbers of observations that differ.
    """
    first, second = np.ravel(a.elpd_i.values), np.ravel(b.elpd_i.values)
    if first.size != second.size:
        raise ValueError(f"{first.size} and {second.size} observations cannot be paired.")
    d = first - second
    return float(d.sum()), float(np.sqrt(d.size * d.var(ddof=1)))


# --- 9. Run record -----------------------------------------------------------


def _record_path() -> str | None:
    return os.environ.get("COURSE_RECORD")


def _keeps_estimates() -> bool:
    """Whether the record is for the numerical tests, which need the means of every fit."""
    return bool(_record_path() and os.environ.get("COURSE_ESTIMATES"))


def _record(kind: str, **fields: object) -> None:
    """Append a JSON line to the run record, where a render or a test asked for one."""
    path = _record_path()
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **fields}, default=float) + "\n")


_model_ids: weakref.WeakKeyDictionary[pm.Model, int] = weakref.WeakKeyDictionary()
_numbers = itertools.count(1)


def _model_id(model: pm.Model) -> int:
    """Return a model's number in the order of first use, the same from run to run."""
    if model not in _model_ids:
        _model_ids[model] = next(_numbers)  # not the length, which shrinks with dead models
    return _model_ids[model]


def record_study(name: str, **found: object) -> None:
    """Write what a study of many fits came to into the run record, if there is one.

    Parameters
    ----------
    name : str
    **found
        Counts ``fits``, ``refitted``, ``failed``; ``max_rhat``, ``min_ess``, ``divergences``,
        ``min_bfmi`` over the fits that passed; ``seconds``, a dict with ``sample``.
    """
    _record("study", name=name, **found)


def record_estimates(name: str, estimates: Mapping[str, xr.DataArray]) -> None:
    """Write posterior means and their Monte Carlo errors to the run record, if there is one.

    Parameters
    ----------
    name : str
        Name of the fit.
    estimates : mapping of str to xarray.DataArray
        Draws with dimensions chain and draw.
    """
    if not _keeps_estimates():
        return
    for variable, draws in estimates.items():
        _record(
            "estimate",
            name=name,
            variable=variable,
            mean=np.ravel(draws.mean(("chain", "draw")).values).tolist(),
            mcse=np.ravel(az.mcse(draws).values).tolist(),
        )
