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

import hashlib
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.scalar import Add
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.subtensor import AdvancedSubtensor


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
    ValueError
        When it is evaluated: not one phi for each rating.
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
    ValueError
        When it is evaluated: counts of another shape than rows by K + 1.
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


def _odds(phi):
    """exp(phi), by one exponential a parameter instead of one a rating where phi is a sum of them.

    exp(a[i] + b[j]) is exp(a)[i] * exp(b)[j].
    """
    node = phi.owner
    if node is not None and phi.ndim == 1:
        if isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Add):
            return pt.mul(*[_odds(term) for term in node.inputs])
        if isinstance(node.op, AdvancedSubtensor) and node.inputs[0].ndim == 1:
            return node.op(pt.exp(node.inputs[0]), *node.inputs[1:])
    return pt.exp(phi)


def _log_probability(value, phi, kappa):
    value, phi = pt.as_tensor(value), pt.as_tensor(phi).astype("float64")
    odds = _odds(phi)
    if value.type.shape != phi.type.shape:
        value, phi, odds = pt.broadcast_arrays(value, phi, odds)
    return _LogProbability(counts=False)(value, phi, odds, _one_set(kappa))


def _log_probability_of_counts(counts, phi, kappa, n):
    phi = pt.as_tensor(phi).astype("float64")
    return _LogProbability(counts=True)(counts, phi, pt.exp(phi), _one_set(kappa))


# numba draws from PyMC's distributions, but not from a function of our own
def _ratings(phi, kappa, size):
    return pm.Categorical.dist(p=pm.OrderedLogistic.compute_p(phi, _one_set(kappa)), size=size)


def _counts(phi, kappa, n, size):
    p = pm.OrderedLogistic.compute_p(phi, _one_set(kappa))
    return pm.Multinomial.dist(n=n, p=p, size=size)


# --- The loops ---------------------------------------------------------------
# Plain functions of arrays, compiled by numba. `odds` is exp(phi), computed once for a value and
# its gradient. `kappa` has K entries; category c lies between kappa[c - 1] and kappa[c]. Where a
# product overflows, the same in logarithms.


def _rating_values(value, phi, odds, kappa):
    n, n_cutpoints = len(phi), len(kappa)
    if len(value) != n:  # numba reads beyond an array without a word
        raise ValueError("there must be one phi for each rating")
    upper, lower, gap = (
        np.zeros(n_cutpoints + 1),
        np.zeros(n_cutpoints + 1),
        np.zeros(n_cutpoints + 1),
    )
    for k in range(n_cutpoints):
        upper[k] = np.exp(-kappa[k])
        lower[k + 1] = np.exp(kappa[k])
        if k > 0:
            gap[k] = np.log(-np.expm1(kappa[k - 1] - kappa[k]))
    out = np.empty(n)
    for i in range(n):
        c = value[i]
        if c < 0 or c > n_cutpoints:
            out[i] = -np.inf
            continue
        product = (1 + odds[i] * upper[c]) * (1 + lower[c] / odds[i])
        if product < np.inf:  # false for NaN too
            out[i] = gap[c] - np.log(product)
        else:
            out[i] = gap[c]
            if c < n_cutpoints:
                out[i] -= np.logaddexp(0.0, phi[i] - kappa[c])
            if c > 0:
                out[i] -= np.logaddexp(0.0, kappa[c - 1] - phi[i])
    return out


def _rating_gradients(value, phi, odds, kappa, weight):
    n, n_cutpoints = len(phi), len(kappa)
    upper, lower = np.zeros(n_cutpoints + 1), np.zeros(n_cutpoints + 1)
    for k in range(n_cutpoints):
        upper[k] = np.exp(-kappa[k])
        lower[k + 1] = np.exp(kappa[k])
    by_phi, by_kappa = np.zeros(n), np.zeros(n_cutpoints)
    total = np.zeros(n_cutpoints + 1)
    for i in range(n):
        c = value[i]
        if c < 0 or c > n_cutpoints:
            continue
        # shares x / (1 + x), which stay right where x overflows
        above = 1 - 1 / (1 + odds[i] * upper[c]) if c < n_cutpoints else 0.0
        below = 1 / (1 + odds[i] / lower[c]) if c > 0 else 0.0
        by_phi[i] = weight[i] * (below - above)
        total[c] += weight[i]
        if c < n_cutpoints:
            by_kappa[c] += weight[i] * above
        if c > 0:
            by_kappa[c - 1] -= weight[i] * below
    for k in range(1, n_cutpoints):
        slope = total[k] / np.expm1(kappa[k] - kappa[k - 1])
        by_kappa[k] += slope
        by_kappa[k - 1] -= slope
    return by_phi, by_kappa


def _count_values(counts, phi, odds, kappa):
    n, n_cutpoints = len(phi), len(kappa)
    if counts.shape[0] != n or counts.shape[1] != n_cutpoints + 1:
        raise ValueError("counts must have a row for each phi and one column more than cutpoints")
    factor, gap = np.exp(-kappa), np.zeros(n_cutpoints)
    for k in range(n_cutpoints - 1):
        gap[k] = np.log(-np.expm1(kappa[k] - kappa[k + 1]))
    out = np.empty(n)
    for i in range(n):
        value = 0.0
        for k in range(n_cutpoints):
            here, both = counts[i, k + 1], counts[i, k] + counts[i, k + 1]
            if both != 0:
                x = odds[i] * factor[k]
                value += here * (phi[i] - kappa[k] + gap[k])
                if x < np.inf:
                    value -= both * np.log1p(x)
                else:
                    value -= both * np.logaddexp(0.0, phi[i] - kappa[k])
        out[i] = value
    return out


def _count_gradients(counts, phi, odds, kappa, weight):
    n, n_cutpoints = len(phi), len(kappa)
    factor = np.exp(-kappa)
    by_phi, by_kappa = np.zeros(n), np.zeros(n_cutpoints)
    total = np.zeros(n_cutpoints)
    for i in range(n):
        for k in range(n_cutpoints):
            here, both = counts[i, k + 1], counts[i, k] + counts[i, k + 1]
            if both != 0:
                excess = here - both * (1 - 1 / (1 + odds[i] * factor[k]))
                by_phi[i] += weight[i] * excess
                by_kappa[k] -= weight[i] * excess
                total[k] += weight[i] * here
    for k in range(n_cutpoints - 1):
        slope = total[k] / np.expm1(kappa[k + 1] - kappa[k])
        by_kappa[k + 1] += slope
        by_kappa[k] -= slope
    return by_phi, by_kappa


_LOOPS = {
    (False, False): _rating_values,
    (False, True): _rating_gradients,
    (True, False): _count_values,
    (True, True): _count_gradients,
}


@cache
def _compiled(loop):
    return numba.njit(loop)


class _LogProbability(Op):
    """Log-probability of each rating (or row of counts) given phi and the cutpoints."""

    __props__ = ("counts",)

    def __init__(self, counts):
        self.counts = counts
        rows = "(n,m)" if counts else "(n)"
        self.gufunc_signature = f"{rows},(n),(n),(k)->(n)"

    def make_node(self, value, phi, odds, kappa):
        inputs = [pt.as_tensor(x) for x in (value, phi, odds, kappa)]
        return Apply(self, inputs, [pt.dvector()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = _compiled(_LOOPS[self.counts, False])(*inputs)

    def infer_shape(self, node, shapes):
        return [shapes[1]]

    def connection_pattern(self, node):
        return [[False], [True], [False], [True]]  # odds is phi once more

    def pullback(self, inputs, outputs, output_grads):
        by_phi, by_kappa = _Gradient(self.counts)(*inputs, *output_grads)
        return [disconnected_type(), by_phi, disconnected_type(), by_kappa]


class _Gradient(Op):
    """Gradient of a weighted sum of the log-probabilities by phi and by the cutpoints."""

    __props__ = ("counts",)

    def __init__(self, counts):
        self.counts = counts
        rows = "(n,m)" if counts else "(n)"
        self.gufunc_signature = f"{rows},(n),(n),(k),(n)->(n),(k)"

    def make_node(self, value, phi, odds, kappa, weight):
        inputs = [pt.as_tensor(x) for x in (value, phi, odds, kappa, weight)]
        return Apply(self, inputs, [pt.dvector(), pt.dvector()])

    def perform(self, node, inputs, output_storage):
        by_phi, by_kappa = _compiled(_LOOPS[self.counts, True])(*inputs)
        output_storage[0][0], output_storage[1][0] = by_phi, by_kappa

    def infer_shape(self, node, shapes):
        return [shapes[1], shapes[3]]


# Part of the key of PyTensor's cache on disk: changed loops never meet what the old ones became.
_SOURCE = int(hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12], 16)


@register_funcify_default_op_cache_key(_LogProbability)
def _numba_log_probability(op, **kwargs):
    return numba_njit(_LOOPS[op.counts, False]), _SOURCE


@register_funcify_default_op_cache_key(_Gradient)
def _numba_gradient(op, **kwargs):
    return numba_njit(_LOOPS[op.counts, True]), _SOURCE
