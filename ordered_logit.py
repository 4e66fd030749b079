r"""The ordered logit in a form that is cheap for many ratings.

A rating :math:`R` from 0 to :math:`K` with cutpoints :math:`\kappa_1 < \dots < \kappa_K` (log-odds)
and a shift :math:`\phi` (log-odds) has :math:`P(R \le k) = F(\kappa_{k+1} - \phi)`, where
:math:`F(x) = 1/(1 + e^{-x})`. The probability of one category is a difference of two such values.
It is also a product, because

.. math::

    F(a) - F(b) = F(a)\, F(-b)\, (1 - e^{b - a}),

so that with :math:`a = \kappa_{k+1} - \phi` and :math:`b = \kappa_k - \phi`

.. math::

    \log P(R = k) = -\log\bigl[(1 + e^{\phi} e^{-\kappa_{k+1}})(1 + e^{-\phi} e^{\kappa_k})\bigr]
                    + \log(1 - e^{\kappa_k - \kappa_{k+1}}).

The last term has no :math:`\phi` in it: it is one number a category. The first needs one logarithm
and one exponential a rating, where PyMC's `OrderedLogistic` takes an exponential for each of the
:math:`K` cutpoints. It does not cancel far out either: `OrderedLogistic` says ``-inf`` from
:math:`\phi - \kappa` = 37 on.

For a table of counts the factors of neighbouring categories can be collected. With
:math:`L_k = \log(1 + e^{\phi} e^{-\kappa_k})`, the factor of the lower cutpoint is
:math:`L_k - \phi + \kappa_k`, and a row with counts :math:`c_0, \dots, c_K` has the log-likelihood

.. math::

    \sum_{k=1}^{K} \bigl[(\phi - \kappa_k)\, c_k - (c_{k-1} + c_k)\, L_k\bigr]
    + \sum_{k=1}^{K-1} c_k \log(1 - e^{\kappa_k - \kappa_{k+1}}).
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def OrderedLogit(name, phi, kappa, **kwargs):
    """Ratings from 0 to K, one for each entry of `phi`, inside a model.

    The same distribution as ``pm.OrderedLogistic(name, eta=phi, cutpoints=kappa)``.

    Parameters
    ----------
    name : str
    phi : tensor_like
        Shift of each rating in log-odds, one axis; larger is a higher rating.
    kappa : tensor_like
        K cutpoints in log-odds, increasing; one set for all ratings.
    **kwargs
        As for a distribution of PyMC: ``observed`` (integers from 0 to K), ``dims``, ...

    Returns
    -------
    TensorVariable
        Its log-probability is finite for ``|phi|`` and ``|kappa|`` up to 350.

    Raises
    ------
    NotImplementedError
        More than one set of cutpoints.
    """
    return pm.CustomDist(
        name,
        phi,
        kappa,
        logp=_log_probability,
        dist=_ratings,
        signature="(),(k)->()",
        class_name="OrderedLogit",
        **kwargs,
    )


def OrderedMultinomial(name, phi, kappa, n, **kwargs):
    """Rows of a table that counts ratings from 0 to K, inside a model.

    The same distribution as ``pm.OrderedMultinomial(name, eta=phi, cutpoints=kappa, n=n)``, with
    one difference: the log-probability is that of the ratings one by one, without the number of
    orders in which a row could have come about. That number has no parameter in it.

    Parameters
    ----------
    name : str
    phi : tensor_like
        Shift of each row in log-odds, one axis; larger is a higher rating.
    kappa : tensor_like
        K cutpoints in log-odds, increasing; one set for all rows.
    n : tensor_like of int
        Ratings in each row; used to draw, since observed counts bring their own.
    **kwargs
        As for a distribution of PyMC: ``observed`` (rows by K + 1 counts), ``dims``, ...

    Returns
    -------
    TensorVariable
        Its log-probability is finite for ``|phi|`` and ``|kappa|`` up to 350.

    Raises
    ------
    NotImplementedError
        More than one set of cutpoints.
    """
    return pm.CustomDist(
        name,
        phi,
        kappa,
        n,
        logp=_log_probability_of_counts,
        dist=_counts,
        signature="(),(k),()->(m)",
        class_name="OrderedMultinomial",
        **kwargs,
    )


def _one_set(kappa):
    """Cutpoints as a vector; PyMC may hand them over with leading axes of length one."""
    kappa = pt.as_tensor(kappa)
    if not all(kappa.type.broadcastable[:-1]):
        raise NotImplementedError("There can be one set of cutpoints, for all ratings.")
    return kappa.reshape((-1,))


def _log_probability(value, phi, kappa):
    value, phi, kappa = pt.as_tensor(value), pt.as_tensor(phi), _one_set(kappa)
    n_cutpoints = kappa.shape[0]
    inside = (value >= 0) & (value <= n_cutpoints)
    category = pt.clip(value, 0, n_cutpoints)  # numba reads beyond an array without a word
    upper = pt.concatenate([pt.exp(-kappa), [0.0]])
    lower = pt.concatenate([[0.0], pt.exp(kappa)])
    gap = pt.concatenate([[0.0], pt.log1mexp(kappa[:-1] - kappa[1:]), [0.0]])
    odds = pt.exp(phi)
    product = (1 + odds * upper[category]) * (1 + lower[category] / odds)
    return pt.switch(inside, gap[category] - pt.log(product), -np.inf)


def _log_probability_of_counts(counts, phi, kappa, n):
    counts, phi, kappa = pt.as_tensor(counts), pt.as_tensor(phi), _one_set(kappa)
    above = counts[..., 1:]
    at_cutpoint = counts[..., :-1] + above
    logs = pt.log(1 + pt.exp(phi)[..., None] * pt.exp(-kappa))
    gaps = pt.log1mexp(kappa[:-1] - kappa[1:])
    return (
        phi * above.sum(axis=-1)
        - (at_cutpoint * logs).sum(axis=-1)
        - (above * kappa).sum(axis=-1)
        + (above[..., :-1] * gaps).sum(axis=-1)
    )


# numba draws from PyMC's distributions, but not from a function of our own
def _ratings(phi, kappa, size):
    return pm.Categorical.dist(p=pm.OrderedLogistic.compute_p(phi, _one_set(kappa)), size=size)


def _counts(phi, kappa, n, size):
    p = pm.OrderedLogistic.compute_p(phi, _one_set(kappa))
    return pm.Multinomial.dist(n=n, p=p, size=size)
