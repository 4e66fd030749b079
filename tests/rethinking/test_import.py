"""`import utils` gives names and changes nothing; `utils.start()` is what sets a notebook up."""

import logging
import os
import subprocess
import sys

import matplotlib as mpl
import pytest

import utils
from rethinking import start

PACKAGES = ("numba", "pytensor", "nutpie")

# The names of the modules to look at come on the command line.
PROCESS = """
import contextlib, importlib, logging, sys, types
import matplotlib as mpl
import pymc

for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
loaded = {
    name: module for name, module in sys.modules.items()
    if name.partition(".")[0] in ("numba", "pytensor", "nutpie")
}
attributes = {name: dict(vars(module)) for name, module in loaded.items()}
config = sys.modules["pytensor"].config
flags = {name: getattr(config, name) for name in config._config_var_dict}
settings = {key: dict.__getitem__(mpl.rcParams, key) for key in mpl.rcParams}
level = logging.getLogger("pymc").level

import utils

for name, before in attributes.items():
    assert sys.modules[name] is loaded[name], name
    now = vars(loaded[name])
    for key, value in before.items():
        assert key in now and now[key] is value, f"{name}.{key} is another"
new = [n for n in sys.modules if n.partition(".")[0] in ("numba", "pytensor") and n not in loaded]
assert not new, f"not looked at: {new}"
assert {name: getattr(config, name) for name in flags} == flags
assert {key: dict.__getitem__(mpl.rcParams, key) for key in mpl.rcParams} == settings
assert logging.getLogger("pymc").level == level
print(len(attributes), sum(map(len, attributes.values())))
"""


@pytest.mark.compiles  # nothing, but a process that imports all of it takes its seconds
def test_importing_changes_nothing_in_other_packages():
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, *names],
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    modules, attributes = map(int, done.stdout.split())
    assert modules > 300 and attributes > 10_000, "hardly anything was looked at"


class Shell:
    def __init__(self):
        self.ran = []

    def run_line_magic(self, name, line):
        self.ran.append((name, line))


@pytest.mark.parametrize("shell", [None, Shell()])
def test_start_sets_the_notebook_up(monkeypatch, shell):
    monkeypatch.setattr(start, "get_ipython", lambda: shell)
    logger = logging.getLogger("pymc")
    level = logger.level
    try:
        with mpl.rc_context():
            utils.start()
            style = mpl.rc_params_from_file(utils.STYLE_PATH, use_default_template=False)
            assert {key: mpl.rcParams[key] for key in style} == dict(style)
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(level)
    if shell:
        assert shell.ran == [
            ("config", 'InlineBackend.print_figure_kwargs = {"bbox_inches": None}')
        ]
