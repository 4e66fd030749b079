"""What the text of a notebook says, asked of its own fits after its last cell.

tests/notebooks/claims/NAME.py holds functions `test_...`, without arguments, that use the names
of the notebook. They run in its kernel, in a cell that is not kept: a claim that no longer holds
fails the run, and each one that holds gets a line in the run record.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from publish.files import ROOT, claims_of

TAG = "claims"
CELL = """
import publish.claims
import rethinking.record
publish.claims.ask({path!r}, globals(), rethinking.record.line)
"""


def with_claims(nb: NotebookNode, name: str, root: Path = ROOT) -> NotebookNode:
    """Return the notebook with a last cell that asks its claims, if it has any."""
    path = claims_of(name, root)
    if not path.is_file():
        return nb
    asked = new_code_cell(CELL.format(path=str(path)), metadata={"tags": [TAG]})
    nb = copy.copy(nb)
    nb.cells = [*nb.cells, asked]
    return nb


def asks(cell: NotebookNode) -> bool:
    """Return whether a cell is the one that asks the claims."""
    return TAG in cell.metadata.get("tags", [])


def without_claims(nb: NotebookNode) -> NotebookNode:
    """Return the notebook without the cell of its claims."""
    nb.cells = [cell for cell in nb.cells if not asks(cell)]
    return nb


def ask(path: str, names: dict, record: Callable[..., None]) -> None:
    """Run the claims of a file on a notebook's names; raise with all that fail.

    Parameters
    ----------
    path : str
    names : dict
        They stay as they are.
    record : callable
        Called as `record("asked", name=...)` for each claim that holds.

    Raises
    ------
    AssertionError
        A claim does not hold, or the file asks nothing.
    """
    names = dict(names)
    before = set(names)
    exec(compile(Path(path).read_text(encoding="utf-8"), path, "exec"), names)
    tests = {k: v for k, v in names.items() if k.startswith("test_") and k not in before}
    failed = [] if tests else ["no function test_... is there"]
    for name, test in tests.items():
        try:
            test()
        except Exception as error:  # a name that is gone, too
            # A bare assertion is known by its code.
            said = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
            failed.append(f"{name}: {type(error).__name__}: {said}")
        else:
            record("asked", name=name)
    if failed:
        raise AssertionError(f"{Path(path).name}: " + "; ".join(failed))
