"""Many schools: simulation, the model, one fit, many fits on any executor, calibration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pymc as pm
import pytest
import xarray as xr
from scipy import special, stats

from rethinking import sampling
from rethinking.gate import MAX_RHAT, MIN_ESS
from rethinking.transforms import invlogit
from studies import schools
from studies.pool import StudyError, process_pool
from studies.school_grid import SchoolGrid
from studies.schools import (
    Sampling,
    School,
    fit_school,
    fit_schools,
    school_model,
    simulate_school,
    simulate_schools,
)

ROOT = Path(__file__).resolve().parents[2]
SIZE = np.array([5, 10, 25, 35])
CAREFUL = Sampling(centred=False, tune=500, draws=1500, target_accept=0.95)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CHECKPOINTS", str(tmp_path / "kept"))
    monkeypatch.delenv("COURSE_RECORD", raising=False)
    return tmp_path / "kept"


class Here(Executor):
    """Does the work at once, in this process; counts it."""

    def __init__(self, stop_after=None, error=KeyboardInterrupt):
        self.done, self.stop_after, self.error = 0, stop_after, error

    def submit(self, function, *args):
        future = Future()
        if self.done == self.stop_after:
            future.set_exception(self.error())
            return future
        self.done += 1
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


# --- Simulation ------------------------------------------------------------------------------


def test_a_school_is_drawn_from_its_population():
    school = simulate_school(np.full(4000, 40), alpha_bar=0.5, sigma=0.7, rng=rng(1))
    assert school.alpha.mean() == pytest.approx(0.5, abs=0.05)
    assert school.alpha.std() == pytest.approx(0.7, abs=0.03)
    z = (school.passed - 40 * invlogit(school.alpha)) / np.sqrt(
        40 * invlogit(school.alpha) * (1 - invlogit(school.alpha))
    )
    assert stats.kstest(z.mean() * np.sqrt(4000), "norm").pvalue > 0.001
    assert z.std() == pytest.approx(1, abs=0.05)


def rng(seed):
    return np.random.default_rng(seed)


def test_schools_are_the_same_in_any_company():
    few = simulate_schools(3, SIZE, random_seed=5)
    many = simulate_schools(9, SIZE, random_seed=5)
    for a, b in zip(few, many, strict=False):
        assert np.array_equal(a.passed, b.passed) and np.array_equal(a.alpha, b.alpha)
    assert many[0].sigma != many[1].sigma
    assert simulate_schools(1, SIZE, random_seed=6)[0].sigma != many[0].sigma


def test_other_populations_use_the_same_random_numbers():
    narrow = simulate_schools(4, SIZE, random_seed=5, alpha_bar=1.0, sigma=0.5)
    wide = simulate_schools(4, SIZE, random_seed=5, alpha_bar=0.0, sigma=2.0)
    for a, b in zip(narrow, wide, strict=True):
        np.testing.assert_allclose((a.alpha - 1) / 0.5, b.alpha / 2)


def test_truths_without_a_value_come_from_the_prior():
    drawn = simulate_schools(2000, [5], random_seed=5)
    assert stats.kstest([s.sigma for s in drawn], "expon").pvalue > 0.001
    assert stats.kstest([s.alpha_bar / 1.5 for s in drawn], "norm").pvalue > 0.001


@pytest.mark.parametrize("size", [[], [5, 0], [[5, 5]]])
def test_no_classroom_is_refused(size):
    with pytest.raises(ValueError, match="at least one classroom, each with a student"):
        simulate_school(size, alpha_bar=0, sigma=1, rng=rng(1))


def test_negative_sigma_is_refused():
    with pytest.raises(ValueError, match=r"sigma is -1; a standard deviation"):
        simulate_school([5], alpha_bar=0, sigma=-1, rng=rng(1))


# --- The model -------------------------------------------------------------------------------


@pytest.mark.compiles
@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_both_forms_are_the_textbook_model(rate):
    """Log-densities differ by the binomial coefficients, and by the change of variables."""
    school = simulate_school(SIZE, alpha_bar=1.5, sigma=1.5, rng=rng(3))
    with pm.Model() as textbook:
        # as Python's float it would be taken for a 32-bit constant, exact to 1e-8
        sigma = pm.Exponential("sigma", np.float64(rate))
        alpha_bar = pm.Normal("alpha_bar", 0, 1.5)
        alpha = pm.Normal("alpha", alpha_bar, sigma, shape=4)
        pm.Binomial("S", n=school.size, p=pm.math.invlogit(alpha), observed=school.passed)
    data = {"rate": rate, "students": school.size * 1.0, "successes": school.passed * 1.0}
    logp = {"textbook": textbook.compile_logp()}
    for form in ("centred", "non-centred"):
        model = school_model(4, centred=form == "centred")
        with model:
            pm.set_data(data)
        logp[form] = model.compile_logp()
    generator, apart = rng(4), {"centred": [], "non-centred": []}
    for _ in range(20):
        point = {
            "sigma_log__": np.array(generator.normal(0, 0.7)),
            "alpha_bar": np.array(generator.normal(0, 1.5)),
        }
        sigma, alpha = np.exp(point["sigma_log__"]), generator.normal(1, 2, 4)
        z = (alpha - point["alpha_bar"]) / sigma
        expected = logp["textbook"](point | {"alpha": alpha})
        apart["centred"].append(logp["centred"](point | {"alpha": alpha}) - expected)
        jacobian = 4 * np.log(sigma)
        apart["non-centred"].append(logp["non-centred"](point | {"z": z}) - jacobian - expected)
    coefficients = -np.log(special.comb(SIZE, school.passed)).sum()
    for differences in apart.values():
        np.testing.assert_allclose(differences, coefficients, rtol=1e-9)


def test_log_likelihood_is_binomial_without_coefficients():
    school = School(np.array([5, 10]), np.array([5, 0]), np.array([600.0, -600.0]), 0.0, 1.0)
    assert schools.log_likelihood(school, school.alpha) == pytest.approx(0)
    alpha = np.array([[0.3, -1.0], [1.0, 2.0]])
    p = invlogit(alpha)
    expected = (school.passed * np.log(p) + (school.size - school.passed) * np.log1p(-p)).sum(1)
    np.testing.assert_allclose(schools.log_likelihood(school, alpha), expected)


# --- One fit ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def school():
    return simulate_school(np.repeat(SIZE, 3), alpha_bar=1.5, sigma=1.5, rng=rng(28))


@pytest.fixture(scope="module")
def fitted(school):
    return fit_school(school, 3, sampling=CAREFUL, ranks=100)


@pytest.mark.compiles
def test_fit_agrees_with_the_exact_posterior(school, fitted):
    exact = SchoolGrid(SIZE).posterior([school]).isel(school=0)
    for name in ("alpha_bar", "sigma"):
        error = fitted[f"{name}_sd"] / np.sqrt(fitted[f"{name}_ess"])
        assert fitted[f"{name}_mean"] == pytest.approx(float(exact[f"{name}_mean"]), abs=4 * error)
        assert fitted[f"{name}_sd"] == pytest.approx(float(exact[f"{name}_sd"]), rel=0.1)
        for end in ("lower", "upper"):
            assert fitted[f"{name}_{end}"] == pytest.approx(
                float(exact[f"{name}_{end}"]), abs=10 * error
            )
    np.testing.assert_allclose(fitted["p_mean"], exact["p_mean"], atol=0.02)
    np.testing.assert_allclose(fitted["alpha_mean"], exact["alpha_mean"], atol=0.15)


@pytest.mark.compiles
def test_fit_is_json_and_the_same_again(school, fitted):
    assert json.loads(json.dumps(fitted)) == fitted
    assert fit_school(school, 3, sampling=CAREFUL, ranks=100) == fitted
    assert fit_school(school, 4, sampling=CAREFUL, ranks=100) != fitted
    assert fitted["converged"] and not fitted["refitted"]
    assert 0 <= min(fitted["rank_alpha"]) and max(fitted["rank_alpha"]) <= 100
    assert "rank_sigma" not in fit_school(school, 3, sampling=CAREFUL)


@pytest.mark.compiles
def test_compiled_once_for_each_number_of_classrooms_and_form(monkeypatch, school):
    calls = []
    compile_ = sampling.nutpie.compile_pymc_model
    monkeypatch.setattr(schools, "_compiled", {})
    monkeypatch.setattr(
        sampling.nutpie, "compile_pymc_model", lambda *a, **k: calls.append(1) or compile_(*a, **k)
    )
    other = simulate_school(SIZE, alpha_bar=0.0, sigma=1.0, rng=rng(1))
    for each in (school, school, other, replace(school, passed=school.passed // 2), other):
        fit_school(each, 1, sampling=CAREFUL)
    assert len(calls) == 2


@pytest.mark.compiles
def test_a_failing_fit_is_made_again_more_strictly(school):
    poor = Sampling(centred=False, tune=50, draws=60, target_accept=0.6)
    found = fit_school(school, 1, sampling=poor)
    assert found["refitted"] and found["converged"]
    assert found["max_rhat"] <= MAX_RHAT and found["min_ess"] >= MIN_ESS


@pytest.fixture
def hopeless(monkeypatch):
    poor = {"cores": 1, "tune": 50, "draws": 60, "target_accept": 0.6}
    monkeypatch.setattr(Sampling, "attempts", lambda self: [poor, poor])
    return Sampling(centred=False)


@pytest.mark.compiles
def test_one_that_fails_again_is_kept_and_counted(hopeless, school, monkeypatch, tmp_path):
    record = tmp_path / "record.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(record))
    result = fit_schools(
        [school], name="schools", random_seed=1, executor=Here(), sampling=hopeless
    )
    assert result.sizes == {"school": 1, "classroom": 12}
    assert result["refitted"].item() and not result["converged"].item()
    row = json.loads(record.read_text())
    assert (row["kind"], row["fits"], row["refitted"], row["failed"]) == ("study", 1, 1, 1)
    assert row["max_rhat"] is None and row["min_ess"] is None  # none passed


# --- Many fits -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some():
    return simulate_schools(5, SIZE, random_seed=28, alpha_bar=1.5, sigma=1.5)


OPTIONS = {"name": "schools", "random_seed": 28, "sampling": CAREFUL, "ranks": 50}


@pytest.fixture(scope="module")
def reference(some, tmp_path_factory):
    return fit_schools(
        some, executor=Here(), checkpoints=tmp_path_factory.mktemp("reference"), **OPTIONS
    )


@pytest.mark.compiles
def test_result_holds_truth_and_summaries(some, reference):
    assert reference.sizes == {"school": 5, "classroom": 4}
    assert reference["alpha_lower"].dims == ("school", "classroom")
    np.testing.assert_array_equal(reference["passed"][2], some[2].passed)
    assert (reference["alpha_lower"] < reference["alpha_upper"]).all()
    assert reference["converged"].all()


@pytest.mark.compiles
@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_same(some, reference, workers):
    with process_pool(workers) as executor:
        xr.testing.assert_identical(fit_schools(some, executor=executor, **OPTIONS), reference)


@pytest.mark.compiles
def test_threads_give_the_same(some, reference):
    with ThreadPoolExecutor(2) as executor:
        xr.testing.assert_identical(fit_schools(some, executor=executor, **OPTIONS), reference)


@pytest.mark.compiles
def test_a_pool_of_its_own_gives_the_same(some, reference, own_folder):
    xr.testing.assert_identical(fit_schools(some, **OPTIONS), reference)
    assert not list(own_folder.glob("*"))


@pytest.mark.compiles
def test_a_dask_cluster_of_two_workers_gives_the_same(some, reference):
    distributed = pytest.importorskip("distributed", reason="the optional package is missing")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
    )
    with cluster, distributed.Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        found = fit_schools(some, executor=client.get_executor(), **OPTIONS)
    xr.testing.assert_identical(found, reference)


@pytest.mark.compiles
def test_a_school_is_the_same_in_a_smaller_study(some, reference):
    few = fit_schools(some[:2], executor=Here(), **OPTIONS)
    xr.testing.assert_identical(few, reference.isel(school=slice(2)))


@pytest.mark.compiles
def test_an_interrupted_study_goes_on(some, reference, own_folder):
    with pytest.raises(KeyboardInterrupt, match="3 of 5 schools are kept; the same call goes on"):
        fit_schools(some, executor=Here(stop_after=3), **OPTIONS)
    (file,) = own_folder.glob("*")
    assert len(file.read_text().splitlines()) == 3
    with file.open("a") as half:
        half.write('[4, {"alpha_bar')  # killed while it wrote
    rest = Here()
    xr.testing.assert_identical(fit_schools(some, executor=rest, **OPTIONS), reference)
    assert rest.done == 2
    assert not file.exists()


@pytest.mark.compiles
@pytest.mark.parametrize(
    "other",
    [
        {"random_seed": 29},
        {"rate": 2.0},
        {"ranks": 20},
        {"sampling": replace(CAREFUL, tune=501)},
        {"passed": 1},
    ],
)
def test_what_is_kept_belongs_to_one_study(some, own_folder, other):
    with pytest.raises(KeyboardInterrupt):
        fit_schools(some[:2], executor=Here(stop_after=1), **OPTIONS)
    options = OPTIONS | {k: v for k, v in other.items() if k != "passed"}
    less = other.get("passed", 0)  # a student
    sample = [replace(some[0], passed=some[0].passed - less), some[1]]
    executor = Here()
    fit_schools(sample, executor=executor, **options)
    assert executor.done == 2
    assert len(list(own_folder.glob("*"))) == 1  # the first one's is still there


@pytest.mark.compiles
def test_a_dead_worker_is_named_and_nothing_lost(some, own_folder):
    with pytest.raises(StudyError, match=r"died; 2 of 5 .* enough memory"):
        fit_schools(some, executor=Here(stop_after=2, error=BrokenProcessPool), **OPTIONS)
    assert len(list(own_folder.glob("*"))) == 1


@pytest.mark.compiles
def test_an_error_in_a_fit_names_the_school(some):
    with pytest.raises(StudyError, match=r"Number \d of the schools failed: ZeroDivision"):
        fit_schools(some, executor=Here(stop_after=1, error=ZeroDivisionError), **OPTIONS)


@pytest.mark.parametrize("sample", [[], "mixed"])
def test_schools_of_different_lengths_are_refused(sample, some):
    if sample:
        sample = [some[0], simulate_school([5], alpha_bar=0, sigma=1, rng=rng(1))]
    with pytest.raises(ValueError, match="once for each number of classrooms"):
        fit_schools(sample, **OPTIONS)


@pytest.mark.parametrize("rate", [0, -1, np.nan])
def test_a_rate_that_is_none_is_refused(some, rate):
    with pytest.raises(ValueError, match="exponential prior is positive"):
        fit_schools(some, rate=rate, **OPTIONS)


STUDY = """
import numpy as np
from studies import schools
if __name__ == "__main__":
    size = np.array([5, 10, 25, 35])
    sample = schools.simulate_schools(16, size, random_seed=1, alpha_bar=1.5, sigma=1.5)
    how = schools.Sampling(centred=False, tune=500, draws=1500, target_accept=0.95)
    result = schools.fit_schools(sample, name="schools", random_seed=1, sampling=how)
    print(float(result["sigma_mean"].sum()))
"""


@pytest.mark.compiles
def test_a_real_interrupt_keeps_what_is_finished(tmp_path, own_folder):
    """Ctrl-C goes to the whole process group, as in a terminal and from JupyterLab."""
    script = tmp_path / "study.py"
    script.write_text(textwrap.dedent(STUDY))
    start = partial_run(script)
    deadline = time.monotonic() + 120
    while not (kept := list(own_folder.glob("*"))) or kept[0].read_bytes().count(b"\n") < 3:
        assert start.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(start.pid, signal.SIGINT)
    _, err = start.communicate(timeout=60)
    assert "of 16 schools are kept; the same call goes on from there." in err
    assert err.count("Traceback") == 1, err  # the workers are silent
    assert start.returncode != 0
    before = kept[0].read_bytes().count(b"\n")
    assert before >= 3

    out, err = partial_run(script).communicate(timeout=120)
    assert not list(own_folder.glob("*"))
    sample = simulate_schools(16, SIZE, random_seed=1, alpha_bar=1.5, sigma=1.5)
    whole = fit_schools(sample, name="schools", random_seed=1, sampling=CAREFUL, executor=Here())
    assert float(out) == float(whole["sigma_mean"].sum())


def test_workers_end_when_the_kernel_is_killed(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(
        "import os, time\nfrom studies.pool import process_pool\n"
        "if __name__ == '__main__':\n"
        "    pool = process_pool(1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    start = partial_run(script)
    worker = psutil.Process(int(start.stdout.readline()))
    start.kill()
    start.communicate()
    assert not psutil.wait_procs([worker], timeout=20)[1], "the worker outlived its parent"


def partial_run(script):
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )
