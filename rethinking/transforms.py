"""Log-odds and back."""

from __future__ import annotations

import numpy as np
from scipy import special


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
    values = real_values("logit", p)
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
    real_values("invlogit", x)
    return special.expit(x)


def real_values(function, x):
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
