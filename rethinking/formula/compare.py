"""A formula against its model: every distribution, parameter and deterministic value."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.distributions.multivariate import _OrderedMultinomial
from pymc.distributions.transforms import Ordered
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from scipy import special

from rethinking.formula.parse import LINKS, FormulaError, Line, names

_FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "invlogit": special.expit,
    "logit": special.logit,
}
_DISTRIBUTIONS = {"OrderedLogit": "OrderedLogistic"}  # formula's word: PyMC's class
_TAKES_VECTORS = {
    "OrderedLogit",
    "OrderedLogistic",
    "OrderedMultinomial",
    "Dirichlet",
    "Categorical",
    "MvNormal",
}


class _FormulaValues:
    """Values of all names of a formula at one random point of the parameter space."""

    def __init__(self, model: pm.Model, lines: Sequence[Line], symbols: Mapping[str, str]):
        self.model, self.symbols = model, symbols
        self.lines = {line.name: line for line in lines}
        rng = np.random.default_rng(20231112)
        shapes = model.eval_rv_shapes()
        self.parameters = {
            rv: rng.uniform(0.2, 0.8, size=tuple(shapes[rv.name])).astype(rv.dtype)
            for rv in model.free_RVs
        }
        for rv in self.parameters:
            if isinstance(model.rvs_to_transforms[rv], Ordered):
                self.parameters[rv].sort(axis=-1)
        # real-valued data that the formula names at random too: at 1, sigma and sigma**w are one
        rights = {symbols.get(name, name) for line in lines for name in names(line.expression)}
        # an observed variable on the right stands for the data that it observes
        self.observed = {rv.name: model.rvs_to_values[rv] for rv in model.observed_RVs}
        rights |= {self.observed[name].name for name in rights & set(self.observed)}
        lefts = {symbols.get(line.name, line.name) for line in lines}
        self.data = {
            data: rng.uniform(0.2, 0.8, size=data.get_value().shape).astype(data.dtype)
            for data in model.data_vars
            if np.issubdtype(data.dtype, np.floating) and data.name in rights - lefts
        }
        self.open: set[str] = set()
        self.cache: dict[str, np.ndarray] = {}

    def in_model(self, name: str):
        return self.model.named_vars.get(self.symbols.get(name, name))

    def at_point(self, outputs: Sequence[Variable], without: Variable | None = None):
        point = self.parameters | self.data
        fixed = {v: pt.as_tensor(value) for v, value in point.items() if v is not without}
        clones = clone_replace(list(outputs), replace=fixed, rebuild_strict=False)
        return [np.asarray(clone.eval(mode="FAST_COMPILE")) for clone in clones]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.cache:
            variable = self.in_model(name)
            line = self.lines.get(name)
            if line is not None and line.link is not None:
                if name in self.open:
                    raise FormulaError(f"The line {line.text!r} needs its own value.")
                self.open.add(name)
                value = np.asarray(LINKS[line.link](self.evaluate(line.expression, line)))
                value = value.reshape((1,) * (len(line.index) - value.ndim) + value.shape)
            elif variable in self.parameters:
                value = self.parameters[variable]
            elif variable in self.data:
                value = self.data[variable]
            elif variable is not None and variable in self.model.data_vars:
                value = variable.get_value()
            elif variable is not None and variable.name in self.observed:
                seen = self.observed[variable.name]
                value = self.data[seen] if seen in self.data else seen.eval(mode="FAST_COMPILE")
            else:
                known = ", ".join(self.model.named_vars)
                raise FormulaError(
                    f"{name!r} of the formula is no parameter or pm.Data of the model, which "
                    f"has {known}. Use the model's name, or say symbols={{{name!r}: ...}}."
                )
            self.cache[name] = np.asarray(value)
        return self.cache[name]

    def evaluate(self, node: ast.expr, line: Line, whole: bool = False) -> np.ndarray:
        """Value of an expression, with an axis for each index of its line.

        `whole` allows a vector: a name without an index, or a last index of its own.
        """
        match node:
            case ast.Constant(value=int() | float() as value):
                return np.asarray(value)
            case ast.Name(id=name):
                value = self[name]
                if value.ndim and not whole:
                    raise FormulaError(
                        f"In {line.text!r}, {name} has {value.size} entries: give it an index."
                    )
                return value
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                value = self[name]
                parts = index.elts if isinstance(index, ast.Tuple) else [index]
                if len(parts) != value.ndim:
                    raise FormulaError(
                        f"In {line.text!r}, {name} is written with {len(parts)} indices, but "
                        f"the model's has {value.ndim} dimensions."
                    )
                last = parts[-1]
                if whole and isinstance(last, ast.Name) and self.in_model(last.id) is None:
                    line = replace(line, index=tuple(dict.fromkeys([*line.index, last.id])))
                places = [
                    self.places(part, size, line)
                    for part, size in zip(parts, value.shape, strict=True)
                ]
                try:
                    return value[tuple(places)]
                except IndexError as error:
                    raise FormulaError(
                        f"In {line.text!r}, an index of {name} does not fit: {error}."
                    ) from error
            case ast.Call(func=ast.Name(id=function), args=[arg]) if function in _FUNCTIONS:
                return _FUNCTIONS[function](self.evaluate(arg, line))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.evaluate(operand, line)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self.evaluate(left, line), self.evaluate(right, line)
                operations = {
                    ast.Add: np.add,
                    ast.Sub: np.subtract,
                    ast.Mult: np.multiply,
                    ast.Div: np.divide,
                    ast.Pow: np.power,
                }
                if type(op) in operations:
                    try:
                        return operations[type(op)](a, b)
                    except ValueError:
                        raise FormulaError(
                            f"In {line.text!r}, {ast.unparse(left)} and {ast.unparse(right)} are "
                            f"of shapes {a.shape} and {b.shape}: an index is missing or wrong."
                        ) from None
        raise FormulaError(f"Cannot evaluate {ast.unparse(node)!r} in {line.text!r}.")

    def places(self, part: ast.expr, size: int, line: Line) -> np.ndarray:
        """Entries of one axis that an index means, along the axes of the line's indices."""
        if isinstance(part, ast.Name) and part.id in line.index:
            own = line.index.index(part.id)
            return np.arange(size).reshape([-1 if k == own else 1 for k in range(len(line.index))])
        if isinstance(part, ast.Name) and self.in_model(part.id) is None:
            raise FormulaError(
                f"In {line.text!r}, the index {part.id} does not stand on the left: write it "
                f"there too, as in {line.name}[{part.id}]."
            )
        return self.evaluate(part, line)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        # rtol: to PyTensor, 1/3 is a number of single precision
        return np.allclose(*np.broadcast_arrays(a, b), rtol=1e-6, atol=1e-12)
    except ValueError:
        return False


def check_formula(model: pm.Model, lines: Sequence[Line], symbols: Mapping[str, str]) -> None:
    """Compare a formula with its model, line by line, and the order of both.

    Values are compared at one random point of the parameter space, in `show_formula`'s words.

    Parameters
    ----------
    model : pymc.Model
    lines : sequence of Line
    symbols : mapping of str to str
        Symbol of the formula to variable of the model, where they differ.

    Raises
    ------
    FormulaError
        They disagree; the message shows the line.
    """
    code_name = {line.name: symbols.get(line.name, line.name) for line in lines}
    _check_complete(model, set(code_name.values()))
    values = _FormulaValues(model, lines, symbols)
    used = {name for line in lines for name in names(line.expression)}
    for line in reversed(lines):  # a wrong value is told where it arises, not where it is used
        if line.link is None:
            _compare_distribution(line, values)
        else:
            _compare_value(line, values, used)
    _check_sequence(model, [code_name[line.name] for line in reversed(lines)])


def _check_complete(model: pm.Model, written: set[str]) -> None:
    if model.potentials:
        raise FormulaError(
            f"The model holds a pm.Potential ({model.potentials[0].name}), which no line of a "
            "formula can show: write it as a distribution."
        )
    for variable in [*model.basic_RVs, *model.deterministics]:
        if variable.name not in written:
            raise FormulaError(
                f"The model has {variable.name}, the formula has not: add its line to the formula."
            )


def _compare_value(line: Line, values: _FormulaValues, used: set[str]) -> None:
    variable = values.in_model(line.name)
    if variable is None:
        values[line.name]  # an intermediate name: it must at least have a value
        if line.name not in used:
            raise FormulaError(
                f"The formula has `{line.text}`, but no other line uses {line.name} and "
                "the model has none: take the line out."
            )
        return
    _check_indices_of(line, variable.ndim, variable.ndim)
    (in_code,) = values.at_point([variable])
    if not _same(in_code, values[line.name]):
        raise FormulaError(
            f"Formula and code disagree: the formula says `{line.text}`, but "
            f"{variable.name} of the model has another value. Change one of the two."
        )


def _compare_distribution(line: Line, values: _FormulaValues) -> None:
    model, variable = values.model, values.in_model(line.name)
    if variable is None or variable not in model.basic_RVs:
        raise FormulaError(
            f"The formula has `{line.text}`, the model has no such random variable: add it to "
            "the code or take the line out."
        )
    vector = variable.ndim - variable.owner.op.ndim_supp  # without the axes of one draw
    _check_indices_of(line, vector, variable.ndim)
    _check_order_of(line, model, variable)
    assert isinstance(line.expression, ast.Call)
    word = ast.unparse(line.expression.func)
    distribution = getattr(pm, _DISTRIBUTIONS.get(word, word), None)
    if distribution is None or not hasattr(distribution, "dist"):
        raise FormulaError(f"{word!r} in `{line.text}` is no distribution of PyMC.")
    whole = word in _TAKES_VECTORS
    arguments = [values.evaluate(a, line, whole=whole) for a in line.expression.args]
    node = variable.owner
    in_code = values.at_point(node.op.dist_params(node), without=variable)
    if type(node.op).__name__ == word:  # a distribution of the course, as ordered_logit has
        _compare_parameters(line, variable, arguments, in_code)
        return
    expected = _draw_from(distribution, arguments, line, variable.shape).owner
    if type(expected.op) is not type(node.op):
        raise FormulaError(
            f"Formula and code disagree: the formula says `{line.text}`, the code draws "
            f"{variable.name} from {type(node.op).__name__.removesuffix('RV')}. Change one "
            "of the two."
        )
    in_formula = [
        np.asarray(p.eval(mode="FAST_COMPILE")) for p in expected.op.dist_params(expected)
    ]
    _compare_parameters(line, variable, in_formula, in_code)


def _check_sequence(model: pm.Model, written: Sequence[str]) -> None:
    in_formula = [name for name in written if name in model.named_vars]
    in_code = [name for name in model.named_vars if name in written]
    if in_formula != in_code:
        raise FormulaError(
            "The code runs through the formula from its last line to its first: "
            f"{', '.join(in_formula)}. The model was written in the order {', '.join(in_code)}."
        )


def _compare_parameters(
    line: Line,
    variable: Variable,
    in_formula: Sequence[np.ndarray],
    in_code: Sequence[np.ndarray],
) -> None:
    if len(in_formula) != len(in_code):
        raise FormulaError(
            f"Formula and code disagree: `{line.text}` has {len(in_formula)} parameters, "
            f"{variable.name} in the code has {len(in_code)}. Change one of the two."
        )
    for position, (a, b) in enumerate(zip(in_formula, in_code, strict=True), start=1):
        if not _same(a, b):
            raise FormulaError(
                f"Formula and code disagree: the formula says `{line.text}`, but parameter "
                f"{position} of {variable.name} in the code is another"
                f"{_show_values(a, b)}. Change one of the two, and mind the order of the "
                "parameters."
            )


def _check_order_of(line: Line, model: pm.Model, variable: Variable) -> None:
    ordered = isinstance(model.rvs_to_transforms.get(variable), Ordered)
    if ordered and not line.ordered:
        raise FormulaError(
            f"In the code the entries of {variable.name} are ordered, in the formula not: write "
            f"`{line.text}, ordered`."
        )
    if line.ordered and not ordered:
        raise FormulaError(
            f"The formula has `{line.text}`, but in the code nothing orders {variable.name}: give "
            "it transform=pm.distributions.transforms.ordered."
        )


def _draw_from(
    distribution, arguments: Sequence[np.ndarray], line: Line, shape: Variable
) -> Variable:
    """Return a variable of this distribution, with parameters in the order of its signature."""
    signature_of = distribution.dist
    if distribution is pm.OrderedMultinomial:  # its own takes *args
        signature_of = _OrderedMultinomial.dist
    accepted = inspect.signature(signature_of).parameters.values()
    named = [p.name for p in accepted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # vectors as variables: PyMC rescales constant probabilities that do not sum to one
    parameters = {
        key: pytensor.shared(value, shape=value.shape) if value.ndim else value.item()
        for key, value in zip(named, arguments, strict=False)
    }
    try:
        if len(arguments) > len(named):
            raise ValueError(f"it takes {', '.join(named)}")
        if distribution is pm.ZeroSumNormal:
            parameters["shape"] = tuple(shape.eval(mode="FAST_COMPILE"))
        return distribution.dist(**parameters)
    except (TypeError, ValueError) as error:
        raise FormulaError(f"PyMC cannot read `{line.text}`: {error}") from error


def _check_indices_of(line: Line, least: int, most: int) -> None:
    if not least <= len(line.index) <= most:
        raise FormulaError(
            f"In `{line.text}`, {line.name} has {len(line.index)} indices, in the model "
            f"{most} dimensions."
        )


def _show_values(a: np.ndarray, b: np.ndarray) -> str:
    if a.size == b.size == 1:
        return f" (PyMC's own parameter: {a.item():.4g} by the formula, {b.item():.4g} by the code)"
    return ""
