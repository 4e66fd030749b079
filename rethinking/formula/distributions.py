"""Distributions of a formula: made from its words, and taken apart, with those of the code."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor
from pymc.distributions.distribution import SymbolicRandomVariable
from pymc.distributions.multivariate import _LKJCholeskyCov, _OrderedMultinomial
from pymc.distributions.truncated import TruncatedRV
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType

from rethinking.formula.parse import FormulaError, Line

MODE = Mode(linker="py", optimizer=None)  # each graph is computed once
_CLASSES = {
    "OrderedLogit": pm.OrderedLogistic,  # formula's word: PyMC's class
    "OrderedMultinomial": _OrderedMultinomial,
    "LKJCholeskyCov": _LKJCholeskyCov,
}
# Where PyMC takes one parameter or another, or names none: those that a formula is written with.
_PARAMETERS = {
    "AR": "rho sigma init_dist",
    "AsymmetricLaplace": "kappa mu b",
    "Bernoulli": "p",
    "Beta": "alpha beta",
    "Binomial": "n p",
    "Categorical": "p",
    "Exponential": "lam",
    "Gamma": "alpha beta",
    "GARCH11": "omega alpha_1 beta_1 initial_vol",
    "GaussianRandomWalk": "mu sigma init_dist",
    "HalfNormal": "sigma",
    "HalfStudentT": "nu sigma",
    "HurdleGamma": "psi alpha beta",
    "HurdleLogNormal": "psi mu sigma",
    "HurdleNegativeBinomial": "psi mu alpha",
    "InverseGamma": "alpha beta",
    "LKJCholeskyCov": "eta n sd_dist",
    "LogNormal": "mu sigma",
    "Lognormal": "mu sigma",
    "LogitNormal": "mu sigma",
    "MatrixNormal": "mu rowcov colcov",
    "MvGaussianRandomWalk": "mu cov init_dist",
    "MvNormal": "mu cov",
    "MvStudentT": "nu mu scale",
    "MvStudentTRandomWalk": "nu mu scale init_dist",
    "NegativeBinomial": "mu alpha",
    "Normal": "mu sigma",
    "NormalMixture": "w mu sigma",
    "RandomWalk": "init_dist innovation_dist",
    "Rice": "nu sigma",
    "SkewNormal": "alpha mu sigma",
    "SkewStudentT": "a b mu sigma",
    "StudentT": "nu mu sigma",
    "Truncated": "dist lower upper",
    "TruncatedNormal": "mu sigma lower upper",
    "Wald": "mu lam alpha",
    "Wishart": "nu V",
    "ZeroInflatedNegativeBinomial": "psi mu alpha",
    "ZeroSumNormal": "sigma n_zerosum_axes",
}
_TAKES_VECTORS = set(
    "AR CAR Categorical Dirichlet DirichletMultinomial ICAR Interpolated MatrixNormal Mixture "
    "Multinomial MvGaussianRandomWalk MvNormal MvStudentT MvStudentTRandomWalk NormalMixture "
    "OrderedLogistic OrderedLogit OrderedMultinomial OrderedProbit Wishart".split()
)
_TAKES_SHAPE = set(
    "AR GARCH11 GaussianRandomWalk MvGaussianRandomWalk MvStudentTRandomWalk RandomWalk "
    "ZeroSumNormal".split()
)
_TAKES_NUMBERS = {"ICAR", "Interpolated"}  # looks at them when the model is written
_NOT_IN_WORDS = {
    "CustomDist": "its parameters are functions of Python",
    "DensityDist": "its parameters are functions of Python",
    "EulerMaruyama": "its parameters are functions of Python",
    "Simulator": "its parameters are functions of Python",
    "KroneckerNormal": "its covariances are a list of matrices",
}
_ABSTRACT = {"Continuous", "Discrete", "Distribution"}


@dataclass(frozen=True)
class Written:
    """A distribution as a formula has it; parameters may be distributions themselves.

    Attributes
    ----------
    word : str
    call : ast.Call
    arguments : tuple of ndarray, Written or a tuple of these
        Values of the parameters at one point, in the order of the formula.
    """

    word: str
    call: ast.Call
    arguments: tuple

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters that a formula may give, in its order."""
        return parameters_of(self.word)

    @property
    def is_nested(self) -> bool:
        """Whether a parameter is a distribution itself."""
        calls = (node for node in ast.walk(self.call) if isinstance(node, ast.Call))
        return any(c is not self.call and is_distribution(ast.unparse(c.func)) for c in calls)

    @property
    def needs_shape(self) -> bool:
        """Whether it is not defined without the shape of what is drawn."""
        return self.word in _TAKES_SHAPE


@dataclass(frozen=True)
class Typed:
    """What a formula gives for one parameter: where, by what name, how much."""

    path: tuple[int, ...]
    name: str
    position: int
    node: ast.expr
    value: np.ndarray


def parameters_of(word: str) -> list[str]:
    """Return the names of a distribution's parameters as a formula gives them."""
    if word in _PARAMETERS:
        return _PARAMETERS[word].split()
    accepted = inspect.signature(_class_of(word).dist).parameters.values()
    named = [p.name for p in accepted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [name for name in named if name not in ("max_n_steps", "method")]


def _class_of(word: str):
    return _CLASSES.get(word, getattr(pm, word, None))


def is_distribution(word: str) -> bool:
    """Return whether a word of a formula is a distribution of PyMC."""
    return hasattr(_class_of(word), "dist")


def read(
    call: ast.Call,
    line: Line,
    evaluate: Callable[[ast.expr, bool, str], np.ndarray],
    whole: bool = False,
) -> Written:
    """Read a distribution and its parameters.

    Parameters
    ----------
    call : ast.Call
    line : Line
        For messages.
    evaluate : callable
        Value of an expression, of whether it may be a vector without an index, and of the name of
        the parameter.
    whole : bool
        Whether parameters may be vectors without an index.

    Returns
    -------
    Written

    Raises
    ------
    FormulaError
        The word is no distribution, or one that no formula can show.
    """
    word = ast.unparse(call.func)
    if word in _NOT_IN_WORDS:
        raise FormulaError(
            f"No formula can show {word} in `{line.text}`, since {_NOT_IN_WORDS[word]}: describe "
            "this model in the text."
        )
    if word in _ABSTRACT or not is_distribution(word):
        raise FormulaError(f"{word!r} in `{line.text}` is no distribution of PyMC.")
    whole = whole or word in _TAKES_VECTORS

    def argument(node: ast.expr, name: str):
        if isinstance(node, ast.List):
            return tuple(argument(entry, name) for entry in node.elts)
        if isinstance(node, ast.Call) and is_distribution(ast.unparse(node.func)):
            return read(node, line, evaluate, whole)
        return evaluate(node, whole, name)

    names = [*parameters_of(word), *[""] * len(call.args)]
    found = [argument(node, name) for node, name in zip(call.args, names, strict=False)]
    return Written(word, call, tuple(found))


def typed(written: Written) -> Iterator[Typed]:
    """Yield what a formula gives for each parameter, for those of nested distributions too."""

    def walk(value, node: ast.expr, name: str, position: int, path: tuple[int, ...]):
        if isinstance(value, Written):
            names = value.parameters
            for k, (inner, at) in enumerate(zip(value.arguments, value.call.args, strict=True)):
                own = names[k] if k < len(names) else str(k + 1)
                yield from walk(inner, at, own, k + 1, (*path, k))
        elif isinstance(value, tuple) and any(isinstance(part, Written) for part in value):
            assert isinstance(node, ast.List)
            for k, (inner, at) in enumerate(zip(value, node.elts, strict=True)):
                yield from walk(inner, at, name, position, (*path, k))
        else:
            yield Typed(path, name, position, node, stacked(value))

    return walk(written, written.call, "", 0, ())


def with_value(written: Written, path: Sequence[int], value: np.ndarray) -> Written:
    """Return the same distribution with another value of one parameter."""

    def put(old, path):
        if not path:
            return value
        parts = old.arguments if isinstance(old, Written) else old
        new = tuple(put(p, path[1:]) if k == path[0] else p for k, p in enumerate(parts))
        return Written(old.word, old.call, new) if isinstance(old, Written) else new

    return put(written, tuple(path))


def build(written: Written, line: Line, shape: Sequence[int] | None = None) -> Variable:
    """Make a variable of PyMC of a distribution of a formula.

    Parameters
    ----------
    written : Written
    line : Line
        For messages.
    shape : sequence of int, optional
        Of the variable of the code, for distributions that are not defined without.

    Returns
    -------
    TensorVariable

    Raises
    ------
    FormulaError
        Parameters are missing, too many, or of a kind that PyMC cannot take.
    """

    def argument(value):
        if isinstance(value, Written):
            return build(value, line)
        if isinstance(value, tuple):
            if any(isinstance(part, Written) for part in value):
                return [argument(part) for part in value]
            value = stacked(value)
        if written.word in _TAKES_NUMBERS:
            return value
        # vectors as variables: PyMC rescales constant probabilities that do not sum to one
        return pytensor.shared(value, shape=value.shape) if value.ndim else value.item()

    word, names = written.word, written.parameters
    takes = ", ".join(names) or "none"
    refused = f"PyMC cannot read `{line.text}`: the parameters of {word} are {takes}, in this order"
    if len(written.arguments) > len(names):
        raise FormulaError(f"{refused}, and {len(written.arguments)} are written.")
    for name, value in zip(names, written.arguments, strict=False):
        parts = value if isinstance(value, tuple) else (value,)
        if re.search(r"(^|_)dists?$", name) and not all(isinstance(p, Written) for p in parts):
            raise FormulaError(
                f"In `{line.text}`, {name} of {word} is a distribution: write one there, with its "
                "parameters, as in Censored(Normal(0, 1), 0, 2)."
            )
    given = {key: argument(v) for key, v in zip(names, written.arguments, strict=False)}
    if word in _TAKES_SHAPE and shape is not None:
        given["shape"] = tuple(shape)
    try:
        with warnings.catch_warnings():  # the code has met the same warnings
            warnings.simplefilter("ignore")
            return _class_of(word).dist(**given)
    except TypeError as error:
        raise FormulaError(f"{refused}, and {len(written.arguments)} are written.") from error
    except (ValueError, NotImplementedError, IndexError, AttributeError) as error:
        raise FormulaError(f"{refused}. PyMC says: {str(error).rstrip('.')}.") from error


def stacked(value: Written | tuple | np.ndarray) -> np.ndarray:
    """Return lists of numbers as an array, behind the axes of their entries."""
    if not isinstance(value, tuple):
        return value
    parts = np.broadcast_arrays(*(stacked(part) for part in value))
    return np.stack(parts, axis=-_depth(value))


def _depth(value: tuple | np.ndarray) -> int:
    return 1 + max(map(_depth, value)) if isinstance(value, tuple) else 0


def is_draw(variable: Variable) -> bool:
    """Return whether a variable is drawn from a distribution."""
    return variable.owner is not None and isinstance(
        variable.owner.op, RandomVariable | SymbolicRandomVariable
    )


def taken_apart(variable: Variable) -> tuple[list, list[Variable]]:
    """Return what kind of distribution a variable has, and its parameters.

    Parameters
    ----------
    variable : TensorVariable

    Returns
    -------
    kind : list
        Equal where two variables have the same distribution with other parameters.
    parameters : list of TensorVariable
        Some may be drawn themselves (components of a mixture).
    """
    node = variable.owner
    op = node.op
    kind = [_type_of(op), op.ndim_supp]
    kind += [getattr(op, name, None) for name in ("ar_order", "constant_term")]
    if isinstance(op, TruncatedRV):
        base = op.base_rv_op
        parameters = base.dist_params(SimpleNamespace(inputs=node.inputs[:-2]))
        return [*kind, _type_of(base)], [*parameters, *node.inputs[-2:]]
    return kind, list(op.dist_params(node))


def _type_of(op):
    # PyMC makes a class a call of some distributions, as LogitNormal
    known = getattr(pm, type(op).__name__, None) is not None
    return type(op).__name__ if known else type(op)


def draws_within(variable: Variable, known: Sequence[Variable]) -> bool:
    """Return whether a value has to be drawn, apart from the variables that are known."""
    return any(isinstance(v.type, RandomType) for v in ancestors([variable], blockers=list(known)))


def parameters_within(variable: Variable) -> list[Variable]:
    """Return the parameters of a distribution and of its components, in their order."""
    found = []
    for parameter in taken_apart(variable)[1]:
        found += parameters_within(parameter) if is_draw(parameter) else [parameter]
    return found


def numbers(outputs: Sequence[Variable]) -> list[np.ndarray]:
    """Return the values of variables that depend on nothing but constants."""
    if not outputs:
        return []
    return [np.asarray(x) for x in pytensor.function([], list(outputs), mode=MODE)()]
