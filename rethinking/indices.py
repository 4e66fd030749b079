"""Indices of a model: none may point beyond the end of what it points into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.distribution import SymbolicRandomVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor import TensorLike
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)

_WITHIN = CheckAndRaise(
    IndexError, "an effect of phi is looked up beyond its end, or before its start"
)
_LOOKUPS = (AdvancedSubtensor, AdvancedIncSubtensor, Subtensor, IncSubtensor)


def check_indices(model: pm.Model) -> None:
    """Refuse a model that reads or writes beyond the end of a variable.

    PyTensor's numba backend does no bounds checking of index arrays: an index from 1 to J, or one
    with the -1 of a missing value, is sampled without a word from memory that is not the
    parameter's; writing there kills the kernel.

    Parameters
    ----------
    model : pymc.Model

    Raises
    ------
    IndexError
        Names the index, the indexed variable, the range found and the range allowed.

    Examples
    --------
    >>> with pm.Model() as model:
    ...     alpha = pm.Normal("alpha", shape=3)
    ...     y = pm.Normal("y", alpha[np.array([1, 2, 3])])
    >>> check_indices(model)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    IndexError: The index array runs from 1 to 3, but alpha has 3 entries, 0 to 2. ...
    """
    random = set(model.basic_RVs)
    outputs = [*model.basic_RVs, *model.deterministics, *model.potentials]
    for variable in ancestors(outputs):
        node = variable.owner
        if node is None or not isinstance(node.op, _LOOKUPS):
            continue
        base, *rest = node.inputs
        if isinstance(node.op, IncSubtensor | AdvancedIncSubtensor):
            rest = rest[1:]  # the first is the value that is written
        indices = indices_from_subtensor(rest, node.op.idx_list)
        for axis, guarded in enumerate(i for i in indices if i is not None):
            index = without_guard(guarded)
            if not isinstance(index, Variable) or index.type.dtype == "bool":
                continue
            if random & set(ancestors([index])):  # a latent index: known only while sampling
                continue
            constant = isinstance(index, Constant)
            values = np.asarray(index.data if constant else index.eval(mode="FAST_COMPILE"))
            size = base.type.shape[axis]
            if size is None:
                size = int(base.shape[axis].eval(mode="FAST_COMPILE"))
            if isinstance(node.op, Subtensor | IncSubtensor):  # one number, counted as Python does
                if not -size <= int(values) < size:
                    raise IndexError(
                        f"The index {_name_of(index)} is {values}, but "
                        f"{base.name or 'what it points into'} has {size} entries, 0 to {size - 1}."
                    )
            elif values.size and (values.min() < 0 or values.max() >= size):
                raise IndexError(
                    f"The index {index.name or 'array'} runs from {values.min()} to "
                    f"{values.max()}, but {base.name or 'what it points into'} has {size} "
                    f"entries, 0 to {size - 1}. Count from 0: `codes, labels = "
                    "pd.factorize(column, sort=True)`; a code of -1 marks a missing value."
                )


def _name_of(index: Variable) -> str:
    """Return the name of an index, through what PyTensor makes a scalar of it with."""
    while index.name is None and index.owner is not None and len(index.owner.inputs) == 1:
        (index,) = index.owner.inputs
    return index.name or "of one entry"


def within_bounds(phi: TensorLike) -> Variable:
    """Guard each index in an expression: numba reads foreign memory without a word.

    `check_indices` sees a model before it is fitted; this one is part of the graph, so that it
    holds after `pm.set_data` as well. Of constant indices nothing is left once it is compiled.

    Parameters
    ----------
    phi : tensor_like

    Returns
    -------
    TensorVariable
        The same; when it is computed, it raises IndexError for an index beyond the end.
    """
    done = {}

    def guarded(variable):
        node = variable.owner
        if node is None or isinstance(node.op, RandomVariable | SymbolicRandomVariable):
            return variable
        if variable not in done:
            inputs = [guarded(x) for x in node.inputs]
            if isinstance(node.op, AdvancedSubtensor):
                inputs = [inputs[0], *_checked(inputs[0], inputs[1:], node.op.idx_list)]
            done[variable] = variable
            if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
                done[variable] = node.clone_with_new_inputs(inputs).outputs[
                    node.outputs.index(variable)
                ]
                done[variable].name = variable.name
        return done[variable]

    return guarded(pt.as_tensor(phi))


def _checked(base: Variable, variables: Sequence[Variable], idx_list) -> list[Variable]:
    """Return the variables of a lookup's indices, those of whole numbers with a guard."""
    guards = {}
    indices = [i for i in indices_from_subtensor(variables, idx_list) if i is not None]
    for axis, index in enumerate(indices):
        if isinstance(index, Variable) and getattr(index.type, "dtype", "bool") != "bool":
            size = base.type.shape[axis]
            size = base.shape[axis] if size is None else size
            guards[index] = _WITHIN(index, pt.all(pt.ge(index, 0)), pt.all(pt.lt(index, size)))
    return [guards.get(variable, variable) for variable in variables]


def without_guard(index: Variable | int | slice) -> Variable | int | slice:
    """Return an index as it was before `within_bounds`."""
    node = getattr(index, "owner", None)
    return node.inputs[0] if node and node.op == _WITHIN else index
