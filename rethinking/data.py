"""A table of the course and its sidecar, by name."""

from __future__ import annotations

import codecs
import difflib
import hashlib
import io
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

HERE = Path(__file__).resolve().parent
#: What lies beside the packages: in the repository, or in the folder that a wheel has for it.
ROOT = HERE / "course" if (HERE / "course").is_dir() else HERE.parent
#: Folder of the course's tables, each with a sidecar of the same name ending in ``.yml``.
DATA_DIR = ROOT / "data"


class DataError(ValueError):
    """A data set that is unknown, missing, changed, or not what its sidecar says."""


def load_data(name: str) -> pd.DataFrame:
    """Load one of the course's data sets.

    The table comes with the course, so this works from any directory and without a network.
    Before it is parsed, its bytes are compared with the checksum in its sidecar.

    Parameters
    ----------
    name : str
        Name of the data set as in ``data/``, without an ending: ``"reedfrogs"`` or ``"Trolley"``.
        Upper and lower case matter.

    Returns
    -------
    pandas.DataFrame
        One row an observation. Columns, types (``int64`` or ``str``), units and allowed values
        are those of the sidecar ``data/<name>.yml``.

    Raises
    ------
    DataError
        If no data set has this name, or its table or sidecar is missing, unreadable or changed.

    Examples
    --------
    >>> load_data("reedfrogs").head(2)
       density pred size  surv
    0       10   no  big     9
    1       10   no  big    10
    """
    names = sorted({path.stem for path in DATA_DIR.glob("*.csv")}, key=str.lower)
    if not names:
        raise DataError(
            f"There were no data sets found in {DATA_DIR}. Install the course again: in its"
            " repository, `pip install --editable .`."
        )
    if name not in names:
        # The table may be deleted while its sidecar is still there.
        if isinstance(name, str) and name in {path.stem for path in DATA_DIR.glob("*.yml")}:
            raise DataError(_missing(f"{name}.csv"))
        lowered = {known.lower(): known for known in names}
        near = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.4)
        hint = f"; did you mean {lowered[near[0]]!r}?" if near else "."
        listed = ", ".join(repr(known) for known in names)
        raise DataError(f"No data set is called {name!r}{hint} There are: {listed}.")

    sidecar = _read_sidecar(name)
    content = (DATA_DIR / f"{name}.csv").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sidecar["sha256"]:
        _refuse_other_bytes(name, content, str(sidecar["sha256"]))
        raise DataError(
            f"The table data/{name}.csv has changed: its checksum is {found[:12]}, its sidecar"
            f" says {str(sidecar['sha256'])[:12]}. Restore it with"
            f" `git checkout -- data/{name}.csv`, or, if the change is meant, update sha256 in"
            f" data/{name}.yml to {found}."
        )

    types = {column["name"]: column["type"] for column in sidecar["columns"]}
    try:
        # No value stands for a missing one: a person's or a tank's "no" or "NA" stays text.
        table = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"The table data/{name}.csv does not have the types that data/{name}.yml says"
            f" ({str(error).rstrip('.')}). Correct the one or the other."
        ) from None
    if list(table.columns) != list(types) or len(table) != sidecar["rows"]:
        raise DataError(
            f"The table data/{name}.csv has {len(table)} rows and the columns"
            f" {', '.join(table.columns)}, but data/{name}.yml says {sidecar['rows']} rows and"
            f" {', '.join(types)}. If the change is meant, correct the sidecar."
        )
    return table


def _refuse_other_bytes(name: str, content: bytes, expected: str) -> None:
    """Refuse the same text in other bytes, and name what wrote it: no value has changed."""
    text = content.removeprefix(codecs.BOM_UTF8)
    marks = ["a byte-order mark (an editor wrote it)"] if text != content else []
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if lines != text:
        marks.append(
            "other line endings, CRLF in place of LF (an editor, or git with core.autocrlf, wrote"
            " them)"
        )
    for last in (lines, lines.rstrip(b"\n") + b"\n"):
        if hashlib.sha256(last).hexdigest() == expected:
            if last != lines:
                marks.append("another number of line breaks at its end")
            raise DataError(
                f"The table data/{name}.csv holds the values that its sidecar means, but has"
                f" {' and '.join(marks)}. Leave sha256 as it is, delete the table, and get it back"
                f" with `git config core.autocrlf false` and `git checkout -- data/{name}.csv`."
            )


#: What `load_data` reads of a sidecar; `data/reedfrogs.yml` shows all that one says.
_NEEDED = ("columns", "sha256", "rows")


def _read_sidecar(name: str) -> dict[str, Any]:
    """Sidecar of a data set as a dict; a ``DataError`` says what is wrong with it."""
    path = DATA_DIR / f"{name}.yml"
    if not path.exists():
        raise DataError(_missing(f"{name}.yml"))
    restore = f"or, if it was before, restore it with `git checkout -- data/{name}.yml`."
    try:
        sidecar = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        lacking = [repr(key) for key in _NEEDED if key not in sidecar]
        for number, column in enumerate(sidecar.get("columns", [])):
            which = repr(column.get("name", f"number {number + 1}"))
            lacking += [
                f"{key!r} of column {which}" for key in ("name", "type") if key not in column
            ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, AttributeError):
        raise DataError(
            f"The file data/{name}.yml cannot be read as a sidecar. Write it in the form of those"
            f" that are there (data/reedfrogs.yml, say), {restore}"
        ) from None
    if lacking:
        raise DataError(
            f"The file data/{name}.yml does not say {', '.join(lacking)}. Complete it, {restore}"
        )
    return sidecar


def _missing(file: str) -> str:
    made = "Write it in the form of data/reedfrogs.yml" if file.endswith(".yml") else "Put it there"
    return (
        f"The file data/{file} is missing. {made}, or, if it was there before, restore it with"
        f" `git checkout -- data/{file}`."
    )
