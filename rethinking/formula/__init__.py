"""Formulas as plain text: read, compared with their models, typeset, shown."""

from rethinking.formula.parse import FormulaError
from rethinking.formula.show import Formula, show_formula

__all__ = ["Formula", "FormulaError", "show_formula"]
