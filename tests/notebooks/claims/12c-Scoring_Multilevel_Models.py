"""What the deep dive on scores says of its fits, asked of them."""

from scipy.stats import linregress, spearmanr


def lit(score):
    return int((score.pareto_k > score.good_k).sum())


def test_lamps():
    for label in ("multilevel", "sigma = 1", "sigma = 5"):
        assert lit(naive[label]) > 36 and lit(loo[label]) == 0
    assert loo["multilevel"].pareto_k.max() < 0.5
    assert len(caught) == 1 and int((loo_by_call.pareto_k <= loo_by_call.good_k).sum()) < 12


def test_two_alphas_of_a_tank_share_little():
    overlap = (without_count < float(with_count.max())).mean()
    assert frogs.loc[40, "surv"] / frogs.loc[40, "density"] < 0.5
    assert overlap < 0.3 and float(with_count.std()) < 0.35 * without_count.std()
    assert float(with_count.quantile(0.999)) < mean


def test_moment_matching_quiets_k_and_leaves_the_score_too_high():
    assert matched_large < 5
    assert matched.elpd - loo["multilevel"].elpd > 8


def test_nodes():
    on_population = mean + wide * nodes
    assert np.abs(on_population - peak).min() > 3 * scale
    assert np.abs(scale * nodes).max() < 7 * scale
    assert node_errors["31 on the peak"].abs().max() < 1e-3
    assert node_errors["15 on the population"].abs().iloc[-1] > 0.05
    assert abs(node_change) < 0.01


def test_naive_scores_are_too_high_and_in_the_wrong_order():
    assert (np.array(list(too_high.values())) > 0).all()
    assert spearmanr(sigmas, list(too_high.values())).statistic > 0.9
    assert list(right_comparison.index) == ["multilevel", "sigma = 1", "sigma = 5"]
    assert list(naive_comparison.index) == ["multilevel", "sigma = 5", "sigma = 1"]
    assert len(reversed_pairs) > 10
    assert (right_comparison["dse"] < right_comparison["se"]).all()


def test_multilevel_predicts_better():
    for other in ("sigma = 1", "sigma = 5"):
        check_claim(
            f"The multilevel model predicts new tanks better than {other}.",
            *utils.paired_difference(loo["multilevel"], loo[other]),
            above=0,
        )


def test_score_curve():
    at = dict(zip(others, zip(difference, difference_se, strict=True), strict=True))
    check_claim(
        "Knowing nothing of the other tanks (sigma = 5) predicts worse than the best sigma.",
        *at[sigmas[-1]],
        below=0,
    )
    check_claim(
        "Holding all tanks to one line (sigma = 0.1) predicts worse still.", *at[sigmas[0]], below=0
    )
    assert at[sigmas[0]][0] < at[sigmas[-1]][0]
    best_at = int(np.argmin(np.abs(sigmas - best_sigma)))
    for neighbour in sigmas[[best_at - 1, best_at + 1]]:
        check_claim(
            f"Its neighbour in the grid, {neighbour:.2f}, cannot be told from it.",
            *at[neighbour],
            within=0,
        )


def test_best_sigma_and_the_posterior():
    low, high = az.eti(posterior["sigma"], prob=0.89).to_numpy()
    assert low < best_sigma < high
    assert own < 0
    assert abs(fine[np.argmax(fine_scores)] - 1.61) < 0.03


def test_refits_and_sums_agree_with_the_integral():
    one_a_kind = frogs.drop_duplicates(["density", "surv"]).index
    for scores, errors, label in (
        (best_refit, best_refit_error, "best of the grid"),
        (multilevel_refit, multilevel_refit_error, "multilevel"),
    ):
        assert np.abs(((scores - exact[label]) / errors)[one_a_kind]).max() < 4.5  # of 29
        assert np.abs(scores - loo[label].elpd_i.to_numpy()).max() < 0.05
    for label in ("multilevel", "best of the grid"):
        assert np.abs(loo[label].elpd_i.to_numpy() - exact[label]).max() < 0.02
    assert np.abs(twice - exact["multilevel"]).max() < 1e-6


def test_shrinkage():
    assert 0 < away.sum() < 8 and (raw_logit[away] > mean).all()
    slope = linregress(distance[finite], pull[finite])
    check_claim(
        "The pull grows with the distance from the population (log-odds per log-odds).",
        slope.slope,
        slope.stderr,
        above=0,
    )
    clear = finite & (distance > 0.5)
    shares = pd.Series(pull[clear] / distance[clear]).groupby(frogs["density"].to_numpy()[clear])
    small, large = shares.get_group(10), shares.get_group(35)
    check_claim(
        "Tanks of 10 tadpoles go a larger share of the way to the population than tanks of 35.",
        small.mean() - large.mean(),
        np.hypot(small.sem(), large.sem()),
        above=0,
    )


def test_counts_of_parameters_order_models_otherwise():
    order = orders["flexibility"]
    assert order == "sigma = 1, multilevel, sigma = 5"
    for column in ("p_WAIC", "p_loo (naive PSIS)", "lpd - elpd (exact)"):
        assert orders[column] != order
    at_5 = flexible.loc["sigma = 5"]
    assert at_5["lpd - elpd (exact)"] > at_5["written down"]


def test_a_tank_follows_its_own_share_of_information():
    expected = own_information / (own_information + precision)
    assert np.abs(follows_mean - expected).max() < 0.1


def test_leaving_one_tadpole_out():
    assert lit(tadpole_loo) == 0 and tadpole_loo.pareto_k.size == 1120
    assert frogs["density"].min() >= 10
    by_tank = tadpole_loo.elpd_i.groupby(tadpole_tank.rename("of_tank")).sum().to_numpy()
    assert np.abs(by_tank - seen_tank["no predictor"]).max() < 0.1
    assert naive_gain < 0.5 * predator_score["new tank"]


def test_predators_explain_sigma_away():
    with_, without = (
        i["posterior"]["sigma"].to_numpy() for i in (predator_idata, multilevel_idata)
    )
    less = np.searchsorted(np.sort(with_.ravel()), without.ravel()).mean() / with_.size
    assert with_.mean() / without.mean() < 0.7 and less > 0.98


def test_size():
    large = interaction_idata["posterior"]
    assert float(az.eti(large["beta_PG"], prob=0.89).sel(ci_bound="upper")) < 0
    with_predators = large["beta_G"] + large["beta_PG"]
    check_claim(
        "With predators, large tadpoles survive less (log-odds; posterior mean and deviation).",
        float(with_predators.mean()),
        float(with_predators.std()),
        below=0,
    )
    check_claim(
        "Without predators, size cannot be seen to matter (the same).",
        float(large["beta_G"].mean()),
        float(large["beta_G"].std()),
        within=0,
    )
    check_claim(
        "Size alone does not change the prediction of new tanks.",
        *utils.paired_difference(new_tank["size"], new_tank["predators"]),
        within=0,
    )
    assert (size_scores["new tank"] > 3 * size_scores["seen tank"]).all()
