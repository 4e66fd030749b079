"""What the helpers left in the runs: no fit without its formula, no bar half done."""

import ast
import re

import pytest

from publish.files import read_text, sources
from publish.formulas import NO_FORMULA, calls, root

each_source = pytest.mark.parametrize(
    "source",
    [pytest.param(source, marks=pytest.mark.notebook(source.stem)) for source in sources()],
    ids=lambda path: path.stem,
)


def code_of(text, source):
    """The code cells of a notebook as one module, without IPython's own lines."""
    cells = [cell.source for cell in read_text(text, source).cells if cell.cell_type == "code"]
    return "\n".join(
        line for cell in cells for line in cell.splitlines() if line[:1] not in ("%", "!")
    )


def without_formula(records):
    """Names of fits whose model passed no formula check, and of formulas that stand twice."""
    checked = {row["model"] for row in records if row["kind"] == "formula"}
    names = [row["name"] for row in records if row["kind"] == "formula"]
    # What pm.sample made is known by the name of its variable; see below.
    fits = [
        row["name"]
        for row in records
        if row["kind"] == "fit" and "model" in row and row["model"] not in checked
    ]
    return fits + sorted({name for name in names if names.count(name) > 1})


@each_source
def test_every_fitted_model_passed_the_formula_check(source, run_record):
    records = run_record(source.stem)
    assert not without_formula(records)
    code = code_of(source.read_text(encoding="utf-8"), source)
    written = len(calls(ast.parse(code), "show_formula", "utils.show_formula"))
    assert sum(row["kind"] == "formula" for row in records) >= written, "a formula was not run"
    if calls(ast.parse(code), "utils.fit", "utils.CompiledModel"):
        assert any(row["kind"] == "fit" for row in records)


def plain_fits(code):
    """The name of each fit of `pm.sample`, with the names that its model may have.

    That is the model of its `with` block, its argument `model`, the one with its prefix, or what
    its loop goes through.
    """
    tree, found = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (sampled := calls(node.value, "pm.sample")):
            fit = ast.unparse(node.targets[0])
            keywords = {k.arg: ast.unparse(k.value) for k in sampled[0].keywords}
            found[fit] = {fit.replace("_idata", "_model"), keywords.get("model")}
            for block in ast.walk(tree):
                if isinstance(block, ast.With) and node in ast.walk(block):
                    item = block.items[0]
                    found[fit].add(ast.unparse(item.optional_vars or item.context_expr))
                if isinstance(block, ast.For) and node in ast.walk(block):
                    found[fit] |= {n.id for n in ast.walk(block.iter) if isinstance(n, ast.Name)}
    return found


@each_source
def test_every_plain_fit_is_in_the_run_record_and_its_model_has_a_formula(source, run_record):
    code = code_of(source.read_text(encoding="utf-8"), source)
    recorded = {row.get("variable") for row in run_record(source.stem) if row["kind"] == "fit"}
    shown = {
        root(call.args[0]) for call in calls(ast.parse(code), "show_formula", "utils.show_formula")
    }
    shown |= {
        line.split(" as ")[1].split(":")[0] for line in code.splitlines() if NO_FORMULA in line
    }
    builders = {root(call.args[0]) for call in calls(ast.parse(code), "show_formula")}
    for node in ast.walk(ast.parse(code)):  # a = build(...), where build(...) has a formula
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if isinstance(node.value.func, ast.Name) and node.value.func.id in builders:
                shown |= {ast.unparse(target) for target in node.targets}
    for fit, models in plain_fits(code).items():
        assert fit in recorded, f"check_convergence did not see {fit}"
        assert models & shown, f"the model of {fit} has no formula"


def test_the_model_of_a_plain_fit_is_found():
    code = "with pm.Model() as m:\n    a = pm.sample()\nwith n:\n    b_idata = pm.sample(model=k)"
    assert plain_fits(code) == {"a": {"a", "m", None}, "b_idata": {"b_model", "k", "n"}}


def test_fits_without_formula_are_found():
    formula = [{"kind": "formula", "name": "a", "model": 1}]
    fits = [{"kind": "fit", "name": f"fit {n}", "model": n} for n in (1, 2)]
    assert without_formula([*formula, fits[0]]) == []
    assert without_formula([*formula, *fits]) == ["fit 2"]
    assert without_formula([*formula, *formula]) == ["a"]
    assert without_formula([]) == []


@each_source
def test_progress_leaves_finished_lines_in_a_notebook(source, executed):
    cells = [cell for cell in executed(source.stem).cells if cell.cell_type == "code"]
    lines = [
        output["data"]["text/plain"]
        for cell in cells
        for output in cell.outputs
        if output.output_type == "display_data" and set(output["data"]) == {"text/plain"}
    ]
    found = [m for line in lines if (m := re.fullmatch(r"(\d+) of (\d+) \D+", line))]
    assert all(m[1] == m[2] for m in found), lines
    counted = re.compile(r"\b(progress|fit_schools)\(")
    assert bool(found) == any(counted.search(cell.source) for cell in cells)
