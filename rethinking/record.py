"""The run record: JSON lines that a cell leaves for the renderer and for the tests."""

from __future__ import annotations

import itertools
import json
import os
import weakref
from collections.abc import Mapping

import arviz as az
import numpy as np
import pymc as pm
import xarray as xr


def path() -> str | None:
    """Return where the record goes; None where nobody asked for one."""
    return os.environ.get("COURSE_RECORD")


def keeps_estimates() -> bool:
    """Return whether the record is for the numerical tests, which need the means of every fit."""
    return bool(path() and os.environ.get("COURSE_ESTIMATES"))


def line(kind: str, **fields: object) -> None:
    """Append a JSON line to the run record, where a render or a test asked for one.

    Parameters
    ----------
    kind : str
        "fit", "formula", "claim", "estimate" or "study".
    **fields
        What JSON takes; other numbers become floats.
    """
    file_name = path()
    if file_name:
        with open(file_name, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **fields}, default=float) + "\n")


_numbers: weakref.WeakKeyDictionary[pm.Model, int] = weakref.WeakKeyDictionary()
_next = itertools.count(1)


def number_of(model: pm.Model) -> int:
    """Return a model's number in the order of first use, the same from run to run."""
    if model not in _numbers:
        _numbers[model] = next(_next)  # not the length, which shrinks with dead models
    return _numbers[model]


def study(name: str, **found: object) -> None:
    """Write what a study of many fits came to into the run record, if there is one.

    Parameters
    ----------
    name : str
    **found
        Counts ``fits``, ``refitted``, ``failed``; ``max_rhat``, ``min_ess``, ``divergences``,
        ``min_bfmi`` over the fits that passed; ``seconds``, a dict with ``sample``.
    """
    line("study", name=name, **found)


def fit(name: str, posterior: xr.Dataset, **found: object) -> None:
    """Write a fit's verdict and its estimates to the run record, if there is one.

    Parameters
    ----------
    name : str
    posterior : xarray.Dataset
        The draws whose means the numerical tests compare.
    **found
        ``variable`` or ``model``, which tie the fit to its formula; ``seconds``, a dict with
        ``sample``; ``draws`` and ``chains``; ``expected_failure``; the verdict.
    """
    line("fit", name=name, **found)
    estimates(name, {str(k): v for k, v in posterior.data_vars.items()})


def estimates(name: str, found: Mapping[str, xr.DataArray]) -> None:
    """Write posterior means and their Monte Carlo errors to the run record, if there is one.

    Parameters
    ----------
    name : str
        Name of the fit.
    found : mapping of str to xarray.DataArray
        Draws with dimensions chain and draw.
    """
    if not keeps_estimates():
        return
    for variable, draws in found.items():
        line(
            "estimate",
            name=name,
            variable=variable,
            mean=np.ravel(draws.mean(("chain", "draw")).values).tolist(),
            mcse=np.ravel(az.mcse(draws).values).tolist(),
        )
