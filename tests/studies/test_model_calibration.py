"""The stored calibration of the models: its key, its verdicts, a few fits made again."""

import numpy as np
import pytest

from studies import model_calibration as study
from studies.pool import StudyError

FAMILIES = study.FAMILIES


def of(table, family, mistaken=False):
    rows = table[(table["family"] == family) & (table["mistaken"] == mistaken)]
    return {row.quantity: np.array(row.pit.split(), float) for row in rows.itertuples()}


def test_stored_result_belongs_to_the_code_and_bears_its_verdicts():
    table, record = study.load()
    assert [one["family"] for one in record["families"]] == [f.name for f in FAMILIES.values()]
    judged = study.verdicts(table)
    for family, row in zip(FAMILIES, record["families"], strict=True):
        for mistaken, stored in ((False, row["right"]), (True, row["mistaken"])):
            mine = judged[(judged["family"] == family) & (judged["mistaken"] == mistaken)]
            assert mine.loc[~mine["calibrated"], "quantity"].tolist() == stored["outside"]
            sizes = {len(pit) for pit in of(table, family, mistaken).values()}
            assert sizes == {stored["data_sets"]} and len(mine) == stored["quantities"]


def test_models_are_calibrated_and_mistakes_are_caught():
    _, record = study.load()
    for row in record["families"]:
        assert not row["right"]["outside"], row
        assert row["mistaken"]["outside"], row


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mistake_is_another_code_of_the_same_model(family):
    code = study.noncentred(study.code_of(FAMILIES[family]))
    assert code.count(FAMILIES[family].mistake[0]) == 1
    assert "pm.sample(" not in code and "observed=open_data(" in code


@pytest.mark.compiles
@pytest.mark.parametrize(
    ("family", "scale", "centred", "standard"),
    [("districts", "sigma", "alpha", "alpha_z"), ("people", "tau", "u_zerosum__", "u_z_zerosum__")],
)
def test_the_noncentred_form_has_the_density_of_the_notebooks(family, scale, centred, standard):
    rng = np.random.default_rng(1)
    taught, fitted = (study.build(FAMILIES[family], centred=form) for form in (True, False))
    differ = []
    for _ in range(3):
        point = {k: rng.normal(size=np.shape(v)) for k, v in fitted.initial_point().items()}
        log_scale, z = point[f"{scale}_log__"], point[standard]
        other = {k: v for k, v in point.items() if k != standard}
        other[centred] = point.get("alpha_bar", 0) + np.exp(log_scale) * z
        logp = [
            model.compile_logp(mode="FAST_COMPILE")(at)
            for model, at in ((taught, other), (fitted, point))
        ]
        differ.append(logp[1] - logp[0] - z.size * log_scale)
    np.testing.assert_allclose(differ, 0, atol=1e-8)


@pytest.mark.compiles
@pytest.mark.parametrize("family", ["predators", "naive"])
def test_a_data_set_fitted_again_has_the_stored_ranks(family):
    table, _ = study.load()
    fitted, stored = study.Fitted(family, mistaken=False), of(table, family)
    for number in (0, 1):
        for quantity, pit in fitted.rank(number)["pit"].items():
            # on another machine the draws differ: within the error of the ranks of both runs
            error = np.sqrt(2 * 0.25 / study.RANKS)
            assert abs(pit - stored[quantity][number]) < 4 * error, (quantity, number)


@pytest.mark.parametrize("changed", ["csv", "png", "key", "missing"])
def test_another_result_is_refused(changed, tmp_path, monkeypatch):
    for name in ("RESULT", "RECORD", "FIGURE"):
        path = getattr(study, name)
        here = tmp_path / path.name
        monkeypatch.setattr(study, name, here)
        if changed != "missing":
            data = path.read_bytes()
            if changed == "key":
                data = data.replace(b"\nkey: ", b"\nkey: 0")
            here.write_bytes(data + (b"\n" if path.suffix == f".{changed}" else b""))
    with pytest.raises(StudyError, match="make calibrate"):
        study.load()


def test_a_changed_model_is_another_key(monkeypatch):
    key = study.key_of({})
    code_of = study.code_of
    monkeypatch.setattr(study, "code_of", lambda family: code_of(family).replace("1.5", "1.6"))
    assert study.key_of({}) != key
