"""What numba compiled for a model, kept on disk: safely, and whole.

PyTensor keeps it in ``<base_compiledir>/numba``: in ``~/.pytensor``, unless ``PYTENSOR_FLAGS`` or
``.pytensorrc`` says otherwise. A key there holds the graph with its constants, and numba adds its
own version, Python's and the processor. Three things are missing, and importing this module
(``utils`` does) puts them in:

- Other versions of PyTensor, NumPy or PyMC have the same keys. So each set of versions gets a
  folder of its own, in which a file is deleted `KEPT_DAYS` after it was made.
- A damaged file, after a crash of the machine, say, breaks every model that meets it. Here it
  counts as missing: the function is compiled again, and the file replaced.
- nutpie wraps a model's two functions in callbacks for its sampler and compiles these afresh
  every time, which is two thirds of what a compilation takes when all the rest is in the cache.
  Here they are kept too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import platform
import time
from importlib import metadata
from pathlib import Path

import numba
import nutpie.compile_pymc
from numba.core import caching
from pytensor import config
from pytensor.link.numba import cache

PACKAGES = ("pytensor", "numba", "llvmlite", "numpy", "scipy", "pymc", "nutpie")
KEPT_DAYS = 90  # numba itself never deletes anything; a lecture is some 30 MB


def folder_name() -> str:
    """Return the name of the folder for the installed versions."""
    versions = [f"{name}{metadata.version(name)}" for name in PACKAGES]
    python = f"{platform.python_implementation()}{platform.python_version()}"
    return "-".join([python, *versions, platform.system(), platform.machine()]).lower()


def prepare(base: Path) -> Path:
    """Make and return this set of versions' folder in `base`; delete what is old in all of them."""
    for file in base.glob("*python*-pytensor*/*.nb[ci]"):
        with contextlib.suppress(FileNotFoundError):  # another process may do the same
            if file.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
                file.unlink()
    folder = base / folder_name()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Files(caching.IndexDataCacheFile):
    """The files of one function; one that cannot be read counts as missing."""

    def _load_index(self):
        try:
            return super()._load_index()
        except Exception:
            return {}

    def _load_data(self, name):
        try:
            return super()._load_data(name)
        except Exception as error:
            raise FileNotFoundError(name) from error  # what numba expects of a missing file


# A callback under a name that numba can find again: its own closure would be part of the key.
_CALLBACK = "def callback(a, b, c, d, e):\n    return inner(a, b, c, d, e)\n"
_MAKERS = {
    "_make_c_logp_func": ["n_dim", "logp_fn", "user_data", "shared_keys", "shared_data"],
    "_make_c_expand_func": [
        *("n_dim", "n_expanded", "expand_fn", "user_data", "shared_var_keys", "shared_data")
    ],
}


def _keyed(make):
    """Give the callbacks that nutpie's function `make` returns a key in PyTensor's cache."""

    @functools.wraps(make)
    def make_keyed(*args):
        callback, signature = make(*args)
        *sizes, function, _, keys, shared = args
        graph = cache.CACHED_SRC_FUNCTIONS.get(function.py_func)
        if graph is None:  # PyTensor could not say what is in it
            return callback, signature
        names = list(shared)  # random ones, in the order of the record that holds the data
        layout = [(value.dtype.str, value.shape) for value in shared.values()]
        key = (make.__name__, sizes, graph, layout, [names.index(name) for name in keys])
        made = cache.compile_numba_function_src(
            _CALLBACK,
            "callback",
            {"inner": numba.njit(callback), "__name__": __name__},
            cache_key=hashlib.sha256(repr(key).encode()).hexdigest(),
        )
        return made, signature

    return make_keyed


def _keeping(cfunc):
    """Let `numba.cfunc` keep the functions that have a key."""

    @functools.wraps(cfunc)
    def keeping_cfunc(*args, **options):
        def compiled(function):
            keep = {"cache": True} if function in cache.CACHED_SRC_FUNCTIONS else {}
            return cfunc(*args, **options | keep)(function)

        return compiled

    return keeping_cfunc


def _install() -> None:
    cache.NUMBA_CACHE_PATH = prepare(config.base_compiledir / "numba")
    caching.IndexDataCacheFile = _Files
    makers = {name: getattr(nutpie.compile_pymc, name, None) for name in _MAKERS}
    # The key holds all that these arguments can change; of another nutpie that is not known.
    if all(
        make and list(inspect.signature(make).parameters) == _MAKERS[name]
        for name, make in makers.items()
    ):
        for name, make in makers.items():
            setattr(nutpie.compile_pymc, name, _keyed(make))
        numba.cfunc = _keeping(numba.cfunc)


_install()
