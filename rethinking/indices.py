"""Indices of a model: none may point beyond the end of what it points into."""

from __future__ import annotations

import numpy as np
import pymc as pm
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
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
        for axis, index in enumerate(i for i in indices if i is not None):
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
