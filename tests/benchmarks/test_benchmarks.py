"""The benchmarks: models that must agree, arithmetic of the tables, runs that go on.

What the stored results say is not tested, only that table, text and summary say the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

import common  # noqa: E402
import measure  # noqa: E402
import models  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402

import utils  # noqa: E402

FACTS = {
    "machine": {"processor": "Some", "cores": 2, "memory_gb": 8, "system": "S", "python": "3.13"},
    "versions": {"pymc": "6.4"},
    "quick": False,
}


def fit_row(form="textbook", sampler="PyMC", seed=1, **changes):
    """One made-up row: 100 effective draws in 10 seconds, 20 to compile."""
    return {
        **{"kind": "fit", "family": "trolley", "form": form, "sampler": sampler, "seed": seed},
        **{"draws": 1000, "tune": 500, "target_accept": None, "status": "ok"},
        **{"cache": "cold" if seed == 1 else "warm", "compile_s": 20.0 if seed == 1 else 5.0},
        **{"sample_s": 10.0, "gradients": 20000, "warmup_counted": True, "parameters": 356},
        **{"max_rhat": 1.004, "divergences": 0, "min_ess": 100.0, "bare_us": 60.0},
        **{"min_ess_without": "90.0;100.0;100.0;110.0", "peak_mb": 500.0, "worker_mb": None},
        **{"passes": True, "problems": ""},
        **changes,
    }


OURS = report.COURSE[1]
STOCK = report.REFERENCES[1][1][1]
ROWS = [
    fit_row(),
    *(fit_row(STOCK, "nutpie, numba", seed, min_ess=100.0 * seed) for seed in (1, 2, 3)),
    *(fit_row(OURS, "nutpie, numba", seed, sample_s=0.5 * seed) for seed in (1, 2, 3)),
    {
        **{"kind": "fit", "family": "trolley", "form": STOCK, "sampler": "BlackJAX", "seed": 1},
        **{"draws": 1000, "tune": 500, "target_accept": None, "status": "stopped after 75 s"},
    },
    *(
        {
            **{"kind": "growth", "what": what, "times": times, "parameters": 50 * times},
            **{"draws": 100, "tune": 100, "compile_s": 9.0 + times, "sample_s": 0.1 * times},
            **{"gradients": 9000, "us_per_gradient": 5.0 * times, "bare_us": 4.0 * times},
            **{"peak_mb": 300.0 + times},
        }
        for what in ("people", "tanks")
        for times in (1, 2, 4)
    ),
    {"kind": "floor", "ratings": 9930, "operations": measure.OPERATIONS, "us": 30.0},
]


def test_likelihoods_of_the_trolley_forms_agree():
    stock, ours = (models.FORMS["trolley", form]() for form in (STOCK, OURS))
    textbook = models.FORMS["trolley", "textbook"]()
    whole = [m.compile_logp(mode="FAST_COMPILE") for m in (stock, ours)]
    ratings = [m.compile_logp(vars=m["R"], mode="FAST_COMPILE") for m in (ours, textbook)]
    rng = np.random.default_rng(1)
    for _ in range(3):
        point = {k: v + rng.normal(0, 0.5, v.shape) for k, v in ours.initial_point().items()}
        point["kappa_ordered__"] = rng.normal([-2, 0, 0, 0, 0, 0], 0.3)
        values = [logp(point) for logp in whole]
        np.testing.assert_allclose(values[0], values[1], rtol=1e-10)
        # the textbook form at the same effects, which sum to zero
        plain = {k: v for k, v in point.items() if "zerosum" not in k}
        for name in ("u", "s"):
            transform = ours.rvs_to_transforms[ours[name]]
            back = transform.backward(pt.as_tensor(point[f"{name}_zerosum__"]))
            plain[name] = back.eval(mode="FAST_COMPILE")
        np.testing.assert_allclose(ratings[0](point), ratings[1](plain), rtol=1e-10)


def test_centred_predictors_leave_the_density_as_it_is():
    plain, centred = models.trolley_sum_to_zero(), models.trolley_centred()
    wanted = centred.replace_rvs_by_values(centred.deterministics)
    stored = pytensor.function(
        centred.value_vars, wanted, mode="FAST_COMPILE", on_unused_input="ignore"
    )
    logp = [model.compile_logp(mode="FAST_COMPILE") for model in (plain, centred)]
    rng = np.random.default_rng(2)
    point = {k: rng.normal(0, 0.3, v.shape) for k, v in centred.initial_point().items()}
    names = [v.name for v in centred.deterministics]
    same = dict(zip(names, stored(*(point[v.name] for v in centred.value_vars)), strict=True))
    kappa = same.pop("kappa")
    same |= {k: v for k, v in point.items() if k in plain.initial_point()}
    same["kappa_ordered__"] = np.r_[kappa[0], np.log(np.diff(kappa))]
    assert logp[0](same) == pytest.approx(logp[1](point), rel=1e-12)


def test_means_are_compared_in_their_errors():
    rng = np.random.default_rng(3)
    rows = [
        fit_row(form, "nutpie, numba", seed, means=rng.normal(0, 0.1, 400), errors=[0.1] * 400)
        for form in (STOCK, OURS)
        for seed in (1, 2)
    ]
    (found,) = report.agreement(rows)
    assert found["form"] == OURS and found["means"] == 400
    assert found["root_mean_square"] == pytest.approx(1, abs=0.15) and found["largest"] < 4.2
    assert found["bound"] == pytest.approx(4.2, abs=0.1)
    assert report.agreement(rows[2:]) == []


def test_starts_are_finite():
    model = models.FORMS["trolley", "textbook"]()
    (cutpoints,) = utils.ordered_starts(model).values()
    assert (np.diff(cutpoints) > 0).all()
    assert utils.ordered_starts(models.reed_frogs()) == {}


def test_larger_data_are_new_people_and_tanks():
    once, twice = models.more_people(1, 1), models.more_people(2, 1)
    assert (len(twice), twice["id"].nunique()) == (2 * len(once), 2 * once["id"].nunique())
    assert twice["id"].value_counts().eq(30).all() and twice["response"].between(1, 7).all()
    first, second = twice["response"][: len(once)], twice["response"][len(once) :]
    assert (first.to_numpy() != second.to_numpy()).mean() > 0.5
    tanks = models.more_tanks(3, 1)
    assert len(tanks) == 144 and (tanks["surv"] <= tanks["density"]).all()


def test_every_configuration_names_a_form_and_a_sampler():
    for quick in (True, False):
        chosen = run.configurations(quick)
        assert {(c.family, c.form) for c in chosen} <= set(models.FORMS)
        assert {c.sampler for c in chosen} <= set(measure.SAMPLERS | measure.VARIANTS)
        assert len({c.name for c in chosen}) == len(chosen)
        assert set(run.sizes(quick)) <= set(models.GROWTH)
    full = {(c.family, c.form, c.sampler) for c in chosen}
    assert {report.COURSE, *(reference for _, reference, _ in report.REFERENCES)} <= full


def test_time_that_intervals_cover():
    assert measure.covered([(0, 2), (1, 3), (5, 9), (6, 7)], 0.5, 8) == pytest.approx(5.5)
    assert measure.covered([], 0, 1) == 0


def test_what_is_missing_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(measure.SAMPLERS, "Nothing", ("no_such_package",))
    (row,) = measure.rows_of({"kind": "fit", "sampler": "Nothing"})
    assert row["status"].startswith("skipped: no_such_package not installed")
    assert "[samplers]" in row["status"] and "\n" not in row["status"]


def test_what_is_broken_is_said_in_a_sentence(monkeypatch):
    def broken(task):
        raise TypeError("unexpected keyword\nat a second line")

    monkeypatch.setattr(measure, "growth", broken)
    (row,) = measure.rows_of({"kind": "growth"})
    assert row == {"status": "skipped: broken here, TypeError: unexpected keyword"}


def test_floor_takes_longer_with_more_to_do():
    few = measure.floor(20000, multiplications=1, divisions=0)
    many = measure.floor(20000, multiplications=1, divisions=8)
    assert 0 < few < many


def summary_of(rows=ROWS):
    table = report._table([row for row in rows if row["kind"] == "fit"], report.FIT_COLUMNS)
    return {(one["form"], one["sampler"]): one for one in report.summarise(table)}


def test_medians_and_spread():
    found = summary_of()
    reference, stock = found["textbook", "PyMC"], found[STOCK, "nutpie, numba"]
    # fitted once: the spread is the jackknife's standard error over chains
    error = np.sqrt(3 * np.var(np.log([90, 100, 100, 110])))
    spread = [reference["ess_per_s"][k] for k in ("least", "median", "most")]
    np.testing.assert_allclose(spread, [10 * np.exp(-error), 10, 10 * np.exp(error)])
    assert reference["compile_warm_s"] is None and reference["ess_per_s_warm"] is None
    assert reference["ess_per_s_cold"]["median"] == pytest.approx(100 / 30)
    assert stock["ess_per_s"] == {"median": 20, "least": 10, "most": 30}
    assert stock["ess_per_s_warm"]["median"] == pytest.approx(200 / 15)
    assert stock["compile_cold_s"]["median"] == 20 and stock["compile_warm_s"]["median"] == 5
    assert stock["us_per_gradient"]["median"] == pytest.approx(1e6 * 2 * 10 / 20000)
    assert stock["passes"] == stock["repeats"] == 3
    stopped = found[STOCK, "BlackJAX"]
    assert (stopped["repeats"], stopped["status"]) == (0, "stopped after 75 s")


def test_a_sampler_that_hides_its_warm_up_gets_no_time_a_gradient():
    (one,) = summary_of([fit_row(warmup_counted=False)]).values()
    assert one["us_per_gradient"] is None and one["gradients"]["median"] == 20000


def test_ratios():
    found = {
        (one["form"], one["against"]): one for one in report.ratios(list(summary_of().values()))
    }
    first, second = (found[OURS, name] for name, _, _ in report.REFERENCES)
    # ours: 200, 100 and 66.7 a second
    assert first["ratio"] == pytest.approx(100 / 10) and first["goal"] == 100
    error = np.sqrt(3 * np.var(np.log([90, 100, 100, 110])))
    assert first["least"] == pytest.approx(100 / 1.5 / (10 * np.exp(error)))
    assert second["ratio"] == pytest.approx(100 / 20) and second["goal"] == 5
    assert second["most"] == pytest.approx(200 / 10)
    assert found[STOCK, report.REFERENCES[0][0]]["goal"] is None
    assert not report.ratios([one for one in summary_of(ROWS[1:]).values() if not one["repeats"]])


def test_exponent():
    sizes = np.array([1, 2, 4, 8, 16])
    slope, error = report.exponent(sizes, 3 * sizes**1.5)
    assert slope == pytest.approx(1.5) and error == pytest.approx(0, abs=1e-6)
    noisy = report.exponent(sizes, 3 * sizes * np.array([1.1, 0.9, 1.1, 0.9, 1.1]))
    assert noisy[0] == pytest.approx(1, abs=3 * noisy[1]) and noisy[1] > 0.01
    assert np.isnan(report.exponent([1, 2], [1, 2])[1])


def consistent(folder):
    fits, growth, facts = report.read(folder)
    assert facts["summary"] == json.loads(json.dumps(report.summarise(fits)))
    assert facts["ratios"] == json.loads(json.dumps(report.ratios(facts["summary"])))
    texts = {
        "samplers.md": report.markdown(fits, facts),
        "growth.md": report.growth_markdown(growth, facts),
    }
    for name, text in texts.items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"{name}: run `make bench`"
    for name in ("samplers.png", "growth.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_results_are_written_and_read_again(tmp_path):
    written = report.write(ROWS, FACTS, tmp_path)
    assert written == sorted(path.name for path in tmp_path.iterdir())
    consistent(tmp_path)
    text = (tmp_path / "samplers.md").read_text(encoding="utf-8")
    assert "stopped after 75 s" in text and "takes 30.0 µs" in text and "at least 100" in text
    (tmp_path / "samplers.md").write_text(text.replace("30.0", "31.0"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"samplers\.md"):
        consistent(tmp_path)


def test_stored_results_agree_with_one_another():
    folder = BENCHMARKS / "results"
    if not (folder / "samplers.json").is_file():
        pytest.skip("no results of a full run yet: `make bench`")
    consistent(folder)
    facts = json.loads((folder / "samplers.json").read_text(encoding="utf-8"))
    assert not facts["quick"]


class Process:
    """Stands for the process that measures: a row a seed, until it is interrupted."""

    def __init__(self, monkeypatch, **row):
        self.row, self.done, self.stop_at = row, [], None
        monkeypatch.setattr(run, "measure_apart", self)

    def __call__(self, task, rows, compiledir, limit):
        for seed in task.get("seeds", [None]):
            if len(self.done) == self.stop_at:
                raise KeyboardInterrupt
            so_far = json.loads(rows.read_text()) if rows.is_file() else []
            broken = task.get("sampler") == "BlackJAX"
            row = {"status": "skipped: broken here, TypeError: no"} if broken else self.row
            common.store(rows, json.dumps([*so_far, {"status": "ok", "seed": seed} | row]))
            self.done.append((task.get("sampler"), seed))
            if broken:
                return


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, capsys):
    process = Process(monkeypatch, compile_s=1.0, sample_s=1.0)
    todo = run.tasks(quick=False)
    process.stop_at = 3  # amid the seeds of one process
    with pytest.raises(KeyboardInterrupt):
        run.run(todo, tmp_path, 1000)
    process.stop_at = None
    rows, complete = run.run(todo, tmp_path, 1000)
    assert complete and len(rows) == len(process.done)
    assert [seed for _, seed in process.done[:5]] == [1, 2, 3, 4, 5]
    seeds = [r["seed"] for r in rows if tuple(map(r.get, report.KEY)) == report.COURSE]
    assert seeds == [1, 2, 3, 4, 5]
    # what is broken may be mended: it alone is asked again
    before = len(process.done)
    run.run(todo, tmp_path, 1000)
    again = process.done[before:]
    assert again and {sampler for sampler, _ in again} == {"BlackJAX"}
    assert "from an earlier run" in capsys.readouterr().out


def test_what_did_not_fit_in_is_named_and_not_stored(tmp_path):
    rows, complete = run.run(run.tasks(quick=True), tmp_path, 0)
    assert not complete and {row["status"] for row in rows} == {"not run: the time was over"}
    assert len(rows) == len(run.configurations(quick=True))
    assert not list(tmp_path.glob("*.json"))


def test_a_slow_fit_is_made_once(tmp_path, monkeypatch):
    Process(monkeypatch, compile_s=1.0, sample_s=100.0)
    todo = [each for each in run.tasks(quick=False) if each["task"]["kind"] == "fit"]
    rows, _ = run.run(todo, tmp_path, 1000)
    assert len(rows) == len(run.configurations(quick=False))


def test_a_process_is_stopped_at_its_limit(tmp_path):
    rows = tmp_path / "rows.json"
    status = run.measure_apart({"kind": "floor"}, rows, tmp_path / "cache", 0.01)
    assert status == "stopped after 0 s" and not rows.exists()


def test_key_changes_with_code_and_versions(monkeypatch):
    key = run.key(False)
    assert key == run.key(False) != run.key(True)
    monkeypatch.setattr(common, "versions", lambda: {"pymc": "0"})
    assert run.key(False) != key


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path):
    common.store(tmp_path / "new" / "file.txt", "µ")
    with pytest.raises(TypeError):
        common.store(tmp_path / "new" / "file.txt", None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.txt"]
    assert (tmp_path / "new" / "file.txt").read_text(encoding="utf-8") == "µ"


def test_versions_leave_out_what_is_not_installed():
    assert list(common.versions(("numpy", "no-such-package"))) == ["numpy"]
    assert pd.Series(common.machine()).notna().all()
