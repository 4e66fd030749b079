"""What deep dive 12b says of its fits; run in its kernel after its last cell."""

from scipy.special import gammaln
from statsmodels.miscmodels.ordinal_model import OrderedModel

from studies import learning_curve
from utils import check_claim


def monte_carlo_errors(pooling, size):
    """Monte Carlo errors of a mean score, trained on and held out, from twenty batches."""
    idata, seen = learned[pooling, size], by_turn["turn"] < size
    tables = [count_by_person(by_turn[rows]) for rows in (seen, ~seen)]
    scores = []
    for chain in range(4):
        for draws in np.split(np.arange(idata["posterior"].sizes["draw"]), 5):
            batch = idata.isel(chain=[chain], draw=draws)
            shares = rating_shares(batch)
            scores.append([person_scores(shares, counts).mean() for counts in tables])
    return np.std(scores, axis=0, ddof=1) / np.sqrt(len(scores))


def test_stored_curve_is_this_one():
    stored = learning_curve.load()
    assert stored[["pooling", "ratings"]].equals(curve[["pooling", "ratings"]])
    errors = {key: np.sqrt(2) * monte_carlo_errors(*key) for key in learned}  # of two runs
    rounding = 1e-5
    for row, now in zip(stored.itertuples(), curve.itertuples(), strict=True):
        on, out = errors[row.pooling, row.ratings]
        ahead = np.hypot(out, errors["partial", row.ratings][1])
        assert abs(row.trained_on - now.trained_on) < 4 * on + rounding, row
        assert abs(row.held_out - now.held_out) < 4 * out + rounding, row
        assert abs(row.behind_partial - now.behind_partial) < 4 * ahead + rounding, row
        assert abs(row.standard_error - now.standard_error) < 0.05 * now.standard_error + rounding


def test_table_and_ratings_differ_by_the_number_of_orders():
    orders = gammaln(story_counts.sum(axis=1) + 1).sum() - gammaln(story_counts + 1).sum().sum()
    np.testing.assert_allclose(both["difference"], orders, rtol=1e-8)


def test_people_differ_more_than_stories():
    check_claim(
        "People differ far more than stories: at least twice as much (tau less twice sigma).",
        float(person_tau.mean() - 2 * story_sigma.mean()),
        float(np.hypot(person_tau.std(), 2 * story_sigma.std())),
        above=0,
    )


def test_two_ratings_shrink_more_than_thirty():
    check_claim(
        "With two ratings, estimates are flatter than the raw means (slope).",
        two_slope.slope,
        two_slope.stderr,
        below=1,
    )
    check_claim(
        "With thirty they are less flat (difference of the slopes).",
        thirty_slope.slope - two_slope.slope,
        np.hypot(thirty_slope.stderr, two_slope.stderr),
        above=0,
    )
    assert thirty_slope.slope > 1
    assert two_width > 2 * thirty_width


def test_common_cutpoints_miss_people_with_few_categories():
    assert (used_table.loc[[6, 7], "observed"] < used_table.loc[[6, 7], "lower"]).all()
    check_claim(
        "The model makes too few people who use three ratings or fewer (mean and sd).",
        few - replicated_few.mean(),
        replicated_few.std(),
        above=0,
        margin=4,
    )


def paired(a, b):
    """Mean and standard error of a difference of scores; the person is the unit."""
    return (a - b).mean(), stats.sem(a - b)


def test_partial_pooling_learns_faster():
    for size in sizes:
        check_claim(
            f"After {size} ratings, partial pooling predicts better than complete pooling.",
            *paired(held_out["partial", size], held_out["complete", size]),
            above=0,
        )
    for size in sizes[:2]:
        check_claim(
            f"After {size} ratings, partial pooling predicts better than no pooling.",
            *paired(held_out["partial", size], held_out["no", size]),
            above=0,
        )
    ahead = {size: held_out["partial", size] - held_out["no", size] for size in sizes}
    check_claim(
        "After ten ratings, less than half of the lead over no pooling after two is left.",
        *paired(ahead[2] / 2, ahead[10]),
        above=0,
    )


def test_no_pooling_overfits():
    for size in sizes[:2]:
        check_claim(
            f"No pooling is better on the {size} ratings that it saw than on the others.",
            *paired(trained_on["no", size], held_out["no", size]),
            above=0,
        )
    table = curve.pivot(index="ratings", columns="pooling")
    on, out = table["trained_on"], table["held_out"]
    assert (on.idxmax(axis=1) == "no").all()
    assert ((on - out).idxmax(axis=1) == "no").all()
    assert (out.idxmax(axis=1) == "partial").all()


def test_complete_pooling_underfits():
    for size in sizes:
        for other in ("partial", "no"):
            check_claim(
                f"Even where it was trained, complete pooling is worse ({other}, {size}).",
                *paired(trained_on[other, size], trained_on["complete", size]),
                above=0,
            )
    complete = curve[curve["pooling"] == "complete"]["held_out"]
    assert np.ptp(complete) < 0.01


def test_memory_helps_those_of_whom_least_is_known():
    few_seen, many_seen = gain[~well_known], gain[well_known]
    check_claim(
        "Memory helps people with one rating more than people with twenty.",
        few_seen.mean() - many_seen.mean(),
        np.hypot(stats.sem(few_seen), stats.sem(many_seen)),
        above=0,
    )
    assert abs(many_seen.mean()) < 0.05 * few_seen.mean()


def test_with_hundreds_of_ratings_two_poolings_coincide():
    assert float(moved.max()) < 0.5


def test_shares_follow_the_data_only_with_effects():
    assert share_error["partial pooling"] < 0.5 * share_error["complete pooling"]
    assert share_error["no pooling"] < 0.5 * share_error["complete pooling"]


def test_cutpoints_meet_their_closed_form_and_maximum_likelihood():
    closed = cutpoints["log-odds of cumulative shares"]
    off = ((cutpoints["posterior mean"] - closed) / cutpoints["posterior sd"]).abs().max()
    assert off < 0.2
    assert ml_fit.mle_retvals["converged"]
    assert (cutpoints["maximum likelihood"] - closed).abs().max() < 5e-5


def test_story_effects_meet_maximum_likelihood():
    dummies = pd.get_dummies(trolley["story"], drop_first=True).astype(float).to_numpy()
    model = OrderedModel(trolley["response"].to_numpy(), dummies, distr="logit")
    result = model.fit(method="bfgs", disp=False)
    assert result.mle_retvals["converged"]
    effects = np.r_[0, result.params[: dummies.shape[1]]]
    gap = no_beta.mean(("chain", "draw")).to_numpy() - (effects - effects.mean())
    assert np.abs(gap / no_beta.std(("chain", "draw")).to_numpy()).max() < 0.2


def test_treatments_explain_part_of_the_stories():
    assert (change > 0.3).sum() > 1 and (change < -0.3).sum() > 1  # both ways, as the caption says
    check_claim(
        "With the treatments in, these twelve stories differ less (standard deviation, log-odds).",
        float(spread_raw.mean() - spread_adjusted.mean()),
        float(np.hypot(spread_raw.std(), spread_adjusted.std())),
        above=0,
    )


def test_effects_that_sum_to_zero_mix_better():
    assert (held_per_thousand > 4 * per_thousand["free"]).all()


def test_the_right_fixed_width_does_as_well():
    assert widths["behind"].idxmin() == 2
    assert (widths.loc[[1, 3], "behind"] > 2 * widths.loc[[1, 3], "standard error"]).all()
