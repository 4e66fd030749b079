"""The stored study of lecture 13's surveys: its key, its numbers, one fit made again."""

import numpy as np
import pandas as pd
import pytest

from studies import survey_coverage as study
from studies.pool import StudyError

pytestmark = pytest.mark.notebook("13-Multilevel_Adventures")


def test_stored_result_belongs_to_the_code():
    table, record = study.load()
    assert table["survey"].nunique() == record["surveys"]
    assert (table["held"] <= table["intervals"]).all()
    per_survey = table.groupby("survey")["intervals"].sum()
    assert (per_survey == 1 + 2 * 61).all(), "one effect, two rates of each district"
    assert set(table["size"]) == {"", *study.CLASSES}


def test_sizes_are_those_of_the_survey():
    assert study.women().sum() == 1934
    assert study.women()[53].tolist() == [0, 0]
    log_odds, users = study.simulate(3)
    again = study.simulate(3)
    np.testing.assert_array_equal(log_odds, again[0])
    np.testing.assert_array_equal(users, again[1])
    assert (users <= study.cells()["women"]).all()


def test_a_survey_fitted_again_is_the_stored_one():
    table, _ = study.load()
    rows = pd.DataFrame(study.fit_survey(0)["rows"])
    stored = table[table["survey"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, stored, atol=1e-3, check_dtype=False)


@pytest.mark.parametrize("changed", ["csv", "key", "missing"])
def test_another_result_is_refused(changed, tmp_path, monkeypatch):
    result, record = tmp_path / study.RESULT.name, tmp_path / study.RECORD.name
    result.write_bytes(study.RESULT.read_bytes() + (b"\n" if changed == "csv" else b""))
    if changed != "missing":
        text = study.RECORD.read_text()
        record.write_text(text.replace("key: ", "key: 0") if changed == "key" else text)
    monkeypatch.setattr(study, "RESULT", result)
    monkeypatch.setattr(study, "RECORD", record)
    with pytest.raises(StudyError, match=r"studies\.survey_coverage"):
        study.load()
