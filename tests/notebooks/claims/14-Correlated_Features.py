"""What the text and the captions of lecture 14 say of its fits."""

from rethinking.display import check_claim


def share(values):
    """Mean of a posterior statement, and its Monte Carlo error."""
    values = values.astype(float)
    return float(values.mean()), float(az.mcse(values).item()) + 1e-6


def test_du_imposes_a_correlation_of_the_rates():
    assert float(du_imposed.min()) > 0
    turned = SUM @ du_cov @ SUM.T
    assert np.corrcoef(*du_effects)[0, 1] < 0.3 < np.corrcoef(*(SUM @ du_effects))[0, 1]
    assert du_cov[0, 1] == 0 and turned[0, 1] > 0


def test_later_departments_teach_about_an_earlier_one():
    heights = [learnt[count].covs[4, 1, 1] for count in (5, 9, 16)]
    assert heights[0] > heights[1] > heights[2] and np.isnan(reports[4, 1])
    assert learnt[-1].covs[4, 1, 1] < 0.5 * unlearnt[-1].covs[4, 1, 1]
    assert 0 < learnt[5].rho < learnt[9].rho < learnt[16].rho


def test_the_89_percent_ellipse():
    far = np.random.default_rng(RANDOM_SEED).normal(size=(2, 100_000))
    assert abs((np.hypot(*far) < radius).mean() - 0.89) < 0.005
    assert abs((np.hypot(*far) < too_small).mean() - 0.53) < 0.005


def test_rho_lies_left_of_its_prior():
    check_claim("rho is below zero.", *share(dur["rho"] < 0), above=0.95)
    check_claim("Its mean is below minus 0.45.", *share(dur["rho"]), below=-0.45)
    assert all(kept[name] < kept["rho"] for name in hyper[:4])
    assert max(kept["alpha_bar"], kept["beta_bar"]) < kept["tau"] < kept["rho"]


def test_the_forms_have_one_posterior():
    for name in hyper:
        a, b = by_name[name], dur[name].to_numpy()
        c, error = integrated.mean(name), integrated.sd(name) / np.sqrt(integrated.ess)
        errors = [float(az.mcse(each)) for each in (a, b)]
        assert abs(a.mean() - b.mean()) < 4 * np.hypot(*errors)
        assert abs(b.mean() - c) < 4 * np.hypot(errors[1], error)
    per = forms["per 1,000 steps"]
    assert per["centred"] < per["non-centred"] < per["integrated"]


def test_districts_that_move_have_few_urban_women():
    assert (moved["urban women"] <= 10).all() and (moved["shift"].abs() > 0.05).all()
    mean_town = float(du_p[1].mean())
    nearer = (moved["urban, DUR"] - mean_town).abs() < (moved["urban, DU"] - mean_town).abs()
    assert nearer.mean() > 0.8
    up = dur_effects[1] > du_effects[1]
    low = du_effects[0] < np.median(du_effects[0])
    assert up[low].mean() > 0.6 > 0.4 > up[~low].mean()


def test_the_correlation_of_the_rates():
    assert float(dur_r.quantile(0.055)) < 0 < float(dur_r.quantile(0.945))
    r = rate_posterior["r"]
    assert float(r.quantile(0.055)) < 0 < float(r.quantile(0.945))
    assert float(du_imposed.mean()) > float(dur_r.mean()) + 0.2 > float(r.mean()) + 0.3
    assert prior_of_r["DUR"].mean() > 0.4 and abs(prior_of_r["correlated rates"].mean()) < 0.01


def test_scores():
    for scores in (district_scores, town_scores):
        gap, error = utils.paired_difference(scores["DU"], scores["DUR"])
        check_claim("DU predicts worse than DUR.", gap, error, below=0, margin=1.5)
        gap, error = utils.paired_difference(scores["separate rates"], scores["DUR"])
        check_claim("Separate rates predict no worse.", gap, error, above=-1, margin=1.5)
        assert all(float(score.pareto_k.max()) < 0.7 for score in scores.values())


def test_the_integrals_of_the_scores_are_fine_enough():
    few = [each.isel(draw=slice(0, 20)) for each in populations["DUR"]]
    coarse, fine = (
        integrated_pair_log_likelihood(users, asked, *few, n_nodes=nodes) for nodes in (7, 21)
    )
    assert float(abs(coarse - fine).sum("district").max()) < 0.01


def test_the_study():
    told = strong["told apart"].mean()
    assert told.is_monotonic_increasing and told.loc[480] > 0.95
    assert told.loc[60] < 0.5 < told.loc[120]
    means = strong["mean"].mean()
    assert means.is_monotonic_decreasing and means.min() > true_rho - 0.02
    held = study["held"]
    assert held[-0.6, 60] < 0.8 and held[0.0, 60] > 0.93


def test_the_two_spreads():
    between, within = (spreads[column] for column in spreads)
    assert between["DUR"] < between["DU"] - 0.003
    assert abs(within["DUR"] - within["DU"]) < 0.006
