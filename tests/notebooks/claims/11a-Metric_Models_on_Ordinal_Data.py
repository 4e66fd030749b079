"""Deep dive 11a: what its sentences and captions say of the fits."""


def test_spread_alone_raises_the_mean_rating():
    assert abs(first[0] - second[0]) < 1e-9 and second @ RATINGS > first @ RATINGS + 0.3
    assert t_test.pvalue < 0.01


def test_one_spread_errs_and_two_do_not():
    low, high = np.quantile(two_sd_idata.posterior["mu"], [0.005, 0.995])
    assert low < 0 < high
    sd = np.exp(two_sd_idata.posterior["lambda"])
    assert abs(float(sd.mean()) - 2) < 3 * float(sd.std())


def test_rates_over_many_data_sets():
    false_alarms, found_it = rates["equal opinions"], rates["equal mean ratings"]
    assert false_alarms["t test"] > 0.95 and false_alarms["ordered, one sd"] > 0.5
    assert abs(false_alarms["ordered, two sds"] - 0.05) < 3 * np.sqrt(0.05 * 0.95 / DATA_SETS)
    assert abs(found_it["t test"] - 0.05) < 3 * np.sqrt(0.05 * 0.95 / DATA_SETS)
    assert found_it["ordered, two sds"] > 0.85
    assert found_it["t test"] < found_it["ordered, one sd"] < found_it["ordered, two sds"]


def test_the_trolley_ratings_are_no_bell():
    assert off["linear"] < 0.6 and abs(off["linear"] - off["ordered"]) < 0.1
    assert beyond.max() > 0.1 and misfit["linear"] > 1.5 * misfit["ordered"]
