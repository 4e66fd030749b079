"""A formula in LaTeX."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from rethinking.formula.parse import Formula, FormulaError, Line

CHANGED_COLOR = "#D6336C"  # 4.6:1 on white, 4.1:1 on JupyterLab's dark ground; words say it too


_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega"
).split()


def latex_name(name: str) -> str:
    """LaTeX of a name: Greek letters, ``_bar`` as a bar, what follows ``_`` as a subscript."""
    base, *subs = name.removesuffix("_").split("_")  # lambda_ is no keyword
    head = f"\\{base}" if base in _GREEK else base if len(base) == 1 else f"\\text{{{base}}}"
    if subs and subs[0] == "bar":
        head, subs = f"\\bar{{{head}}}", subs[1:]
    return head + (f"_{{{''.join(subs)}}}" if subs else "")


def latex(node: ast.expr, level: int = 0) -> str:
    """LaTeX of an expression; `level` is the binding strength that the context asks for."""
    match node:
        case ast.Constant(value=int() | float() as value):
            digits, _, exponent = f"{value:.15g}".partition("e")
            if not exponent:
                return digits
            number = f"{digits} \\times 10^{{{int(exponent)}}}"
            return f"({number})" if level > 2 else number
        case ast.Name(id="inf"):
            return r"\infty"
        case ast.Name(id=name):
            return latex_name(name)
        case ast.List(elts=entries):
            return f"[{', '.join(latex(entry) for entry in entries)}]"
        case ast.Subscript(value=value, slice=index):
            parts = index.elts if isinstance(index, ast.Tuple) else [index]
            inside = ", ".join(_latex_index(part) for part in parts)
            name = latex(value)
            # a name with a subscript of its own: beta_P[i] -> \beta_{P, i}
            if name.endswith("}") and "_{" in name:
                return f"{name[:-1]}, {inside}}}"
            return f"{name}_{{{inside}}}"
        case ast.Call(func=ast.Name(id="sum"), args=[ast.Subscript(value=value, slice=slices)]):
            *before, last = slices.elts if isinstance(slices, ast.Tuple) else [slices]
            term = ast.Subscript(value, ast.Tuple([*before, ast.Name("k")]))
            inner = f"\\sum_{{k < {_latex_index(last.upper)}}} {latex(term)}"
            return f"({inner})" if level > 2 else inner
        case ast.Call(func=func, args=args):
            return f"\\text{{{ast.unparse(func)}}}({', '.join(latex(a) for a in args)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(-{latex(operand, 3)})" if level > 2 else f"-{latex(operand, 3)}"
        case ast.BinOp(left=left, op=op, right=right):
            if isinstance(op, (ast.Div, ast.Pow)):
                if isinstance(op, ast.Div):
                    inner = f"\\frac{{{latex(left)}}}{{{latex(right)}}}"
                else:
                    inner = f"{latex(left, 4)}^{{{latex(right)}}}"
                return f"({inner})" if level > 3 else inner
            own, sign = {ast.Add: (1, " + "), ast.Sub: (1, " - "), ast.Mult: (2, "\\, ")}[type(op)]
            after = 3 if isinstance(right, ast.UnaryOp) else own + isinstance(op, ast.Sub)
            inner = f"{latex(left, own)}{sign}{latex(right, after)}"
            return f"({inner})" if own < level else inner
    raise FormulaError(f"Cannot typeset {ast.unparse(node)!r} in a formula.")


def _latex_index(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return f"{latex(node.value)}[{_latex_index(node.slice)}]"
    return latex(node)


def in_latex(lines: Sequence[Line], marks: Mapping[str, str]) -> str:
    """Return a formula as aligned equations in Markdown.

    Parameters
    ----------
    lines : sequence of Line
    marks : mapping of str to str
        The word to set beside a line, by its name; such lines are colored.

    Returns
    -------
    str
    """
    rows = []
    for line in lines:
        target = latex_name(line.name)
        if line.index:
            subscript = ast.parse(f"x[{', '.join(line.index)}]", mode="eval").body
            subscript.value = ast.Name(id=line.name)
            target = latex(subscript)
        if line.link not in (None, "identity"):
            target = f"\\text{{{line.link}}}({target})"
        relation = "\\sim" if line.link is None else "="
        right = latex(line.expression) + (r",\ \text{ordered}" if line.ordered else "")
        if line.name in marks:
            color = f"\\color{{{CHANGED_COLOR}}}"
            rows.append(
                f"{{{color}{{{target}}}}} &{{{color}{{{{}}{relation} {right}}}}} "
                f"&& {{{color}{{\\text{{({marks[line.name]})}}}}}}"
            )
        else:
            rows.append(f"{target} &{relation} {right}")
    body = " \\\\\n".join(rows)
    return f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"


def in_words(
    lines: Sequence[Line],
    marks: Mapping[str, str],
    symbols: Mapping[str, str],
    since: Formula | None,
) -> str:
    """Return in Markdown which lines are new, changed or gone, and which names differ in the code.

    Parameters
    ----------
    lines : sequence of Line
    marks : mapping of str to str
        "new" or "changed", by name of the line.
    symbols : mapping of str to str
        Symbol to variable of the model.
    since : Formula or None

    Returns
    -------
    str
        Empty where there is nothing to say.
    """

    def marked(word: str) -> list[str]:
        return [f"${latex_name(x.name)}$" for x in lines if marks.get(x.name) == word]

    notes = []
    if since is not None:
        there = {line.name for line in lines}
        gone = [f"${latex_name(x.name)}$" for x in since.lines if x.name not in there]
        if fresh := marked("new"):
            notes.append(f"New since the {since.name} model: the line of {_and(fresh)}.")
        if altered := marked("changed"):
            notes.append(f"Changed: the line of {_and(altered)}.")
        if gone:
            notes.append(f"Gone: {_and(gone)}.")
    if symbols:
        renamed = [f"${latex_name(symbol)}$ is `{target}`" for symbol, target in symbols.items()]
        notes.append(f"In the code {_and(renamed)}.")
    return " ".join(notes)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
