"""Claims of one simulated school: what its captions and sentences say, on the notebook's fits."""


def test_the_module_simulates_the_school_of_the_text():
    own = schools.simulate_school(
        size, alpha_bar=1.5, sigma=1.5, rng=np.random.default_rng(RANDOM_SEED)
    )
    assert np.array_equal(own.passed, passed) and np.array_equal(own.alpha, true_alpha)


def test_some_classrooms_have_no_posterior_under_no_pooling():
    assert improper.sum() > 5


def test_classrooms_are_not_alike():
    assert share_sd > 5 * pooled_se


def test_every_parameter_is_in_the_figure_of_rhat():
    assert len(parameters) == 62 and parameters["r_hat"].max() <= utils.MAX_RHAT


def test_the_truth_of_the_population_lies_within_the_intervals():
    for name, true in (("alpha_bar", true_alpha_bar), ("sigma", true_sigma)):
        low, high = posterior[name].quantile(schools.TAILS, dim=("chain", "draw")).to_numpy()
        assert low < true < high


def test_intervals_get_shorter_and_most_hold_their_truth():
    assert pd.Series(upper - lower).groupby(size).mean().is_monotonic_decreasing
    assert held > 45


def test_small_classrooms_and_far_shares_shrink_most():
    shrunk = np.abs(pooled - raw_share)
    assert shrunk[size == 5].mean() > 3 * shrunk[size == 35].mean()
    for n in SIZES:
        away = np.abs(raw_share - levels["median classroom"])[size == n]
        assert np.corrcoef(away, shrunk[size == n])[0, 1] > 0.5


def test_there_are_exceptions_but_none_of_the_most_probable_log_odds():
    assert sum(e.sum() for e in exceptions) > 0
    assert mode_exceptions.sum() == 0
    assert (np.abs(pooled - 0.5) <= np.abs(transformed - 0.5)).mean() > 0.9


def test_the_lines_of_the_explorer_cross_at_the_median_and_small_ones_are_flatter():
    rises = []
    for n in SIZES:
        share = np.arange(n + 1) / n
        mass = weight * p_now ** (n * share[:, None]) * (1 - p_now) ** (n * (1 - share[:, None]))
        line = (mass @ p_now) / mass.sum(1)
        assert abs(np.interp(0, share - line, share) - invlogit(population[0])) < 0.1
        rises.append(line[-1] - line[0])
    assert (np.diff(rises) > 0).all() and rises[-1] < 1


def test_no_pooling_wins_somewhere_in_every_size():
    assert (by_size["no pooling wins (of 15)"] > 0).all()
    assert by_size["no pooling"].is_monotonic_decreasing
    assert len(clear) < 4


def test_the_sampler_agrees_with_the_exact_answer():
    assert np.abs(off).max() < 4.5
    for name in ("alpha_bar", "sigma"):
        apart_ = float(posterior[name].mean()) - float(exact[f"{name}_mean"])
        assert abs(apart_) < 4.5 * float(az.mcse(posterior[name]))


def test_a_fit_passes_rhat_and_misses_part_of_the_posterior():
    assert quiet.max_rhat <= utils.MAX_RHAT and quiet.divergences > 10 and missed > 0.05


def test_a_thousand_schools_order_the_three_methods():
    assert (results["complete pooling"] > results["no pooling"]).all()
    assert (results["no pooling"] > results["partial pooling"]).all()
    for n in SIZES:
        check_claim(f"Classrooms of {n} gain.", *over_schools(school_gain[n]), above=0)
    for n, m in ((10, 25), (10, 35), (25, 35)):
        less = over_schools(school_gain[n] - school_gain[m])
        check_claim(f"Classrooms of {n} gain more than those of {m}.", *less, above=0)
    first = school_gain[5] - 2 * school_gain[10] + school_gain[25]
    check_claim("The first step is the largest.", *over_schools(first), above=0)
    versus = many_errors["complete pooling"] - many_errors["partial pooling"]
    versus = over_schools(versus[:, size == 5].mean(1))
    check_claim("Classrooms of 5 gain over complete pooling, too.", *versus, above=0)


def test_every_two_hundred_of_the_thousand_say_the_same():
    for start in range(0, 1000, 200):
        part = slice(start, start + 200)
        for n in SIZES:
            check_claim(f"{n} gain", *over_schools(school_gain[n][part]), above=0)
        step = over_schools(school_gain[5][part] - school_gain[10][part])
        check_claim("the smallest gain most", *step, above=0)
        ratio = school_gain[35][part] - 0.1 * none_35[part]
        check_claim("with many data it hardly matters", *over_schools(ratio), below=0)
        wins = (many_gain[part] < 0)[:, size == 35].mean(1)
        check_claim("raw shares win in two of five", *over_schools(wins), above=0.4)


def test_in_fewer_than_half_of_the_large_classrooms_the_raw_share_is_nearer():
    wins = over_schools((many_gain < 0)[:, size == 35].mean(1))
    check_claim("In fewer than half.", *wins, below=0.5)


def test_with_five_students_more_than_a_tenth_of_the_error_is_saved():
    less = school_gain[5] - 0.1 * many_errors["no pooling"][:, size == 5].mean(1)
    check_claim("More than a tenth.", *over_schools(less), above=0)
