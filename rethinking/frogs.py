"""What only the reed frogs draw."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib.colors as mcolors
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from rethinking.plots import (
    BLUE,
    DARK,
    RED,
    axes_or_new,
    check_probabilities,
    colors_of,
    plot_errorbar,
    plot_scatter,
    same_length,
)
from rethinking.transforms import as_counts, as_floats

_DENSITY_WORDS = {10: "small tanks", 25: "medium tanks", 35: "large tanks"}
_MARKERS = ["o", "s", "^", "D", "v", "P"]
_DASHES = [(0, (5, 2.5)), "-", (0, (1, 1.5)), "-."]


def plot_survival(
    frogs: pd.DataFrame,
    *,
    mean: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    population: float | Mapping[str, float] | None = None,
    colors: ColorType | Sequence[ColorType] | None = None,
    markers: str | Sequence[str] | None = None,
    legend: Mapping[str, ColorType] | Literal[False] | None = None,
    interval: str = "89% interval",
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of tadpoles that survived in each tank, and what a model makes of it.

    Tanks run from left to right in the order of the table; vertical lines stand where the density
    changes. The observed share is a filled point, the posterior mean an open one on its interval.

    Parameters
    ----------
    frogs : pandas.DataFrame
        Table with a row for each of n tanks, at least one, and the columns ``density``, from 1,
        and ``surv``, from 0 to the density.
    mean, lower, upper : array_like of float, shape (n,), optional
        Posterior mean of each tank's survival and the ends of its interval: probabilities.
        ``lower`` and ``upper`` go together.
    population : float or dict of str to float, optional
        Horizontal lines: a probability, or one for each label. The labels stand beside the lines;
        a line whose label is in ``legend`` gets the color from there.
    colors : color or sequence of n colors, optional
        One color for all tanks, or one for each.
    markers : str or sequence of n markers, optional
        Shapes of the points. Without it, each color gets a shape of its own, so that color is
        never the only sign.
    legend : dict of str to color, or False, optional
        What the colors mean, one entry for each color in ``colors``; ``False`` for no legend.
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
        If a column is missing, there are more survivors than tadpoles, lengths differ, a value is
        no probability, only one end of the intervals is given, or the legend and the colors do not
        belong together.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from rethinking.data import load_data
    >>> frogs = load_data("reedfrogs")
    >>> ax = plot_survival(frogs, population={"median tank": 0.8})
    >>> ax.get_ylabel()
    'share that survived'
    >>> plt.close(ax.figure)
    """
    surv, density = tadpoles(frogs)
    if (lower is None) != (upper is None) or (lower is not None and mean is None):
        raise ValueError(
            "The arguments mean, lower and upper go together. Give all three, or the mean alone."
        )
    tank = np.arange(1, len(frogs) + 1)
    share = surv / density
    if population is None:
        lines = {}
    elif isinstance(population, Mapping):
        lines = {str(name): [value] for name, value in population.items()}
    else:
        check_probabilities(population=population)
        lines = {f"population {float(population):.2f}": [population]}
    estimates = {"mean": mean, "lower": lower, "upper": upper}
    estimates = {name: values for name, values in estimates.items() if values is not None}
    check_probabilities(**estimates, **{f"population[{k!r}]": v for k, v in lines.items()})
    lines = {name: float(as_floats(value)[0]) for name, value in lines.items()}
    if estimates:
        _, *rows = same_length(frogs=tank, **estimates)
        mean, lower, upper = [*rows, None, None][:3]

    n = len(tank)
    if colors is None:
        raw_colors, model_colors, kinds = [BLUE] * n, [RED] * n, []
    else:
        given = [mcolors.to_hex(color) for color in colors_of(colors, n)]
        raw_colors = model_colors = given if len(given) == n else given * n
        kinds = list(dict.fromkeys(given))
    if markers is None:
        if len(kinds) > len(_MARKERS):
            raise ValueError(
                f"{len(kinds)} colors need shapes of their own. Give markers, too, one a tank."
            )
        shapes = [_MARKERS[kinds.index(c)] for c in raw_colors] if kinds else ["o"] * n
    else:
        shapes = [markers] * n if isinstance(markers, str) else list(markers)
    if len(shapes) != n:
        raise ValueError(
            f"Lengths differ: frogs has {n}, markers has {len(shapes)}. Give one marker for all"
            " tanks, or one for each."
        )
    meaning = {name: mcolors.to_hex(color) for name, color in (legend or {}).items()}
    if meaning and sorted(meaning.values()) != sorted(kinds):
        raise ValueError(
            f"The legend explains {', '.join(map(repr, meaning.values()))}, but colors holds"
            f" {', '.join(map(repr, kinds)) or 'none'}. Give each color one entry."
        )

    ax = axes_or_new(ax)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlim(0, n + 1)
    _mark_densities(ax, density)
    for (name, value), dashes in zip(lines.items(), _DASHES * len(lines), strict=False):
        ax.axhline(value, color=meaning.get(name, DARK), linestyle=dashes, linewidth=2, zorder=1.9)
    _label_lines(ax, {name: (value, meaning.get(name, DARK)) for name, value in lines.items()})
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
                mean[of],
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
        # Where colors tell groups apart, the kinds of point are explained without color.
        raw, model = (DARK, DARK) if len(kinds) > 1 else (raw_colors[0], model_colors[0])
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


def tadpoles(frogs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a table's survivors and densities as rows of floats; refuse what is no such table.

    Parameters
    ----------
    frogs : pandas.DataFrame
        Table with a row for each tank and the columns ``density`` and ``surv``.

    Returns
    -------
    surv, density : numpy.ndarray

    Raises
    ------
    ValueError
        If a column is missing, or a row is no count of survivors among tadpoles.

    Examples
    --------
    >>> tadpoles(pd.DataFrame({"density": [10, 25], "surv": [9, 20]}))
    (array([ 9., 20.]), array([10., 25.]))
    """
    for column in ("density", "surv"):
        if column not in frogs:
            raise ValueError(
                f"The table has no column {column!r}. Load it with load_data('reedfrogs')."
            )
    if not len(frogs):
        raise ValueError("The table of the frogs has no rows. Give at least one tank.")
    names = ("survivors, surv,", "tadpoles, density")
    return as_counts(frogs["surv"], frogs["density"], names=names, none=False)


def _mark_densities(ax: Axes, density: np.ndarray) -> None:
    """Draw dividers between tanks of different density, and a label over each run of tanks."""
    starts = np.flatnonzero(np.diff(density, prepend=np.nan))
    for start, end in zip(starts, [*starts[1:], len(density)], strict=True):
        if start:
            ax.axvline(start + 0.5, color="#8a8a8a", linewidth=1.2, zorder=1)
        value = int(density[start])
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


def _label_lines(ax: Axes, lines: Mapping[str, tuple[float, ColorType]]) -> None:
    """Label horizontal lines in the right margin, moved apart where they would overlap."""
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


def _handle(label: str, color: ColorType, marker: str, *, filled: bool = False) -> Line2D:
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
