"""What the text and the captions of the page on practical difficulties say of its fits."""

from rethinking.display import check_claim


def test_a_normal_population_expects_new_tanks_where_none_are():
    rng = np.random.default_rng(RANDOM_SEED)
    shares = share_in_gap(
        rng.normal(alpha_bar_draws[:, None], sigma_draws[:, None], size=(len(sigma_draws), 200))
    )
    check_claim(
        "The model expects more new tanks in the gap than there are.",
        shares.mean() - gap_truth,
        shares.std(),
        above=0,
        margin=3,
    )
    check_claim(
        "The estimates put fewer there than the prediction does.",
        shares.mean() - share_in_gap(hump_estimates),
        np.sqrt(shares.var() + 0.05 * 0.95 / 48),
        above=0,
    )


def test_both_likelihoods_agree_in_the_log_probability_and_all_of_its_slopes():
    transform = pm.distributions.transforms.ordered
    with pm.Model(coords=coords) as stock:
        X = {k: pm.Data(k, terms[k].to_numpy(), dims="case") for k in terms}
        kappa = pm.Normal("kappa", 0, 1.5, dims="cutpoint", transform=transform)
        tau_u, tau_s = pm.Exponential("tau_u", 1), pm.Exponential("tau_s", 1)
        u = pm.ZeroSumNormal("u", tau_u, dims="person")
        s = pm.ZeroSumNormal("s", tau_s, dims="story")
        beta = {k: pm.Normal(f"beta_{k}", 0, 0.5) for k in terms}
        theta = sum(beta[k] * X[k] for k in terms) + s[story_codes]
        phi = theta[case_codes] + u[person_codes]
        pm.OrderedLogistic("R", eta=phi, cutpoints=kappa, observed=ratings, compute_p=False)
    answers = [
        (model.compile_logp(mode="FAST_COMPILE"), model.compile_dlogp(mode="FAST_COMPILE"))
        for model in (stock, crossed_model)
    ]
    rng = np.random.default_rng(RANDOM_SEED)
    for _ in range(3):
        start_at = crossed_model.initial_point()
        point = {k: rng.normal(0, 0.5, size=v.shape) for k, v in start_at.items()}
        np.testing.assert_allclose(*(logp(point) for logp, _ in answers), rtol=1e-10)
        first, second = (dlogp(point) for _, dlogp in answers)
        assert len(first) == len(second) == 354
        assert np.abs(first - second).max() < 1e-10 * np.abs(first).max()


def test_slopes_are_larger_within_people():
    assert grown >= 3  # "most", as the caption says
    for of_model in slopes.values():
        assert all(float(slope.mean()) < 0 for slope in of_model.values())
    check_claim(
        "Action lowers a rating more when people are told apart (size of the slope, log-odds).",
        -float(slopes["with"]["A"].mean() - slopes["without"]["A"].mean()),
        float(np.hypot(slopes["with"]["A"].std(), slopes["without"]["A"].std())),
        above=0,
    )


def test_everybody_met_every_case_once():
    assert (pd.crosstab(trolley["id"], trolley["case"]) == 1).all(axis=None)


def test_people_differ_more_than_stories_and_have_longer_bars():
    people_sd, story_sd = (crossed_idata.posterior[k].std(("chain", "draw")) for k in ("u", "s"))
    assert float(people_sd.median()) > float(story_sd.median())
    small = partition["stories"] + partition["treatments"]
    check_claim(
        "People make more of the variance than stories and treatments together (share).",
        float((partition["people"] - small).mean()),
        float((partition["people"] - small).std()),
        above=0,
    )


def test_centred_predictors_mix_better_and_mean_the_same():
    assert ess["centred"].min() > 1.3 * ess["as they are"].min()
    assert max(moved.values()) < 0.5
    ridge, cloud = (
        np.corrcoef(
            idata.posterior["kappa"].sel(cutpoint=3).to_numpy().ravel(),
            idata.posterior["beta_A"].to_numpy().ravel(),
        )[0, 1]
        for idata in (crossed_idata, shifted_idata)
    )
    assert ridge > 0.6 and abs(cloud) < 0.3


def test_each_way_is_faster_than_the_one_above():
    rates, lowest, highest = np.transpose(per_second)
    steps = rates[1:] / rates[:-1]
    assert steps[0] > 5 and steps[1] > 5 and steps[2] > 1.3
    assert (highest[:-1] < lowest[1:]).all()
    assert steps.argmin() == 2


def test_each_form_wins_once():
    least = forms["least bulk ESS"]
    assert least["all tadpoles", "centred"] > 2 * least["all tadpoles", "non-centred"]
    assert least["one a tank", "non-centred"] > 2 * least["one a tank", "centred"]
    assert forms["divergences"].max() < 100  # "they need not be many"


def test_both_forms_have_one_posterior():
    for name in ("alpha", "alpha_bar", "sigma"):
        draws = [idata.posterior[name] for idata in (centred_idata, noncentred_idata)]
        gap = np.subtract(*(d.mean(("chain", "draw")).to_numpy() for d in draws))
        assert (np.abs(gap) < 4.5 * np.hypot(*(az.mcse(d).to_numpy() for d in draws))).all()


def test_the_landscapes_are_as_the_caption_says():
    def slant(data, form, walked):
        posterior = form_idata[data, form].posterior
        x = posterior[walked].sel(tank=tank).to_numpy().ravel()
        return np.corrcoef(x, np.log(posterior["sigma"].to_numpy().ravel()))[0, 1]

    assert abs(slant("all tadpoles", "centred", "alpha")) < 0.3
    assert slant("all tadpoles", "non-centred", "z") > 0.4
    few = [form_idata["one a tank", f].posterior["sigma"] < 0.1 for f in ("centred", "non-centred")]
    assert float(few[0].mean()) < float(few[1].mean()) / 2


def test_slopes_are_known_where_both_kinds_of_case_were_told():
    assert (told["max"] == 0).sum() == 4 and (told["min"] == 1).sum() == 2
    assert both_told.sum() == 6
    assert slope_sd[both_told].max() < slope_sd[~both_told].min()
    assert mean_slope < 0


def test_with_the_usual_steps_some_diverge_for_some_seeds():
    compiled, diverged = utils.CompiledModel(slope_model), []
    for seed in range(RANDOM_SEED + 1, RANDOM_SEED + 5):
        drawn = compiled.draw(seed=seed, draws=1000, tune=1000, cores=2)
        diverged.append(int(drawn["sample_stats"]["diverging"].sum()))
    assert max(diverged) > 0, diverged
