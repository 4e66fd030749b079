"""What the page for those who come from R or from PyMC 5 says of its cells."""


def test_densities_agree():
    # PyTensor takes a Python float for a float32 where that loses little.
    np.testing.assert_allclose(densities["by hand"], densities["PyMC"], rtol=1e-6)


def test_the_interval_is_that_of_precis():
    draws = frog_idata.posterior["sigma"].values.ravel()
    lower, upper = widths["default"]
    np.testing.assert_allclose([lower, upper], np.quantile(draws, [0.055, 0.945]), rtol=0.01)
    old_lower, old_upper = widths["as in ArviZ 0.x"]
    assert old_upper - old_lower > 1.1 * (upper - lower)
    table = az.summary(frog_idata, var_names=["sigma"])
    assert {"eti89_lb", "eti89_ub"} <= set(table.columns)


def test_link_is_the_formula():
    logit_p = beta.isel(group=("tank", group)) + frog_idata.posterior["alpha"]
    np.testing.assert_allclose(
        invlogit(logit_p.transpose("chain", "draw", "tank").values),
        frog_idata.posterior["p"].values,
        rtol=1e-6,
    )


def test_what_if_there_were_no_predators():
    logit_p = beta.sel(group="no") + frog_idata.posterior["alpha"]
    np.testing.assert_allclose(
        invlogit(logit_p.transpose("chain", "draw", "tank").values),
        without.posterior_predictive["p"].values,
        rtol=1e-6,
    )
    assert low > seen_high


def test_with_predators_about_half_survive_and_without_far_more():
    assert abs(float(beta.sel(group="pred").mean())) < 0.3
    assert float(beta.sel(group="no").quantile(0.055)) > 2


def test_what_changed_without_a_word():
    assert np.array_equal(named.posterior_predictive["alpha"].values, old_alpha)
    assert not np.isclose(drawn.posterior_predictive["alpha"].values, old_alpha).any(axis=1).all()
    assert int(funnel_idata.sample_stats["diverging"].sum()) > 0
    assert funnel_idata.posterior.attrs["inference_library"] == "nutpie"
    assert funnel_idata.posterior.attrs["tuning_steps"] == 400
    assert comparison.index[0] == "two rates" and comparison["elpd_diff"].iloc[1] < 0
    assert rounded["elpd_diff"].iloc[1] != comparison["elpd_diff"].iloc[1]
    assert az.hdi(sigma_draws.values).shape == (4, 2) and az.hdi(sigma_draws).shape == (2,)
    assert factor[0, 1] == 0 and (factor @ factor.T)[0, 1] != 0


def test_old_names_stop_with_an_error():
    old = {
        "InferenceData.extend": (AttributeError, lambda: frog_idata.extend(frog_idata)),
        "groups()": (TypeError, lambda: frog_idata.groups()),
        "a list of names": (Exception, lambda: frog_idata.posterior[["beta", "sigma"]]),
        "from_dict": (TypeError, lambda: az.from_dict(posterior={"x": np.zeros((4, 9))})),
        "hdi_prob": (TypeError, lambda: az.summary(frog_idata, hdi_prob=0.9)),
        "hdi_prob of hdi": (TypeError, lambda: az.hdi(sigma_draws, hdi_prob=0.9)),
        "hdi_prob of a plot": (ValueError, lambda: az.plot_forest(frog_idata, hdi_prob=0.9)),
        "ax": (ValueError, lambda: az.plot_dist(frog_idata, var_names=["sigma"], ax=None)),
        "elpd_loo": (AttributeError, lambda: az.loo(two_idata).elpd_loo),
        "ic": (TypeError, lambda: az.compare({"a": one_idata, "b": two_idata}, ic="loo")),
        "max_treedepth": (TypeError, lambda: pm.sample(model=one_model, max_treedepth=12)),
        "lp": (KeyError, lambda: frog_idata.sample_stats["lp"]),
        "return_matrix": (TypeError, lambda: pm.LKJCorr.dist(n=2, eta=2, return_matrix=True)),
    }
    for name, (kind, call) in old.items():
        try:
            call()
        except kind:
            continue
        raise AssertionError(f"{name} works")
    gone = "waic concat plot_posterior plot_density plot_kde plot_ppc plot_bpv plot_hdi"
    assert not [name for name in gone.split() if hasattr(az, name)]
    assert {"posterior", "sample_stats", "observed_data"} <= set(back.children)


def test_the_simulated_least_is_near_the_observed():
    assert np.quantile(least, 0.055) <= observed <= np.quantile(least, 0.945)
