"""Random confounds: the posteriors by a second sampler, and the stored study of many data sets.

The models are written anew here, in another form than the notebook's where that is possible. The
executed notebook wrote its posterior means and their Monte Carlo errors to the run record.
"""

import itertools
import re
from functools import cache

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
import yaml
from scipy import optimize, special, stats

from studies import confound_fits, pool
from studies import random_confounds as study
from tests.standard_errors import FAMILY_WISE, check

RANDOM_SEED = 12
TRUTH = {"beta_XY": 1.0, "beta_ZY": -0.5}


@cache
def namespace():
    return study.execute_cells(study.study_cells())


@cache
def notebook_data():
    return namespace()["simulate_confounded"](200, np.random.default_rng(RANDOM_SEED))


@cache
def stored():
    return study.load()


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("12d-Random_Confounds")


# --- 1. The five posteriors by another sampler ------------------------------------------------

WIDE = 10.0  # prior standard deviation of an intercept of the fixed effects


def other_model(name):
    """Write the model of the text in another form, with PyMC's vectors instead of dims."""
    data = notebook_data()
    g, X, Z = data["group_idx"], data["trait"], data["group_trait"]
    n = len(Z)
    with pm.Model() as model:
        beta_XY = pm.Normal("beta_XY", 0, 1)
        if name == "fixed effects":
            # the sums of intercept and effect of Z, with that effect integrated out: this is
            # the square root of the covariance WIDE**2 I + Z Z' times a standard Normal
            raw = pm.Normal("raw", 0, 1, shape=n)
            square = Z @ Z
            c = (np.sqrt(1 + square / WIDE**2) - 1) / square
            theta = pm.Deterministic("theta", WIDE * (raw + c * Z * (Z * raw).sum()))
            eta = theta[g]
        else:
            eta = pm.Normal("beta_ZY", 0, 1) * Z[g]
            if name == "naive":
                eta = eta + pm.Normal("alpha", 0, 10)
            else:
                tau, z = pm.Exponential("tau", 1), pm.Normal("z", 0, 1, shape=n)
                eta = eta + pm.Normal("alpha_bar", 0, 1) + tau * z[g]
        if name == "Mundlak":
            means = pd.Series(X).groupby(g).mean().to_numpy()
            eta = eta + pm.Normal("beta_xbar", 0, 1) * means[g]
        if name == "latent":
            U = pm.Normal("U", 0, 1, shape=n)
            alpha_X, beta_UX = pm.Normal("alpha_X", 0, 1), pm.Exponential("beta_UX", 1)
            mu = pm.Deterministic("mu", alpha_X + beta_UX * U)
            pm.Normal("X", mu[g], pm.Exponential("sigma_X", 1), observed=X)
            eta = eta + pm.Normal("beta_UY", 0, 1) * U[g]
        p = pm.math.invlogit(eta + beta_XY * X)
        pm.Binomial("Y", n=1, p=p, observed=data["survived"])
    return model


def other_draws(name):
    with other_model(name):
        idata = pm.sample(
            draws=1000,
            tune=700,
            chains=4,
            cores=2,
            nuts_sampler="pymc",
            target_accept=0.9,
            random_seed=RANDOM_SEED + 1,
            progressbar=False,
        )
    draws = idata["posterior"].to_dataset()
    if name == "fixed effects":
        # Z given the sums is a regression through the origin, with the prior Normal(0, 1)
        Z = notebook_data()["group_trait"]
        precision = 1 + Z @ Z / WIDE**2
        mean = (draws["theta"].to_numpy() @ Z) / WIDE**2 / precision
        noise = np.random.default_rng(RANDOM_SEED).normal(size=mean.shape)
        draws["beta_ZY"] = (("chain", "draw"), mean + noise / np.sqrt(precision))
        by_group = xr.DataArray(Z, dims=draws["theta"].dims[-1])
        draws["alpha"] = draws["theta"] - draws["beta_ZY"] * by_group
        draws = draws.drop_vars("raw")
    return draws


@pytest.mark.notebook("12d-Random_Confounds")
@pytest.mark.compiles
@pytest.mark.parametrize("name", ["naive", "fixed effects", "multilevel", "Mundlak", "latent"])
def test_posterior_by_another_sampler(record, name):
    rows = {
        r["variable"]: r
        for r in record
        if r["kind"] == "estimate" and r["name"] == f"confound {name}"
    }
    draws = other_draws(name)
    assert set(draws.data_vars) == set(rows), f"{name}: the notebook records other variables"
    z = []
    for variable, row in rows.items():
        own = np.ravel(draws[variable].mean(("chain", "draw")))
        error = np.hypot(np.ravel(az.mcse(draws[variable])), row["mcse"])
        z.append((np.array(row["mean"]) - own) / error)
    z = np.concatenate(z)
    if len(z) > 20:
        check(z, f"confound {name}")
    else:  # too few for their spread to say much
        assert np.abs(z).max() < stats.norm.isf(FAMILY_WISE / (2 * len(z)))


# --- 2. The stored study ----------------------------------------------------------------------


def test_stored_study_belongs_to_the_notebook():
    results, data_sets, stored_record = stored()
    assert stored_record["key"] == study.key_of(study.study_cells(), stored_record["versions"])
    sizes = data_sets.groupby("individuals").size()
    assert list(sizes.index) == list(confound_fits.SIZES)
    assert sizes[[75, 200]].min() >= 400 and sizes[1000] >= 200
    assert stored_record["data_sets"] == sizes.to_dict()
    estimators = [*confound_fits.ESTIMATORS, "ConditionalLogit"]
    rows = results.groupby(["individuals", "data_set"])["estimator"].agg(list)
    assert len(rows) == len(data_sets) and all(found == estimators for found in rows)
    fits = results[results["estimator"] != "ConditionalLogit"]
    assert stored_record["fits"] == len(fits)
    assert stored_record["refitted"] == fits["refits"].sum()
    assert stored_record["failed"] == (fits["passed"] == 0).sum()


def test_a_fit_that_counts_as_passed_passes_the_gate():
    results, _, _ = stored()
    fits = results[results["passed"] == 1]
    assert fits["max_rhat"].max() <= 1.01 + 1e-4  # stored with five digits
    assert fits["min_ess"].min() >= 400 and fits["divergences"].max() == 0
    assert fits["min_bfmi"].min() >= 0.3
    for effect in confound_fits.EFFECTS:
        between = fits[f"{effect}_mean"].between(fits[f"{effect}_lower"], fits[f"{effect}_upper"])
        assert between.all()


def test_data_sets_are_those_of_the_seed():
    _, data_sets, _ = stored()
    for row in data_sets.itertuples():
        data, _ = confound_fits.data_set(namespace(), row.individuals, row.data_set)
        found = confound_fits.fingerprint(data)
        assert found["checksum"] == row.checksum, row
        assert found["trait_mean"] == pytest.approx(row.trait_mean, rel=1e-4), row
        assert found["group_trait_mean"] == pytest.approx(row.group_trait_mean, rel=1e-4), row


@pytest.mark.compiles
def test_a_few_fits_again():
    """With another seed of the sampler: the means agree within their Monte Carlo errors."""
    results, _, _ = stored()
    results = results.set_index(["individuals", "data_set", "estimator"])
    estimators = confound_fits.Estimators(namespace())
    z = []
    for size, replicate in itertools.product(confound_fits.SIZES, (0, 1)):
        data, seed = confound_fits.data_set(namespace(), size, replicate)
        for estimator in ("naive", "Mundlak"):
            again = estimators.fit(estimator, data, seed + 1)
            before = results.loc[size, replicate, estimator]
            for effect in confound_fits.EFFECTS:
                error = np.hypot(again[f"{effect}_mcse"], before[f"{effect}_mcse"])
                z.append((again[f"{effect}_mean"] - before[f"{effect}_mean"]) / error)
        found = confound_fits.conditional_row(namespace()["conditional_logit"](data))
        before = results.loc[size, replicate, "ConditionalLogit"]
        assert found["beta_XY_mean"] == pytest.approx(before["beta_XY_mean"], rel=1e-3)
        assert found["groups"] == before["groups"]
    check(np.array(z), "fits of the study, made again")


@pytest.mark.notebook("12d-Random_Confounds")
def test_claims_of_the_text_recompute(record):
    """Bias, coverage and paired differences that the text states, from the table alone."""
    results, _, _ = stored()
    claims = {r["statement"]: r for r in record if r["kind"] == "claim"}

    def error(effect, size, estimator):
        rows = results.query("individuals == @size and estimator == @estimator")
        found = rows[f"{effect}_mean"].to_numpy() - TRUTH[effect]
        return found[np.isfinite(found)]

    def covered(effect, size, estimator):
        rows = results.query("individuals == @size and estimator == @estimator")
        return (rows[f"{effect}_lower"] < TRUTH[effect]) & (rows[f"{effect}_upper"] > TRUTH[effect])

    expected = {
        "The naive estimator is biased upwards": error("beta_XY", 1000, "naive").mean(),
        "So is the multilevel model with 7": error("beta_XY", 200, "multilevel").mean(),
        "Fixed effects are biased upwards for X": error("beta_XY", 200, "fixed effects").mean(),
        "With 2.5 a group fixed effects are more": error("beta_XY", 75, "fixed effects").mean()
        - error("beta_XY", 200, "fixed effects").mean(),
        "The intervals of fixed effects for Z hold": covered(
            "beta_ZY", 200, "fixed effects"
        ).mean(),
    }
    for words, value in expected.items():
        (claim,) = (c for s, c in claims.items() if s.startswith(words))
        assert claim["estimate"] == pytest.approx(value, rel=1e-6, abs=1e-9), words


# --- 3. The helpers of the study --------------------------------------------------------------


def two_groups(X, Y, group_idx):
    return {"trait": np.array(X, float), "survived": np.array(Y), "group_idx": np.array(group_idx)}


def test_conditional_logit_of_pairs_is_a_logit_of_differences():
    rng = np.random.default_rng(RANDOM_SEED)
    n = 60
    X = rng.normal(size=(n, 2))
    difference = X[:, 0] - X[:, 1]
    first = rng.binomial(1, special.expit(difference))  # which of the pair survived
    Y = np.stack([first, 1 - first], axis=1)
    sign = np.where(first == 1, 1, -1)
    expected = optimize.minimize_scalar(
        lambda b: np.logaddexp(0, -sign * difference * b).sum(), bounds=(-5, 5), method="bounded"
    ).x
    data = two_groups(X.ravel(), Y.ravel(), np.repeat(np.arange(n), 2))
    found = namespace()["conditional_logit"](data)
    p = special.expit(difference * expected)
    assert found["estimate"] == pytest.approx(expected, abs=1e-3)
    assert found["error"] == pytest.approx((p * (1 - p) @ difference**2) ** -0.5, rel=1e-2)
    assert found["groups"] == n


def test_conditional_logit_is_the_sum_over_all_orders():
    """Against the definition: the chance of these survivors among all sets of as many."""
    data = namespace()["simulate_confounded"](75, np.random.default_rng(3))

    def minus_log_likelihood(b):
        total = 0.0
        for group in np.unique(data["group_idx"]):
            X = data["trait"][data["group_idx"] == group]
            Y = data["survived"][data["group_idx"] == group]
            sets = [sum(c) for c in itertools.combinations(X, int(Y.sum()))]
            total -= b * (X @ Y) - special.logsumexp(b * np.array(sets, float))
        return total

    expected = optimize.minimize_scalar(minus_log_likelihood, bounds=(-5, 8), method="bounded").x
    found = namespace()["conditional_logit"](data)
    assert found["estimate"] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("Y", "groups", "estimate"),
    [
        ([0, 1, 0, 1], 2, np.inf),
        ([1, 0, 1, 0], 2, -np.inf),
        ([0, 0, 0, 1], 1, np.inf),
        ([0, 0, 1, 1], 0, np.nan),
    ],
)
def test_conditional_logit_without_a_maximum(Y, groups, estimate):
    found = namespace()["conditional_logit"](two_groups([1, 2, 3, 4], Y, [0, 0, 1, 1]))
    assert found["groups"] == groups
    np.testing.assert_equal(found["estimate"], estimate)
    assert np.isnan(found["error"])
    row = confound_fits.conditional_row(found)
    assert np.isnan(row["beta_XY_lower"])


def test_every_group_of_a_simulated_data_set_has_someone():
    for size, replicate in itertools.product(confound_fits.SIZES, range(5)):
        data, _ = confound_fits.data_set(namespace(), size, replicate)
        sizes = np.bincount(data["group_idx"], minlength=30)
        assert sizes.min() >= 1 and sizes.sum() == size
        means = [data["trait"][data["group_idx"] == g].mean() for g in range(30)]
        np.testing.assert_allclose(data["trait_mean"], means)


def test_data_sets_and_seeds_differ():
    seen = [
        (confound_fits.fingerprint(data)["checksum"], seed)
        for data, seed in (confound_fits.data_set(namespace(), 75, k) for k in range(20))
    ]
    assert len({a for a, _ in seen}) == len({b for _, b in seen}) == 20


def changed_source(tmp_path, old, new):
    text = study.default_source().read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "changed.md"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_another_number_in_a_tagged_cell_makes_the_result_stale(tmp_path):
    path = changed_source(tmp_path, "rng.normal(0, 1.5, size", "rng.normal(0, 1.6, size")
    with pytest.raises(pool.StudyError) as error:
        study.load(path)
    assert re.fullmatch(
        r"The stored study belongs to other code than the notebook shows \(key \w{12}, the code's "
        r"is \w{12}\): run `\.venv/bin/python -m studies\.random_confounds`\.",
        str(error.value),
    )


def test_text_comments_and_other_cells_do_not_make_it_stale(tmp_path):
    path = changed_source(tmp_path, "the mean of an empty group does not exist", "never empty")
    path.write_text(
        "Another text.\n\n```{code-cell} ipython3\n1 + 1\n```\n\n" + path.read_text("utf-8"),
        "utf-8",
    )
    study.load(path)


def test_no_tagged_cell_and_missing_or_changed_files_are_told(tmp_path, monkeypatch):
    empty = tmp_path / "empty.md"
    empty.write_text("```{code-cell} ipython3\n1 + 1\n```\n", encoding="utf-8")
    with pytest.raises(pool.StudyError, match=r"empty\.md has no cell tagged `study`: tag"):
        study.study_cells(empty)
    copies = {}
    for what, path in study.FILES.items():
        copies[what] = tmp_path / path.name
        copies[what].write_bytes(path.read_bytes())
    monkeypatch.setattr(study, "FILES", copies)
    study.load()
    table = copies["results"].read_text(encoding="utf-8")
    copies["results"].write_text(table.replace("naive", "native", 1), encoding="utf-8")
    with pytest.raises(pool.StudyError, match="is not the file that was stored"):
        study.load()
    copies["results"].unlink()
    with pytest.raises(pool.StudyError, match=r"random-confounds\.csv is missing: run "):
        study.load()


def test_five_digits_are_kept_and_whole_numbers_stay_whole():
    table = pd.DataFrame({"a": [1, 20], "b": [0.123456789, np.inf], "c": [3.0, np.nan]})
    rounded = study._rounded(table)
    assert rounded.to_dict("list") == {"a": ["1", "20"], "b": ["0.12346", "inf"], "c": ["3", ""]}


def test_record_names_what_made_it():
    _, _, stored_record = stored()
    assert stored_record["seed"] == study.SEED
    locked = dict(
        re.findall(r"^([\w-]+)==(\S+)", (pool.ROOT / "requirements.lock").read_text(), re.M)
    )
    assert stored_record["versions"] == {name: locked[name] for name in study.PACKAGES}, (
        "the lock has moved on: run the study again with these versions"
    )
    assert yaml.safe_load(study.FILES["record"].read_text(encoding="utf-8")) == stored_record
