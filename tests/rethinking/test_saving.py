"""A fit can be kept in a file and comes back as it was, whoever made it."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr

import utils

PLACES = ["Ipswich", "Łódź", "Åbo"]


def places():
    with pm.Model(coords={"place": PLACES}) as model:
        pm.Data("counts", np.array([3, 8, 5]), dims="place")
        alpha = pm.Normal("alpha", 0, 1, dims="place")
        pm.Deterministic("p", pm.math.invlogit(alpha), dims="place")
        pm.Binomial("S", 10, logit_p=alpha, observed=model["counts"], dims="place")
    return model


def funnel():
    with pm.Model(coords={"place": PLACES}) as model:
        tau = pm.Normal("tau", 0, 3)
        pm.Normal("alpha", 0, pm.math.exp(tau / 2), dims="place")
    return model


OPTIONS = {"random_seed": 3, "draws": 600, "tune": 300}


def by_fit():
    return utils.fit(places(), name="places", **OPTIONS)


def by_new_data():
    compiled = utils.CompiledModel(places(), vary=["counts"])
    return compiled.fit(name="places", data={"counts": np.array([1, 9, 9])}, **OPTIONS)


def by_pymc():
    with places():
        return pm.sample(**OPTIONS, chains=4, progressbar=False, quiet=True)


def meant_to_fail():
    return utils.fit(funnel(), name="funnel", expect_failure="a centred funnel", **OPTIONS)


@pytest.mark.compiles
@pytest.mark.parametrize("make", [by_fit, by_new_data, by_pymc, meant_to_fail])
def test_a_fit_comes_back_from_a_file_as_it_was(make, tmp_path):
    idata = make()
    if make is meant_to_fail:
        assert idata.attrs["divergences"] > 0 and "divergences" in idata.attrs["problems"]
    elif make is not by_pymc:
        assert idata.attrs["problems"] == ""
    idata.to_netcdf(tmp_path / "a fit.nc")
    for read in (az.from_netcdf, lambda path: xr.open_datatree(path, engine="h5netcdf")):
        back = read(tmp_path / "a fit.nc")
        assert set(back.children) == set(idata.children)
        assert dict(back.attrs) == dict(idata.attrs)
        assert back["posterior"]["place"].values.tolist() == PLACES
        xr.testing.assert_identical(back["posterior"].to_dataset(), idata["posterior"].to_dataset())
        for name, was in idata["sample_stats"].data_vars.items():
            if was.dtype != object:  # nutpie's divergence_message: its gaps come back as ""
                xr.testing.assert_identical(back["sample_stats"][name], was)
        back.close()
