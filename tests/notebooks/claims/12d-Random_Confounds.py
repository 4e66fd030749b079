"""What the deep dive on random confounds says, asked of its fits and of the stored study."""

OF_X = {n: wide.loc["beta_XY", n] for n in study_sizes}
OF_Z = {n: wide.loc["beta_ZY", n] for n in study_sizes}
CLOSED = ["Mundlak", "latent", "latent, wide prior"]


def coverage(effect, individuals, estimator):
    row = study_table.loc[effect, individuals, estimator]
    return row["coverage"], row["coverage MCE"]


def change(effect, estimator, small, large):
    """Bias at the smaller size less that at the larger; the data sets are independent."""
    (a, a_se), (b, b_se) = (mean_and_error(wide.loc[effect, n][estimator]) for n in (small, large))
    return a - b, float(np.hypot(a_se, b_se))


# --- One data set ------------------------------------------------------------------------------


def test_the_data_set_is_as_the_text_says():
    assert confound_sizes.min() > 0 and confound_sizes.sum() == 200
    assert confound_sizes.max() >= 3 * confound_sizes.min()  # "several times as large"
    assert one_outcome > 30 / 3  # "in many groups"


def test_fixed_effects_do_not_identify_the_effect_of_z():
    assert fixed_sd["theta"] < fixed_sd["alpha"]
    check_claim(
        "The posterior of beta_ZY is nearly as wide as its prior (standard deviation).",
        fixed_sd["beta_ZY"],
        float(az.mcse(fixed_draws["beta_ZY"], method="sd")),
        above=0.8,
    )


def test_the_latent_u_says_what_the_group_means_say():
    assert u_with_mean > 0.98 and u_with_mean > u_with_truth


def test_maximum_likelihood_drops_the_groups_with_one_outcome():
    assert 30 - conditional["groups"] == one_outcome
    assert ml_xy["fixed effects"] > ml_xy["ConditionalLogit"]


# --- The study ---------------------------------------------------------------------------------


def test_numbers_of_the_study():
    assert study_numbers[[75, 200]].min() >= 400 and study_numbers[1000] >= 200
    assert study_numbers.sum() == 1000
    assert not study_fits.duplicated(["individuals", "data_set", "estimator"]).any()
    assert len(study_failed) < 0.01 * len(study_fits)


def test_one_data_set_cannot_rank_the_estimators():
    assert 0.05 < naive_closer < 0.5 and 0.05 < fixed_closer < 0.5


def test_the_answer_at_the_top():
    """Mundlak is nearly right for both effects, in small groups and in large ones."""
    for effect in confound_truth:
        for n in study_sizes:
            bias, error = mean_and_error(wide.loc[effect, n]["Mundlak"])
            check_claim(f"Mundlak is nearly right: {effect}, {n}.", abs(bias), error, below=0.15)
            check_claim(
                f"Its intervals do not break their promise by much: {effect}, {n}.",
                *coverage(effect, n, "Mundlak"),
                above=0.82,
            )


def test_naive_and_multilevel_stay_biased():
    check_claim(
        "The naive estimator is biased upwards, with 33 individuals a group too.",
        *mean_and_error(OF_X[1000]["naive"]),
        above=0,
        margin=5,
    )
    check_claim(
        "So is the multilevel model with 7 a group: its population of intercepts ignores X.",
        *mean_and_error(OF_X[200]["multilevel"]),
        above=0,
        margin=5,
    )
    check_claim(
        "Its bias shrinks as groups grow (7 against 33 a group) ...",
        *change("beta_XY", "multilevel", 200, 1000),
        above=0,
        margin=5,
    )
    check_claim(
        "... but with 33 a group it is still there.",
        *mean_and_error(OF_X[1000]["multilevel"]),
        above=0,
        margin=5,
    )
    check_claim(
        "Groups of 2.5 look no worse than groups of 7.",
        *change("beta_XY", "multilevel", 75, 200),
        below=0,
    )


def test_fixed_effects_against_the_others():
    check_claim(
        "With 2.5 a group fixed effects are more biased than with 7.",
        *change("beta_XY", "fixed effects", 75, 200),
        above=0,
        margin=5,
    )
    check_claim(
        "And more than the multilevel model.",
        *mean_and_error(OF_X[75]["fixed effects"] - OF_X[75]["multilevel"]),
        above=0,
        margin=5,
    )
    gap, gap_se = mean_and_error(OF_X[200]["fixed effects"] - OF_X[200]["multilevel"])
    check_claim("With 7 a group about as much.", abs(gap), gap_se, below=0.1)
    check_claim(
        "With 33 a group, less than the multilevel model.",
        *mean_and_error(OF_X[1000]["fixed effects"] - OF_X[1000]["multilevel"]),
        below=0,
        margin=5,
    )


def test_conditional_logit_is_right_in_the_median():
    """But a few huge estimates drive its mean in the smallest groups."""
    found = errors[errors["estimator"] == "ConditionalLogit"].set_index("individuals")["error"]
    assert found.groupby(level=0).median().abs().max() < 0.05
    small_groups = found.loc[75]
    mean, error = mean_and_error(small_groups)
    check_claim("Its mean with 2.5 a group is too high.", mean, error, above=0)
    without = small_groups[small_groups < small_groups.quantile(0.95)]
    assert without.mean() < mean / 2


def test_the_prior_of_the_effect_of_u_speaks():
    check_claim(
        "With 2.5 a group the latent model is biased upwards for X.",
        *mean_and_error(OF_X[75]["latent"]),
        above=0,
        margin=3,
    )
    check_claim(
        "The wider prior brings its estimates down (same data sets, paired).",
        *mean_and_error(OF_X[75]["latent, wide prior"] - OF_X[75]["latent"]),
        below=0,
        margin=5,
    )
    check_claim(
        "With 33 a group that hardly matters: the difference is less than 0.05.",
        *mean_and_error(OF_X[1000]["latent"] - OF_X[1000]["latent, wide prior"]),
        below=0.05,
        margin=3,
    )
    assert (OF_X[75]["latent"] > OF_X[75]["Mundlak"]).mean() > 0.9  # "in nearly every one"
    for estimator in ("Mundlak", "latent, wide prior"):
        check_claim(
            f"{estimator}, 2.5 a group: a little too low for X, and not too high.",
            *mean_and_error(OF_X[75][estimator]),
            below=0,
            margin=3,
        )


def test_intervals_that_hold_too_often_or_too_rarely():
    check_claim(
        "The intervals of fixed effects for Z hold the truth too often.",
        *coverage("beta_ZY", 200, "fixed effects"),
        above=0.89,
        margin=5,
    )
    check_claim(
        "So do those of Mundlak for X with 2.5 a group.",
        *coverage("beta_XY", 75, "Mundlak"),
        above=0.89,
        margin=3,
    )
    check_claim(
        "Those of the naive estimator for Z hold it too rarely with 33 a group ...",
        *coverage("beta_ZY", 1000, "naive"),
        below=0.89,
        margin=5,
    )
    check_claim(
        "... though its estimates are better than the multilevel model's (squared error) ...",
        *mean_and_error(OF_Z[1000]["naive"] ** 2 - OF_Z[1000]["multilevel"] ** 2),
        below=0,
    )
    check_claim(
        "... whose intervals keep the promise.",
        *coverage("beta_ZY", 1000, "multilevel"),
        within=0.89,
    )


def test_the_latent_model_gains_little():
    for effect, estimator in (("beta_XY", "latent, wide prior"), ("beta_ZY", "latent")):
        pairs = wide.loc[effect, 200]
        saved = mean_and_error(pairs["Mundlak"] ** 2 - pairs[estimator] ** 2)
        whole = float((pairs["Mundlak"] ** 2).mean())
        check_claim(
            f"For {effect} with 7 a group, {estimator}: less than a tenth of the squared error.",
            *(value / whole for value in saved),
            below=0.1,
        )
    check_claim(
        "With 7 a group and the wider prior it gives Mundlak's estimates, within 0.02 on average.",
        *mean_and_error(OF_X[200]["latent, wide prior"] - OF_X[200]["Mundlak"]),
        below=0.02,
    )


def test_noise_in_the_means_does_not_hurt_the_effect_of_x():
    check_claim(
        "With 2.5 a group, Mundlak's squared error for X is smaller than the multilevel model's.",
        *mean_and_error(OF_X[75]["Mundlak"] ** 2 - OF_X[75]["multilevel"] ** 2),
        below=0,
        margin=5,
    )


# --- What the captions say ---------------------------------------------------------------------


def test_figure_of_the_bias():
    bias = study_table["bias"]
    assert all(abs(bias["beta_XY", n, e]) < 0.15 for n in study_sizes for e in CLOSED)
    others = [e for e in study_names if e not in ("fixed effects", "ConditionalLogit")]
    assert all(abs(bias["beta_ZY", 1000, e]) < 0.07 for e in others)
    assert all(bias["beta_ZY", n, "fixed effects"] > 0.2 for n in study_sizes)


def test_figure_of_the_squared_error():
    rmse_of = study_table["RMSE"]
    for n in study_sizes:
        best = max(rmse_of["beta_XY", n, e] for e in CLOSED)
        assert best < min(rmse_of["beta_XY", n, e] for e in study_names if e not in CLOSED)
    assert rmse_of["beta_XY", 1000, "ConditionalLogit"] < 1.1 * rmse_of["beta_XY", 1000, "latent"]
    assert rmse_of["beta_XY", 75, "ConditionalLogit"] > 1  # "off the chart"
    assert study_table["RMSE"].drop("ConditionalLogit", level="estimator").max() < 1
    fixed = [rmse_of["beta_ZY", n, "fixed effects"] for n in study_sizes]
    assert min(fixed) > 0.8 * max(fixed)  # "hardly improve"
    others = [e for e in study_names if e not in ("fixed effects", "ConditionalLogit")]
    assert all(rmse_of["beta_ZY", 1000, e] < 0.6 * rmse_of["beta_ZY", 75, e] for e in others)


def test_figure_of_the_coverage():
    cover = study_table["coverage"]
    for estimator in ("naive", "multilevel"):
        found = [cover["beta_XY", n, estimator] for n in study_sizes]
        assert found == sorted(found, reverse=True) and max(found) < 0.8
    assert max(cover["beta_XY", n, "fixed effects"] for n in study_sizes) < 0.85
    assert min(cover["beta_ZY", n, "fixed effects"] for n in study_sizes) > 0.99
    found = [cover["beta_ZY", n, "naive"] for n in study_sizes]
    assert found == sorted(found, reverse=True)


def test_exercise_1_has_no_clear_winner():
    assert decision["difference in standard errors"].max() < 3
