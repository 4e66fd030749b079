"""Claims of a thousand schools: what captions and sentences say, on the notebook's studies."""

from scipy import optimize


def test_few_fits_fail_twice():
    for result in (study, ranked, mistaken):
        assert int((~result["converged"]).sum()) <= 0.01 * result.sizes["school"]


def test_the_sampler_agrees_with_the_exact_answer():
    assert all(0.8 < value < 1.3 for value in spread.values()) and apart < 0.02


def test_the_cost_is_a_straight_line():
    for workers, part in cost.groupby("processes"):
        rest = part["seconds"] - np.polyval(lines[workers], part["schools"])
        assert np.abs(rest).max() < 0.1 * part["seconds"].max()


def test_every_size_gains_and_more_schools_lose_where_the_gain_is_small():
    for n in SIZES:
        check_claim(f"{n} gain", *results.loc[n, ["gain", "± gain"]], above=0)
    assert results["schools that lose"].is_monotonic_increasing
    assert all((values < 0).any() for values in school_gain)


def test_complete_pooling_errs_more_in_small_classrooms():
    """They have less of the common share to themselves; it takes many schools to see."""
    unfitted = schools.simulate_schools(
        4000, size, random_seed=RANDOM_SEED, alpha_bar=true_alpha_bar, sigma=true_sigma
    )
    shared = errors_of(unfitted, np.zeros((4000, 60)))["complete pooling"]
    more = shared[:, size == 5].mean(1) - shared[:, size == 35].mean(1)
    check_claim("larger in classrooms of 5", *over_schools(more), above=0)


def test_some_estimates_are_not_nearer_to_the_line():
    for kind in counts:
        check_claim(kind, *counts[kind], above=0)
    assert max(counts, key=lambda kind: counts[kind][0]).startswith("log-odds")


def test_only_the_most_probable_log_odds_never_fail():
    """Given the population; posterior means lie farther out than these tops in most classrooms."""
    known = np.broadcast_arrays(1.0 * passed, size, level, exact["sigma_mean"].to_numpy()[:, None])

    def slope(a, s, n, mean, sd):
        return s - n * invlogit(a) - (a - mean) / sd**2

    ends = np.full(passed.shape, -50.0), np.full(passed.shape, 50.0)
    tops = optimize.elementwise.find_root(slope, ends, args=tuple(known)).x
    assert not not_nearer(tops, raw_logit, level)[finite].any()
    farther = (exact["alpha_mean"].to_numpy() - tops) * np.sign(tops) > 0
    check_claim("means lie farther out than tops", *over_some(farther, finite), above=0.5)


def test_sigma_is_nearly_unbiased():
    assert abs(off_mean) < 0.05
    assert abs(float(exact["alpha_bar_mean"].mean()) - true_alpha_bar) < 0.05


def test_who_wins_at_the_ends():
    four = by_sigma_4.loc[0.2, complete_less]
    check_claim("four classrooms, sigma 0.2: complete pooling", *four, below=0)
    check_claim("four classrooms, sigma 4: no pooling", *by_sigma_4.loc[4.0, none_less], below=0)
    for sigma in (0.5, 1.0, 1.5):
        for rival in (complete_less, none_less):
            check_claim("partial pooling is best between", *by_sigma.loc[sigma, rival], above=0)


def test_a_handful_of_classrooms_brings_most_of_the_gain():
    first_, last = by_classrooms.loc[4, none_less], by_classrooms.loc[240, none_less]
    check_claim("four classrooms gain", *first_, above=0)
    more = last[0] - first_[0], np.hypot(first_[1], last[1])
    check_claim("240 classrooms gain more than four", *more, above=0)
    assert by_classrooms.loc[60, none_less][0] > 0.8 * last[0] and first_[0] > 0.5 * last[0]


def test_intervals_hold_what_they_promise_on_average_over_the_prior():
    for name, pair in coverage["truths from the prior"].items():
        check_claim(name, *pair, within=schools.PROB, margin=3)


def test_at_fixed_truths_intervals_of_sigma_hold_too_rarely_or_too_often():
    often, rarely = (by_sigma_4.loc[sigma, "coverage of sigma"] for sigma in (0.1, 4.0))
    check_claim("at sigma = 0.1 too often", *often, above=schools.PROB)
    check_claim("at sigma = 4 too rarely", *rarely, below=schools.PROB)


def test_intervals_of_ordinary_classrooms_hold_more_than_promised():
    check_claim("ordinary", *over_some(held, ordinary[:100]), above=schools.PROB)


def test_intervals_of_the_worst_classrooms_fail_too_often():
    check_claim("the worst", *payers["coverage"].iloc[0], below=schools.PROB)


def test_outlying_data_gain_and_outlying_classrooms_lose_in_every_size():
    for n in SIZES:
        data_gain, data_se = outliers.loc[("outlying data", n)]
        assert data_gain > 0 > outliers.loc[("outlying classrooms", n), "gain"]
        all_gain = outliers.loc[("all classrooms", n), "gain"]
        assert data_gain > all_gain + (2 * data_se if n < 35 else 0)


def test_the_right_model_is_calibrated_in_classrooms_of_every_size():
    assert checked["calibrated"].all()
    every = {f"alpha, {n} students": 3 * k for k, n in enumerate(SIZES)}
    generator = np.random.default_rng(RANDOM_SEED)
    values = calibration.pit_values(ranked, ranks=100, rng=generator, classrooms=every)
    assert calibration.calibration_table(values)["calibrated"].all()


def test_the_mistaken_prior_is_caught_in_every_quantity():
    assert not wrong_checked["calibrated"].any()
    assert float(wrong_pit["sigma"].median()) > 0.9
    every = {f"alpha, {n} students": 3 * k for k, n in enumerate(SIZES)}
    generator = np.random.default_rng(RANDOM_SEED)
    values = calibration.pit_values(mistaken, ranks=100, rng=generator, classrooms=every)
    assert not calibration.calibration_table(values)["calibrated"].any()
