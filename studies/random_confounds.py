"""Many data sets with a random confound: what the deep dive 12d says of its estimators.

Run it with the Python of the course: .venv/bin/python -m studies.random_confounds

The simulation and the models are the notebook's own: its cells with the tag `study` are read and
executed here. The result, two tables and a file that says how they were made, lies beside this
file; `load` gives it to the notebook, and refuses one that was not made by the code that the
notebook shows.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pandas as pd
import pymc as pm
import yaml
from scipy import stats

from rethinking.transforms import invlogit
from studies import confound_fits
from studies.confound_fits import DATA_SETS, SEED, SIZES, Estimators, run_one
from studies.pool import INSTALLED, ROOT, StudyError, build_folder, process_pool, run_all

HERE = Path(__file__).resolve().parent
SOURCE = ROOT / "notebooks" / "12d-Random_Confounds.md"
NAME = "random-confounds"
COMMAND = ".venv/bin/python -m studies.random_confounds"
FILES = {
    "results": HERE / f"{NAME}.csv",
    "data sets": HERE / f"{NAME}-data.csv",
    "record": HERE / f"{NAME}.yml",
}
PACKAGES = ("pymc", "nutpie", "pytensor", "numba", "numpy", "scipy", "statsmodels", "arviz")


# --- The code of the notebook, and the key of the result -------------------------------------


def default_source() -> Path:
    """Return the notebook's source, or the file that COURSE_STUDY_SOURCE names."""
    return Path(os.environ.get("COURSE_STUDY_SOURCE", SOURCE))


def study_cells(source: Path | str | None = None) -> tuple[str, ...]:
    """Code of the notebook's cells with the tag `study`, in order."""
    path = Path(source or default_source())
    if not path.is_file():
        raise StudyError(f"{path} is missing: run the study in the course's repository.")
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst")
    cells = tuple(c.source for c in notebook.cells if "study" in c.metadata.get("tags", []))
    if not cells:
        raise StudyError(f"{path.name} has no cell tagged `study`: tag those that the study runs.")
    return cells


def execute_cells(cells: Sequence[str]) -> dict[str, Any]:
    """Run the cells in a namespace that has the notebook's imports."""
    namespace = {"np": np, "pd": pd, "pm": pm, "stats": stats, "invlogit": invlogit}
    for number, code in enumerate(cells, start=1):
        exec(compile(code, f"study cell {number}", "exec"), namespace)
    return namespace


def versions() -> dict[str, str]:
    """Versions of the packages that make the numbers, as installed."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def key_of(cells: Sequence[str], made_with: Mapping[str, str]) -> str:
    """SHA-256 of the tagged cells, of `studies.confound_fits` and of versions.

    That file holds the seed. Comments and line breaks do not count.
    """
    fits = Path(confound_fits.__file__).read_text(encoding="utf-8")
    parts = [ast.unparse(ast.parse(part)) for part in [*cells, fits]]
    parts += [f"{name} {version}" for name, version in sorted(made_with.items())]
    return hashlib.sha256("\n\0".join(parts).encode()).hexdigest()


def load(source: Path | str | None = None) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Load the stored result, if it belongs to the code that the notebook shows.

    A wheel holds no notebook to compare with; its result was compared when it was made.

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
    # and tests/studies/test_confounds.py asks for a new one when the lock moves on
    alone = INSTALLED and source is None and not default_source().is_file()
    key = record["key"] if alone else key_of(study_cells(source), record["versions"])
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


# --- The run ---------------------------------------------------------------------------------


@cache
def _estimators(cells: tuple[str, ...]) -> Estimators:
    return Estimators(execute_cells(cells))


def fit_data_set(cells: tuple[str, ...], size: int, replicate: int) -> dict:
    """All estimators on one data set, in a worker: ``rows`` of results, and the row ``data``."""
    rows, data = run_one(_estimators(cells), size, replicate)
    return {"rows": rows, "data": data}


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Five significant digits for real numbers, whole numbers as such, nothing for none."""
    table = table.copy()
    for column in table.select_dtypes("number"):
        values = table[column]
        whole = (values.dropna() % 1 == 0).all()
        table[column] = [
            "" if pd.isna(v) else f"{v:.{0 if whole else 5}{'f' if whole else 'g'}}" for v in values
        ]
    return table


def store(found: Sequence[dict], into: Path) -> dict:
    """Write the two tables; return what says how they were made, without time and versions."""
    results = pd.DataFrame([row for one in found for row in one["rows"]])
    tables = {"results": results, "data sets": pd.DataFrame([one["data"] for one in found])}
    digests = {}
    for what, table in tables.items():
        path = into / FILES[what].name
        _rounded(table).to_csv(path, index=False, lineterminator="\n")
        digests[what] = hashlib.sha256(path.read_bytes()).hexdigest()
    fits = results[results["estimator"] != "ConditionalLogit"]
    return {
        "what": "Estimators under a random confound, on many data sets (lecture 12).",
        "sha256": digests,
        "seed": SEED,
        "data_sets": tables["data sets"].groupby("individuals").size().to_dict(),
        "fits": len(fits),
        "refitted": int(fits["refits"].sum()),
        "failed": int((fits["passed"] == 0).sum()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study, or what is left of it; store the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, default=default_source(), help="notebook (.md)")
    parser.add_argument(
        "--data-sets", type=int, nargs="+", default=[DATA_SETS], help="number, or one for each size"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the result")
    options = parser.parse_args(arguments)
    if len(options.data_sets) not in (1, len(SIZES)):
        parser.error(f"--data-sets takes one number, or {len(SIZES)}, for the sizes {SIZES}")

    start = time.monotonic()
    options.into.mkdir(parents=True, exist_ok=True)  # before an hour's work
    cells = study_cells(options.source)
    numbers = dict(zip(SIZES, options.data_sets * len(SIZES), strict=False))
    tasks = [(cells, size, each) for size, count in numbers.items() for each in range(count)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with process_pool(options.workers) as pool:
        found = run_all(
            fit_data_set,
            tasks,
            name="data sets",
            executor=pool,
            checkpoints=build_folder() / "studies",
        )
    about = store(found, options.into) | {
        "key": key_of(cells, versions()),
        "minutes": round((time.monotonic() - start) / 60, 1),  # of the last, if it went on
        "workers": options.workers,
        "python": platform.python_version(),
        "versions": versions(),
    }
    path = options.into / FILES["record"].name
    path.write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
    print(f"Stored in {', '.join(path.name for path in FILES.values())}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
