"""A new notebook passes its own check as it is written, and what is wrong is told all at once."""

from __future__ import annotations

import shutil
from datetime import date

import pytest

from publish import new, one
from publish.checks import check_source
from publish.files import ROOT, CourseError, claims_of, course_facts, read_text
from publish.render import render
from publish.tables import table_problems

NAME = "15-Some_Frogs"


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A course with one table and no notebook, whose kernels find the real helpers."""
    root = tmp_path / "a course"
    tables = ("data/reedfrogs.csv", "data/reedfrogs.yml")
    for name in ("pyproject.toml", "notebooks/jupytext.toml", *tables):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "utils.py").touch()  # by which ruff tells our imports from others
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return root


def test_the_skeleton_keeps_the_rules(empty):
    source, claims = new.write_new(NAME, empty, date(2026, 2, 1))
    assert one.source_problems(source, empty) == []
    assert one.style_problems(source, empty) == []
    nb = read_text(source.read_text(encoding="utf-8"), source)
    assert nb.cells[0].source.startswith("# Some Frogs\n")
    assert course_facts(nb)["date"] == "1 February 2026"
    assert "fig-15-some-frogs" in source.read_text(encoding="utf-8")
    assert one.left_to_write(source) and claims == claims_of(NAME, empty)


@pytest.mark.compiles
@pytest.mark.notebook()
def test_the_skeleton_runs_and_its_claims_hold(empty):
    source, _ = new.write_new(NAME, empty)
    row, _ = render(source, None, empty)
    assert row["fits"] == 1
    asked = (empty / "_build" / "executed" / f"{NAME}.jsonl").read_text(encoding="utf-8")
    assert asked.count('"asked"') == new.CLAIMS.count("def test_")


@pytest.mark.parametrize("name", ["Test", "15", "15-", "15-test", "1-Test", "15-A b", "../15-A"])
def test_a_wrong_name_is_refused(empty, capsys, name):
    assert new.main([name], empty) == 1
    assert "is no name of a notebook; write one like" in capsys.readouterr().err
    assert not list(empty.rglob("*.md"))


def test_nothing_is_written_over(empty, capsys):
    assert new.main([], empty) == 1
    assert "Name one notebook" in capsys.readouterr().err
    source, claims = new.write_new(NAME, empty)
    source.unlink()
    claims.write_text("mine")
    with pytest.raises(CourseError, match=r"claims/15-Some_Frogs\.py is there already"):
        new.write_new(NAME, empty)
    assert not source.exists() and claims.read_text() == "mine"


#: What is changed in the skeleton, and what is said of it.
FAULTS = {
    ("  level: intermediate\n", ""): "does not say «level»",
    ("  seconds: 30\n", ""): "has no budget",
    (", random_seed=RANDOM_SEED", ""): "sample() names no seed",
    ("utils.check_convergence(frog_idata)", "frog_idata"): "pm.sample is not judged",
    ("show_formula(\n    frog_model", "show_formula(\n    other"): "is shown for frog_model",
    ("    caption: ", "    title: "): "has no caption",
    ("  image:\n    alt: ", "  image:\n    width: "): "no alt text",
    ('utils.load_data("reedfrogs")', 'pd.read_csv("frogs.csv")'): "past its sidecar",
    ("fig-15-some-frogs", "frogs"): "give it one like fig-15-",
    ("## Summary", "# Summary"): "has one level-1 heading",
    ("utils.start()\n", ""): "does not call utils.start()",
    ("- Written by", "- By"): "does not say whose it is",
}


def test_all_faults_are_told_together_and_nothing_runs(empty, capsys, monkeypatch):
    source, claims = new.write_new(NAME, empty)
    text = source.read_text(encoding="utf-8")
    for (old, changed), _ in FAULTS.items():
        assert old in text, old
        text = text.replace(old, changed)
    source.write_text(text + "\n\n\n")
    claims.write_text("x=1\n")
    monkeypatch.setattr(one, "render", None)
    assert one.main([NAME], empty) == 1
    said = capsys.readouterr().out
    for expected in [*FAULTS.values(), "on saving in JupyterLab", "asks nothing", "not formatted"]:
        assert expected in said, expected


def test_a_figures_name_is_one_notebooks(empty):
    source, _ = new.write_new(NAME, empty)
    twin = source.with_name("15-Twin.md")
    twin.write_text(source.read_text(encoding="utf-8"))
    (said,) = one.source_problems(source, empty)
    assert "a figure of another notebook is called «fig-15-some-frogs»" in said


@pytest.mark.parametrize(
    ("file", "old", "changed", "expected"),
    [
        ("csv", "10,no,big,9", "10,no,big,8", "if it is right, write sha256: "),
        ("csv", "\n", "\r\n", "must end each line with one LF"),
        ("yml", "rows: 48", "rows: 47", "its sidecar says 47 rows"),
        ("yml", "range: [0, 35]", "range: [0, 30]", "other values in the column surv"),
        ("yml", "== 1120", "== 1121", "fails the check of its sidecar: table"),
        ("yml", "    unit: none\n", "", "does not say unit of the column pred"),
        ("yml", "missing: none\n", "", "does not say missing; fill it in"),
        ("yml", "columns:", "columns", "cannot be read as a sidecar"),
        ("yml", "name: reedfrogs\n", "name: frogs\n", "write name: reedfrogs"),
        ("yml", "checked: 2026-11-20", "checked: then", "on which day"),
    ],
)
def test_a_table_that_is_not_its_sidecars_is_told(empty, file, old, changed, expected):
    path = empty / "data" / f"reedfrogs.{file}"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_bytes(text.replace(old, changed).encode())
    assert any(expected in said for said in table_problems("reedfrogs", empty))


def test_a_missing_sidecar_is_told_before_the_run(empty):
    source, _ = new.write_new(NAME, empty)
    (empty / "data" / "reedfrogs.yml").unlink()
    (said,) = one.source_problems(source, empty)
    assert said == "data/reedfrogs.yml is missing; see data/README.md for its form."
    assert check_source(read_text(source.read_text("utf-8"), source), NAME) == []
