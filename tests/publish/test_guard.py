"""The first cell of every notebook: silent beside the helpers, elsewhere one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from publish.files import GUARD, ROOT


def run(folder, *found):
    """Run the cell in a folder where nothing but the standard library and `found` is found."""
    path = [str(folder), *map(str, found)]
    line = f"import sys; sys.path[:0] = {path!r}\n{GUARD}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", line], cwd=folder, capture_output=True, text=True
    )


def test_beside_the_helpers_it_says_nothing(tmp_path):
    done = run(tmp_path, ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("installed", [(), (ROOT,)])
def test_another_utils_is_named(tmp_path, installed):
    (tmp_path / "utils.py").write_text("raise RuntimeError('it is not run')")
    done = run(tmp_path, *installed)
    said = f"rename {tmp_path / 'utils.py'}, which hides them, then restart the kernel."
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.endswith(f" in PyMC: {said}\n")


def test_where_nothing_is_installed_it_says_what_to_do(tmp_path):
    (tmp_path / "utils").mkdir()  # any folder is found as a package of this name
    done = run(tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.endswith("%pip install its folder or wheel, then restart the kernel.\n")
