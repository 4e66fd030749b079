"""A formula against its model: every distribution, parameter and deterministic value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.multivariate import _LKJCholeskyCovRV
from pymc.distributions.transforms import Ordered
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from scipy import special

from rethinking.formula.disagree import in_words, same
from rethinking.formula.distributions import (
    MODE,
    Written,
    build,
    draws_within,
    is_draw,
    numbers,
    parameters_within,
    read,
    stacked,
    taken_apart,
)
from rethinking.formula.parse import LINKS, FormulaError, Line, names

_FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "invlogit": special.expit,
    "logit": special.logit,
}
# what PyMC adds to a model of its own accord, by the kind of the variable
_ADDED = {
    "CategoricalRV": ("probs",),
    "MultinomialRV": ("probs",),
    "_LKJCholeskyCovRV": ("corr", "stds"),
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
        return numbers(clones)

    def depends_on_the_point(self, output: Variable) -> bool:
        return bool({*self.parameters, *self.data} & set(ancestors([output])))

    def argument(self, line: Line, node: ast.expr, whole: bool, parameter: str) -> np.ndarray:
        """Value of a parameter; of a covariance, the name of its Cholesky factor will do."""
        if parameter in ("cov", "scale") and isinstance(node, ast.Name):
            variable = self.in_model(node.id)
            if variable in self.parameters and isinstance(variable.owner.op, _LKJCholeskyCovRV):
                packed = self.parameters[variable]
                n = int(np.sqrt(2 * packed.shape[-1]))
                factor = np.zeros((*packed.shape[:-1], n, n))
                factor[..., *np.tril_indices(n)] = packed
                return factor @ np.swapaxes(factor, -1, -2)
        return self.evaluate(node, line, whole=whole)

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
                value = self.data[seen] if seen in self.data else seen.eval(mode=MODE)
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
            case ast.Name(id="inf") if self.in_model("inf") is None:
                return np.asarray(np.inf)
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
            case ast.Call(
                func=ast.Name(id="sum"),
                args=[ast.Subscript(value=ast.Name(id=name), slice=slices)],
            ):
                return self.partial_sum(self[name], name, slices, line)
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

    def partial_sum(self, value: np.ndarray, name: str, slices: ast.expr, line: Line):
        """Sum of the first entries along the last axis: `sum(delta[:E[i]])`."""
        *before, last = slices.elts if isinstance(slices, ast.Tuple) else [slices]
        if (
            len(before) + 1 != value.ndim
            or not isinstance(last, ast.Slice)
            or last.lower is not None
            or last.upper is None
            or last.step is not None
        ):
            raise FormulaError(
                f"In {line.text!r}, a sum is of the first entries along the last of all axes of "
                f"{name}: write it as sum(delta[:E[i]]) or sum(delta[g, :E[i]])."
            )
        sums = np.concatenate(
            [np.zeros((*value.shape[:-1], 1)), np.cumsum(value, axis=-1)], axis=-1
        )
        places = [
            self.places(part, size, line)
            for part, size in zip([*before, last.upper], sums.shape, strict=True)
        ]
        if not ((places[-1] >= 0) & (places[-1] < sums.shape[-1])).all():
            raise FormulaError(
                f"In {line.text!r}, the sum has from {places[-1].min()} to {places[-1].max()} "
                f"terms, but {name} has {value.shape[-1]}."
            )
        return sums[tuple(places)]

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
    added = {
        f"{variable.name}_{what}"
        for variable in model.basic_RVs
        for what in _ADDED.get(type(variable.owner.op).__name__, ())
    }
    for variable in [*model.basic_RVs, *model.deterministics]:
        if variable.name not in written | added:
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
    _refuse_draws(line, [variable], values)
    (in_code,) = values.at_point([variable])
    if not same(in_code, values[line.name]):
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
    written = read(line.expression, line, partial(values.argument, line))
    node = variable.owner
    # a distribution of the course, as ordered_logit has, or one that PyMC makes anew at each call
    own = type(node.op).__name__ == written.word
    if own and not written.is_nested:
        in_code, in_formula = list(node.op.dist_params(node)), list(map(stacked, written.arguments))
        _check_counts(line, variable, in_formula, in_code)

        def leaves(other: Written) -> list[np.ndarray]:
            return list(map(stacked, other.arguments))
    else:
        shape = _shape_of(variable) if written.needs_shape else None
        built = build(written, line, shape)
        in_code = list(_parameters(line, variable, built, variable, values))
        in_formula = numbers(parameters_within(built))

        def leaves(other: Written) -> list[np.ndarray]:
            return numbers(parameters_within(build(other, line, shape)))

    _refuse_draws(line, in_code, values)
    found = values.at_point(in_code, without=variable)
    if not all(same(a, b) for a, b in zip(in_formula, found, strict=True)):
        fixed = [not values.depends_on_the_point(leaf) for leaf in in_code]
        what = in_words(written, variable.name, leaves, in_formula, found, fixed)
        raise FormulaError(
            f"Formula and code disagree: the formula says `{line.text}`, but {what}. Change one "
            "of the two, and mind the order of the parameters."
        )


def _shape_of(variable: Variable) -> tuple[int, ...]:
    shape = variable.type.shape
    return variable.shape.eval(mode="FAST_COMPILE") if None in shape else shape


def _parameters(
    line: Line, variable: Variable, formula: Variable, code: Variable, values: _FormulaValues
) -> Iterator[Variable]:
    """Parameters of the code, those of its components too, where the formula has the same kinds."""
    (kind, in_formula), (kind_of_code, in_code) = taken_apart(formula), taken_apart(code)
    if kind != kind_of_code:
        word = type(code.owner.op).__name__.strip("_").removesuffix("RV")
        where = variable.name if code is variable else f"a component of {variable.name}"
        raise FormulaError(
            f"Formula and code disagree: the formula says `{line.text}`, the code draws {where} "
            f"from {word}. Change one of the two."
        )
    _check_counts(line, variable, in_formula, in_code)
    for a, b in zip(in_formula, in_code, strict=True):
        drawn = is_draw(b) and b not in values.model.basic_RVs
        if is_draw(a) != drawn:
            here, there = ("code", "formula") if drawn else ("formula", "code")
            raise FormulaError(
                f"Formula and code disagree: by the {here}, a parameter of {variable.name} is a "
                f"distribution, by the {there} it is a value: `{line.text}`. Change one of the two."
            )
        if drawn:
            yield from _parameters(line, variable, a, b, values)
        else:
            yield b


def _refuse_draws(line: Line, outputs: Sequence[Variable], values: _FormulaValues) -> None:
    """Refuse a value that is drawn anew at each look: it would agree or not by chance."""
    if any(draws_within(output, values.model.basic_RVs) for output in outputs):
        raise FormulaError(
            f"`{line.text}` cannot be compared with the code: there {line.name} is made of a draw "
            "that is no variable of the model; give that draw a name and a line of its own."
        )


def _check_sequence(model: pm.Model, written: Sequence[str]) -> None:
    in_formula = [name for name in written if name in model.named_vars]
    in_code = [name for name in model.named_vars if name in written]
    if in_formula != in_code:
        raise FormulaError(
            "The code runs through the formula from its last line to its first: "
            f"{', '.join(in_formula)}. The model was written in the order {', '.join(in_code)}."
        )


def _check_counts(line: Line, variable: Variable, in_formula: Sequence, in_code: Sequence) -> None:
    if len(in_formula) != len(in_code):
        raise FormulaError(
            f"Formula and code disagree: `{line.text}` has {len(in_formula)} parameters, "
            f"{variable.name} in the code has {len(in_code)}. Change one of the two."
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


def _check_indices_of(line: Line, least: int, most: int) -> None:
    if not least <= len(line.index) <= most:
        raise FormulaError(
            f"In `{line.text}`, {line.name} has {len(line.index)} indices, in the model "
            f"{most} dimensions."
        )
