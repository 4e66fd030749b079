"""What the text and the captions of the page on inconvenient posteriors say of its fits."""


def test_the_neck_is_missed():
    assert lost > 50 and straight_idata["sample_stats"]["diverging"].sum() == 0
    centred, straight = (each["posterior"]["v"] for each in (funnel_idata, straight_idata))
    assert float(centred.min()) > float(straight.min()) + 1
    assert abs(funnel_sd["non-centred"] - true_sd) < 4 * float(az.mcse(straight, method="sd"))
    assert funnel_sd["centred"] < true_sd - 0.2
    bad = funnel_idata["sample_stats"]["diverging"].to_numpy()
    assert np.median(centred.to_numpy()[bad]) < np.median(centred)


def test_large_steps_diverge_and_small_ones_do_not():
    assert np.abs(error[0.05]).max() < 0.1 and error[0.8].max() > 1000
    assert len(error[0.8]) == 5 or len(error[0.8]) == 4
    assert paths[0.1][0][:, 1].min() < 0 < paths[0.1][0][-1, 1]


def test_the_slope_is_the_slope():
    q, step = np.array([1.3, -0.4]), 1e-6
    found = [(height(q + step * e) - height(q - step * e)) / (2 * step) for e in np.eye(2)]
    np.testing.assert_allclose(slope(q), found, rtol=1e-5)


def test_smaller_steps_lessen_the_fault():
    straight = remedies.loc["non-centred, 0.8"]
    assert (straight["divergences"] == 0).all() and (abs(straight["sd"] - 1) < 0.06).all()
    low, high = (remedies.loc[f"centred, {target}", "divergences"] for target in (0.8, 0.99))
    assert high.sum() < 0.5 * low.sum() and low.loc[3] > low.loc[0.5]
    assert narrow.loc["centred, 0.99", "ESS"] < 0.2 * narrow.loc["non-centred, 0.8", "ESS"]
    assert narrow.loc["centred, 0.99", "steps"] > narrow.loc["centred, 0.8", "steps"]


def test_the_factor_is_numpys():
    np.testing.assert_allclose(factor, np.linalg.cholesky(R), atol=1e-12)
    np.testing.assert_allclose(factor @ factor.T, R, atol=1e-12)


def test_the_forms_cross():
    a, b = per_step["centred"], per_step["non-centred"]
    assert a.iloc[0] < 0.6 * b.iloc[0] and a.iloc[-1] > 2 * b.iloc[-1]
    assert 0.3 < ahead[ahead].index.min() < 35 and ahead.is_monotonic_increasing
