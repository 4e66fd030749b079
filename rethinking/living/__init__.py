"""Figures that move: a page of their own with the data in it, no kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rethinking.display import show_page
from rethinking.frogs import tadpoles
from rethinking.plots import same_length
from rethinking.transforms import as_floats, is_missing

_WIDGETS = Path(__file__).resolve().parent


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
        The n tanks, at least one, with columns ``density``, from 1, and ``surv``, from 0 to the
        density.
    survival : mapping of float to mapping
        For each sigma the ``mean``, ``lower`` and ``upper`` of each tank's survival, shape (n,):
        probabilities.
    median : mapping of float to float
        For each sigma the survival in the median tank, a probability.

    Raises
    ------
    ValueError
        There are more survivors than tadpoles, `survival` and `median` are not of the same sigmas,
        lengths differ, or a number is not finite.

    Examples
    --------
    >>> frogs = pd.DataFrame({"density": [10, 10], "surv": [9, 1]})
    >>> tanks = {"mean": [0.8, 0.2], "lower": [0.7, 0.1], "upper": [0.9, 0.3]}
    >>> tank_scrubber(frogs, {1.0: tanks, 2.0: tanks}, {1.0: 0.5, 2.0: 0.5})
    A slider over sigma, where scripts run.
    """
    surv, density = tadpoles(frogs)
    if not len(survival):
        raise ValueError("The argument survival is empty. Give the tanks' survival for each sigma.")
    if list(survival) != list(median):
        raise ValueError(
            "The arguments survival and median must hold the same sigmas in the same order."
        )

    for sigma, shown in survival.items():
        for key in ("mean", "lower", "upper"):
            if key not in shown:
                raise ValueError(f"The survival for sigma {sigma:g} has no {key!r}. Add it.")
            same_length(frogs=density, **{f"survival[{sigma:g}][{key!r}]": shown[key]})
        same_length(**{f"median[{sigma:g}]": median[sigma]})

    def rounded(values: ArrayLike) -> list[float]:
        return np.round(as_floats(values), 3).tolist()

    first = np.flatnonzero(np.r_[True, np.diff(density) != 0])
    last = np.r_[first[1:] - 1, len(density) - 1]
    data = {
        "sigma": rounded(list(survival)),
        "raw": rounded(surv / density),
        "median": rounded(list(median.values())),
        "blocks": [
            {"first": int(a), "last": int(b), "label": f"{density[a]:.0f} tadpoles"}
            for a, b in zip(first, last, strict=True)
        ],
        "start": len(survival) // 3,
        **{
            key: [rounded(shown[key]) for shown in survival.values()]
            for key in ("mean", "lower", "upper")
        },
    }
    _show_living("tank_scrubber", data, "A slider over sigma, where scripts run.")


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

    Examples
    --------
    >>> shrinkage_explorer(1.4, sigma=1.6)
    Sliders over a classroom, where scripts run.
    """
    if not -8 <= alpha_bar <= 8:
        raise ValueError(f"The alpha_bar must be log-odds from -8 to 8, not {alpha_bar}.")
    if not 0.1 <= sigma <= 4:
        raise ValueError(f"The sigma must be from 0.1 to 4, as on its slider, not {sigma}.")
    data = {
        "alpha_bar": round(float(alpha_bar), 2) + 0.0,
        "start": {"N": 5, "S": 1, "sigma": round(float(sigma), 3)},
    }
    _show_living("shrinkage_explorer", data, "Sliders over a classroom, where scripts run.")


def cutpoint_explorer(kappa: ArrayLike, *, phi: float = 0.0) -> None:
    """Show a living figure: a slider over phi, and what it does to an ordered logit's histogram.

    One panel has the cumulative log-odds ``kappa - phi``, the other the probabilities of the
    ratings, which the page itself computes. It needs no kernel, only a page that runs scripts;
    the still figure that a cell shows before it stands for it elsewhere.

    Parameters
    ----------
    kappa : array_like
        From 1 to 9 cutpoints in log-odds, increasing, from -8 to 8; two decimals are used.
    phi : float
        Shift at which the slider starts, in log-odds from -3 to 3; one decimal is used.

    Raises
    ------
    ValueError
        The cutpoints do not increase, or there are too few or too many; a number lies outside its
        range.

    Examples
    --------
    >>> cutpoint_explorer([-1.9, -1.2, -0.7, 0.2, 0.9, 1.8])
    A slider over phi, where scripts run.
    """
    cutpoints = as_floats(kappa)
    if cutpoints.ndim != 1 or not 1 <= cutpoints.size <= 9:
        raise ValueError(
            f"A cutpoint explorer takes 1 to 9 cutpoints in one row, not shape {cutpoints.shape}."
        )
    for value in cutpoints[~(np.abs(cutpoints) <= 8)][:1]:
        raise ValueError(f"The cutpoints must be log-odds from -8 to 8, not {value}.")
    if not (np.diff(cutpoints) > 0).all():
        raise ValueError(f"The cutpoints must increase, not {cutpoints.tolist()}. Sort them.")
    if not -3 <= phi <= 3:
        raise ValueError(f"The phi must be from -3 to 3, as on its slider, not {phi}.")
    data = {
        "kappa": (np.round(cutpoints, 2) + 0.0).tolist(),
        "phi": round(float(phi), 1) + 0.0,
    }
    _show_living("cutpoint_explorer", data, "A slider over phi, where scripts run.")


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
        Column of up to four groups, each with a shape and a color: in the order of its
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

    Examples
    --------
    >>> tanks = pd.DataFrame({"tank": [1, 2], "share": [0.9, 0.4]})
    >>> columns = {"tank": "tank", "share": "share that survived"}
    >>> texts = {"title": "Two tanks", "alt": "Scatter chart of two tanks."}
    >>> point_explorer(tanks, x="tank", y="share", label="tank", columns=columns, **texts)
    A chart whose points tell their numbers, with scripts.
    """
    needed = [x, y, label, *columns, *(c for c in (groups, raw) if c), *(interval or ())]
    for name in needed:
        if name not in table.columns:
            raise ValueError(f"The table has no column {name!r}; it has {list(table.columns)}.")
    if not 1 <= len(table) <= 400:
        raise ValueError(f"A point explorer takes 1 to 400 rows, not {len(table)}.")
    if not title.strip() or not alt.strip() or not columns:
        raise ValueError("The arguments title, alt and columns must not be empty.")
    for row in np.flatnonzero(is_missing(table[label]))[:1]:
        raise ValueError(f"The column {label!r} must name each point, but row {row} has no name.")
    names = table[label].astype(str).tolist()
    if len(set(names)) < len(names):
        twice = table[label].astype(str)[table[label].astype(str).duplicated()].iloc[0]
        raise ValueError(f"Two rows of {label!r} are called {twice!r}; names must differ.")

    def finite(name: str) -> list[float]:
        try:
            values = as_floats(table[name])
        except (TypeError, ValueError):
            raise ValueError(f"The column {name!r} must hold numbers to be drawn.") from None
        for row in np.flatnonzero(~np.isfinite(values))[:1]:
            raise ValueError(
                f"The column {name!r} must hold finite numbers to be drawn, but its row {row} holds"
                f" {values[row]:g}. Leave that row out."
            )
        return [float(f"{value:.5g}") for value in values]

    def words(name: str) -> list[str]:
        column = table[name]
        shown = [str(value) for value in column]
        if pd.api.types.is_float_dtype(column.dtype):
            numbers = as_floats(column).tolist()
            shown = [f"{round(value, digits) + 0.0:.{digits}f}" for value in numbers]
        return [
            "missing" if gone else text
            for text, gone in zip(shown, is_missing(column), strict=True)
        ]

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
            raise ValueError(f"The column {interval[0]!r} must nowhere lie above {interval[1]!r}.")
        data["interval"] = " … ".join(columns.get(name, name) for name in interval) + " …"
    if raw:
        data |= {"raw": finite(raw), "raw_heading": columns.get(raw, raw)}
    if groups:
        kinds = table[groups]
        kinds = kinds.cat.categories if hasattr(kinds, "cat") else kinds.drop_duplicates()
        kinds = kinds.tolist()
        if not len(kinds) <= 4 or is_missing(table[groups]).any():
            raise ValueError(
                f"The column {groups!r} must name one of at most four groups in every row."
            )
        data |= {
            "groups": [str(kind) for kind in kinds],
            "group": [kinds.index(kind) for kind in table[groups]],
        }
    _show_living("point_explorer", data, "A chart whose points tell their numbers, with scripts.")


def _show_living(name: str, data: dict[str, Any], plain: str) -> None:
    """Display a widget with its data; ``living.css`` and ``living.js`` are what widgets share."""
    page = (_WIDGETS / f"{name}.html").read_text(encoding="utf-8")
    for part in ("css", "js"):
        shared = (_WIDGETS / f"living.{part}").read_text(encoding="utf-8").rstrip("\n")
        page = page.replace(f"__LIVING_{part.upper()}__", shared)
    # A name with a "<" in it must not end the script that holds the data.
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    show_page(page.replace("__DATA__", content), plain)
