"""The course of one notebook that the tests of rendering share."""

from __future__ import annotations

import pytest

from publish.files import ROOT, tidy
from tests.publish.planted import MARKDOWN

FILES = {
    "data/frogs.csv": "a\n1\n",
    "data/frogs.yml": "rows: 1\n",
    "data/README.md": "Data\n",
    "utils.py": (
        "from rethinking import gate\nfrom studies import long\n"
        "def start(): pass\ndef load_data(name): pass\n"
    ),
    "rethinking/__init__.py": "",
    "rethinking/gate.py": "from . import formula\n",
    "rethinking/formula/__init__.py": "",
    "rethinking/formula/walk.py": "",
    "rethinking/living/__init__.py": "",
    "rethinking/living/explorer.html": "",
    "rethinking/living/explorer.css": "",
    "rethinking/living/explorer.js": "",
    "studies/__init__.py": "",
    "studies/long.py": "",
    "studies/long.csv": "",
    "studies/long.yml": "",
    "requirements.lock": "numpy==2\n",
    "course.mplstyle": "axes.grid: True\n",
    "benchmarks/results/growth.csv": "",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A project of one notebook, in a folder with a space, with a `utils` of its own."""
    root = tmp_path / "a course"
    settings = (ROOT / "notebooks" / "jupytext.toml").read_text()
    for name, text in {**FILES, "notebooks/jupytext.toml": settings}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    source = root / "notebooks" / "01-Frogs.md"
    source.write_text(tidy(MARKDOWN, source))
    # For the kernel, which would find the real one.
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("CI", raising=False)
    return root
