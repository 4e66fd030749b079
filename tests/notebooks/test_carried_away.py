"""A student copies the cells of a model into an empty script, and it runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from publish.files import ROOT, read_text, select

SCRIPT = """
import numpy as np
import pandas as pd
import pymc as pm

frogs = pd.read_csv({table!r})
{cells}
print(pm.stats.summary(multilevel_idata, var_names=["alpha_bar", "sigma"]))
"""


@pytest.mark.compiles
def test_the_multilevel_frogs_run_in_an_empty_script(tmp_path):
    (source,) = select(["12-Multilevel_Models"])
    cells = [
        cell.source
        for cell in read_text(source.read_text(encoding="utf-8"), source).cells
        if cell.cell_type == "code"
        and ("SAMPLE = dict(" in cell.source or "as multilevel_model:" in cell.source)
    ]
    script = SCRIPT.format(table=str(ROOT / "data" / "reedfrogs.csv"), cells="\n".join(cells))
    assert "utils" not in script
    (tmp_path / "frogs.py").write_text(script, encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::FutureWarning", "frogs.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "alpha_bar" in done.stdout and "sigma" in done.stdout
