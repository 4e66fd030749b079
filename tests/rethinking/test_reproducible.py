"""The same draws with any number of cores: a laptop, CI and a server show the same page."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytest

from utils import CompiledModel

CORES = (1, 2, 4)


@pytest.fixture(scope="module")
def model():
    with pm.Model(coords={"tank": range(3)}) as model:
        alpha = pm.Normal("alpha", dims="tank")
        pm.Normal("y", alpha, observed=np.arange(3.0))
    return model


def draws(idata):
    return idata["posterior"]["alpha"].to_numpy()


@pytest.mark.compiles
def test_pymc_draws_the_same(model):
    options = dict(draws=50, tune=100, chains=4, random_seed=1, progressbar=False, quiet=True)
    found = [draws(pm.sample(model=model, cores=cores, **options)) for cores in CORES]
    assert all(np.array_equal(found[0], other) for other in found[1:])
    assert not np.array_equal(found[0][0], found[0][1]), "each chain has draws of its own"


@pytest.mark.compiles
def test_a_compiled_model_draws_the_same(model):
    compiled = CompiledModel(model)
    found = [draws(compiled.draw(seed=1, draws=50, tune=100, cores=cores)) for cores in CORES]
    assert all(np.array_equal(found[0], other) for other in found[1:])
