"""What lecture 12 says, by the fits of its own run."""

from studies import random_confounds as study


def small_and_large(values, stratum=None):
    """Mean difference between tanks of 10 and of 35 tadpoles, with its standard error."""
    rows = slice(None) if stratum is None else (frogs["pred"] == stratum).to_numpy()
    groups = pd.Series(np.asarray(values))[rows].groupby(frogs["density"][rows].to_numpy())
    small, large = groups.get_group(10), groups.get_group(35)
    return small.mean() - large.mean(), np.hypot(small.sem(), large.sem())


# --- Trolley


def test_people_differ_more_than_stories():
    errors = [m.std() / np.sqrt(2 * (len(m) - 1)) for m in (person_means, story_means)]
    check_claim(
        "Mean ratings of people differ more than those of stories.",
        person_means.std() - story_means.std(),
        np.hypot(*errors),
        above=0,
    )
    shown = person_means.loc[first_people]
    assert shown.min() < 2 and shown.max() > 6


def test_people_differ_at_least_twice_as_much_as_stories_in_log_odds():
    tau, sigma = person_idata["posterior"]["tau"], story_idata["posterior"]["sigma"]
    check_claim(
        "tau is more than twice sigma.",
        float(tau.mean() - 2 * sigma.mean()),
        float(np.hypot(tau.std(), 2 * sigma.std())),
        above=0,
    )


def test_the_learning_curve_is_as_the_caption_says():
    for size in (2, 5, 10):
        at = curve.xs(size, level="ratings")
        assert at["held_out"].idxmax() == "partial" and at["trained_on"].idxmax() == "no"
        assert (at["trained_on"] - at["held_out"]).idxmax() == "no"
        check_claim(
            "complete pooling is behind",
            *at.loc["complete", ["behind_partial", "standard_error"]],
            above=0,
        )
    lead, error = curve.loc["no", "behind_partial"], curve.loc["no", "standard_error"]
    for size in (2, 5):
        check_claim("no pooling is behind", lead[size], error[size], above=0)
    assert lead.is_monotonic_decreasing and lead[10] < lead[2] / 2


def test_thirty_ratings_hardly_shrink():
    slope = stats.linregress(raw_means, expected.mean(("chain", "draw")))
    check_claim("The slope is near one.", slope.slope, slope.stderr, above=0.95)


# --- Sigma by hand


def test_the_score_curve_is_as_the_caption_says():
    at = dict(zip(others, zip(difference, error, strict=True), strict=True))
    check_claim("sigma = 5 predicts worse than the best", *at[sigmas[-1]], below=0)
    check_claim("sigma = 0.1 predicts worse still", *at[sigmas[0]], below=0)
    assert at[sigmas[0]][0] < at[sigmas[-1]][0]
    best = int(np.argmin(np.abs(sigmas - best_sigma)))
    for neighbour in sigmas[[best - 1, best + 1]]:
        check_claim("a neighbour cannot be told from the best", *at[neighbour], within=0)


def test_small_sigmas_pull_and_large_ones_do_not():
    gaps = pd.DataFrame(
        {s: np.abs(v["mean"].to_numpy() - frogs["propsurv"]) for s, v in sigma_survival.items()}
    )
    left = gaps.groupby(frogs["density"]).mean()
    left = left.div(left[sigmas[0]], axis=0)  # of the distance from the data
    assert left[sigmas[1]].is_monotonic_decreasing and left[sigmas[2]].is_monotonic_decreasing
    width = {s: float((v["upper"] - v["lower"]).mean()) for s, v in sigma_survival.items()}
    assert width[sigmas[0]] < width[sigmas[-1]] / 2


def test_the_pull_grows_with_distance_and_with_few_tadpoles():
    with np.errstate(divide="ignore"):
        raw = utils.logit(frogs["propsurv"].to_numpy())
    best = by_sigma[best_sigma]["posterior"]
    alpha = best["alpha"].mean(("chain", "draw")).to_numpy()
    distance = np.abs(raw - float(best["alpha_bar"].mean()))
    pull, finite = np.abs(raw - alpha), np.isfinite(raw)
    slope = stats.linregress(distance[finite], pull[finite])
    check_claim("the pull grows with the distance", slope.slope, slope.stderr, above=0)
    clear = finite & (distance > 0.5)
    share = pd.Series(pull[clear] / distance[clear]).groupby(frogs["density"].to_numpy()[clear])
    small, large = share.get_group(10), share.get_group(35)
    check_claim(
        "small tanks go a larger share of the way",
        small.mean() - large.mean(),
        np.hypot(small.sem(), large.sem()),
        above=0,
    )
    estimates = sigma_survival[best_sigma]["mean"].to_numpy()
    ends = np.sort([frogs["propsurv"], np.full(48, sigma_median[best_sigma])], axis=0)
    assert ((ends[0] <= estimates) & (estimates <= ends[1])).mean() > 0.75  # "most"


# --- The multilevel model


def test_the_implied_prior_has_thicker_tails_than_its_normal():
    normal = stats.norm.pdf(alpha_grid, 0, implied_sd)
    tails = np.abs(alpha_grid) > 7.5
    assert (implied[tails] > 3 * normal[tails]).all()
    # Letting only the mean vary gives a Normal: it is sigma that thickens the tails.
    wide = np.linspace(-150, 150, 30001)
    nodes = np.linspace(0, 30, 301)
    weights = stats.expon.pdf(nodes)
    mixture = stats.norm.pdf(wide[:, None], 0, np.hypot(1.5, nodes)) @ weights
    mass = mixture / np.trapezoid(mixture, wide)
    kurtosis = np.trapezoid(mass * wide**4, wide) / np.trapezoid(mass * wide**2, wide) ** 2
    assert kurtosis > 5


def test_sigma_is_found_where_the_scores_are_best():
    low, high = az.eti(multilevel_sigma, prob=0.89).to_numpy()
    assert low < best_sigma < high
    own, _ = utils.paired_difference(multilevel_score, scores[best_sigma])
    assert own < 0


def test_no_count_that_was_seen_surprises_the_model():
    assert outside == 0


def test_the_multilevel_model_predicts_new_tanks_better():
    for other in ("sigma = 1", "sigma = 5"):
        check_claim(
            f"better than {other}",
            *utils.paired_difference(multilevel_score, models[other]),
            above=0,
        )


def test_the_lamps_are_on_for_most_tanks_given_their_own_alpha():
    assert int((naive_score.pareto_k > naive_score.good_k).sum()) > 24
    assert float(multilevel_score.pareto_k.max()) < 0.7
    assert naive_score.elpd - multilevel_score.elpd > 15


def test_small_tanks_are_less_certain_and_shrink_more_in_both_strata():
    for stratum in ("no", "pred"):
        for column in ("width", "shrinkage"):
            check_claim(
                f"{stratum}: {column} is larger with 10 tadpoles than with 35",
                *small_and_large(by_tank[column], stratum),
                above=0,
            )
    assert levels["median tank"] > levels["mean of new tanks"]


# --- Predators


def test_the_low_tanks_have_predators():
    assert has_predators[frogs["propsurv"] < 0.5].all()
    spread = frogs.groupby("pred")["propsurv"].std()
    assert spread["pred"] > spread["no"]
    assert float(survival_without_predators.mean()) > float(survival_with_predators.mean())


def test_the_wider_prior_moves_the_effect():
    assert abs(float(tight.mean())) / 0.5 > 3
    assert abs(shift) / float(tight.std()) > 2
    new = [draws["survival of new tanks (probability)"] for draws in effects.values()]
    assert float(new[1].mean()) < float(new[0].mean()) < 0


def test_predators_explain_variation_away():
    with_, without = (v.to_numpy().ravel() for v in (predator_posterior["sigma"], multilevel_sigma))
    assert with_.mean() / without.mean() < 0.7
    assert np.searchsorted(np.sort(with_), without).mean() / with_.size > 0.98
    moved = np.abs(predator_survival["mean"].to_numpy() - multilevel_survival["mean"].to_numpy())
    assert np.median(moved) < 0.02 and moved.max() < 0.15


def test_another_tadpole_is_predicted_a_little_better():
    check_claim("seen tank", *gains.loc["another tadpole in a seen tank"], above=0)
    a_tadpole = gains.iloc[1, 0] / frogs["density"].sum()
    assert a_tadpole < 0.02 * gains.iloc[0, 0] / len(frogs)


# --- Exercises


def test_the_prior_of_sigma_hardly_matters():
    means = {rate: float(fit["posterior"]["sigma"].mean()) for rate, fit in rate_idata.items()}
    own, spread = float(multilevel_sigma.mean()), float(multilevel_sigma.std())
    assert abs(means[5.0] - own) < 1.5 * spread and abs(means[0.2] - own) < 0.5 * spread


def test_size_matters_only_with_predators():
    check_claim(
        "With predators, large tadpoles survive less.",
        float(with_predators.mean()),
        float(with_predators.std()),
        below=0,
    )
    alone = size_posterior["beta_G"]
    check_claim("Without, it cannot be seen.", float(alone.mean()), float(alone.std()), within=0)
    assert float(az.eti(size_posterior["beta_PG"], prob=0.89)[1]) < 0


# --- Random confounds


def test_confounded_data_are_as_the_text_says():
    sizes = confounded["group"].value_counts()
    assert len(sizes) == 30 and sizes.sum() == 200  # no empty group
    assert sizes.max() > sizes.min()  # "differ in size"
    assert groups["trait_mean"].notna().all()
    true = confound_table.index.get_level_values("effect").map(confound_truth)
    inside = confound_table["eti89_lb"].lt(true) & confound_table["eti89_ub"].gt(true)
    assert inside.equals(confound_table["truth inside"].rename(None))


def test_one_data_set_orders_the_estimators_for_x():
    """Naive and multilevel lie highest; those that close the back door lie lower and are wider."""
    mean = confound_table["mean"].xs("beta_XY").astype(float)
    sd = {k: float(i["posterior"]["beta_XY"].std()) for k, i in confound_idata.items()}
    open_door, closed_door = ["naive", "multilevel"], ["fixed effects", "Mundlak", "latent"]
    assert mean[open_door].min() > mean[closed_door].max()
    assert min(sd[k] for k in closed_door) > max(sd[k] for k in open_door)
    assert float((naive_idata["posterior"]["beta_XY"] > 1).mean()) > 0.5


def test_fixed_effects_hardly_know_more_of_z_than_their_prior():
    draws = fixed_effects_idata["posterior"]["beta_ZY"]
    check_claim(
        "The posterior of beta_ZY is nearly as wide as its prior (standard deviation).",
        float(draws.std()),
        float(az.mcse(draws, method="sd")),
        above=0.8,
    )


def test_the_other_four_agree_on_z():
    mean = confound_table["mean"].xs("beta_ZY").astype(float).drop("fixed effects")
    sd = {k: float(i["posterior"]["beta_ZY"].std()) for k, i in confound_idata.items()}
    narrow = [sd[k] for k in mean.index]
    assert mean.max() - mean.min() < min(narrow) / 2
    assert sd["fixed effects"] > 2 * max(narrow)


def test_the_data_are_those_of_the_deep_dive():
    """Its simulation, with the same seed, gives the same data set."""

    cells = study.execute_cells(study.study_cells())
    data = cells["simulate_confounded"](200, np.random.default_rng(RANDOM_SEED))
    np.testing.assert_array_equal(data["group_idx"], confounded["group"])
    np.testing.assert_array_equal(data["survived"], confounded["survived"])
    np.testing.assert_allclose(data["trait"], confounded["trait"])
    np.testing.assert_allclose(data["group_trait"], groups["group_trait"])
    np.testing.assert_allclose(data["trait_mean"], groups["trait_mean"])


def test_many_data_sets_say_what_the_text_says_of_them():

    results, _, _ = study.load()

    def bias(individuals, estimator):
        rows = results.query("individuals == @individuals and estimator == @estimator")
        error = rows["beta_XY_mean"] - 1
        return float(error.mean()), float(error.sem())

    for individuals in (75, 200, 1000):
        for estimator in ("naive", "multilevel"):
            check_claim(
                f"The {estimator} estimator is too high ({individuals} individuals).",
                *bias(individuals, estimator),
                above=0.2,
            )
        for estimator in ("Mundlak", "latent"):
            mean, error = bias(individuals, estimator)
            check_claim(f"{estimator} is nearly right.", abs(mean), error, below=0.2)
    for individuals in (75, 200):
        check_claim(
            f"Fixed effects are too high in small groups ({individuals} individuals).",
            *bias(individuals, "fixed effects"),
            above=0.2,
        )
