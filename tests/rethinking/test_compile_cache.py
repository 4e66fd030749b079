"""What is compiled is kept on disk: for these versions alone, whole, and with the same results."""

import json
import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import yaml
from numba.core import caching
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba import cache

from rethinking import compile_cache
from utils import CompiledModel

ROOT = Path(__file__).resolve().parents[2]

PROCESS = """
import hashlib, json
import numpy as np
import nutpie
import pymc as pm
from pytensor.link.numba import cache
import utils

utils.start()
with pm.Model() as model:
    y = pm.Data("y", np.arange(3.0))
    a = pm.Normal("a", 0, 1)
    pm.Deterministic("exp_a", pm.math.exp(a))
    pm.Normal("out", a, 1, observed=y)
    plain = pm.sample(50, tune=100, chains=1, random_seed=1, progressbar=False, quiet=True)
compiled = utils.CompiledModel(model, vary=["y"])._compiled
digest = hashlib.sha256(plain.posterior["a"].to_numpy().tobytes())
for data in (compiled, compiled.with_data(y=np.ones(5))):
    found = nutpie.sample(data, draws=50, tune=100, chains=1, seed=1, progress_bar=False)
    for name in ("a", "exp_a"):
        digest.update(found.posterior[name].to_numpy().tobytes())
hits = [f.cache_hits for f in (compiled.compiled_logp_func, compiled.compiled_expand_func)]
print(json.dumps([digest.hexdigest(), hits, str(cache.NUMBA_CACHE_PATH)]))
"""
# What a home that cannot be written must not keep anyone from.
NO_HOME = """
import pymc as pm
import utils

utils.start()
with pm.Model() as model:
    pm.Normal("y", pm.Normal("a"), 1, observed=[0.0, 1.0])
    pm.sample(50, tune=100, chains=1, random_seed=1, progressbar=False, quiet=True)
utils.fit(model, name="no home", random_seed=1, draws=600, tune=300)
"""


def start(program, **environment):
    """Run a program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={k: v for k, v in os.environ.items() if k != "PYTENSOR_FLAGS"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err == ""
    return out


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.compiles
def test_results_are_the_same_wherever_the_code_comes_from(tmp_path):
    own = tmp_path / compile_cache.FOLDER / compile_cache.folder_name()
    # Of other versions and under the same names: nobody may read them. Old ones: nobody deletes
    # what is not ours.
    others = own.with_name(f"{own.name}0")
    elsewhere = tmp_path / "numba" / "old"
    for folder in (others, elsewhere):
        folder.mkdir(parents=True)
    for file in (elsewhere / "f.1.nbi", elsewhere.parent / "f.1.nbc", tmp_path / "f.1.nbi"):
        file.write_text("planted")
        os.utime(file, (0, 0))
    planted = contents(tmp_path)

    def run():
        return start(PROCESS, PYTENSOR_FLAGS=f"base_compiledir={tmp_path}")

    both = [run(), run()]
    digest, _, folder = json.loads(finish(both[0]))
    assert json.loads(finish(both[1]))[0] == digest, "two processes at once"
    assert folder == str(own), "the reader's PYTENSOR_FLAGS say where"
    assert planted.items() <= contents(tmp_path).items()

    files = contents(own)
    assert json.loads(finish(run())) == [digest, [1, 1], folder], "from the cache"
    assert contents(own) == files, "nothing was compiled, for pm.sample neither"

    damaged = {}
    for number, (file, content) in enumerate(sorted(files.items())):
        damaged[file] = [b"", content[:-9], b"\x80\x05nonsense."][number % 3]
        for place in (own, others):
            (place / file.name).write_bytes(damaged[file])
    planted = contents(others)
    assert json.loads(finish(run()))[0] == digest, "from a damaged cache"
    mended = contents(own)
    assert all(mended[file] != content for file, content in damaged.items())
    assert contents(others) == planted


@pytest.mark.compiles
def test_a_home_that_cannot_be_written_stops_nobody(tmp_path):
    """In /proc nobody makes a folder; for root, permissions say nothing."""
    if not Path("/proc/self").exists():
        pytest.skip("There is no /proc here.")
    said = finish(start(NO_HOME, HOME="/proc/none", MPLCONFIGDIR=str(tmp_path)))
    (sentence,) = said.splitlines()
    assert sentence.startswith("The folder /proc/none/.pytensor cannot be written (No such file")
    assert sentence.endswith(
        "in the environment variable PYTENSOR_FLAGS, as base_compiledir=FOLDER."
    )


@pytest.mark.parametrize("package", compile_cache.PACKAGES)
def test_another_version_gets_another_folder(monkeypatch, package):
    name = compile_cache.folder_name()
    assert name == compile_cache.folder_name() and "/" not in name
    # LOCALAPPDATA/PyTensor has 41 characters for a user of 8, a file of numba while written 151.
    assert 41 + len(f"/{compile_cache.FOLDER}/{name}/") + 151 < 250
    version = metadata.version
    changed = lambda p: version(p) + (".1" if p == package else "")  # noqa: E731
    monkeypatch.setattr(metadata, "version", changed)
    assert compile_cache.folder_name() != name


def test_another_python_or_machine_gets_another_folder(monkeypatch):
    names = {compile_cache.folder_name()}
    for function in ("python_version", "python_implementation", "system", "machine"):
        with monkeypatch.context() as patch:
            patch.setattr(compile_cache.platform, function, lambda: "other")
            names.add(compile_cache.folder_name())
    assert len(names) == 5


def test_old_files_are_deleted_in_every_folder_of_ours(tmp_path):
    folder = compile_cache.prepare(tmp_path)
    other = tmp_path / f"{folder.name}0"
    other.mkdir()
    long_ago = time.time() - 86400 * (compile_cache.KEPT_DAYS + 1)
    ours = [parent / f"f.1.{end}" for parent in (folder, other) for end in ("nbi", "nbc")]
    kept = [folder / "new.nbi", tmp_path / "of-pytensor.nbi", folder / "note.txt"]
    for file in (*ours, *kept):
        file.write_text("")
        if file.name != "new.nbi":
            os.utime(file, (long_ago, long_ago))
    assert compile_cache.prepare(tmp_path) == folder
    assert not any(file.exists() for file in ours) and all(file.exists() for file in kept)


def test_a_damaged_file_counts_as_missing(tmp_path):
    files = compile_cache._Files(tmp_path, "f", 1.0)
    files.save("key", [1, 2])
    for ending in ("nbc", "nbi"):
        assert files.load("key") == [1, 2]
        for file in tmp_path.glob(f"*.{ending}"):
            file.write_bytes(b"\x80\x05nonsense.")
        assert files.load("key") is None
        files.save("key", [1, 2])
    (data,) = tmp_path.glob("*.nbc")
    content = data.read_bytes()
    for place in range(len(content)):  # one bit, which pickle need not notice
        data.write_bytes(bytes(c ^ (number == place) for number, c in enumerate(content)))
        assert files.load("key") is None


def test_on_a_full_disk_nothing_is_kept_and_nothing_fails(tmp_path, monkeypatch, capsys):
    if not Path("/dev/full").exists():
        pytest.skip("There is no /dev/full here.")

    def full(*_, **__):
        return open("/dev/full", "wb")

    files = compile_cache._Files(tmp_path, "f", 1.0)
    monkeypatch.setattr(caching, "open", full, raising=False)
    files.save("key", [1, 2])
    assert files.load("key") is None
    monkeypatch.setattr(compile_cache.tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match="No space left"):
        compile_cache.prepare(tmp_path)


def test_where_nothing_can_be_written_a_folder_is_borrowed(monkeypatch, tmp_path, capsys):
    (tmp_path / "a file").write_text("")
    flag = vars(type(pytensor.config))["base_compiledir"]
    monkeypatch.setattr(flag, "val", tmp_path / "a file" / "cache")
    folder = compile_cache._prepare_or_borrow()
    assert folder.is_dir() and pytensor.config.base_compiledir in folder.parents
    assert re.match(
        r"The folder .*a file/cache cannot be written \(Not a dir", capsys.readouterr().out
    )


def test_ci_restores_what_was_compiled_for_the_same_lock_and_stores_what_is_new():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    (step,) = [step["with"] for step in steps if "actions/cache" in step.get("uses", "")]
    held = ("runner.os", "runner.arch", "matrix.python", "hashFiles('a course/requirements.lock')")
    assert all(f"${{{{ {part} }}}}" in step["restore-keys"] for part in held)
    assert step["key"] == step["restore-keys"] + "${{ github.run_id }}"


# --- Callbacks -----------------------------------------------------------------


@pytest.fixture
def keys(monkeypatch):
    """The keys of the callbacks that are compiled."""
    seen = []
    made = cache.compile_numba_function_src

    def spy(*args, **kwargs):
        if "callback" in args:
            seen.append(kwargs["cache_key"])
        return made(*args, **kwargs)

    monkeypatch.setattr(cache, "compile_numba_function_src", spy)
    return seen


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setattr(cache, "NUMBA_CACHE_PATH", tmp_path)
    return tmp_path


def compiled(y=(1.0, 2.0), size=2, vary=("y",), transform=lambda a: a):
    with pm.Model() as model:
        y = pm.Data("y", np.array(y))
        pm.Data("unused", 1.0)
        a = pm.Normal("a", 0, 1, shape=size)
        pm.Normal("out", transform(a).sum(), 1, observed=y)
    return CompiledModel(model, vary=vary)


@pytest.mark.compiles
def test_a_callback_s_key_holds_what_its_code_depends_on(keys):
    compiled()
    compiled(y=(3.0, 4.0))
    assert keys[:2] == keys[2:], "data that stay open are no part of it"
    compiled(vary=())
    compiled(vary=(), y=(3.0, 4.0))
    assert keys[4] != keys[6], "data that are compiled in are"
    compiled(size=3)
    compiled(y=(1, 2))
    logp = keys[0::2]
    assert len(set(logp)) == 5 and len(set(keys)) == len(set(logp)) + len(set(keys[1::2]))


class Opaque(Op):
    """An operation of which PyTensor does not know what is in it."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0]

    def infer_shape(self, node, shapes):
        return shapes

    def pullback(self, inputs, outputs, gradients):
        return [pt.as_tensor(gradients[0])]


@pytest.mark.compiles
@pytest.mark.filterwarnings("ignore:Numba will use object mode")
def test_a_callback_without_a_key_is_not_kept(keys, folder):
    compiled(transform=Opaque())
    assert len(keys) == 1, "that of the stored variables, which do not use it"
    assert len(list(folder.glob("*callback*.nbc"))) == 1


@pytest.mark.compiles
def test_a_reader_may_turn_the_cache_off(keys, folder):
    with pytensor.config.change_flags(numba__cache=False):
        compiled()
    assert keys == [] and list(folder.iterdir()) == []
