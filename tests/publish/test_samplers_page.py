"""The page on samplers says what the stored results of the benchmark say, and no more."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import pytest

from publish.files import CourseError
from publish.pages.samplers import CENTRED, NUMBER, PRODUCT, STOCK, VARIANTS, report, samplers_page
from publish.pages.text import FILL

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TEMPLATE = (ROOT / "site" / "samplers.md").read_text(encoding="utf-8")
FACTS = json.loads((RESULTS / "samplers.json").read_text(encoding="utf-8"))


def results(folder, facts):
    """Results in a folder, with other facts."""
    shutil.copy(RESULTS / "growth.csv", folder)
    for name in ("samplers.png", "growth.png"):
        shutil.copy(RESULTS / name, folder)
    (folder / "samplers.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def of(facts, name):
    return next(one for one in facts["summary"] if tuple(one[k] for k in report.KEY) == name)


def test_the_page_is_filled(tmp_path):
    page = samplers_page(TEMPLATE, RESULTS, tmp_path)
    assert not FILL.search(page) and not NUMBER.search(page)
    assert {path.name for path in tmp_path.iterdir()} == {"samplers.png", "growth.png"}
    for one in FACTS["summary"]:
        if one["repeats"]:
            assert report.cell(one["ess_per_s"]) in page or one["sampler"] in VARIANTS
    assert FACTS["machine"]["processor"] in page and FACTS["versions"]["pymc"] in page


def test_no_result_is_typed():
    text = NUMBER.sub("", FILL.sub("", TEMPLATE))
    for known in ("lecture 12", "PyMC 6", "9,930", "331 people", "12 stories", "level of 1%"):
        assert known in text
        text = text.replace(known, "")
    text = re.sub(r"mean \S+ if|treatments are 0|have mean 0|axes: 1 means", "", text)
    assert re.findall(r"\d[\d.,]*", text) == []


@pytest.mark.parametrize("template", ["<!-- fill: weather -->", "<!-- fill: figure sky -->"])
def test_a_blank_that_nothing_fills_is_named(tmp_path, template):
    with pytest.raises(CourseError, match=re.escape(template)):
        samplers_page(template, RESULTS, tmp_path)


def test_a_number_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CourseError, match="no number «weather»"):
        samplers_page("[[weather]]", RESULTS, tmp_path)


def test_results_that_are_missing_are_named(tmp_path):
    with pytest.raises(CourseError, match=r"samplers\.json is missing: make it with `make bench`"):
        samplers_page(TEMPLATE, tmp_path, tmp_path)
    facts = copy.deepcopy(FACTS)
    facts["summary"].remove(of(facts, CENTRED))
    with pytest.raises(CourseError, match="no fit of trolley"):
        samplers_page(TEMPLATE, results(tmp_path, facts), tmp_path)


@pytest.mark.parametrize(
    "name", [PRODUCT, STOCK, ("confounds, latent Mundlak", "course", "NumPyro")]
)
def test_what_the_results_do_not_bear_is_refused(tmp_path, name):
    facts = copy.deepcopy(FACTS)
    changed = of(facts, name)
    if not changed["repeats"]:
        pytest.skip(f"not measured: {name[2]}")
    changed["ess_per_s"]["median"] *= 1e4
    with pytest.raises(CourseError, match="says what benchmarks/results does not"):
        samplers_page(TEMPLATE, results(tmp_path, facts), tmp_path)


def test_the_goals_of_the_trolley_model():
    """What the course promises of its form, as stored."""
    ratios = {
        one["against"]: one["ratio"]
        for one in FACTS["ratios"]
        if tuple(one[k] for k in report.KEY) == PRODUCT
    }
    for name, _, goal in report.REFERENCES:
        assert ratios[name] >= goal, name
    ours = of(FACTS, PRODUCT)
    assert ours["passes"] == ours["repeats"] >= 5
    assert ours["bare_us"]["most"] <= 100
    for one in FACTS["agreement"]:
        assert one["largest"] < one["bound"], one["form"]
