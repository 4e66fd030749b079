"""Lecture 11: what its sentences and captions say of the fits."""

from scipy import special

from utils import check_claim


def test_the_table_is_the_whole_study():
    assert len(trolley) == 9930 and len(people) == 331 and (n_women, n_men) == (141, 190)
    assert (trolley["gender"] == "men").to_numpy().sum() == 190 * 30


def test_cutpoints_have_a_closed_form():
    kappa = cutpoint_idata.posterior["kappa"]
    np.testing.assert_allclose(
        kappa.mean(("chain", "draw")), special.logit(cumulative.to_numpy()), atol=0.01
    )


def test_prior_draws_are_out_of_order():
    assert in_order.mean() < 0.02 and (unsorted < 0).any(axis=1).mean() > 0.9
    assert (prior_shares >= 0).all()


def test_every_treatment_lowers_ratings():
    for name in ("beta_A", "beta_I", "beta_C"):
        draws = treatment_idata.posterior[name]
        check_claim(f"{name} is negative.", float(draws.mean()), float(draws.std()), below=0)
    assert (effect.sel(kind=kinds.index[1:]).mean(("chain", "draw")) < 0).all()


def test_common_cutpoints_miss_the_shapes():
    assert outside.to_numpy().sum() > 2 * 0.11 * outside.size


def test_the_check_by_gender_fails_and_is_mended():
    draws = gender_means[..., 0, 0]
    check_claim(
        "Without a main effect women are rated too high where there is no treatment.",
        float(draws.mean()),
        float(draws.std()),
        above=seen_means[0, 0],
    )
    assert gender_means[..., 1, 0].mean() < seen_means[1, 0]
    assert wrong_gaps[1] < wrong_gaps[0]
    here = gap(main_means)[..., 0]
    assert np.quantile(here, 0.055) < gap(seen_means)[0] < np.quantile(here, 0.945)


def test_contact_and_intention_do_more_than_their_sum():
    for means in (gender_means, main_means):
        high = means.mean(axis=(0, 1))
        assert (high[:, -1] > seen_means[:, -1]).all() and (high[:, 4] < seen_means[:, 4]).all()
    sums = seen_means[:, 2] + seen_means[:, 4] - seen_means[:, 0]
    assert (seen_means[:, 5] < sums - 0.5).all()


def steeper(name, treatment):
    """Women's slope minus men's: below zero where women mind more."""
    women, men = (posteriors[name][gender][f"beta_{treatment}"] for gender in GENDERS)
    difference = women - men
    return float(difference.mean()), float(difference.std())


def test_the_order_of_slopes_turns():
    for treatment in "AIC":
        lecture = steeper("slopes by gender (lecture)", treatment)
        check_claim("In the lecture's model women are steeper.", *lecture, below=0)
    for name in ("... and a main effect", "... and people"):
        means = [steeper(name, treatment) for treatment in "AIC"]
        assert all(mean > 0 for mean, _ in means), name
        assert sum(mean > 2 * sd for mean, sd in means) >= 2, name
    means = [steeper("cutpoints by gender", treatment) for treatment in "AIC"]
    assert all(abs(mean) < 2 * sd for mean, sd in means)
    assert len({mean > 0 for mean, _ in means}) == 2, "neither is steeper throughout"
    action, intention, contact = (steeper("... and people too", treatment) for treatment in "AIC")
    assert action[0] > action[1] and contact[0] > contact[1] and abs(intention[0]) < intention[1]
    women, men = (people_apart[g].posterior["tau"] for g in ("women", "men"))
    check_claim(
        "Men differ more among themselves.",
        float(men.mean() - women.mean()),
        float(np.hypot(men.std(), women.std())),
        above=0,
    )


def test_the_contrast_stands():
    for name in mended:
        for kind in kinds.index:
            draws = gap_draws[name].sel(kind=kind)
            check_claim(
                f"Men rate {kind} higher ({name}).",
                float(draws.mean()),
                float(draws.std()),
                above=0,
            )
    assert 0.3 < smallest < largest < 0.8


def test_participation_is_a_collider():
    table = selection["effect of G (truth 0)"]
    for label in ("no U", "U causes P and R"):
        assert abs(table[label, "everybody", "-"]) < 0.03
        assert table[label, "participants", "-"] < -0.2
    assert abs(table["no U", "participants", "E, Y"]) < 0.03
    assert table["U causes P and R", "participants", "E, Y"] < -0.2
    effect_of_E = selection["effect of E (truth 0.5)"]
    assert abs(effect_of_E["no U", "participants", "E, Y"] - 0.5) < 0.02
    assert effect_of_E["U causes P and R", "participants", "E, Y"] < 0.45


def test_the_sample():
    assert list(level_counts) == [2, 4, 14, 29, 82, 118, 47, 35]
    assert sorted(pupils["age"]) == [10, 11] and (pupils["male"] == 1).all()


def test_the_gap_of_education_was_partly_gender():
    draws = age_idata.posterior["beta_E"]
    for gender, way in (("women", "below"), ("men", "above")):
        one = draws.sel(gender=gender)
        check_claim(f"beta_E of {gender}", float(one.mean()), float(one.std()), **{way: 0})
    assert after < 0.75 * before and before > 0.8


def test_education_does_not_tell():
    assert test.pvalue > 0.1
    assert worst < 0.8 and over <= 4 and scores["no education"].pareto_k.max() < 0.5
    level = np.sort(people["level"].to_numpy())  # people are scored level by level
    for score in scores.values():
        assert (level[score.pareto_k.to_numpy() > 0.7] <= education.index("Some High School")).all()
    for gain, error in (monotone_gain, free_gain):
        assert gain < 2 * error


def test_people_and_cases_are_the_units():
    assert factor.loc["men", "people"] > 2
    assert (factor.loc["action":, "cases"] > 2).all()
    assert (factor.loc["men", ["cases"]] < factor.loc["men", "people"]).all()
    largest_error = errors.max(axis=1)
    assert (abs(estimate[6:]) > 2 * largest_error).all()


def test_slopes_grow_with_people():
    assert ratio["ratio"].min() > 1.15


def test_contrasts_keep_their_sign():
    men = questions["a man, not a woman (A)"].mean("person")
    check_claim("Men rate A higher.", float(men.mean()), float(men.std()), above=0)
