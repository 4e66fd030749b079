"""Which models of a notebook have no formula beside them, read off its code without running it."""

from __future__ import annotations

import ast

#: A comment at a `with pm.Model()`, before its reason: wrong on purpose, or no formula can say it.
NO_FORMULA = "# no formula:"


def calls(tree: ast.AST, *names: str) -> list[ast.Call]:
    """Return the calls of functions that are known by one of these names."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    ]


def root(node: ast.AST | None) -> str:
    """Return `size_models` of `size_models["size"]`, `build` of `build(2)`, else nothing."""
    while node is not None and not isinstance(node, ast.Name):
        node = getattr(node, "func", None) or getattr(node, "value", None)
    return node.id if node else ""


def models_without_formula(code: str) -> list[str]:
    """Return the models, or functions that make them, which no later `show_formula` takes."""
    tree = ast.parse(code)
    functions = [f for f in tree.body if isinstance(f, ast.FunctionDef)]
    shown = [
        (root(call.args[0]), call.lineno)
        for call in calls(tree, "show_formula", "utils.show_formula")
        if call.args
    ]
    lines = code.splitlines()
    # every pm.Model(...) gets a name: by `with ... as`, or by `=`
    made = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name):
                    made[item.context_expr] = item.optional_vars.id
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            made[node.value] = node.targets[0].id
    missing, builders = [], set()
    for call in calls(tree, "pm.Model", "Model"):
        if NO_FORMULA in lines[call.lineno - 1]:
            continue
        function = [f.name for f in functions if f.lineno <= call.lineno <= f.end_lineno]
        if function:
            builders.add(function[0])
        elif call not in made:
            missing.append("a model without a name")
        else:
            name = made[call]
            again = [
                n.lineno for n, other in made.items() if other == name and n.lineno > call.lineno
            ]
            end = min(again, default=len(lines) + 1)
            if not any(shows == name and call.lineno < line <= end for shows, line in shown):
                missing.append(name)
    for builder in sorted(builders):
        targets = {
            root(target)
            for node in tree.body
            if isinstance(node, ast.Assign) and calls(node.value, builder)
            for target in node.targets
            if not isinstance(target, ast.Tuple)
        } | {builder}
        formulas = sum(name in targets for name, _ in shown)
        # Without a condition it makes the same model of all data.
        (body,) = (f for f in functions if f.name == builder)
        varies = any(isinstance(node, ast.If | ast.IfExp) for node in ast.walk(body))
        if formulas < (max(1, len(calls(tree, builder))) if varies else 1):
            missing.append(f"{builder}()")
    return missing
