"""Claims of a notebook, asked in its own kernel."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from publish.claims import ask, with_claims, without_claims
from publish.files import claims_of, execution_key

CLAIMS = """
import math

def helper():
    return number

def test_two():
    assert helper() == 2 and math

def test_three():
    assert number == 3, "it is not three"

def test_gone():
    gone

def test_bare():
    assert number == 4
"""


def test_each_claim_sees_the_names_of_the_notebook_and_is_counted(tmp_path):
    path, said, names = tmp_path / "01-Frogs.py", [], {"number": 2, "test_old": None}
    path.write_text(CLAIMS)
    with pytest.raises(
        AssertionError,
        match=r"test_three: .*it is not three; test_gone: NameError.*assert number == 4",
    ):
        ask(str(path), names, lambda kind, name: said.append((kind, name)))
    assert said == [("asked", "test_two")]
    assert set(names) == {"number", "test_old"}
    path.write_text("x = 1")
    with pytest.raises(AssertionError, match="no function test_"):
        ask(str(path), names, lambda kind, name: None)


def test_the_cell_of_the_claims_comes_last_and_is_not_kept(course):
    nb = new_notebook(cells=[new_code_cell("x")])
    assert with_claims(nb, "01-Frogs", course) is nb
    before = execution_key(course / "notebooks" / "01-Frogs.md", course)
    path = claims_of("01-Frogs", course)
    path.parent.mkdir(parents=True)
    path.write_text("def test_x(): pass")
    asked = with_claims(nb, "01-Frogs", course)
    assert len(nb.cells) == 1 and len(asked.cells) == 2 and str(path) in asked.cells[1].source
    assert [cell.source for cell in without_claims(asked).cells] == ["x"]
    assert execution_key(course / "notebooks" / "01-Frogs.md", course) != before
