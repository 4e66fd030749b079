"""Formulas as plain text: read, compared with their models, typeset, shown."""

from rethinking.formula.parse import Formula, FormulaError
from rethinking.formula.show import show_formula

__all__ = ["Formula", "FormulaError", "show_formula"]
