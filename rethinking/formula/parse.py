"""A formula as plain text, read line by line."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import special

LINKS = {"logit": special.expit, "log": np.exp, "identity": lambda value: value}


class FormulaError(ValueError):
    """A displayed formula and its model disagree."""


@dataclass(frozen=True)
class Line:
    """One line of a formula: `lhs ~ Distribution(...)[, ordered]` or `link(lhs) = expression`."""

    text: str
    name: str
    index: tuple[str, ...]
    link: str | None  # None: stochastic
    expression: ast.expr
    ordered: bool = False  # entries of a vector increase

    @property
    def condensed(self) -> str:
        """Its text without blanks, which change nothing."""
        return "".join(self.text.split())


@dataclass(frozen=True)
class Formula:
    """A formula that was shown, for `since` of a later one.

    Attributes
    ----------
    name : str
    lines : tuple of Line
    """

    name: str
    lines: tuple[Line, ...]

    def marks(self, since: Formula | None) -> dict[str, str]:
        """Return "new" or "changed" by name of the line; lines that were there are left out."""
        if since is None:
            return {}
        before = {line.name: line.condensed for line in since.lines}
        return {
            line.name: "changed" if line.name in before else "new"
            for line in self.lines
            if before.get(line.name) != line.condensed
        }

    def _ipython_display_(self) -> None:
        """Show nothing more where a cell ends with `show_formula`, which has shown it."""


def parse_formula(text: str) -> tuple[Line, ...]:
    """Read a formula, one variable a line.

    Parameters
    ----------
    text : str

    Returns
    -------
    tuple of Line

    Raises
    ------
    FormulaError
        A line cannot be read, or two lines are of one variable.
    """
    lines = tuple(parse_line(line.strip()) for line in text.strip().splitlines() if line.strip())
    for name, count in Counter(line.name for line in lines).items():
        if count > 1:
            raise FormulaError(f"The formula has two lines for {name}.")
    return lines


def parse_line(text: str) -> Line:
    """Read one line: ``lhs ~ Distribution(...)`` or ``link(lhs) = expression``."""
    stochastic = "~" in text
    left, separator, right = text.partition("~" if stochastic else "=")
    ordered = stochastic and bool(re.search(r",\s*ordered\s*$", right))
    if ordered:
        right = right[: right.rindex(",")]
    try:
        target = ast.parse(left.strip(), mode="eval").body
        expression = ast.parse(right.strip(), mode="eval").body
    except SyntaxError:
        separator = ""
    if not separator:
        raise FormulaError(
            f"Cannot read the line {text!r}: write `name[index] ~ Distribution(...)` or "
            "`link(name[index]) = expression`."
        )
    if any(
        isinstance(x, (ast.keyword, ast.Starred)) for s in (target, expression) for x in ast.walk(s)
    ):
        raise FormulaError(
            f"In {text!r}, write the parameters without their names, in the order of PyMC."
        )
    link = None
    if not stochastic:
        link = "identity"
        if isinstance(target, ast.Call):
            link = ast.unparse(target.func)
            if link not in LINKS:
                raise FormulaError(f"Unknown link {link!r} in {text!r}; known: {sorted(LINKS)}.")
            if len(target.args) != 1:
                raise FormulaError(f"The link {link} is of one name: {text!r}.")
            target = target.args[0]
    elif not isinstance(expression, ast.Call):
        raise FormulaError(f"Right of ~ there must be a distribution: {text!r}.")
    index: tuple[str, ...] = ()
    if isinstance(target, ast.Subscript):
        parts = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
        index, target = tuple(ast.unparse(part) for part in parts), target.value
        if not all(part.isidentifier() for part in index) or len(set(index)) < len(index):
            raise FormulaError(f"Left of ~ or =, each index is a letter of its own: {text!r}.")
    if not isinstance(target, ast.Name):
        raise FormulaError(f"Left of ~ or = there must be one name: {text!r}.")
    return Line(text, target.id, index, link, expression, ordered)


def names(expression: ast.expr) -> set[str]:
    """Return the names in an expression."""
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
