"""Points, lines and intervals on an axes; what they look like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import matplotlib.colors as mcolors
import matplotlib.patheffects as patheffects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.typing import ColorType, LineStyleType, MarkerType
from numpy.typing import ArrayLike

from rethinking.transforms import as_floats

#: The first four colors of the style sheet; red and blue are those of the lectures.
RED, BLUE, GOLD, GREEN = "#c62a30", "#1b62b3", "#b58b01", "#0da784"
DARK = "#333333"
COLOR_NAMES = {RED: "red", BLUE: "blue"}
_NO_COLOR = '. Give a name or a code that Matplotlib knows, such as "C0" or "#1b62b3".'


def plot_scatter(
    x: ArrayLike,
    y: ArrayLike,
    *,
    ax: Axes | None = None,
    color: ColorType | Sequence[ColorType] = "C0",
    marker: MarkerType = "o",
    size: float = 7.0,
    fill: ColorType | None = None,
    linewidth: float = 1.6,
    alpha: float = 1.0,
    label: str | None = None,
    zorder: float = 3,
) -> Axes:
    """Draw points as open circles.

    Parameters
    ----------
    x, y : array_like of float, shape (n,)
        Positions, all finite.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.
    color : color or sequence of n colors
        Color of the outlines.
    marker : str
        Matplotlib marker.
    size : float
        Diameter in points.
    fill : color, optional
        Color inside; ``None`` leaves the points open.
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
        If lengths differ, a value is not a finite number, or a color is none.

    Examples
    --------
    >>> ax = plot_scatter([1, 2, 3], [0.2, 0.9, 0.4], color=RED)
    >>> len(ax.collections)
    1
    >>> plt.close(ax.figure)
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
    x: ArrayLike,
    y: ArrayLike,
    *,
    ax: Axes | None = None,
    color: ColorType = "C0",
    linewidth: float = 2.5,
    linestyle: LineStyleType = "-",
    border: ColorType | None = "white",
    border_width: float = 1.8,
    alpha: float = 1.0,
    label: str | None = None,
    zorder: float = 2.5,
) -> Axes:
    """Draw a line with a border, so that it stays visible over points, bars and other lines.

    Parameters
    ----------
    x, y : array_like of float, shape (n,)
        Positions in the order in which they are joined. What is missing leaves a gap: NaN, None,
        pd.NA, NaT, or masked.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.
    color : color
        Color of the line.
    linewidth : float
        Width in points, without the border.
    linestyle : str or tuple
        Matplotlib line style.
    border : color, optional
        Color of the stroke beneath: ``"white"``, or a dark one; ``None`` for no border.
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

    Examples
    --------
    >>> ax = plot_line([0, 1], [0, 1], label="as many as expected")
    >>> ax.lines[0].get_label()
    'as many as expected'
    >>> plt.close(ax.figure)
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
    x: ArrayLike,
    y: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    ax: Axes | None = None,
    orientation: Literal["vertical", "horizontal"] = "vertical",
    color: ColorType | Sequence[ColorType] = "C0",
    width: float = 8.0,
    alpha: float = 0.35,
    marker: MarkerType | None = "o",
    size: float = 7.0,
    fill: ColorType | None = "white",
    label: str | None = None,
    zorder: float = 2,
) -> Axes:
    """Draw intervals as thick translucent bars with round ends, and the points on them.

    All bars are one collection. The ends are values on the axis, not distances from the point:
    an interval need not contain its point (a mean may lie outside the quartiles).

    Parameters
    ----------
    x, y : array_like of float, shape (n,)
        Positions of the points.
    lower, upper : array_like of float, shape (n,)
        Ends of the intervals: values of ``y`` if vertical, of ``x`` if horizontal.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, a new figure is made.
    orientation : {"vertical", "horizontal"}
        Direction of the bars.
    color : color or sequence of n colors
        Color of bars and points.
    width : float
        Thickness of the bars in points.
    alpha : float
        Opacity of the bars.
    marker : str, optional
        Matplotlib marker of the points; ``None`` draws the bars alone.
    size : float
        Diameter of the points.
    fill : color, optional
        Color inside the points; ``None`` lets the bar show through.
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
        the orientation is unknown, or a color is none.

    Examples
    --------
    >>> ax = plot_errorbar([1, 2], [0.5, 0.7], lower=[0.4, 0.5], upper=[0.6, 0.8])
    >>> len(ax.collections)  # the bars, the points
    2
    >>> plt.close(ax.figure)
    """
    if orientation not in ("vertical", "horizontal"):
        raise ValueError(f'The orientation is {orientation!r}; use "vertical" or "horizontal".')
    x, y, lower, upper = same_length(x=x, y=y, lower=lower, upper=upper)
    for i in np.flatnonzero(lower > upper)[:1]:
        raise ValueError(
            f"Interval {i} is upside down: lower[{i}] = {lower[i]:g} is above"
            f" upper[{i}] = {upper[i]:g}. Give its ends, not distances."
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


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new figure (never the current ones)."""
    return plt.subplots()[1] if ax is None else ax


def same_length(*, gaps: bool = False, **arrays: ArrayLike) -> Iterable[np.ndarray]:
    """Return the arrays as rows of floats of one length; refuse, by name, what cannot be drawn.

    Infinite values are refused, and missing ones, too, unless there may be `gaps`: these are NaN,
    None, pd.NA, NaT and masked values, and become NaN.
    """
    out = {}
    for name, values in arrays.items():
        try:
            out[name] = np.atleast_1d(as_floats(values))
        except (TypeError, ValueError):
            raise ValueError(
                f"The argument {name} holds something that is not a number. Give numbers alone."
            ) from None
        if out[name].ndim != 1:
            raise ValueError(
                f"The argument {name} has the shape {out[name].shape}. Give one row of values."
            )
    lengths = {name: len(values) for name, values in out.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"Lengths differ: {listed}. Give one value for each point.")
    for name, values in out.items():
        bad = np.isinf(values) if gaps else ~np.isfinite(values)
        for i in np.flatnonzero(bad)[:1]:
            raise ValueError(
                f"The value {name}[{i}] is {values[i]:g}, which cannot be drawn. Leave such points"
                " out."
            )
    return out.values()


def colors_of(color: ColorType | Sequence[ColorType], n: int) -> list[ColorType]:
    """Return a list with one color for all `n` points, or with one for each."""
    if mcolors.is_color_like(color):
        return [color]
    if color is None or isinstance(color, str):
        raise ValueError(f"The argument color = {color!r} is no color{_NO_COLOR}")
    colors = list(color)
    if len(colors) != n:
        raise ValueError(
            f"Lengths differ: there are {n} points, color has {len(colors)}. Give one color for"
            " all points, or one for each."
        )
    for i, each in enumerate(colors):
        if not mcolors.is_color_like(each):
            raise ValueError(f"The value color[{i}] = {each!r} is no color{_NO_COLOR}")
    return colors


def check_probabilities(**arrays: ArrayLike) -> None:
    """Refuse values outside 0 to 1, by the name of the argument that holds them."""
    for name, values in arrays.items():
        (row,) = same_length(**{name: values})
        for outside in row[(row < 0) | (row > 1)][:1]:
            raise ValueError(
                f"The argument {name} holds {outside:g}, which is no probability. Turn log-odds"
                " into probabilities with invlogit."
            )
