"""The wheel, installed beside the locked packages: a notebook runs in any folder.

It is installed into a folder that comes first on the path, without dependencies and without an
index, and the repository is taken off the path, so that nothing is found there by chance.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from publish.files import ROOT, made_from, read_text, sources

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
OFFLINE = ["--no-deps", "--no-index"]
# Python imports it by itself, after what has put the repository on the path.
MASK = f"""
import sys
sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]
sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, "__name__", "") != "_EditableFinder"]
"""
# What a notebook takes from the course: a table and its place, the style, a measurement, what
# studies have stored, a figure that moves, and a fit as a student has it, with a progress bar.
CELLS = """
import importlib.util

import matplotlib.pyplot as plt
import pandas as pd
import pymc as pm

import utils
from studies import correlation_study, learning_curve, pool, random_confounds, survey_coverage

utils.start()
frogs = utils.load_data("reedfrogs")
assert plt.rcParams["figure.dpi"] == 130
pd.read_csv(utils.DATA_DIR.parent / "benchmarks/results/samplers.csv")
for study in (correlation_study, learning_curve, random_confounds, survey_coverage):
    study.load()
---
utils.cutpoint_explorer([-1.9, -1.2, -0.7, 0.2, 0.9, 1.8])
---
with pm.Model() as model:
    alpha = pm.Normal("alpha", 0, 1.5)
    pm.Binomial("S", frogs["density"].values, logit_p=alpha, observed=frogs["surv"].values)
    idata = pm.sample(500, chains=4, cores=2, random_seed=1)
utils.check_convergence(idata)
---
print(utils.__file__, pool.__file__, utils.DATA_DIR, utils.STYLE_PATH, sep="\\n")
print(pool.build_folder(), importlib.util.find_spec("publish"), sep="\\n")
""".strip().split("---\n")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", str(ROOT), *OFFLINE, "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, *build], check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("site packages")
    subprocess.run([*PIP, "install", *OFFLINE, "--target", str(folder), str(wheel)], check=True)
    (folder / "sitecustomize.py").write_text(MASK, encoding="utf-8")
    return folder


def test_the_wheel_holds_what_any_notebook_is_made_from(installed):
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops - {"sitecustomize.py", "__pycache__"} == {"rethinking", "studies", "utils.py"}
    needed = {name for source in sources() for name in made_from(source)}
    needed -= {"requirements.lock", "publish/files.py:FORM"}
    needed = {name for name in needed if not name.startswith("notebooks/")}
    assert {"data/Trolley.yml", "utils.py", "rethinking/living/living.js"} <= needed
    for name in sorted(needed):
        there = [
            p for p in (installed / name, installed / "rethinking/course" / name) if p.exists()
        ]
        assert there, f"{name} is not in the wheel: name it in pyproject.toml, [tool.hatch]"
        assert there[0].read_bytes() == (ROOT / name).read_bytes()


def run(cells: list[str], folder: Path, *path: Path) -> list[str]:
    """Run cells in a kernel that works in a folder and has others first on its path."""
    nb = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COURSE_")}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "JUPYTER_PREFER_ENV_PATH": "1"}
    environment |= {"IPYTHONDIR": str(folder / ".ipython")}
    client = NotebookClient(nb, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return nb.cells


@pytest.mark.compiles
def test_a_notebook_runs_in_another_folder(installed, tmp_path):
    nb = read_text(sources()[0].read_text("utf-8"), sources()[0])
    guard = next(cell.source for cell in nb.cells if cell.cell_type == "code")
    cells = run([guard, *CELLS], tmp_path, installed)[1:]
    assert not [o for c in cells for o in c.outputs if o.get("name") == "stderr"]
    bars = [o.data for o in cells[2].outputs if "data" in o]
    assert "application/vnd.jupyter.widget-view+json" in bars[0], "no progress bar"
    (living,) = [o for o in cells[1].outputs if "text/html" in o.get("data", {})]
    assert "<script" in living.data["text/html"]
    utils, studies, *course, kept, publish = cells[-1].outputs[0].text.splitlines()
    assert Path(utils) == installed / "utils.py", "the repository was not masked"
    assert Path(studies) == installed / "studies/pool.py" and publish == "None"
    assert all(Path(place).is_relative_to(installed / "rethinking/course") for place in course)
    assert not Path(kept).is_relative_to(installed), "a study would write between the packages"
    assert [p.name for p in tmp_path.iterdir()] == [".ipython"], "nothing is left in the folder"
