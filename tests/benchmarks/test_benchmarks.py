"""The benchmarks: models that must agree, summaries, runs that go on, a page that results bear."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from benchmarks import arithmetic, common, measure, models, report, run
from benchmarks.models import OURS, STOCK

NUTPIE = measure.NUTPIE


# --- Models ----------------------------------------------------------------------------------


@pytest.mark.compiles
def test_likelihoods_of_the_trolley_forms_agree() -> None:
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


@pytest.mark.compiles
def test_centred_predictors_leave_the_density_as_it_is() -> None:
    plain, centred = models.trolley_sum_to_zero(), models.trolley_centred()
    stored = pytensor.function(
        centred.value_vars,
        centred.replace_rvs_by_values(centred.deterministics),
        mode="FAST_COMPILE",
        on_unused_input="ignore",
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


def test_larger_data_are_new_people() -> None:
    once, twice = models.more_people(1, 1), models.more_people(2, 1)
    assert twice["id"].nunique() == 662 and twice["id"].value_counts().eq(30).all()
    first, second = twice["response"][: len(once)], twice["response"][len(once) :]
    assert (first.to_numpy() != second.to_numpy()).mean() > 0.5


# --- Measuring -------------------------------------------------------------------------------


def test_time_that_intervals_cover() -> None:
    assert measure.covered([(0, 2), (1, 3), (5, 9), (6, 7)], 0.5, 8) == pytest.approx(5.5)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module", name="jax"), "jax not installed (.venv/bin/python -m "),
        (TypeError("unexpected keyword\nat a line"), "broken here, TypeError: unexpected keyword"),
    ],
)
def test_what_is_missing_or_broken_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def broken(task: dict) -> None:
        raise error

    monkeypatch.setitem(measure.KINDS, "fit", broken)
    (row,) = measure.rows_of({"kind": "fit"})
    assert row["status"].startswith(f"skipped: {said}") and "\n" not in row["status"]


# --- Results ---------------------------------------------------------------------------------


def test_results_are_stored_summarised_and_drawn(tmp_path: Path) -> None:
    """Of made-up fits: 100 effective draws in 10 seconds, 20 or 5 to compile."""
    task = {"kind": "fit", "family": "trolley", "form": STOCK, "sampler": NUTPIE, "draws": 100}
    row = task | {"cache": "warm", "status": "ok", "compile_s": 5.0, "sample_s": 10.0}
    row |= {"min_ess": 100.0, "min_ess_without": "90;100;100;110", "passes": True, "seed": 2}
    cold = row | {"cache": "cold", "compile_s": 20.0, "seed": 1}
    large = row | {"min_ess": 300.0}
    ours = large | {"form": OURS}
    stopped = task | {"sampler": "BlackJAX", "status": "stopped after 75 s"}
    grown = {"kind": "growth", "what": "tanks", "times": 1, "compile_s": 9.0, "bare_us": 4.0}
    rows = [cold, row, large, ours, stopped, grown | {"peak_mb": 300.123456}]
    report.keep(tmp_path, rows, {"quick": True})
    report.write(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"samplers.png", "growth.png"} < names and "page.json" not in names
    fits, growth, _ = report.read(tmp_path)
    assert growth["peak_mb"].item() == 300.12
    stock, one, none = arithmetic.summarise(fits).values()
    assert stock["ess_per_s"] == (10, 10, 30) and stock["passes"] == stock["repeats"] == 3
    assert stock["ess_per_s_warm"].most == 300 / 15 and stock["compile_cold_s"].median == 20
    error = np.sqrt(3 * np.var(np.log([90, 100, 100, 110])))  # the jackknife's
    np.testing.assert_allclose(one["ess_per_s"], 30 * np.exp([-error, 0, error]))
    assert one["compile_cold_s"] is None and one["ess_per_s_cold"] is None
    assert (none["repeats"], none["status"]) == (0, "stopped after 75 s")


STORED = report.read(report.RESULTS)


def test_stored_results_bear_the_page() -> None:
    kept = (report.RESULTS / "page.json").read_text(encoding="utf-8")
    assert kept == report.page(*STORED), "run `python -m benchmarks.report`"
    assert not STORED[2]["quick"]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        (report.PLAIN, 1e4),
        (("confounds, latent Mundlak", "course", "NumPyro"), 1e4),
        (("reed frogs", "course", "BlackJAX"), 1e-2),
        (("trolley", OURS, f"{NUTPIE}, one core"), 1e4),
    ],
)
def test_what_the_results_do_not_bear_is_refused(name: tuple, times: float) -> None:
    changed = copy.deepcopy(arithmetic.summarise(STORED[0]))
    spread = changed[name]["ess_per_s"]
    changed[name]["ess_per_s"] = spread._replace(median=spread.median * times)
    with pytest.raises(report.UnfoundedError, match="says what the results do not"):
        report.check_claims(changed, STORED[1])
    del changed[report.BEST]
    with pytest.raises(report.UnfoundedError, match="needs a fit of trolley"):
        report.check_claims(changed, STORED[1])


# --- Runs ------------------------------------------------------------------------------------


def test_every_task_names_a_form_and_a_sampler() -> None:
    for quick in (True, False):
        fits = [task for task in run.tasks(quick) if task["kind"] == "fit"]
        assert {(t["family"], t["form"]) for t in fits} <= set(models.FORMS)
        assert {t["sampler"] for t in fits} <= {*measure.SAMPLERS, *measure.VARIANTS}
        assert set(run.SIZES[quick]) <= set(models.GROWTH)
    assert set(report.LADDER) <= {tuple(t[k] for k in arithmetic.KEY) for t in fits}


def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    done, todo = [], run.tasks(quick=False)

    def process(task: dict, rows: Path, compiledir: Path, limit: float) -> None:
        found = []
        for seed in task["seeds"]:
            if len(done) == stop_at:
                raise KeyboardInterrupt
            broken = task["sampler"] == "BlackJAX"
            found.append({"status": "skipped: broken here" if broken else "ok", "seed": seed})
            common.store(rows, json.dumps(found))
            done.append(seed)

    monkeypatch.setattr(run, "measure_apart", process)
    stop_at = 3  # amid the seeds of the second process, which begins anew
    with pytest.raises(KeyboardInterrupt):
        run.run(todo, tmp_path, 1000)
    stop_at = None
    rows, complete = run.run(todo, tmp_path, 1000)
    assert complete and done[:7] == [1, 2, 3, 2, 3, 4, 5]
    assert [r["seed"] for r in rows if r["name"] == todo[0]["name"]] == [1, 2, 3, 4, 5]
    # what is broken is not tried with other seeds, and is a result
    assert len([r for r in rows if r.get("sampler") == "BlackJAX"]) == 3
    before = len(done)
    assert run.run(todo, tmp_path, 1000)[0] == rows and len(done) == before
    assert "from an earlier run" in capsys.readouterr().out


def test_what_did_not_fit_in_is_named_and_not_stored(tmp_path: Path) -> None:
    rows, complete = run.run(run.tasks(quick=True), tmp_path, 0)
    assert not complete and {row["status"] for row in rows} == {"not run: the time was over"}
    assert not list(tmp_path.glob("*.json"))


def test_a_process_is_stopped_at_its_limit(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    status = run.measure_apart({"kind": "fit"}, rows, tmp_path / "cache", 0.01)
    assert status == "stopped after 0 s" and not rows.exists()


def test_key_changes_with_code_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    key = run.key()
    assert key == run.key()
    monkeypatch.setattr(common, "versions", lambda: {"pymc": "0"})
    assert run.key() != key
    monkeypatch.setattr(run, "CODE", ("no_such_file.py",))
    with pytest.raises(FileNotFoundError, match="mend CODE"):
        run.key()
