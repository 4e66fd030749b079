"""What is wrong with a table in data/ and its sidecar, a sentence each.

`utils.load_data` looks at the checksum and the columns each time; here all that a sidecar says is
held against the table.
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from nbformat import NotebookNode

from publish.files import ROOT, code_trees

KEYS = {"name", "title", "description", "study", "published_with", "made", "licence", "sha256"}
KEYS |= {"rows", "missing", "columns", "checks"}


def tables_of(nb: NotebookNode) -> list[str]:
    """Return the names of the tables that a notebook loads."""
    return sorted(
        {
            call.args[0].value
            for _, tree in code_trees(nb)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
            and ast.unparse(call.func) in {"load_data", "utils.load_data"}
            and call.args
            and isinstance(call.args[0], ast.Constant)
        }
    )


def table_problems(name: str, root: Path = ROOT) -> list[str]:
    """Return what is wrong with a table, its sidecar, or how they go together."""
    table, sidecar = (root / "data" / f"{name}.{ending}" for ending in ("csv", "yml"))
    missing = [path.name for path in (table, sidecar) if not path.is_file()]
    if missing:
        return [f"data/{file} is missing; see data/README.md for its form." for file in missing]
    try:
        about = yaml.safe_load(sidecar.read_text(encoding="utf-8"))
        columns = {column["name"]: column for column in about["columns"]}
    except (UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError) as error:
        return [f"data/{name}.yml cannot be read as a sidecar ({error!r}); see data/README.md."]
    found = [f"data/{name}.yml {text}" for text in _sidecar(name, about, columns)]
    content = table.read_bytes()
    found += [f"data/{name}.csv {text}" for text in _bytes(content, about.get("sha256"))]
    return found or [f"data/{name}.csv {text}" for text in _values(content, about, columns)]


def _sidecar(name: str, about: dict, columns: dict[str, dict]) -> Iterator[str]:
    if lacking := sorted(KEYS - set(about)):
        yield f"does not say {', '.join(lacking)}; fill it in."
    if unknown := sorted(set(about) - KEYS):
        yield f"says {', '.join(unknown)}, which no sidecar has; take it out."
    if about.get("name") != name:
        yield f"names the table {about.get('name')}; write name: {name}."
    if about.get("missing", "none") != "none":
        yield "must say missing: none; a table of the course has no gaps."
    licence = about.get("licence") or {}
    if "licence" in about and not isinstance(licence.get("checked"), datetime.date):
        yield "does not say on which day the licence was checked; write licence: checked: DATE."
    if "licence" in about and "Cite the study" not in str(licence.get("note")):
        yield "does not ask for a citation; end licence: note: with «Cite the study.»"
    for column, said in columns.items():
        if lacking := sorted({"meaning", "unit", "type"} - set(said)):
            yield f"does not say {', '.join(lacking)} of the column {column}; fill it in."
        if len({"values", "range", "pattern"} & set(said)) != 1:
            yield f"needs one of values, range or pattern for the column {column}."


def _bytes(content: bytes, expected: str | None) -> Iterator[str]:
    digest = hashlib.sha256(content).hexdigest()
    marks = content.startswith(b"\xef\xbb\xbf") or b"\r" in content
    if digest != expected and not marks and re.search(rb"[^\n]\n\Z", content):
        yield f"is not what its sidecar means; if it is right, write sha256: {digest} there."
    if content.startswith(b"\xef\xbb\xbf"):
        yield "begins with a byte-order mark; save it as plain UTF-8."
    if b"\r" in content or not content.endswith(b"\n") or content.endswith(b"\n\n"):
        yield "must end each line with one LF, the last one too, and have no empty line at its end."
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield "is not UTF-8; save it as that."


def _values(content: bytes, about: dict, columns: dict[str, dict]) -> Iterator[str]:
    types = {column: said["type"] for column, said in columns.items()}
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False)
    except (ValueError, TypeError) as error:
        yield f"does not have the types of its sidecar ({error}); correct the one or the other."
        return
    if list(table) != list(types) or len(table) != about["rows"]:
        yield (
            f"has {len(table)} rows and the columns {', '.join(table)}, its sidecar says "
            f"{about['rows']} rows and {', '.join(types)}; correct the one or the other."
        )
        return
    if table.isna().any(axis=None):
        yield "has gaps; a table of the course has none."
    for column, said in columns.items():
        values = table[column]
        if "values" in said:
            fits = set(values) == set(said["values"])
        elif "range" in said:
            fits = values.between(*said["range"]).all()
        else:
            fits = values.str.fullmatch(said["pattern"]).all()
        if not fits:
            yield f"has other values in the column {column} than its sidecar says; correct one."
    for check in about["checks"]:
        try:
            holds = np.all(eval(check, {"table": table}))
        except Exception as error:
            holds, check = False, f"{check} ({error!r})"
        if not holds:
            yield f"fails the check of its sidecar: {check}."
