"""Points, lines and intervals on an axes; what they look like."""

from __future__ import annotations

import matplotlib.colors as mcolors
import matplotlib.patheffects as patheffects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

from rethinking.transforms import real_values

#: The first four colours of the style sheet; red and blue are those of the lectures.
RED, BLUE, GOLD, GREEN = "#c62a30", "#1b62b3", "#b58b01", "#0da784"
DARK = "#333333"
COLOR_NAMES = {RED: "red", BLUE: "blue"}


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
    x, y = same_length(x=x, y=y)
    colors = colors_of(color, len(x))
    ax = axes_or_new(ax)
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
    x, y = same_length(x=x, y=y, gaps=True)
    ax = axes_or_new(ax)
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
    x, y, lower, upper = same_length(x=x, y=y, lower=lower, upper=upper)
    for i in np.flatnonzero(lower > upper)[:1]:
        raise ValueError(
            f"interval {i} is upside down: lower[{i}] = {lower[i]:g} is above"
            f" upper[{i}] = {upper[i]:g}; give its ends, not distances"
        )
    colors = colors_of(color, len(x))
    ax = axes_or_new(ax)

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


def axes_or_new(ax):
    """Return the given axes, or those of a new figure (never the current ones)."""
    return plt.subplots()[1] if ax is None else ax


def same_length(*, gaps=False, **arrays):
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


def colors_of(color, n):
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


def check_probabilities(**arrays):
    for name, values in arrays.items():
        values = np.atleast_1d(real_values(name, values))
        outside = np.flatnonzero((values < 0) | (values > 1))
        if outside.size:
            raise ValueError(
                f"{name} holds {values.flat[outside[0]]:g}, which is no probability; turn log-odds"
                " into probabilities with invlogit"
            )
