"""The first cell of every notebook: silent beside the helpers, elsewhere one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from publish.files import GUARD, ROOT

# As IPython shows an error, which is not installed where the cell is run.
CELL = """
import sys
sys.path[:0] = {path!r}
try:
    exec({cell!r})
except ImportError as error:
    print(*error._render_traceback_(), sep="\\n")
"""
NEEDS = "This notebook needs the helpers of Statistical Rethinking in PyMC: "


def said(folder, *found):
    """Return what the cell says where nothing but the standard library and `found` is found."""
    code = CELL.format(path=[str(folder), *map(str, found)], cell=GUARD)
    line = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_beside_the_helpers_it_says_nothing(tmp_path):
    assert said(tmp_path, ROOT) == ""


@pytest.mark.parametrize("installed", [(), (ROOT,)])
def test_another_utils_is_named(tmp_path, installed):
    other = tmp_path / "utils.py"
    other.write_text("raise RuntimeError('it is not run')")
    todo = f"rename {other}, which hides them, then restart the kernel.\n"
    assert said(tmp_path, *installed) == NEEDS + todo


def test_where_nothing_is_installed_it_says_what_to_do(tmp_path):
    (tmp_path / "utils").mkdir()  # any folder is found as a package of this name
    todo = "%pip install its folder or wheel, then restart the kernel.\n"
    assert said(tmp_path) == NEEDS + todo
