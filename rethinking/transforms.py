"""Log-odds and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

type Numbers = float | np.ndarray | pd.Series | xr.DataArray


def logit(p: ArrayLike) -> Numbers:
    """Log-odds of a probability, ``log(p / (1 - p))``.

    Parameters
    ----------
    p : array_like of float
        Probability, from 0 to 1, of any shape. NaN stays NaN.

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
    return special.logit(p)


def invlogit(x: ArrayLike) -> Numbers:
    """Probability of log-odds, ``1 / (1 + exp(-x))``, without overflow.

    Parameters
    ----------
    x : array_like of float
        Log-odds, of any shape; ``-inf`` and ``inf`` give 0 and 1. NaN stays NaN.

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
    _real_values("invlogit", x)
    return special.expit(x)


def _real_values(function: str, x: ArrayLike) -> np.ndarray:
    """Return `x` as an array of floats; refuse in words what holds no numbers."""
    try:
        if x is None:  # which numpy would take for NaN
            raise TypeError
        return np.asarray(x, dtype=float)
    except (TypeError, ValueError, NotImplementedError):
        raise TypeError(
            f"The function {function} needs numbers, not {type(x).__name__}. Inside a model use"
            f" pm.math.{function}."
        ) from None
