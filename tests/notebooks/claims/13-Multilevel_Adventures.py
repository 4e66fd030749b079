"""What the captions and sentences of lecture 13 say, asked of its fits."""

from rethinking import record


def test_people_differ_more_than_stories():
    sds = {column: means["mean"].std() for column, means in cluster_means.items()}
    assert sds["id"] > 1.5 * sds["story"]


def test_three_levels():
    width = {k: np.ptp(np.quantile(v, [0.055, 0.945])) for k, v in survival.items()}
    assert width["the average tank"] < width["tank 1, again"] < width["a new tank"]
    assert width["a new tank"] > 0.5


def test_the_code_of_children_is_no_count():
    assert by_children["mean_age"].is_monotonic_increasing
    first, *others = np.diff(by_children["log-odds over none"])
    assert first > 3 * max(others)


def test_adjustment_sets():
    assert adjustment_sets(edges, "U") == "{D}"
    assert adjustment_sets(edges, "U", direct=True) == "{A, D, K}"
    assert adjustment_sets(edges, "K") == "{A, D, U}"
    assert adjustment_sets(graphs["if D does not cause K"]["edges"], "K") == "{A, U}"
    assert adjustment_sets(family, "U", ["F"]) == "{D}"
    assert adjustment_sets(family, "U", ["F"], direct=True) == "none exists"
    assert adjustment_sets(family, "K", ["F"]) == "none exists"


def test_districts():
    width = districts["high"] - districts["low"]
    assert width.rank(ascending=False)[54] <= 3
    assert width[54] > width[asked.query("women > 10").index].max()
    assert districts["mean"].between(0.15, 0.7).all()
    assert asked["raw"].min() == 0 and asked["raw"].max() == 1
    few, many = asked.query("women <= 10"), asked.query("women >= 60")
    moved_by = (asked["raw"] - asked["mean"]).abs()
    assert moved_by[few.index].mean() > 3 * moved_by[many.index].mean()


def test_shrinkage_falls_with_women():
    used = moved.dropna()
    assert stats.spearmanr(inner["women"][used.index], used).statistic < -0.8
    assert used.between(0, 1).all()


def test_labels_go_wrong_from_the_gap_on():
    wrong = mislabelled.query("district != `label it gets`")["district"]
    assert wrong.tolist() == list(range(55, 62))


def test_forms_and_the_grid_agree():
    for idata in forms.values():
        for name, (exact, _) in grid_values.items():
            draws = idata["posterior"][name]
            assert abs(float(draws.mean()) - exact) < 4 * float(az.mcse(draws))
    variational = same_answer.loc["statsmodels, variational"]
    grid = same_answer.loc["grid, no sampler"]
    assert abs(variational["alpha_bar"] - grid["alpha_bar"]) < 0.02
    assert abs(variational["sigma"] - grid["sigma"]) < 0.03
    assert 0.4 < variational["sd of alpha_bar"] / grid["sd of alpha_bar"] < 0.65


def test_recovery():
    def estimate(name):
        return simulated_idata["posterior"][name].mean(("chain", "draw")).to_series()

    assert np.corrcoef(true_alpha, estimate("alpha"))[0, 1] > 0.5
    assert np.polyfit(true_beta[~no_towns], estimate("beta")[~no_towns], 1)[0] < 0.9
    assert estimate("beta")[no_towns].std() < 0.2 * true_beta.std()
    for name, value in truth.items():
        draws = simulated_idata["posterior"][name]
        assert abs(float(draws.mean()) - value) < 4 * float(draws.std()), name


def test_centred_differences_miss_the_funnel():
    assert ess["mixed"] > 3 * ess["centred"]
    lowest = [float(i["posterior"]["tau"].min()) for i in (town_idata, centred_town_idata)]
    assert lowest[0] < 0.5 * lowest[1]


def test_urban_rates():
    assert float((middle["urban"] > middle["rural"]).mean()) > 0.9
    ends = rates.quantile([0.055, 0.945], ("chain", "draw"))
    length = (ends.isel(quantile=1) - ends.isel(quantile=0)).mean()
    assert float(length["urban"]) > 1.2 * float(length["rural"])
    assert np.corrcoef(middle["rural"], middle["urban"])[0, 1] > 0.5


def test_effect_of_town_life():
    women, new = effects["average over the women"], effects["a new district (54)"]
    assert float((women > 0).mean()) > 0.995
    assert 0.03 < float((new < 0).mean()) < 0.3
    assert float(new.std()) > 3 * float(women.std())


def test_what_is_imposed():
    for drawn in imposed.values():
        assert (drawn["urban sd / rural sd"] > 1).all() and (drawn["correlation"] > 0).all()


def test_scores():
    assert gain > gain_error
    assert worst_k < 0.7


def test_coverage():
    assert abs(of_beta_bar - 0.89) < 3 * np.sqrt(0.89 * 0.11 / coverage_record["surveys"])
    sizes = groups["intervals"].sum()
    assert (held["all districts"] - 0.89).abs()[sizes > 500].max() < 0.03
    assert (held["outlying districts"] < held["all districts"] + 0.02).all()
    assert held.loc[("urban", "1 to 9"), "outlying districts"] < 0.8
    assert coverage_record["failed"] <= coverage_record["surveys"] // 50


def test_shapes_for_the_numerical_truth():
    """Standard deviations and interval ends, for `test_truth_districts.py`."""
    asked_districts = asked.index.to_numpy()
    record.estimates(
        "rates", {f"p_{kind}": rates[kind].sel(district=asked_districts) for kind in rates}
    )
    for label, idata in {"D": district_idata, "DU": town_idata}.items():
        for name in ("alpha_bar", "sigma", "beta_bar", "tau"):
            if name not in idata["posterior"]:
                continue
            draws = idata["posterior"][name]
            found = {"sd": (draws.std(), az.mcse(draws, method="sd"))}
            for end, prob in (("lower", 0.055), ("upper", 0.945)):
                error = az.mcse(draws, method="quantile", prob=prob)
                found[end] = draws.quantile(prob), error
            for what, (value, error) in found.items():
                record.line(
                    "estimate",
                    name=f"{label}, shape",
                    variable=f"{name} {what}",
                    mean=float(value),
                    mcse=float(error),
                )
