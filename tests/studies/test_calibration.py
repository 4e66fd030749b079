"""Simulation-based calibration: right ranks pass, wrong ones are caught, bands hold."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from studies.calibration import _band, calibration_table, pit_values, plot_calibration
from studies.pool import process_pool
from studies.schools import Sampling, fit_schools, simulate_schools

SIZE = np.array([5, 10, 25, 35])
CAREFUL = Sampling(centred=False, tune=500, draws=1500, target_accept=0.95)


def rng(seed):
    return np.random.default_rng(seed)


LOOK_AT = {"alpha, 5 students": 0, "alpha, 35 students": 9}


def ranked(counts):
    """A result as `fit_schools` gives it, of ranks alone."""
    n = counts.shape[1]
    names = ["rank_alpha_bar", "rank_sigma", "rank_log_likelihood"]
    data = {name: ("school", row) for name, row in zip(names, counts, strict=False)}
    data["rank_alpha"] = (("school", "classroom"), np.tile(counts[3][:, None], (1, 12)))
    return xr.Dataset(data, coords={"school": np.arange(n)})


def test_uniform_ranks_are_calibrated_and_others_not():
    counts = rng(2).integers(0, 101, (4, 400))
    pit = pit_values(ranked(counts), ranks=100, rng=rng(3), classrooms=LOOK_AT)
    assert pit.sizes == {"chain": 1, "draw": 400}
    assert set(pit.data_vars) == {"alpha_bar", "sigma", "log_likelihood", *LOOK_AT}
    assert all(0 < float(v.min()) and float(v.max()) < 1 for v in pit.data_vars.values())
    assert calibration_table(pit)["calibrated"].all()

    shifted = pit.assign(sigma=pit["sigma"] ** 0.7)
    narrow = pit.assign(sigma=0.5 + 0.7 * (pit["sigma"] - 0.5))
    for wrong in (shifted, narrow):
        found = calibration_table(wrong)
        assert list(found.index[~found["calibrated"]]) == ["sigma"]
        assert found.loc["sigma", "outside"] > 0 and found.loc["sigma", "p"] < 0.01
        assert found.loc["sigma", "distance"] > found["distance"].drop("sigma").max()


def test_the_bands_hold_together_as_often_as_they_say():
    """A right model leaves the bands of any of five quantities in one of twenty studies."""
    generator = rng(7)
    held = []
    for _ in range(300):
        pit = xr.Dataset(
            {name: (("chain", "draw"), generator.uniform(size=(1, 200))) for name in "abcde"}
        )
        points, lower, upper = _band(pit, 0.95)
        ecdf = [
            (values.to_numpy().ravel() <= points[:, None]).mean(1)
            for values in pit.data_vars.values()
        ]
        held.append(all(((lower <= e) & (e <= upper)).all() for e in ecdf))
    # Bonferroni: at least 95%, and not much more, since five independent bands are close to it
    assert 0.91 < np.mean(held) < 0.99


def test_calibration_is_drawn_with_its_band():
    counts = rng(2).integers(0, 101, (4, 100))
    pit = pit_values(ranked(counts), ranks=100, rng=rng(3), classrooms=LOOK_AT)
    figure = plot_calibration(pit.assign(sigma=pit["sigma"] ** 4))
    ax = figure.get_target("sigma", {})
    assert len(ax.collections) >= 1 and ax.get_xlabel() == "rank of the truth"
    assert (
        ax.get_ylim()[0]
        < -calibration_table(pit.assign(sigma=pit["sigma"] ** 4)).loc["sigma", "distance"]
    )


@pytest.mark.compiles
def test_a_right_model_is_calibrated_and_a_mistaken_prior_is_caught(tmp_path):
    """The same check of the same schools: sigma from Exponential(1), believed or mistaken."""
    sample = simulate_schools(60, np.repeat(SIZE, 3), random_seed=28)
    options = {"name": "schools", "random_seed": 28, "sampling": CAREFUL, "ranks": 100}
    options["checkpoints"] = tmp_path
    verdicts = {}
    with process_pool() as executor:
        for rate in (1.0, 10.0):
            result = fit_schools(sample, executor=executor, rate=rate, **options)
            assert int((~result["converged"]).sum()) == 0
            pit = pit_values(result, ranks=100, rng=rng(28), classrooms=LOOK_AT)
            verdicts[rate] = calibration_table(pit)
    assert verdicts[1.0]["calibrated"].all(), verdicts[1.0]
    assert not verdicts[10.0].loc[["sigma", "log_likelihood"], "calibrated"].any()
    assert verdicts[10.0].loc["sigma", "outside"] > 0.3
