"""What numba compiled for a model, kept on disk: safely, and whole.

PyTensor keeps it in ``<base_compiledir>/numba``: in ``~/.pytensor``, unless ``PYTENSOR_FLAGS`` or
``.pytensorrc`` says otherwise. A key there holds the graph with its constants, and numba adds its
own version, Python's and the processor. Three things are missing, and `install` puts them in;
importing this module changes nothing.

- Other versions of PyTensor, NumPy or PyMC have the same keys. So each set of versions gets a
  folder of its own, in which a file is deleted `KEPT_DAYS` after it was made.
- A damaged file, after a crash of the machine, say, breaks every model that meets it, and one
  wrong bit in its machine code ends Python. Here a file carries a checksum, and a damaged one
  counts as missing: the function is compiled again, and the file replaced. One that cannot be
  written, on a full disk, say, is left out.
- nutpie wraps a model's two functions in callbacks for its sampler and compiles these afresh
  every time, which is two thirds of what a compilation takes when all the rest is in the cache.
  Here they are kept too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import pickle
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import nutpie.compile_pymc
from numba.core import caching
from pytensor import config

PACKAGES = ("pytensor", "numba", "llvmlite", "numpy", "scipy", "pymc", "nutpie")
KEPT_DAYS = 90  # numba itself never deletes anything; a lecture is some 30 MB
FOLDER = "statistical-rethinking-pymc"  # in PyTensor's; nothing outside it is deleted


@functools.cache
def install() -> Path:
    """Let models that are compiled from now on find, and leave, what is in the cache.

    Sets PyTensor's flag ``numba__fastmath`` to False: with fast maths the same model gives other
    last digits, and so other draws, when it comes from the cache than when it is compiled afresh
    (measured: PyTensor 3.3, numba 0.68). Replaces numba's class of cache files, `numba.cfunc` and
    two functions of nutpie. A second call does nothing.

    Returns
    -------
    pathlib.Path
        The folder for the installed versions. Where PyTensor's folder cannot be written, a
        sentence says so, and it is a temporary one.
    """
    config.numba__fastmath = False
    folder = _prepare_or_borrow()
    from pytensor.link.numba import cache  # makes its folder, which may now be another one

    cache.NUMBA_CACHE_PATH = folder
    caching.IndexDataCacheFile = _Files
    makers = {name: getattr(nutpie.compile_pymc, name, None) for name in _MAKERS}
    # The key holds all that these arguments can change; of another nutpie that is not known.
    if all(
        make and list(inspect.signature(make).parameters) == _MAKERS[name]
        for name, make in makers.items()
    ):
        for name, make in makers.items():
            setattr(nutpie.compile_pymc, name, _keyed(make, cache))
        numba.cfunc = _keeping(numba.cfunc, cache)
    return folder


def folder_name() -> str:
    """Return the name of the folder for the installed versions.

    It is short: Windows allows a path 260 characters, and numba's names of files take 150.

    Returns
    -------
    str
    """
    versions = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    python = platform.python_version()
    system = [platform.python_implementation(), platform.system(), platform.machine()]
    digest = hashlib.sha256(repr([python, *versions, *system]).encode()).hexdigest()
    return f"{python}-{digest[:12]}"


def prepare(base: Path) -> Path:
    """Make this set of versions' folder in `base`; delete what is old there, of all versions.

    Where `base` or a folder in it is a symbolic link, nothing behind it is deleted: it may belong
    to somebody else.

    Parameters
    ----------
    base : pathlib.Path

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    for file in [] if base.is_symlink() else base.glob("*/*.nb[ci]"):
        if file.parent.is_symlink():
            continue
        # another process may do the same, or read the file, which Windows then keeps
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
                file.unlink()
    folder = base / folder_name()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # for root, permissions say nothing
        file.write(bytes(2**20))  # nor do they of a full disk
        file.flush()
    return folder


def _prepare_or_borrow() -> Path:
    """Return the prepared folder; a temporary one, and a sentence, where it cannot be written."""
    base = config.base_compiledir
    try:
        return prepare(base / FOLDER)
    except OSError as error:
        borrowed = tempfile.TemporaryDirectory(prefix="pytensor-")
        _BORROWED.append(borrowed)  # it is deleted when this process ends
        print(
            f"The folder {base} cannot be written ({error.strerror}), so compiled models are kept "
            "for this session only; to keep them, name another folder in the environment variable "
            "PYTENSOR_FLAGS, as base_compiledir=FOLDER."
        )
        # PyTensor itself would fail at the first model, and takes no other folder at run time.
        vars(type(config))["base_compiledir"].val = Path(borrowed.name)
        return prepare(Path(borrowed.name) / FOLDER)


_BORROWED: list[tempfile.TemporaryDirectory] = []


class _Files(caching.IndexDataCacheFile):
    """The files of one function; one that cannot be read or written counts as missing."""

    def save(self, key: object, data: object) -> None:
        with contextlib.suppress(OSError):
            super().save(key, data)

    def _save_data(self, name: str, data: object) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(content + hashlib.sha256(content).digest())

    def _load_index(self) -> dict:
        try:
            return super()._load_index()
        except Exception:
            return {}

    def _load_data(self, name: str) -> object:
        try:
            content = Path(self._data_path(name)).read_bytes()
            if hashlib.sha256(content[:-32]).digest() != content[-32:]:
                raise ValueError("damaged")
            return pickle.loads(content)
        except Exception as error:
            raise FileNotFoundError(name) from error  # what numba expects of a missing file


# A callback under a name that numba can find again: its own closure would be part of the key.
_CALLBACK = "def callback(a, b, c, d, e):\n    return inner(a, b, c, d, e)\n"
_MAKERS: dict[str, list[str]] = {
    "_make_c_logp_func": ["n_dim", "logp_fn", "user_data", "shared_keys", "shared_data"],
    "_make_c_expand_func": [
        *("n_dim", "n_expanded", "expand_fn", "user_data", "shared_var_keys", "shared_data")
    ],
}


def _keyed(make: Callable, cache: ModuleType) -> Callable:
    """Give the callbacks that nutpie's function `make` returns a key in PyTensor's cache."""

    @functools.wraps(make)
    def make_keyed(*args: Any) -> tuple[Callable, Any]:
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


def _keeping(cfunc: Callable, cache: ModuleType) -> Callable:
    """Let `numba.cfunc` keep the functions that have a key."""

    @functools.wraps(cfunc)
    def keeping_cfunc(*args: Any, **options: Any) -> Callable:
        def compiled(function: Callable) -> Callable:
            keep = {"cache": True} if function in cache.CACHED_SRC_FUNCTIONS else {}
            return cfunc(*args, **options | keep)(function)

        return compiled

    return keeping_cfunc
