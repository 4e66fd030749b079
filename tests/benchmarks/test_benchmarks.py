"""The benchmarks: models that must agree, arithmetic of the tables, runs that go on.

Of the stored results: table, text, summary and page say the same, and bear what the page says.
"""

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
from rethinking.sampling import ordered_starts

FACTS = {
    "machine": {"processor": "Some", "cores": 2, "memory_gb": 8, "system": "S", "python": "3.13"},
    "versions": {"pymc": "6.4"},
    "quick": True,
}
NUTPIE = measure.NUTPIE


def fit_row(form: str = "textbook", sampler: str = "PyMC", seed: int = 1, **changes) -> dict:
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


ERROR = np.sqrt(3 * np.var(np.log([90, 100, 100, 110])))  # the jackknife's, of a row
STOPPED = ("kind", "family", "form", "sampler", "seed", "draws", "tune", "target_accept")
ROWS = [
    fit_row(),
    *(fit_row(STOCK, NUTPIE, seed, min_ess=100.0 * seed) for seed in (1, 2, 3)),
    *(fit_row(OURS, NUTPIE, seed, sample_s=0.5 * seed) for seed in (1, 2, 3)),
    {k: fit_row(STOCK, "BlackJAX")[k] for k in STOPPED} | {"status": "stopped after 75 s"},
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


@pytest.mark.compiles
def test_starts_are_finite() -> None:
    (cutpoints,) = ordered_starts(models.FORMS["trolley", "textbook"]()).values()
    assert (np.diff(cutpoints) > 0).all()


def test_larger_data_are_new_people_and_tanks() -> None:
    once, twice = models.more_people(1, 1), models.more_people(2, 1)
    assert (len(twice), twice["id"].nunique()) == (2 * len(once), 2 * once["id"].nunique())
    assert twice["id"].value_counts().eq(30).all() and twice["response"].between(1, 7).all()
    first, second = twice["response"][: len(once)], twice["response"][len(once) :]
    assert (first.to_numpy() != second.to_numpy()).mean() > 0.5
    tanks = models.more_tanks(3, 1)
    assert len(tanks) == 144 and (tanks["surv"] <= tanks["density"]).all()


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


@pytest.mark.compiles
def test_floor_takes_longer_with_more_to_do() -> None:
    few = measure.floor(20000, multiplications=1, divisions=0)
    assert 0 < few < measure.floor(20000, multiplications=1, divisions=8)


# --- Results ---------------------------------------------------------------------------------


def summary_of(rows: list[dict] = ROWS) -> dict[tuple[str, str], dict]:
    fits, _, _ = report.tables(rows, FACTS)
    return {(one["form"], one["sampler"]): one for one in arithmetic.summarise(fits)}


def test_medians_and_spread() -> None:
    found = summary_of()
    reference, stock = found["textbook", "PyMC"], found[STOCK, NUTPIE]
    spread = [reference["ess_per_s"][k] for k in ("least", "median", "most")]
    np.testing.assert_allclose(spread, [10 * np.exp(-ERROR), 10, 10 * np.exp(ERROR)])
    assert reference["compile_warm_s"] is None and reference["ess_per_s_warm"] is None
    assert reference["ess_per_s_cold"]["median"] == pytest.approx(100 / 30)
    assert stock["ess_per_s"] == {"median": 20, "least": 10, "most": 30}
    assert stock["ess_per_s_warm"]["median"] == pytest.approx(200 / 15)
    assert stock["compile_cold_s"]["median"] == 20 and stock["compile_warm_s"]["median"] == 5
    assert stock["us_per_gradient"]["median"] == pytest.approx(1e6 * 2 * 10 / 20000)
    stopped = found[STOCK, "BlackJAX"]
    assert (stopped["repeats"], stopped["status"]) == (0, "stopped after 75 s")


def test_a_sampler_that_hides_its_warm_up_gets_no_time_a_gradient() -> None:
    (one,) = summary_of([fit_row(warmup_counted=False)]).values()
    assert one["us_per_gradient"] is None and one["gradients"]["median"] == 20000


def test_ratios() -> None:
    found = {(r["form"], r["against"]): r for r in arithmetic.ratios(list(summary_of().values()))}
    first, second = (found[OURS, name] for name, _, _ in arithmetic.REFERENCES)
    # ours: 200, 100 and 66.7 a second
    assert first["ratio"] == pytest.approx(100 / 10) and first["goal"] == 100
    assert first["least"] == pytest.approx(100 / 1.5 / (10 * np.exp(ERROR)))
    assert second["ratio"] == pytest.approx(100 / 20) and second["most"] == pytest.approx(200 / 10)


def test_means_are_compared_in_their_errors() -> None:
    rng = np.random.default_rng(3)
    rows = [
        fit_row(form, NUTPIE, seed, means=rng.normal(0, 0.1, 400), errors=[0.1] * 400)
        for form in (STOCK, OURS)
        for seed in (1, 2)
    ]
    (found,) = arithmetic.agreement(rows)
    assert found["form"] == OURS and found["means"] == 400
    assert found["root_mean_square"] == pytest.approx(1, abs=0.15) and found["largest"] < 4.2
    assert found["bound"] == pytest.approx(4.2, abs=0.1)
    assert arithmetic.agreement(rows[2:]) == []


def test_exponent() -> None:
    sizes = np.array([1, 2, 4, 8, 16])
    slope, error = arithmetic.exponent(sizes, 3 * sizes**1.5)
    assert slope == pytest.approx(1.5) and error == pytest.approx(0, abs=1e-6)
    assert np.isnan(arithmetic.exponent([1, 2], [1, 2])[1])


def test_results_are_written_and_read_again(tmp_path: Path) -> None:
    report.write(tmp_path, *report.tables(ROWS, FACTS))
    for name, text in report.texts(*report.read(tmp_path)).items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text, name
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "samplers.md").read_text(encoding="utf-8")
    assert "stopped after 75 s" in text and "takes 30.0 µs" in text and "at least 100" in text


# --- The stored results ----------------------------------------------------------------------

STORED = report.read(report.RESULTS)
SUMMARY = arithmetic.summarise(STORED[0])


def stored(name: tuple, summary: list[dict]) -> dict:
    return next(one for one in summary if tuple(one[k] for k in arithmetic.KEY) == name)


def test_stored_results_agree_with_one_another_and_bear_the_page() -> None:
    texts = report.texts(*STORED) | {"page.json": report.page_json(*STORED)}
    for name, text in texts.items():
        kept = (report.RESULTS / name).read_text(encoding="utf-8")
        assert kept == text, f"{name}: run `python -m benchmarks.report`"
    assert not STORED[2]["quick"]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        (arithmetic.COURSE, 1e4),
        (arithmetic.PLAIN, 1e4),
        (("confounds, latent Mundlak", "course", "NumPyro"), 1e4),
        (("reed frogs", "course", "BlackJAX"), 1e-2),
        (("trolley", OURS, f"{NUTPIE}, one core"), 1e4),
    ],
)
def test_what_the_results_do_not_bear_is_refused(name: tuple, times: float) -> None:
    changed = copy.deepcopy(SUMMARY)
    stored(name, changed)["ess_per_s"]["median"] *= times
    with pytest.raises(report.UnfoundedError, match="says what the results do not"):
        report.check_claims(changed, *STORED[1:])
    changed.remove(stored(arithmetic.BEST, changed))
    with pytest.raises(report.UnfoundedError, match="needs a fit of trolley"):
        report.check_claims(changed, *STORED[1:])


def test_the_goals_of_the_trolley_model() -> None:
    """What the course promises of its form, as stored."""
    for one in arithmetic.ratios(SUMMARY):
        assert one["goal"] is None or one["ratio"] >= one["goal"], one
    ours = stored(arithmetic.COURSE, SUMMARY)
    assert ours["passes"] == ours["repeats"] >= 5 and ours["bare_us"]["most"] <= 100


# --- Runs ------------------------------------------------------------------------------------


class Process:
    """Stands for the process that measures: a row a seed, until it is interrupted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done, self.stop_at = [], None
        monkeypatch.setattr(run, "measure_apart", self)

    def __call__(self, task: dict, rows: Path, compiledir: Path, limit: float) -> None:
        found = []
        for seed in task["seeds"]:
            if len(self.done) == self.stop_at:
                raise KeyboardInterrupt
            broken = task.get("sampler") == "BlackJAX"
            found.append({"status": "skipped: broken here" if broken else "ok", "seed": seed})
            common.store(rows, json.dumps(found))
            self.done.append((task["name"], seed))


def test_every_task_names_a_form_and_a_sampler() -> None:
    for quick in (True, False):
        fits = [task for task in run.tasks(quick) if task["kind"] == "fit"]
        assert {(t["family"], t["form"]) for t in fits} <= set(models.FORMS)
        assert {t["sampler"] for t in fits} <= {*measure.SAMPLERS, *measure.VARIANTS}
        assert len({(t["name"], *t["seeds"]) for t in fits}) == len(fits)
        assert set(run.SIZES[quick]) <= set(models.GROWTH)
    assert set(arithmetic.LADDER) <= {tuple(t[k] for k in arithmetic.KEY) for t in fits}


def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    process, todo = Process(monkeypatch), run.tasks(quick=False)
    process.stop_at = 3  # amid the seeds of the second process, which begins anew
    with pytest.raises(KeyboardInterrupt):
        run.run(todo, tmp_path, 1000)
    process.stop_at = None
    rows, complete = run.run(todo, tmp_path, 1000)
    assert complete and [seed for _, seed in process.done[:7]] == [1, 2, 3, 2, 3, 4, 5]
    assert [r["seed"] for r in rows if r["name"] == todo[0]["name"]] == [1, 2, 3, 4, 5]
    # what is broken is not tried with other seeds, and is a result
    assert len([r for r in rows if r.get("sampler") == "BlackJAX"]) == 3
    before = len(process.done)
    assert run.run(todo, tmp_path, 1000)[0] == rows and len(process.done) == before
    assert "from an earlier run" in capsys.readouterr().out


def test_what_did_not_fit_in_is_named_and_not_stored(tmp_path: Path) -> None:
    rows, complete = run.run(run.tasks(quick=True), tmp_path, 0)
    assert not complete and {row["status"] for row in rows} == {"not run: the time was over"}
    assert not list(tmp_path.glob("*.json"))


def test_a_process_is_stopped_at_its_limit(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    status = run.measure_apart({"kind": "floor"}, rows, tmp_path / "cache", 0.01)
    assert status == "stopped after 0 s" and not rows.exists()


def test_key_changes_with_code_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    key = run.key()
    assert key == run.key()
    monkeypatch.setattr(common, "versions", lambda: {"pymc": "0"})
    assert run.key() != key
    monkeypatch.setattr(run, "CODE", ("no_such_file.py",))
    with pytest.raises(FileNotFoundError, match="mend CODE"):
        run.key()


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    common.store(tmp_path / "new" / "file.txt", "µ")
    with pytest.raises(TypeError):
        common.store(tmp_path / "new" / "file.txt", None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.txt"]
    assert (tmp_path / "new" / "file.txt").read_text(encoding="utf-8") == "µ"
