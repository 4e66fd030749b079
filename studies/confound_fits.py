"""What makes the numbers of the study of random confounds: a change here makes the result stale.

`studies.random_confounds` reads the models from the notebook, runs this, and stores what comes out.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import arviz as az
import numpy as np
from scipy import stats

from rethinking.sampling import CompiledModel
from studies.pool import fit_judged

SEED = 12
SIZES = (75, 200, 1000)  # individuals in 30 groups
DATA_SETS = 400  # of each size
PROB = 0.89

#: Estimator: function of the notebook, values of its pm.Data, sampler settings, mass matrix.
ESTIMATORS = {
    "naive": ("confound_naive", {}, {"tune": 200, "draws": 350}, "low_rank"),
    "fixed effects": ("confound_fixed", {}, {"tune": 200, "draws": 350}, "low_rank"),
    "multilevel": ("confound_multilevel", {}, {"tune": 200, "draws": 1000}, "diag"),
    "Mundlak": (
        "confound_mundlak",
        {},
        {"tune": 200, "draws": 750, "target_accept": 0.86},
        "diag",
    ),
    "latent": (
        "confound_latent",
        {"beta_UY_sd": 1.0},
        {"tune": 200, "draws": 600, "target_accept": 0.86},
        "diag",
    ),
    "latent, wide prior": (
        "confound_latent",
        {"beta_UY_sd": 3.0},
        {"tune": 200, "draws": 600, "target_accept": 0.86},
        "diag",
    ),
}
#: For a fit that fails the convergence gate, once.
STRICTER = {"tune": 400, "draws": 2000, "target_accept": 0.92}
EFFECTS = ("beta_XY", "beta_ZY")


def data_set(namespace: Mapping[str, Any], size: int, replicate: int) -> tuple[dict, int]:
    """Simulate one data set; also the seed of its fits. Independent of all others."""
    sequence = np.random.SeedSequence(SEED, spawn_key=(size, replicate))
    rng = np.random.default_rng(sequence)
    data = namespace["simulate_confounded"](size, rng)
    return data, int(sequence.spawn(1)[0].generate_state(1)[0] % 2**31)


def fingerprint(data: Mapping[str, Any]) -> dict[str, float]:
    """Few numbers that another data set would not share."""
    whole = np.concatenate([data["group_idx"], data["survived"]]).astype("<i4")
    return {
        "checksum": zlib.crc32(whole.tobytes()),
        "trait_mean": float(data["trait"].mean()),
        "group_trait_mean": float(data["group_trait"].mean()),
    }


class Estimators:
    """The models of the notebook, each compiled once, for data sets of one size at a time.

    Parameters
    ----------
    namespace : mapping
        The functions that the notebook's cells define.
    """

    def __init__(self, namespace: Mapping[str, Any]):
        self.namespace = namespace
        self.compiled: dict[str, tuple[CompiledModel, list[str], list[str]]] = {}

    def fit(
        self, estimator: str, data: Mapping[str, Any], random_seed: int, **settings: Any
    ) -> dict[str, float]:
        """Fit one estimator; a fit that fails the gate is made again, once, more strictly.

        Parameters
        ----------
        estimator : str
            Of `ESTIMATORS`.
        data : mapping
            Of the notebook's ``simulate_confounded``.
        random_seed : int
            nutpie's.
        **settings
            In place of the estimator's own.

        Returns
        -------
        dict
            For each effect (log-odds) ``_mean``, ``_lower``, ``_upper`` (89% ETI), ``_mcse``;
            what the gate saw; ``refits``, ``passed``.
        """
        function, values, own, adaptation = ESTIMATORS[estimator]
        if function not in self.compiled:
            # Of one data set, whoever comes first: chains start where its data put them.
            model = self.namespace[function](data_set(self.namespace, SIZES[0], 0)[0])
            model.check_bounds = False  # the data are in range: a fifth of the time
            scalars = [v.name for v in model.free_RVs if v.ndim == 0]
            inputs = [v.name for v in model.data_vars]
            self.compiled[function] = (
                CompiledModel(model, vary=inputs, store=scalars),
                inputs,
                scalars,
            )
        compiled, inputs, scalars = self.compiled[function]
        idata, verdict, refits = fit_judged(
            compiled,
            {key: data[key] for key in inputs if key in data} | values,
            [how | {"adaptation": adaptation} for how in (settings or own, STRICTER)],
            seed=random_seed,
            name=estimator,
            var_names=scalars,
        )
        row = {}
        for effect in EFFECTS:
            draws = idata["posterior"][effect]
            lower, upper = az.eti(draws, prob=PROB).to_numpy().tolist()
            row |= {
                f"{effect}_mean": float(draws.mean()),
                f"{effect}_lower": lower,
                f"{effect}_upper": upper,
                f"{effect}_mcse": float(az.mcse(draws)),
            }
        return row | {
            "max_rhat": verdict.max_rhat,
            "min_ess": verdict.min_ess,
            "divergences": verdict.divergences,
            "min_bfmi": verdict.min_bfmi,
            "refits": refits,
            "passed": int(verdict.passed),
        }


def conditional_row(found: Mapping[str, float]) -> dict[str, float]:
    """Row of `ConditionalLogit`: its estimate and Wald interval stand for mean and ETI."""
    half = float(stats.norm.isf((1 - PROB) / 2) * found["error"])
    return {
        "beta_XY_mean": float(found["estimate"]),
        "beta_XY_lower": float(found["estimate"] - half),
        "beta_XY_upper": float(found["estimate"] + half),
        "groups": int(found["groups"]),
    }


def run_one(estimators: Estimators, size: int, replicate: int) -> tuple[list[dict], dict]:
    """All estimators on one data set: rows of results, and the row of the data set."""
    data, random_seed = data_set(estimators.namespace, size, replicate)
    place = {"individuals": size, "data_set": replicate}
    rows = [
        place | {"estimator": name} | estimators.fit(name, data, random_seed) for name in ESTIMATORS
    ]
    found = conditional_row(estimators.namespace["conditional_logit"](data))
    rows.append(place | {"estimator": "ConditionalLogit"} | found)
    return rows, place | fingerprint(data)
