"""Write the tables of data/ from the two facts files.

    python scripts/make_tables.py FOLDER [--into data]

FOLDER holds ``reedfrogs.csv`` (one line a tank) and ``trolley.txt`` (one line a person, with
the cases, the forms and the education codes explained in its head). The tables are written only
when both files were read and found complete.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import re
import sys
from pathlib import Path

FROG_COLUMNS = ["density", "pred", "size", "surv"]
TROLLEY_COLUMNS = [
    "case",
    "response",
    "order",
    "id",
    "age",
    "male",
    "edu",
    "action",
    "intention",
    "contact",
    "story",
    "action2",
]
CASE = re.compile(r"#\s+([a-z]{5})((?:\s+[01]){4})\s*")
FORM = re.compile(r"#\s+([A-Z]):((?:\s+\d+)+)\s*")
EDUCATION = re.compile(r"\b([A-Z]{2,3}) ([A-Z][A-Za-z' ]+?)(?=[,.])")


class FactsError(ValueError):
    """A facts file that does not say what the tables need."""


def read_frogs(text):
    """Rows of the frog table, the header first."""
    rows = list(csv.reader(text.splitlines()))
    if not rows or rows[0] != FROG_COLUMNS:
        found = rows[0] if rows else "nothing"
        raise FactsError(f"reedfrogs.csv starts with {found}, not with {FROG_COLUMNS}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(FROG_COLUMNS) or not all(row):
            raise FactsError(f"reedfrogs.csv, line {number}: expected 4 values, found {row}")
        if not 0 <= int(row[3]) <= int(row[0]):
            raise FactsError(f"reedfrogs.csv, line {number}: {row[3]} of {row[0]} survive")
    return rows


def read_trolley(text):
    """Rows of the trolley table, the header first: person by person, case by case."""
    head = [line for line in text.splitlines() if line.startswith("#")]
    people = [line for line in text.splitlines() if line and not line.startswith("#")]

    cases = {m[1]: m[2].split() for line in head if (m := CASE.fullmatch(line))}
    forms = {m[1]: m[2].split() for line in head if (m := FORM.fullmatch(line))}
    # The legend of the education codes runs over two lines of the head.
    joined = " ".join(line.lstrip("# ") for line in head)
    education = dict(EDUCATION.findall(joined.partition("Education:")[2]))
    for what, found in {"cases": cases, "forms": forms, "education codes": education}.items():
        if not found:
            raise FactsError(f"trolley.txt names no {what} in its head")
    for form, order in forms.items():
        if len(order) != len(cases) or len(set(order)) != len(cases):
            raise FactsError(
                f"trolley.txt, form {form}: expected {len(cases)} different positions,"
                f" found {len(set(order))}"
            )

    rows = [TROLLEY_COLUMNS]
    seen = set()
    for line in people:
        fields = line.split("|")
        if len(fields) != 6:
            raise FactsError(f"trolley.txt: expected 6 fields, found {len(fields)} in {line!r}")
        person, age, male, code, form, ratings = fields
        if person in seen:
            raise FactsError(f"trolley.txt: person {person} occurs twice")
        seen.add(person)
        if code not in education or form not in forms:
            raise FactsError(f"trolley.txt, person {person}: unknown code in {code!r}, {form!r}")
        if not re.fullmatch(rf"[1-7]{{{len(cases)}}}", ratings):
            raise FactsError(
                f"trolley.txt, person {person}: expected {len(cases)} ratings from 1 to 7,"
                f" found {ratings!r}"
            )
        for (case, treatment), rating, position in zip(
            cases.items(), ratings, forms[form], strict=True
        ):
            action, intention, contact, action2 = treatment
            rows.append(
                [case, rating, position, person, age, male, education[code]]
                + [action, intention, contact, case[-3:], action2]
            )
    return rows


def as_csv(rows):
    """Bytes of a table: UTF-8 without a mark, commas, one line feed a row."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facts", type=Path, help="folder with reedfrogs.csv and trolley.txt")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(__file__).resolve().parents[1] / "data",
        help="folder to write to (default: the data folder of this repository)",
    )
    options = parser.parse_args(arguments)

    try:
        tables = {
            "reedfrogs.csv": as_csv(
                read_frogs((options.facts / "reedfrogs.csv").read_text(encoding="utf-8"))
            ),
            "Trolley.csv": as_csv(
                read_trolley((options.facts / "trolley.txt").read_text(encoding="utf-8"))
            ),
        }
        options.into.mkdir(parents=True, exist_ok=True)
        for name, content in tables.items():
            # Written beside the table and moved over it: a broken run leaves the old one.
            part = options.into / f".{name}.part"
            try:
                part.write_bytes(content)
                os.replace(part, options.into / name)
            finally:
                part.unlink(missing_ok=True)
            rows = content.count(b"\n") - 1
            print(f"{name}: {rows} rows, sha256 {hashlib.sha256(content).hexdigest()}")
    except (OSError, ValueError) as error:
        sys.exit(f"make_tables: {error}")
    print("If a checksum changed on purpose, put it and the rows into the sidecar (.yml).")


if __name__ == "__main__":
    main()
