"""The page on calibration says what `make calibrate` stored, and no more."""

from __future__ import annotations

import re
import shutil

import pytest
import yaml

from publish.files import ROOT, CourseError
from publish.pages.calibration import BLANK, blanks, calibration_page

RESULTS = ROOT / "publish" / "pages"
TEMPLATE = (ROOT / "publish" / "pages" / "calibration.md").read_text(encoding="utf-8")
RECORD = yaml.safe_load((RESULTS / "model-calibration.yml").read_text(encoding="utf-8"))


def test_the_page_is_filled(tmp_path):
    page = calibration_page(TEMPLATE, RESULTS, tmp_path)
    assert not BLANK.search(page)
    assert [path.name for path in tmp_path.iterdir()] == ["model-calibration.png"]
    assert set(BLANK.findall(TEMPLATE)) == set(blanks(RECORD))
    for one in RECORD["families"]:
        assert page.count(f"| {one['family']} |") == 2 and one["mistake"] in page


def test_a_model_outside_and_a_missed_mistake_are_named():
    record = yaml.safe_load(yaml.safe_dump(RECORD))
    for one in record["families"]:
        one["right"]["outside"], one["mistaken"]["outside"] = [], ["tau"]
    first, *_, last = record["families"]
    first["right"]["outside"], last["mistaken"]["outside"] = ["sigma"], []
    found = blanks(record)
    assert found["left"] == f"{first['family']} (sigma)" and last["family"] in found["missed"]
    row = next(line for line in found["models"].splitlines() if first["family"] in line)
    assert row.split(" | ")[2] == "no"


def test_no_result_is_typed():
    text = BLANK.sub("", TEMPLATE)
    for known in ("lectures 11 to 14", "0 to 1", "95%", "lecture 13", "deep dive 12e", "(2018)"):
        assert known in text
        text = text.replace(known, "")
    text = re.sub(r"^\d\. |\(20\d\d\)|\[\S+\]\(\S+\)", "", text, flags=re.MULTILINE)
    assert re.findall(r"\d[\d.,]*", text) == []


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "results").mkdir()
    for path in RESULTS.glob("model-calibration.*"):
        shutil.copy(path, tmp_path / "results")
    with pytest.raises(CourseError, match=r"nothing fills «\[\[weather\]\]»"):
        calibration_page("[[weather]]", tmp_path / "results", tmp_path)
    with pytest.raises(CourseError, match=r"model-calibration\.yml is missing: .*make calibrate"):
        calibration_page(TEMPLATE, tmp_path, tmp_path)
