"""The page on samplers says what the stored results of the benchmark say, and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from publish.files import CourseError
from publish.pages.samplers import BLANK, samplers_page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TEMPLATE = (ROOT / "publish" / "pages" / "samplers.md").read_text(encoding="utf-8")
KNOWN = json.loads((RESULTS / "page.json").read_text(encoding="utf-8"))


def test_the_page_is_filled(tmp_path: Path) -> None:
    page = samplers_page(TEMPLATE, RESULTS, tmp_path)
    assert not BLANK.search(page)
    assert {path.name for path in tmp_path.iterdir()} == {"samplers.png", "growth.png"}
    assert all(f":::{{figure}} {path.name}" in page for path in tmp_path.iterdir())
    assert set(BLANK.findall(TEMPLATE)) == set(KNOWN) and all(t in page for t in KNOWN.values())


def test_no_result_is_typed() -> None:
    text = BLANK.sub("", TEMPLATE)
    for known in ("lecture 12", "PyMC 6", "9,930", "331 people", "12 stories"):
        assert known in text
        text = text.replace(known, "")
    text = re.sub(r"mean \S+ if|treatments are 0|have mean 0|axes: 1 means", "", text)
    assert re.findall(r"\d[\d.,]*", text) == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="nothing fills «\\[\\[weather\\]\\]»"):
        samplers_page("[[weather]]", RESULTS, tmp_path)
    with pytest.raises(CourseError, match=r"page\.json is missing: get it back with git"):
        samplers_page(TEMPLATE, tmp_path, tmp_path)
