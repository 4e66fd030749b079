"""A formula on the page, once it agrees with its model."""

from __future__ import annotations

from collections.abc import Mapping

import pymc as pm

from rethinking import record
from rethinking.display import show
from rethinking.formula.compare import check_formula
from rethinking.formula.parse import Formula, FormulaError, parse_formula
from rethinking.formula.typeset import in_latex, in_words
from rethinking.indices import check_indices


def show_formula(
    model: pm.Model,
    formula: str,
    *,
    name: str,
    symbols: Mapping[str, str] | None = None,
    since: Formula | None = None,
) -> Formula:
    r"""Typeset a model's formula, after comparing it with the model itself.

    The formula is plain text, a line a variable, in the order of the lectures (data first,
    priors last); the code runs through it from the last line to the first:

    .. code-block:: text

        S[i] ~ Binomial(D[i], p[i])
        logit(p[i]) = alpha[T[i]]
        alpha[j] ~ Normal(alpha_bar, 1)
        alpha_bar ~ Normal(0, 1.5)

    For every line the distribution, each of its parameters in order, and every deterministic
    value are compared with the model graph at a random point of the parameter space, with
    random numbers in place of the real-valued `pm.Data` that the formula names; a parameter
    without a line, a line without a variable and a different order are errors too.

    Parameters
    ----------
    model : pymc.Model
    formula : str
        Parameters in PyMC's order; an index in brackets (`alpha[T[i]]`, `beta[j]`). The name of an
        observed variable on the right stands for its data. `, ordered` at the end of a line says
        that the entries increase (`kappa[k] ~ Normal(0, 1.5), ordered`). Where PyMC takes one
        parameter or another, a formula has the first (`sigma`, not `tau`; `cov`, not `chol`, but
        the name of an `LKJCholeskyCov` stands for the covariance that it is the factor of).
        Parameters may be distributions (`Censored(Normal(mu, sigma), 0, inf)`).
    name : str
        Name of the model in the text.
    symbols : mapping of str to str, optional
        Names that the formula and the model do not share: symbol to variable of the model.
    since : Formula, optional
        What an earlier call returned; lines that it has not are colored and marked in words.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        Formula and model disagree; the message shows the line.
    TypeError
        `since` is no Formula.
    IndexError
        From `check_indices`: every model of a notebook passes here, that of `pm.sample` too.

    Examples
    --------
    >>> with pm.Model() as model:
    ...     mu = pm.Normal("mu", 0, 1.5)
    ...     y = pm.Normal("y", mu, 1, observed=0.3)
    >>> plain = show_formula(model, "y ~ Normal(mu, 1)\nmu ~ Normal(0, 1.5)", name="plain")
    y ~ Normal(mu, 1)
    mu ~ Normal(0, 1.5)
    """
    if since is not None and not isinstance(since, Formula):
        raise TypeError(
            f"since is what an earlier show_formula returned, got {since!r}: write "
            "`earlier = show_formula(...)` there and since=earlier here."
        )
    symbols = dict(symbols or {})
    for symbol, target in symbols.items():
        if target not in model.named_vars:
            raise FormulaError(f"symbols maps {symbol!r} to {target!r}, which the model has not.")
    check_indices(model)
    shown = Formula(name, parse_formula(formula))
    check_formula(model, shown.lines, symbols)
    marks = shown.marks(since)
    text = in_latex(shown.lines, marks)
    notes = in_words(shown.lines, marks, symbols, since)
    record.line("formula", name=name, model=record.number_of(model))
    plain = [
        line.text + (f"  ({marks[line.name]})" if line.name in marks else "")
        for line in shown.lines
    ]
    show(f"{text}\n\n{notes}" if notes else text, "\n".join(plain))
    return shown
