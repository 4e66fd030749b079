"""Many data sets with a random confound: what the section of lecture 12 says of its estimators.

Run it with the Python of the course: .venv/bin/python studies/random_confounds.py

The simulation and the models are the notebook's own: its cells with the tag `study` are read and
executed here. The result, two tables and a record, lies beside this file; `load` gives it to the
notebook, and refuses one that was not made by the code that the notebook shows.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import yaml
from pymc.model.transform.optimization import freeze_dims_and_data
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import utils  # noqa: E402

# --- 1. What makes the numbers: a change in this part makes the stored result stale ----------

SEED = 12
SIZES = (75, 200, 1000)  # individuals in 30 groups
DATA_SETS = 400  # of each size
PROB = 0.89

#: Estimator: function of the notebook, values of its pm.Data, sampler settings, mass matrix.
ESTIMATORS = {
    "naive": ("confound_naive", {}, {"tune": 200, "draws": 350}, "low_rank"),
    "fixed effects": ("confound_fixed", {}, {"tune": 200, "draws": 350}, "low_rank"),
    "multilevel": ("confound_multilevel", {}, {"tune": 200, "draws": 1000}, "diag"),
    "Mundlak": (
        "confound_mundlak",
        {},
        {"tune": 200, "draws": 750, "target_accept": 0.86},
        "diag",
    ),
    "latent": (
        "confound_latent",
        {"beta_UY_sd": 1.0},
        {"tune": 200, "draws": 600, "target_accept": 0.86},
        "diag",
    ),
    "latent, wide prior": (
        "confound_latent",
        {"beta_UY_sd": 3.0},
        {"tune": 200, "draws": 600, "target_accept": 0.86},
        "diag",
    ),
}
#: For a fit that fails the convergence gate, once.
STRICTER = {"tune": 400, "draws": 2000, "target_accept": 0.92}
EFFECTS = ("beta_XY", "beta_ZY")


def data_set(namespace, size, replicate):
    """Simulate one data set; also the seed of its fits. Independent of all others."""
    sequence = np.random.SeedSequence(SEED, spawn_key=(size, replicate))
    rng = np.random.default_rng(sequence)
    data = namespace["simulate_confounded"](size, rng)
    return data, int(sequence.spawn(1)[0].generate_state(1)[0] % 2**31)


def fingerprint(data):
    """Few numbers that another data set would not share."""
    whole = np.concatenate([data["group_idx"], data["survived"]]).astype("<i4")
    return {
        "checksum": zlib.crc32(whole.tobytes()),
        "trait_mean": data["trait"].mean(),
        "group_trait_mean": data["group_trait"].mean(),
    }


class Estimators:
    """The models of the notebook, each compiled once, for data sets of one size at a time."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.compiled = {}

    def fit(self, estimator, data, random_seed, **settings):
        """Fit one estimator; a fit that fails the gate is made again, once, more strictly."""
        function, values, own, adaptation = ESTIMATORS[estimator]
        if function not in self.compiled:
            model = self.namespace[function](data)
            model.check_bounds = False  # the data are in range: a fifth of the time
            scalars = [v.name for v in model.free_RVs if v.ndim == 0]
            inputs = [v.name for v in model.data_vars]
            frozen = freeze_dims_and_data(model, data=[])
            compiled = nutpie.compile_pymc_model(frozen, var_names=scalars)
            self.compiled[function] = compiled, inputs, scalars
        compiled, inputs, scalars = self.compiled[function]
        values = {key: data[key] for key in inputs if key in data} | values
        with_data = compiled.with_data(**values)

        def sample(**chosen):
            return nutpie.sample(
                with_data,
                chains=4,
                seed=random_seed,
                adaptation=adaptation,
                save_warmup=False,
                progress_bar=False,
                **chosen,
            )

        gate = partial(utils.check_convergence, name=estimator, var_names=scalars)
        idata, refits, passed = sample(**(settings or own)), 0, True
        try:
            seen = gate(idata)
        except utils.ConvergenceError:
            idata, refits = sample(**STRICTER), 1
            try:
                seen = gate(idata)
            except utils.ConvergenceError as error:
                seen, passed = gate(idata, expect_failure=str(error)), False
        row = {}
        for effect in EFFECTS:
            draws = idata["posterior"][effect]
            lower, upper = az.eti(draws, prob=PROB).to_numpy()
            row |= {
                f"{effect}_mean": float(draws.mean()),
                f"{effect}_lower": lower,
                f"{effect}_upper": upper,
                f"{effect}_mcse": float(az.mcse(draws)),
            }
        return row | {
            "max_rhat": seen.max_rhat,
            "min_ess": min(seen.min_ess_bulk, seen.min_ess_tail),
            "divergences": seen.divergences,
            "min_bfmi": seen.min_bfmi,
            "refits": refits,
            "passed": int(passed),
        }


def conditional_row(found):
    """Row of `ConditionalLogit`: its estimate and Wald interval stand for mean and ETI."""
    half = stats.norm.isf((1 - PROB) / 2) * found["error"]
    return {
        "beta_XY_mean": found["estimate"],
        "beta_XY_lower": found["estimate"] - half,
        "beta_XY_upper": found["estimate"] + half,
        "groups": found["groups"],
    }


def run_chunk(namespace, estimators, size, replicates):
    """All estimators on some data sets of one size: rows of results and of data."""
    rows, facts = [], []
    for replicate in replicates:
        data, random_seed = data_set(namespace, size, replicate)
        place = {"individuals": size, "data_set": replicate}
        facts.append(place | fingerprint(data))
        for estimator in ESTIMATORS:
            found = estimators.fit(estimator, data, random_seed)
            rows.append(place | {"estimator": estimator} | found)
        found = conditional_row(namespace["conditional_logit"](data))
        rows.append(place | {"estimator": "ConditionalLogit"} | found)
    return rows, facts


# --- 2. The code of the notebook, and the key of the result ----------------------------------

HERE = Path(__file__).resolve().parent
SOURCE = ROOT / "notebooks" / "12-Multilevel_Models.md"
NAME = "random-confounds"
COMMAND = ".venv/bin/python studies/random_confounds.py"
FILES = {
    "results": HERE / f"{NAME}.csv",
    "data sets": HERE / f"{NAME}-data.csv",
    "record": HERE / f"{NAME}.yml",
}
PACKAGES = ("pymc", "nutpie", "pytensor", "numba", "numpy", "scipy", "statsmodels", "arviz")


class StudyError(RuntimeError):
    """The stored result is missing, or belongs to other code; one sentence says what to do."""


def default_source():
    """Return the notebook's source, or the file that COURSE_STUDY_SOURCE names."""
    return Path(os.environ.get("COURSE_STUDY_SOURCE", SOURCE))


def study_cells(source=None):
    """Code of the notebook's cells with the tag `study`, in order."""
    text = Path(source or default_source()).read_text(encoding="utf-8")
    cells = []
    for body in re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```\s*$", text, re.M | re.S):
        block = re.match(r"---\n(.*?)^---\n(.*)", body, re.M | re.S)
        if block:
            header, code = block.groups()
        else:
            options = re.match(r"((?::[\w-]+:[^\n]*\n)*)(.*)", body, re.S)
            header, code = re.sub(r"^:", "", options[1], flags=re.M), options[2]
        if "study" in ((yaml.safe_load(header) or {}).get("tags") or []):
            cells.append(code.strip("\n"))
    if not cells:
        raise StudyError(f"{Path(source or default_source()).name} has no cell tagged `study`.")
    return cells


def execute_cells(cells):
    """Run the cells in a namespace that has the notebook's imports."""
    namespace = {"np": np, "pd": pd, "pm": pm, "stats": stats, "invlogit": utils.invlogit}
    for number, code in enumerate(cells, start=1):
        exec(compile(code, f"study cell {number}", "exec"), namespace)
    return namespace


def numbers_part():
    """Return the part of this file that makes the numbers: above the second headline."""
    text = Path(__file__).read_text(encoding="utf-8")
    return text[text.index("# --- 1.") : text.index("# --- 2.")]


def versions():
    """Versions of the packages that make the numbers, as installed."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def key_of(cells, made_with):
    """SHA-256 of the tagged cells, of the part of this file that makes the numbers, and versions.

    That part holds the seed. Comments and line breaks do not count.
    """
    parts = [ast.unparse(ast.parse(part)) for part in [*cells, numbers_part()]]
    parts += [f"{name} {version}" for name, version in sorted(made_with.items())]
    return hashlib.sha256("\n\0".join(parts).encode()).hexdigest()


def load(source=None):
    """Load the stored result, if it belongs to the code that the notebook shows.

    Parameters
    ----------
    source : path, optional
        The notebook's .md file.

    Returns
    -------
    results, data_sets : pandas.DataFrame
        A row for each data set, size and estimator; a row for each data set and size.
    record : dict
        Key, seed, counts, versions.

    Raises
    ------
    StudyError
        A file is missing, or the result was made by other code.
    """
    for path in FILES.values():
        if not path.is_file():
            raise StudyError(f"studies/{path.name} is missing: run `{COMMAND}`.")
    record = yaml.safe_load(FILES["record"].read_text(encoding="utf-8"))
    # the versions of the run, not those installed: a later release does not make a result wrong,
    # and tests/test_confounds.py asks for a new one when the lock moves on
    key = key_of(study_cells(source), record["versions"])
    if record["key"] != key:
        raise StudyError(
            f"The stored study belongs to other code than the notebook shows (key "
            f"{record['key'][:12]}, the code's is {key[:12]}): run `{COMMAND}`."
        )
    for what in ("results", "data sets"):
        found = hashlib.sha256(FILES[what].read_bytes()).hexdigest()
        if found != record["sha256"][what]:
            raise StudyError(
                f"studies/{FILES[what].name} is not the file that was stored: restore it with "
                f"`git checkout -- studies`, or run `{COMMAND}`."
            )
    return pd.read_csv(FILES["results"]), pd.read_csv(FILES["data sets"]), record


# --- 3. The run ------------------------------------------------------------------------------

CHUNK = 10
_worker: dict = {}


def _start_worker(cells):
    _worker["namespace"] = execute_cells(cells)
    _worker["estimators"] = Estimators(_worker["namespace"])


def _work(size, first, last, folder):
    """Compute a chunk and keep it; a chunk that an earlier run finished is not made again."""
    results, facts = (folder / f"{what}-{size}-{first}.csv" for what in ("results", "data"))
    if not facts.is_file():
        rows, data = run_chunk(
            _worker["namespace"], _worker["estimators"], size, range(first, last)
        )
        pd.DataFrame(rows).to_csv(results, index=False)
        partial = facts.with_suffix(".part")
        pd.DataFrame(data).to_csv(partial, index=False)
        partial.rename(facts)  # the last step: a chunk is there as a whole or not at all
    return size, first


def _rounded(table):
    """Five significant digits for real numbers, whole numbers as such, nothing for none."""
    table = table.copy()
    for column in table.select_dtypes("number"):
        values = table[column]
        whole = (values.dropna() % 1 == 0).all()
        table[column] = [
            "" if pd.isna(v) else f"{v:.{0 if whole else 5}{'f' if whole else 'g'}}" for v in values
        ]
    return table


def _store(folder, chunks, key, into):
    """Put the chunks together, write the two tables, return the first part of the record."""
    parts = {
        what: pd.concat(
            [pd.read_csv(folder / f"{what}-{size}-{first}.csv") for size, first, _ in chunks]
        )
        for what in ("results", "data")
    }
    order = ["individuals", "data_set"]
    names = [*ESTIMATORS, "ConditionalLogit"]
    results = parts["results"].assign(position=lambda table: table["estimator"].map(names.index))
    results = results.sort_values([*order, "position"]).drop(columns="position")
    tables = {"results": results, "data sets": parts["data"].sort_values(order)}
    digests = {}
    for what, table in tables.items():
        path = into / FILES[what].name
        _rounded(table).to_csv(path, index=False, lineterminator="\n")
        digests[what] = hashlib.sha256(path.read_bytes()).hexdigest()
    fits = results[results["estimator"] != "ConditionalLogit"]
    return {
        "what": "Estimators under a random confound, on many data sets (lecture 12).",
        "key": key,
        "sha256": digests,
        "seed": SEED,
        "data_sets": {size: max(e for s, _, e in chunks if s == size) for size in SIZES},
        "fits": len(fits),
        "refitted": int(fits["refits"].sum()),
        "failed": int((fits["passed"] == 0).sum()),
    }


def main(arguments=None):
    """Run the study, or what is left of it; store the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, default=default_source(), help="notebook (.md)")
    parser.add_argument(
        "--data-sets", type=int, nargs="+", default=[DATA_SETS], help="number, or one for each size"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the result")
    options = parser.parse_args(arguments)

    start = time.monotonic()
    cells = study_cells(options.source)
    key = key_of(cells, versions())
    folder = ROOT / "_build" / "studies" / f"{NAME}-{key[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    if len(options.data_sets) not in (1, len(SIZES)):
        parser.error(f"--data-sets takes one number, or {len(SIZES)}, for the sizes {SIZES}")
    numbers = dict(zip(SIZES, options.data_sets * len(SIZES), strict=False))
    # quick ones first: an interrupted run has something to show
    chunks = [
        (size, first, min(first + CHUNK, number))
        for size, number in numbers.items()
        for first in range(0, number, CHUNK)
    ]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    before = len(list(folder.glob("data-*.csv")))
    pool = ProcessPoolExecutor(
        options.workers, get_context("spawn"), initializer=_start_worker, initargs=(cells,)
    )
    with pool:
        waiting = [pool.submit(_work, *chunk, folder) for chunk in chunks]
        for done, future in enumerate(as_completed(waiting), start=1):
            size, first = future.result()
            minutes = (time.monotonic() - start) / 60
            print(
                f"{done} of {len(chunks)} chunks, {minutes:.1f} minutes"
                f" ({size} individuals, data sets from {first})",
                flush=True,
            )

    record = _store(folder, chunks, key, options.into)
    if not before:  # the time of a run that went on from another says nothing
        record["minutes"] = round((time.monotonic() - start) / 60, 1)
    record |= {
        "chunks_from_an_earlier_run": before,
        "workers": options.workers,
        "python": platform.python_version(),
        "versions": versions(),
    }
    path = options.into / FILES["record"].name
    path.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    shutil.rmtree(folder)
    print(f"Stored in {', '.join(path.name for path in FILES.values())}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
