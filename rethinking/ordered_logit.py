r"""The ordered logit for many ratings, with no exponential and hardly a logarithm a rating.

A rating :math:`R` from 0 to :math:`K` with cutpoints :math:`\kappa_1 < \dots < \kappa_K` (log-odds)
and a shift :math:`\phi` (log-odds) has :math:`P(R \le k) = F(\kappa_{k+1} - \phi)`, where
:math:`F(x) = 1/(1 + e^{-x})`. The probability of one category is a difference of two such values.

**A product instead of a difference.** Since
:math:`F(a) - F(b) = F(a)\, F(-b)\, (1 - e^{b - a})`, with :math:`a = \kappa_{k+1} - \phi` and
:math:`b = \kappa_k - \phi`

.. math::

    P(R = k) = \frac{1 - e^{\kappa_k - \kappa_{k+1}}}{q}, \qquad
    q = (1 + x)(1 + z), \quad x = e^{\phi - \kappa_{k+1}}, \quad z = e^{\kappa_k - \phi}.

The numerator has no :math:`\phi` in it: it is one number a category. Nothing cancels far out,
where the difference of sigmoids is 0 (PyMC's `OrderedLogistic` says ``-inf`` from
:math:`\phi - \kappa` = 37 on). In the lowest category :math:`z = 0`, in the highest :math:`x = 0`.

**No exponential a rating.** Where :math:`\phi_i = a_{r(i)} + b_{s(i)}` is a sum of two effects that
are looked up (a case and a person), :math:`x` and :math:`z` are products of factors that are
computed once for each case, each person and each category. With
:math:`M = x z = e^{\kappa_k - \kappa_{k+1}}`, which a case and a category have in common,

.. math::

    q = (1 + M) + x + z,

so that a rating costs two multiplications and two additions so far.

**No logarithm a rating.** :math:`\sum_i \log q_i = \log \prod_i q_i`: the loop multiplies, and
takes a logarithm whenever the product has grown to 1e150, every hundred ratings or so.

**The gradient for one division.** With :math:`v = 1/q`

.. math::

    \frac{\partial \log P}{\partial \phi} = \frac{z}{1 + z} - \frac{x}{1 + x} = z v - x v, \qquad
    \frac{x}{1 + x} = x v + M v, \quad \frac{z}{1 + z} = z v + M v,

of which the last two, summed over the ratings of a category, are the gradients by its upper and
(with a minus) its lower cutpoint; the numerator adds
:math:`\pm 1/(e^{\kappa_{k+1} - \kappa_k} - 1)` for each rating. All sums but the first have terms
of one sign, so that they keep their digits.
In all a rating costs five multiplications, a division and seven additions.

**Where products would overflow**, from ``|a| + |b| + |kappa|`` = 340 on, the same is computed in
logarithms, a rating at a time.

For a table of counts the factors of neighbouring categories can be collected. With
:math:`L_k = \log(1 + e^{\phi} e^{-\kappa_k})`, the factor of the lower cutpoint is
:math:`L_k - \phi + \kappa_k`, and a row with counts :math:`c_0, \dots, c_K` has the log-likelihood

.. math::

    \sum_{k=1}^{K} \bigl[(\phi - \kappa_k)\, c_k - (c_{k-1} + c_k)\, L_k\bigr]
    + \sum_{k=1}^{K-1} c_k \log(1 - e^{\kappa_k - \kappa_{k+1}}).

The loops are compiled by numba. On JAX and MLX stock PyTensor expressions in logarithms take their
place.
"""

from __future__ import annotations

import hashlib
from functools import reduce
from operator import add
from pathlib import Path

import numba
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key
from pytensor.scalar import Add, Second
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.rewriting.basic import register_canonicalize, register_specialize
from pytensor.tensor.subtensor import AdvancedSubtensor

from rethinking import count_loops
from rethinking.indices import within_bounds, without_guard

LARGEST = 340.0  # sum of the largest exponents: products stay below 1e148
FULL = 1e150  # the running product gives way to its logarithm


def OrderedLogit(name, phi, kappa, **kwargs):
    """Ratings from 0 to K, one for each entry of `phi`, inside a model.

    The same distribution as ``pm.OrderedLogistic(name, eta=phi, cutpoints=kappa)``. It is fastest
    where `phi` is a sum of at most two looked-up effects, ``case[case_idx] + person[person_idx]``,
    besides scalars; anything else in the sum costs an exponential a rating.

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
        Ratings. Its log-probability is right for any size of `phi` and `kappa`; it is ``-inf``
        for a rating that is none. To draw, the cutpoints are sorted: PyMC's prior draws of a
        variable with ``transform=ordered`` are not in order, and those that have one prior are
        distributed as the ordered ones once they are sorted.

    Raises
    ------
    NotImplementedError
        More than one set of cutpoints.
    ValueError
        An observed rating is no whole number; when it is evaluated: not one phi for each rating.
    IndexError
        When it is evaluated or drawn: an effect is looked up beyond the end, or before the start.
    """
    _only_whole_numbers(name, kwargs.get("observed"))
    return pm.CustomDist(
        name,
        within_bounds(phi),
        kappa,
        logp=_log_probability,
        dist=_ratings,
        signature="(),(k)->()",
        class_name="OrderedLogit",
        **kwargs,
    )


def _only_whole_numbers(name, observed):
    """Refuse what PyMC would cut off behind the point; a variable of PyTensor says its type."""
    if observed is None or isinstance(observed, Variable):
        return
    values = np.ma.asarray(observed)
    if values.dtype.kind == "f":
        broken = values[np.isfinite(values) & (values != np.floor(values))].compressed()
        if broken.size:
            raise ValueError(
                f"{name}: {broken[0]} is no whole number, and observed ratings and counts of them "
                "are: look at the column that was given as observed."
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
        Ratings in each row; counts that are negative or of another sum have probability zero.
    **kwargs
        As for a distribution of PyMC: ``observed`` (rows by K + 1 counts), ``dims``, ...

    Returns
    -------
    TensorVariable
        Its log-probability is finite for ``|phi|`` and ``|kappa|`` up to 350. To draw, the
        cutpoints are sorted, as for `OrderedLogit`.

    Raises
    ------
    NotImplementedError
        More than one set of cutpoints.
    ValueError
        An observed count is no whole number; when it is evaluated: counts of another shape than
        rows by K + 1.
    IndexError
        When it is evaluated or drawn: an effect is looked up beyond the end, or before the start.
    """
    _only_whole_numbers(name, kwargs.get("observed"))
    return pm.CustomDist(
        name,
        within_bounds(phi),
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
    kappa = pt.as_tensor(kappa).astype("float64")
    if not all(kappa.type.broadcastable[:-1]):
        raise NotImplementedError("There can be one set of cutpoints, for all ratings.")
    return kappa if kappa.ndim == 1 else kappa.reshape((-1,))


def _log_probability(value, phi, kappa):
    value, phi, kappa = pt.as_tensor(value), pt.as_tensor(phi).astype("float64"), _one_set(kappa)
    if value.type.broadcastable == (True,) or value.ndim == 0:
        value = value + pt.zeros_like(phi, dtype=value.dtype)
    if value.ndim != 1 or phi.ndim > 1:
        return _in_logarithms(value, phi, kappa)
    return _LogProbability()(value, kappa, *_two_lookups(phi, value))


def _two_lookups(phi, value):
    """Vectors a, b and indices i, j such that phi = a[i] + b[j]."""
    looked_up, everywhere, dense = [], [pt.zeros(1)], []
    terms = [phi]
    while terms:
        term = terms.pop(0)
        node = term.owner
        if node and isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Add):
            terms += node.inputs
        elif all(term.type.broadcastable):
            everywhere.append(term.reshape((1,)))
        elif (
            node
            and isinstance(node.op, AdvancedSubtensor)
            and len(node.inputs) == 2
            and node.inputs[0].ndim == 1
            and node.inputs[1].ndim == 1
            and node.inputs[1].dtype != "bool"
            and len(looked_up) < 2
        ):
            looked_up.append((*node.inputs, term))
        else:
            dense.append(term)
    # the effects with fewer entries first: their factors get a table by category
    looked_up.sort(key=lambda found: found[0].type.shape[0] or np.inf)
    # the loops look at the indices themselves
    pairs = [(a, without_guard(i)) for a, i, _ in looked_up]
    if dense:
        dense += [term for _, _, term in looked_up[1:]]
        rest = reduce(add, dense)
        pairs[1:] = [(rest, pt.arange(rest.shape[0]))]
    while len(pairs) < 2:
        pairs.insert(0, (pt.zeros(1), pt.zeros_like(value, dtype="int64")))
    (a, i), (b, j) = pairs
    return a + reduce(add, everywhere), i, b, j


def _log_probability_of_counts(counts, phi, kappa, n):
    phi = pt.as_tensor(phi).astype("float64")
    n = pt.as_tensor(n)
    counts = _PossibleCounts()(counts, n if n.ndim else n[None])
    return _CountLogProbability()(counts, phi, _one_set(kappa))


def _in_logarithms(category, phi, kappa):
    """Log-probability in stock PyTensor, of any shapes that broadcast."""
    category, end = pt.as_tensor(category), np.full(1, np.inf)
    gap = pt.concatenate([np.zeros(1), pt.log1mexp(kappa[:-1] - kappa[1:]), np.zeros(1)])
    known = (category >= 0) & (category < gap.shape[0])
    at = pt.switch(known, category, 0)
    logp = gap[at] - pt.softplus(phi - pt.concatenate([kappa, end])[at])
    return pt.switch(known, logp - pt.softplus(pt.concatenate([-end, kappa])[at] - phi), -np.inf)


def _counts_in_logarithms(counts, phi, kappa):
    each = _in_logarithms(pt.arange(kappa.shape[0] + 1), phi[:, None], kappa)
    logp = pt.switch(pt.gt(counts, 0), counts * each, 0).sum(axis=1)
    return pt.switch(counts[:, 0] < 0, -np.inf, logp)


# numba draws from PyMC's distributions, but not from a function of our own
def _ratings(phi, kappa, size):
    p = pm.OrderedLogistic.compute_p(phi, pt.sort(_one_set(kappa)))
    return pm.Categorical.dist(p=p, size=size)


def _counts(phi, kappa, n, size):
    p = pm.OrderedLogistic.compute_p(phi, pt.sort(_one_set(kappa)))
    return pm.Multinomial.dist(n=n, p=p, size=size)


# --- The loops ---------------------------------------------------------------
# `kappa` has K entries; category c lies between kappa[c - 1] and kappa[c]. A rating is a `key`,
# row * stride + category, and a column: phi = a[row] + b[column]. The key len(a) * stride stands
# for a rating that is none. Indices are unsigned, so that numba does not look for negative ones.


@numba.njit
def _pack(value, i, j, stride, n_rows, n_columns):
    n = len(value)
    if len(i) != n or len(j) != n:  # numba reads beyond an array without a word
        raise ValueError("there must be one phi for each rating")
    key, column = np.empty(n, np.uint32), np.empty(n, np.uint32)
    for r in range(n):
        if not (0 <= i[r] < n_rows and 0 <= j[r] < n_columns):
            raise IndexError("an effect of phi is looked up beyond its end, or before its start")
        known = 0 <= value[r] < stride
        key[r] = i[r] * stride + value[r] if known else n_rows * stride
        column[r] = j[r]
    return key, column


@numba.njit
def _slope_of_gap(ratings, c, kappa, by_kappa):
    """Add what the gap between two cutpoints gives to the gradient; return its logarithm."""
    width = kappa[c] - kappa[c - 1]
    if not width > 0:
        return -np.inf
    slope = ratings / np.expm1(width)
    by_kappa[c] += slope
    by_kappa[c - 1] -= slope
    return np.log(-np.expm1(-width))


@numba.njit
def _one_by_one(key, column, stride, kappa, a, b):
    """Log-probability of each rating and the gradient of their sum, in logarithms."""
    n_cutpoints = len(kappa)
    values, by_kappa = np.empty(len(key)), np.zeros(n_cutpoints)
    by_a, by_b = np.zeros(len(a)), np.zeros(len(b))
    for r in range(len(key)):
        row, c = divmod(np.int64(key[r]), stride)
        if row == len(a) or c > n_cutpoints:
            values[r] = -np.inf
            continue
        phi = a[row] + b[column[r]]
        value, above, below = 0.0, 0.0, 0.0
        if 0 < c < n_cutpoints:
            value = _slope_of_gap(1.0, c, kappa, by_kappa)
        if c < n_cutpoints:
            value -= np.logaddexp(0.0, phi - kappa[c])
            above = np.exp(-np.logaddexp(0.0, kappa[c] - phi))
            by_kappa[c] += above
        if c > 0:
            value -= np.logaddexp(0.0, kappa[c - 1] - phi)
            below = np.exp(-np.logaddexp(0.0, phi - kappa[c - 1]))
            by_kappa[c - 1] -= below
        by_a[row] += below - above
        by_b[column[r]] += below - above
        values[r] = value
    return values, by_kappa, by_a, by_b


@numba.njit
def _largest(x):
    largest = 0.0
    for value in x:
        if not abs(value) <= largest:  # true for NaN, too
            largest = abs(value)
    return largest


@numba.njit
def _total(key, column, stride, kappa, a, b):
    """Sum of the log-probabilities and its gradient by kappa, a and b.

    Fastest where equal keys are neighbours; right in any order.
    """
    n, n_rows, n_cutpoints = len(key), len(a), len(kappa)
    if not _largest(kappa) + _largest(a) + _largest(b) <= LARGEST:
        values, by_kappa, by_a, by_b = _one_by_one(key, column, stride, kappa, a, b)
        return values.sum(), by_kappa, by_a, by_b

    # for each key x / e^b, z * e^b and 1 + M; sums of x v, z v, v, and the number of ratings
    factor, sums = np.zeros((n_rows * stride + 1, 3)), np.zeros((n_rows * stride + 1, 4))
    factor[:, 2] = 1.0
    upper, lower = np.exp(-kappa), np.exp(kappa)
    for row in range(n_rows):
        odds = np.exp(a[row])
        for c in range(min(stride, n_cutpoints + 1)):
            if c < n_cutpoints:
                factor[row * stride + c, 0] = odds * upper[c]
            if c > 0:
                factor[row * stride + c, 1] = lower[c - 1] / odds
            if 0 < c < n_cutpoints:
                factor[row * stride + c, 2] = 1.0 + upper[c] * lower[c - 1]
    up = np.exp(b)
    down = 1.0 / up
    by_b = np.zeros(len(b))

    total, product = 0.0, 1.0
    r = 0
    while r < n:
        k, first = key[r], r
        x_k, z_k, one_k = factor[k, 0], factor[k, 1], factor[k, 2]
        sum_x, sum_z, sum_v = 0.0, 0.0, 0.0
        while r < n and key[r] == k:
            s = column[r]
            x, z = x_k * up[s], z_k * down[s]
            q = one_k + x + z
            product *= q
            if product > FULL:
                total -= np.log(product)
                product = 1.0
            v = 1.0 / q
            x *= v
            z *= v
            sum_x += x
            sum_z += z
            sum_v += v
            by_b[s] += z - x
            r += 1
        sums[k, 0] += sum_x
        sums[k, 1] += sum_z
        sums[k, 2] += sum_v
        sums[k, 3] += r - first
    total -= np.log(product)

    by_kappa, by_a, ratings = np.zeros(n_cutpoints), np.zeros(n_rows), np.zeros(stride)
    for row in range(n_rows):
        for c in range(stride):
            k = row * stride + c
            by_a[row] += sums[k, 1] - sums[k, 0]
            common = (factor[k, 2] - 1.0) * sums[k, 2]
            if c < n_cutpoints:
                by_kappa[c] += sums[k, 0] + common
            if 0 < c <= n_cutpoints:
                by_kappa[c - 1] -= sums[k, 1] + common
            ratings[c] += sums[k, 3]
    for c in range(stride):
        if ratings[c] > 0:
            if c > n_cutpoints:
                total = -np.inf
            elif 0 < c < n_cutpoints:
                total += ratings[c] * _slope_of_gap(ratings[c], c, kappa, by_kappa)
    if sums[n_rows * stride, 3] > 0:
        total = -np.inf
    return total, by_kappa, by_a, by_b


@numba.njit
def _rating_values(value, kappa, a, i, b, j):
    stride = len(kappa) + 1
    key, column = _pack(value, i, j, stride, len(a), len(b))
    return _one_by_one(key, column, stride, kappa, a, b)[0]


@numba.njit
def _rating_total(value, kappa, a, i, b, j):
    stride = len(kappa) + 1
    key, column = _pack(value, i, j, stride, len(a), len(b))
    total, by_kappa, by_a, by_b = _total(key, column, stride, kappa, a, b)
    return np.asarray(total), by_kappa, by_a, by_b


@numba.njit
def _packed_total(key, column, limits, kappa, a, b):
    if limits[1] > len(a) or limits[2] > len(b):
        raise IndexError("an effect of phi is looked up beyond its end")
    total, by_kappa, by_a, by_b = _total(key, column, limits[0], kappa, a, b)
    return np.asarray(total), by_kappa, by_a, by_b


# --- The loops as operations of a graph --------------------------------------


class _Loop(Op):
    """An operation that one of the loops above carries out."""

    __props__ = ()

    def make_node(self, *inputs):
        inputs = [pt.as_tensor(x) for x in inputs]
        return Apply(self, inputs, self.outputs_for(*inputs))

    def perform(self, node, inputs, output_storage):
        found = type(self).loop(*inputs)
        for storage, value in zip(
            output_storage, found if isinstance(found, tuple) else [found], strict=True
        ):
            storage[0] = value


class _LogProbability(_Loop):
    """Log-probability of each rating, given cutpoints and phi = a[i] + b[j]."""

    gufunc_signature = "(n),(k),(r),(n),(c),(n)->(n)"
    loop = staticmethod(_rating_values)

    def outputs_for(self, value, kappa, a, i, b, j):
        return [pt.vector(dtype="float64", shape=value.type.shape)]

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def connection_pattern(self, node):
        return [[False], [True], [True], [False], [True], [False]]

    def pullback(self, inputs, outputs, output_grads):
        value, kappa, a, i, b, j = inputs
        weight = _the_same_for_all(output_grads[0])
        if weight is not None:
            by_kappa, by_a, by_b = (weight * by for by in _Total()(*inputs)[1:])
        else:
            total = pt.sum(output_grads[0] * _in_logarithms(value, a[i] + b[j], kappa))
            by_kappa, by_a, by_b = pt.grad(
                total, [kappa, a, b], consider_constant=[output_grads[0]]
            )
        nothing = disconnected_type()
        return [nothing, by_kappa, by_a, nothing, by_b, nothing]


class _Total(_Loop):
    """Sum of the log-probabilities and its gradient by the cutpoints, a and b."""

    loop = staticmethod(_rating_total)

    def outputs_for(self, value, kappa, a, i, b, j):
        return [pt.dscalar(), kappa.type(), a.type(), b.type()]

    def infer_shape(self, node, shapes):
        return [(), shapes[1], shapes[2], shapes[4]]

    def connection_pattern(self, node):
        return [[connected] * 4 for connected in (False, True, True, False, True, False)]

    def pullback(self, inputs, outputs, output_grads):
        weight, *others = output_grads
        if not all(isinstance(other.type, DisconnectedType) for other in others):
            raise NotImplementedError("OrderedLogit has no second derivatives.")
        by_kappa, by_a, by_b = (weight * by for by in outputs[1:])
        nothing = disconnected_type()
        return [nothing, by_kappa, by_a, nothing, by_b, nothing]


class _PackedTotal(_Loop):
    """`_Total` of ratings that are constant: keys and columns, sorted once and for all."""

    loop = staticmethod(_packed_total)

    def outputs_for(self, key, column, limits, kappa, a, b):
        return [pt.dscalar(), kappa.type(), a.type(), b.type()]

    def infer_shape(self, node, shapes):
        return [(), *shapes[3:]]


class _PossibleCounts(_Loop):
    """Counts whose impossible rows are marked; of constant counts, done once when compiling."""

    gufunc_signature = "(n,m),(k)->(n,m)"
    loop = staticmethod(count_loops.possible)

    def outputs_for(self, counts, n):
        return [pt.lmatrix(shape=counts.type.shape)]

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def connection_pattern(self, node):
        return [[False], [False]]

    def pullback(self, inputs, outputs, output_grads):
        return [disconnected_type(), disconnected_type()]


class _CountLogProbability(_Loop):
    """Log-probability of each row of counts given phi and the cutpoints."""

    gufunc_signature = "(n,m),(n),(k)->(n)"
    loop = staticmethod(count_loops.values)

    def outputs_for(self, counts, phi, kappa):
        return [phi.type()]

    def infer_shape(self, node, shapes):
        return [shapes[1]]

    def connection_pattern(self, node):
        return [[False], [True], [True]]

    def pullback(self, inputs, outputs, output_grads):
        return [disconnected_type(), *_CountGradient()(*inputs, *output_grads)]


class _CountGradient(_Loop):
    """Gradient of a weighted sum of the log-probabilities of rows by phi and by the cutpoints."""

    gufunc_signature = "(n,m),(n),(k),(n)->(n),(k)"
    loop = staticmethod(count_loops.gradients)

    def outputs_for(self, counts, phi, kappa, weight):
        return [phi.type(), kappa.type()]

    def infer_shape(self, node, shapes):
        return [shapes[1], shapes[2]]


def _the_same_for_all(gradient):
    """Return the scalar that a vector repeats, as the gradient of a sum does; None elsewhere."""
    node = gradient.owner
    while node and isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Second):
        gradient = node.inputs[1]
        node = gradient.owner
    if node and isinstance(node.op, DimShuffle | Alloc) and node.inputs[0].ndim == 0:
        return node.inputs[0]
    return gradient[0] if gradient.type.broadcastable == (True,) else None


# --- Rewrites of the graph ---------------------------------------------------


@register_canonicalize
@node_rewriter([Sum])
def sum_of_ratings(fgraph, node):
    """Let one loop give the sum of the log-probabilities and its gradient."""
    inner = node.inputs[0].owner
    if inner and isinstance(inner.op, _LogProbability):
        return [_Total()(*inner.inputs)[0]]


@register_specialize
@node_rewriter([_Total])
def pack_constant_ratings(fgraph, node):
    """Sort ratings whose value and indices are constant: their order is of no consequence."""
    value, kappa, a, i, b, j = node.inputs
    if not all(isinstance(x, Constant) and x.data.size for x in (value, i, j)):
        return None
    value, i, j = (np.asarray(x.data, dtype=np.int64) for x in (value, i, j))
    if not len(value) == len(i) == len(j) or min(x.min() for x in (value, i, j)) < 0:
        return None  # the loop says what is wrong
    stride = value.max() + 1
    limits = np.array([stride, i.max() + 1, j.max() + 1])
    if limits[0] * limits[1] >= 2**32:
        return None
    key = i * stride + value
    order = np.lexsort((j, key))
    key, column = (x[order].astype(np.uint32) for x in (key, j))
    return _PackedTotal()(key, column, limits, kappa, a, b)


@node_rewriter([_LogProbability, _Total, _PossibleCounts, _CountLogProbability, _CountGradient])
def in_stock_pytensor(fgraph, node):
    """Take stock expressions where there is no numba."""
    if isinstance(node.op, _PossibleCounts):
        counts, n = node.inputs
        possible = pt.all(counts >= 0, axis=1) & pt.eq(counts.sum(axis=1), n)
        others = pt.gt(pt.arange(counts.shape[1]), 0)
        marked = pt.switch(possible[:, None] | others, counts, -1)
        return [pt.cast(marked, "int64")]
    if isinstance(node.op, _CountLogProbability):
        return [_counts_in_logarithms(*node.inputs)]
    if isinstance(node.op, _CountGradient):
        counts, phi, kappa, weight = node.inputs
        total = pt.sum(weight * _counts_in_logarithms(counts, phi, kappa))
        return pt.grad(total, [phi, kappa], consider_constant=[weight])
    value, kappa, a, i, b, j = node.inputs
    each = _in_logarithms(value, a[i] + b[j], kappa)
    if isinstance(node.op, _LogProbability):
        return [each]
    return [each.sum(), *pt.grad(each.sum(), [kappa, a, b])]


optdb.register(
    "ordered_logit_in_stock_pytensor", dfs_rewriter(in_stock_pytensor), "jax", "mlx", position=0.5
)

# Part of the key of PyTensor's cache on disk: changed loops never meet what the old ones became.
_FILES = (__file__, count_loops.__file__)
_SOURCE = int(
    hashlib.sha256(b"".join(Path(file).read_bytes() for file in _FILES)).hexdigest()[:12], 16
)


@register_funcify_default_op_cache_key(_Loop)
def _numba_loop(op, **kwargs):
    return op.loop, _SOURCE
