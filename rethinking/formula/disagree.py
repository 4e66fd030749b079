"""What a disagreement of formula and code is about, in the parameters that were typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize

from rethinking.formula.distributions import Typed, Written, typed, with_value
from rethinking.formula.parse import FormulaError, names

_Leaves = Callable[[Written], list[np.ndarray]]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two values are equal but for rounding; axes of length one may be left out."""
    try:
        # rtol: to PyTensor, 1/3 is a number of single precision
        return np.allclose(*np.broadcast_arrays(a, b), rtol=1e-6, atol=1e-12)
    except ValueError:
        return False


def in_words(
    written: Written,
    name: str,
    leaves: _Leaves,
    here: Sequence[np.ndarray],
    in_code: Sequence[np.ndarray],
    fixed: Sequence[bool],
) -> str:
    """Say which parameter of a formula is another in the code.

    PyMC's own parameters (a scale in place of a rate) are traced back to those that were typed,
    by changing these one by one.

    Parameters
    ----------
    written : Written
    name : str
        Of the variable in the code.
    leaves : callable
        PyMC's own parameters of a distribution as written.
    here : sequence of ndarray
        These of the formula itself.
    in_code : sequence of ndarray
        PyMC's own parameters of the code.
    fixed : sequence of bool
        Whether these are numbers, whatever the parameters of the model are.

    Returns
    -------
    str
    """
    given = list(typed(written))
    sources: list[list[Typed]] = [[] for _ in here]
    for one in given:
        try:
            moved = leaves(with_value(written, one.path, _elsewhere(one.value)))
        except FormulaError:
            continue
        for k, (a, b) in enumerate(zip(here, moved, strict=False)):
            if not same(a, b):
                sources[k].append(one)
    agree = [same(a, b) for a, b in zip(here, in_code, strict=True)]
    right = {
        one.path
        for one_leaf, holds in zip(sources, agree, strict=True)
        for one in one_leaf
        if holds and len(one_leaf) == 1
    }
    wrong = [
        (k, [one for one in sources[k] if one.path not in right] or sources[k])
        for k in range(len(here))
        if not agree[k]
    ]
    k, suspects = min(wrong, key=lambda pair: (not pair[1], len(pair[1])))
    if not suspects:
        values = _both(here[k], in_code[k]) if fixed[k] else ""
        return f"a parameter of {name} that the formula leaves out is another in the code{values}"
    if len(suspects) > 1:
        places = " or ".join(str(one.position) for one in suspects)
        meant = ", ".join(dict.fromkeys(one.name for one in suspects))
        return f"parameter {places} of {name} in the code is another ({meant})"
    (one,) = suspects
    owner = "" if len(one.path) == 1 else " (a component)"
    values = ""
    if fixed[k] and not names(one.node):
        value = _as_typed(written, one, k, leaves, in_code[k])
        if value is not None:
            values = f": {one.value.item():.4g} by the formula, {value:.4g} by the code"
    return f"parameter {one.position} of {name}{owner} in the code is another ({one.name}{values})"


def _both(a: np.ndarray, b: np.ndarray) -> str:
    if a.size == b.size == 1:
        return f" ({a.item():.4g} by PyMC's default, {b.item():.4g} by the code)"
    return ""


def _elsewhere(value: np.ndarray) -> np.ndarray:
    if np.issubdtype(value.dtype, np.integer):
        return value + 1
    return value * 0.875 + 0.0625 * (np.abs(value) < 0.25)


def _as_typed(
    written: Written, one: Typed, k: int, leaves: _Leaves, in_code: np.ndarray
) -> float | None:
    """Return what would have to be typed for one of PyMC's parameters; None if not found."""
    if one.value.size != 1 or in_code.size != 1:
        return None
    target = in_code.item()

    def value_at(x: float) -> float:
        moved = leaves(with_value(written, one.path, np.asarray(x, float)))
        return moved[k].item() - target if moved[k].size == 1 else np.nan

    guesses = [target]
    if target:
        guesses.append(1 / target)
    try:
        for guess in guesses:
            if abs(value_at(guess)) <= 1e-6 * abs(target) + 1e-12:
                return guess
        start = float(one.value.item())
        found = optimize.root_scalar(value_at, x0=start, x1=start * 1.1 + 0.01, maxiter=30)
    except (FormulaError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return float(found.root) if found.converged else None
