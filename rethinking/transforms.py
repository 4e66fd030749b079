"""Log-odds and back; what is taken for a number, for a missing one, and for a count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike
from scipy import special

type Numbers = float | np.ndarray | pd.Series | xr.DataArray


def logit(p: ArrayLike) -> Numbers:
    """Log-odds of a probability, ``log(p / (1 - p))``.

    Parameters
    ----------
    p : array_like of float
        Probability, from 0 to 1, of any shape. What is missing stays missing: NaN, None, pd.NA,
        NaT, or masked.

    Returns
    -------
    float, numpy.ndarray, pandas.Series or xarray.DataArray
        Log-odds, in the type and shape of ``p``; 0 gives ``-inf`` and 1 gives ``inf``.

    Raises
    ------
    ValueError
        If a value lies outside [0, 1].
    TypeError
        If `p` holds something that is not a number.

    See Also
    --------
    invlogit : the way back.
    scipy.special.logit : the computation.

    Examples
    --------
    >>> logit([0.5, 0.8]).round(2)
    array([0.  , 1.39])
    """
    values = _real_values("logit", p)
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(
            f"The logit is of probabilities from 0 to 1, not of {outside.flat[0]:g}"
            f" ({outside.size} of {values.size} values lie outside). Leave out logit where the"
            " values are log-odds already."
        )
    return _transformed(special.logit, p, values)


def invlogit(x: ArrayLike) -> Numbers:
    """Probability of log-odds, ``1 / (1 + exp(-x))``, without overflow.

    Parameters
    ----------
    x : array_like of float
        Log-odds, of any shape; ``-inf`` and ``inf`` give 0 and 1. What is missing stays
        missing.

    Returns
    -------
    float, numpy.ndarray, pandas.Series or xarray.DataArray
        Probability, in the type and shape of ``x``.

    Raises
    ------
    TypeError
        If `x` holds something that is not a number.

    See Also
    --------
    logit : the way back.
    scipy.special.expit : the computation.

    Examples
    --------
    >>> invlogit([0.0, 1.0]).round(2)
    array([0.5 , 0.73])
    """
    return _transformed(special.expit, x, _real_values("invlogit", x))


def as_floats(values: ArrayLike) -> np.ndarray:
    """Return numbers as an array of floats in which NaN stands for whatever is missing.

    Parameters
    ----------
    values : array_like of float
        Numbers of any shape; None, NaN, NaT, pd.NA and masked values are missing.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    TypeError, ValueError
        If something is neither a number nor missing: a word, a date, a variable of a model.

    Examples
    --------
    >>> as_floats([1, None, pd.NA, np.ma.masked])
    array([ 1., nan, nan, nan])
    >>> as_floats(np.ma.masked_array([1, 2], mask=[False, True]))
    array([ 1., nan])
    """
    if isinstance(values, list | tuple):
        # numpy itself would drop the masks of rows, and warn of single masked values
        if any(isinstance(value, np.ma.MaskedArray) for value in values):
            if not all(value is np.ma.masked or np.ndim(value) == 0 for value in values):
                return np.stack([as_floats(value) for value in values])
            values = [np.nan if np.ma.is_masked(value) else value for value in values]
        if any(isinstance(value, np.datetime64 | np.timedelta64) for value in values):
            values = [np.nan if pd.isna(value) else value for value in values]
    elif np.ma.is_masked(values):
        shown = np.ma.getdata(values).astype(object)
        shown[np.ma.getmaskarray(values)] = np.nan
        values = shown
    array = np.asarray(values)
    missing = is_missing(array)
    if array.dtype.kind not in "mMcO":
        return array.astype(float)
    there = list(array[~missing])
    # one by one, for among objects numpy would count the days or nanoseconds of a single date
    if any(isinstance(value, _NO_FLOATS) for value in there):
        raise TypeError("dates and complex numbers are no floats")
    numbers = np.full(array.shape, np.nan)
    numbers[~missing] = there
    return numbers


_NO_FLOATS = (np.datetime64, np.timedelta64, np.complexfloating, complex)


def is_missing(values: ArrayLike) -> np.ndarray:
    """Return where values of any kind are missing: None, NaN, NaT, pd.NA, or masked.

    Parameters
    ----------
    values : array_like

    Returns
    -------
    numpy.ndarray of bool

    Examples
    --------
    >>> is_missing(pd.Series(["no", None, np.ma.masked]))
    array([False,  True,  True])
    """
    array = np.asarray(values)
    missing = np.asarray(pd.isna(array))
    if isinstance(values, np.ma.MaskedArray):
        missing = missing | np.ma.getmaskarray(values)
    if array.dtype == object:  # pandas does not know numpy's mask
        masked = np.frompyfunc(lambda value: value is np.ma.masked, 1, 1)
        missing = missing | np.asarray(masked(array), dtype=bool)
    return missing


def as_counts(
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    names: tuple[str, str] = ("successes", "trials"),
    none: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many of how many, as rows of floats; refuse what cannot be counted.

    Parameters
    ----------
    successes, trials : array_like of int, shape (n,)
        Whole numbers; of the first, at most as many as of the second, and none missing.
    names : tuple of str
        What to call the two in a message.
    none : bool
        Whether there may be none of none, which has no share.

    Returns
    -------
    successes, trials : numpy.ndarray

    Raises
    ------
    ValueError
        The sentence names the position and the two values.

    Examples
    --------
    >>> as_counts([9, 10], [10, 10])
    (array([ 9., 10.]), array([10., 10.]))
    """
    some, all_ = names
    try:
        s, n = as_floats(successes), as_floats(trials)
    except (TypeError, ValueError):
        raise ValueError(
            f"The {some} or the {all_} hold something that is not a number. Give whole numbers."
        ) from None
    if s.shape != n.shape or s.ndim != 1:
        raise ValueError(
            f"The {some}, of shape {s.shape}, and the {all_}, of shape {n.shape}, must be rows "
            "of one length."
        )
    if isinstance(successes, pd.Series) and isinstance(trials, pd.Series):
        if not successes.index.equals(trials.index):  # sorted alone, say
            raise ValueError(
                f"The {some} and the {all_} do not have the same index, so they may be of different"
                " observations. Take both from one table."
            )
    if not s.size:
        raise ValueError(f"There are no {some} and no {all_}. Give at least one of each.")
    possible = (s >= 0) & (s <= n) & (n < np.inf)  # NaN is not
    for i in np.flatnonzero(~possible)[:1]:
        if np.isnan(s[i]) or np.isnan(n[i]):
            remedy = "Leave out what is missing."
        elif np.all(s >= n):
            remedy = "Exchange the two: they seem to be swapped."
        else:
            remedy = "Correct them."
        raise ValueError(
            f"The {some} must lie between 0 and the {all_}; at position {i} there are "
            f"{s[i]:g} of {n[i]:g}. {remedy}"
        )
    for i in np.flatnonzero((s % 1 != 0) | (n % 1 != 0))[:1]:
        raise ValueError(
            f"The {some} and the {all_} must be whole numbers; at position {i} there are "
            f"{s[i]:g} of {n[i]:g}. Give counts, not shares."
        )
    for i in np.flatnonzero(n == 0)[: not none]:
        raise ValueError(
            f"The share of {some} among {all_} is undefined at position {i}, where there are 0 of"
            " 0. Leave it out."
        )
    return s, n


def _real_values(function: str, x: ArrayLike) -> np.ndarray:
    """Return `x` as an array of floats; refuse in words what holds no numbers."""
    try:
        if x is None:  # no missing number, but one that was forgotten
            raise TypeError
        return as_floats(x)
    except (TypeError, ValueError, NotImplementedError):
        raise TypeError(
            f"The function {function} needs numbers, not {type(x).__name__}. Inside a model use"
            f" pm.math.{function}."
        ) from None


def _transformed(ufunc: np.ufunc, x: ArrayLike, values: np.ndarray) -> Numbers:
    """Apply a function to `x`, or to its `values` where it holds objects, and keep its type."""
    if x is np.ma.masked:
        return ufunc(values)
    if isinstance(x, np.ma.MaskedArray):
        return np.ma.masked_array(ufunc(values), mask=np.ma.getmaskarray(x).copy())
    kinds = list(x.dtypes) if isinstance(x, pd.DataFrame) else [getattr(x, "dtype", object)]
    if all(getattr(kind, "kind", "O") in "biuf" for kind in kinds):
        return ufunc(x)
    if isinstance(x, xr.DataArray):
        return ufunc(x.copy(data=values))
    if isinstance(x, pd.Series):
        return ufunc(pd.Series(values, index=x.index, name=x.name))
    if isinstance(x, pd.DataFrame):
        return ufunc(pd.DataFrame(values, index=x.index, columns=x.columns))
    return ufunc(values)
