"""Each claim about a notebook was asked of the fits of its run; see `publish.claims`."""

from __future__ import annotations

import ast

import pytest

from publish.files import ROOT, sources

CLAIMS = [
    pytest.param(path.stem, node.name, marks=pytest.mark.notebook(path.stem))
    for path in sorted((ROOT / "tests" / "notebooks" / "claims").glob("*.py"))
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]


@pytest.mark.parametrize(("notebook", "claim"), CLAIMS)
def test_the_claim_holds(notebook, claim, run_record):
    held = {row["name"] for row in run_record(notebook) if row["kind"] == "asked"}
    assert claim in held


def test_each_notebook_has_its_file_of_claims():
    assert {param.values[0] for param in CLAIMS} == {source.stem for source in sources(ROOT)}
