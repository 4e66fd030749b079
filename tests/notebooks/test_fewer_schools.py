"""The companion to lecture 12 with a fifth of its schools: shorter, and of the same conclusions."""

from __future__ import annotations

import re

import pytest

from publish.execute import execute
from publish.files import ROOT, read_text

NAME = "12a-Simulating_Pooling_and_Shrinkage"
LINE = re.compile(r"^N_SCHOOLS = 1000\b", re.MULTILINE)


def claims(record):
    return {row["statement"] for row in record if row["kind"] == "claim"}


@pytest.mark.notebook("12a")
def test_two_hundred_schools_keep_every_conclusion(run_record):
    """The number that the text tells readers to change: the claims hold, or their cell fails."""
    source = ROOT / "notebooks" / f"{NAME}.md"
    text, changed = LINE.subn("N_SCHOOLS = 200", source.read_text(encoding="utf-8"))
    assert changed == 1, "the notebook no longer sets N_SCHOOLS = 1000 in one line"
    run = execute(read_text(text, source), NAME)
    full = run_record(NAME)
    assert claims(run.record) == claims(full) and len(claims(full)) > 20
    fits = {row["name"]: row["fits"] for row in run.record if row["kind"] == "study"}
    assert fits == {
        "schools": 200,
        "schools from the prior": 200,
        "schools with a mistaken prior": 200,
    }
    assert not any(row["failed"] for row in run.record if row["kind"] == "study")
