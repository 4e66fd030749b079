"""The study of correlations: its fit, its simulation, and that the stored result is theirs."""

import numpy as np
import pandas as pd
import pytest

from studies import correlation_study as study
from studies.pool import StudyError


def test_the_stored_result_belongs_to_the_code():
    rows = study.load()
    found = rows.groupby(["districts", "rho"]).size().to_dict()
    assert found == study.SURVEYS and not rows.isna().any().any()
    assert (rows["lower"] < rows["upper"]).all() and (rows["ess"] >= 250).all()


@pytest.mark.parametrize("number", [7, 200, 390])
def test_a_survey_made_again_is_the_stored_one(number):
    stored = study.load().iloc[number]
    again = study.one_survey(int(stored["districts"]), float(stored["rho"]), int(stored["survey"]))
    np.testing.assert_allclose([*again.values()], stored.to_numpy(), rtol=1e-6, atol=2e-4)


def test_other_code_or_another_table_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "key", lambda: "another")
    with pytest.raises(StudyError, match="made by other code"):
        study.load()
    monkeypatch.undo()
    for suffix in ("csv", "yml"):
        name = f"{study.NAME}.{suffix}"
        (tmp_path / name).write_bytes((study.HERE / name).read_bytes())
    monkeypatch.setattr(study, "HERE", tmp_path)
    pd.read_csv(tmp_path / f"{study.NAME}.csv").iloc[1:].to_csv(tmp_path / f"{study.NAME}.csv")
    monkeypatch.setattr(study, "key", lambda: study_key)
    study_key = (tmp_path / f"{study.NAME}.yml").read_text().split("key: ")[1].split()[0]
    with pytest.raises(StudyError, match="not the file that was stored"):
        study.load()
    (tmp_path / f"{study.NAME}.csv").unlink()
    with pytest.raises(StudyError, match="has no result"):
        study.load()


def test_simulated_effects_have_the_correlation():
    users, women = study.simulate(4000, -0.6, 1)
    asked = (women >= 25).all(axis=1)
    log_odds = np.log((users + 0.5) / (women - users + 0.5))[asked]
    difference = log_odds[:, 1] - log_odds[:, 0]
    assert np.corrcoef(log_odds[:, 0], difference)[0, 1] < -0.3
    assert log_odds[:, 0].mean() == pytest.approx(-0.7, abs=0.1)
    assert study.simulate(60, 0.0, 3)[1].sum() == 1934


def test_the_fit_finds_the_population_of_many_districts():
    fit = study.integrated_fit(*study.simulate(960, -0.6, 5), random_seed=1, draws=500, n_nodes=5)
    truth = study.TRUTH | {"rho": -0.6}
    assert fit.ess > 125 and float(fit.posterior["weight"].sum()) == pytest.approx(1)
    for name, value in truth.items():
        assert abs(fit.mean(name) - value) < 4 * fit.sd(name), name
        low, high = fit.quantile(name, [0.055, 0.945])
        assert low < fit.mean(name) < high and 2 < (high - low) / fit.sd(name) < 4
