"""The models that are benchmarked, each in the forms that are compared: `FORMS` and `GROWTH`.

The cutpoints of the trolley forms have no start of their own: pass
`rethinking.sampling.ordered_starts`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pymc as pm
from pytensor.tensor import TensorVariable

from rethinking.data import load_data
from rethinking.ordered_logit import OrderedLogit
from rethinking.transforms import invlogit
from studies import random_confounds

ordered = pm.distributions.transforms.ordered


# --- Reed frogs ------------------------------------------------------------------------------


def reed_frogs(frogs: pd.DataFrame | None = None) -> pm.Model:
    """Return the multilevel model of tadpoles in tanks, the 48 of the course by default."""
    frogs = load_data("reedfrogs") if frogs is None else frogs
    with pm.Model(coords={"tank": np.arange(1, len(frogs) + 1)}) as model:
        density = pm.Data("density", frogs["density"].to_numpy(), dims="tank")
        sigma = pm.Exponential("sigma", 1)
        alpha_bar = pm.Normal("alpha_bar", 0, 1.5)
        alpha = pm.Normal("alpha", alpha_bar, sigma, dims="tank")
        p = pm.Deterministic("p", pm.math.invlogit(alpha), dims="tank")
        pm.Binomial("S", n=density, p=p, observed=frogs["surv"].to_numpy(), dims="tank")
    return model


def more_tanks(times: int, random_seed: int) -> pd.DataFrame:
    """Simulate the experiment with several times as many tanks, about the posterior means."""
    rng = np.random.default_rng(random_seed)
    density = np.tile(load_data("reedfrogs")["density"].to_numpy(), times)
    alpha = rng.normal(1.4, 1.6, len(density))
    return pd.DataFrame({"density": density, "surv": rng.binomial(density, invlogit(alpha))})


# --- Trolley ---------------------------------------------------------------------------------


def _coords(trolley: pd.DataFrame) -> dict:
    names = {"story": "story", "person": "id", "case": "case"}
    levels = {dim: sorted(trolley[column].unique()) for dim, column in names.items()}
    return levels | {"cutpoint": np.arange(1, 7)}


def _index(name: str, column: pd.Series, dims: str | None = None) -> TensorVariable:
    return pm.Data(name, pd.factorize(column, sort=True)[0], dims=dims)


def _effects(distribution: Callable) -> tuple[TensorVariable, TensorVariable]:
    """Effects of people and of stories, with their spreads."""
    tau_u = pm.Exponential("tau_u", 1)
    tau_s = pm.Exponential("tau_s", 1)
    u = distribution("u", sigma=tau_u, dims="person")
    return u, distribution("s", sigma=tau_s, dims="story")


def _treatment(table: pd.DataFrame, dims: str | None = None) -> TensorVariable:
    """Sum of the five treatment terms, for each row of a table."""
    beta = {name: pm.Normal(f"beta_{name}", 0, 0.5) for name in ("IC", "IA", "C", "I", "A")}
    action, intention, contact = (
        pm.Data(name, table[name].to_numpy(float), dims=dims)
        for name in ("action", "intention", "contact")
    )
    main = beta["A"] * action + beta["I"] * intention + beta["C"] * contact
    return main + beta["IA"] * intention * action + beta["IC"] * intention * contact


def _stock(name: str, phi: TensorVariable, kappa: TensorVariable, **kwargs) -> TensorVariable:
    # all probabilities of all ratings would be stored for each draw otherwise
    return pm.OrderedLogistic(name, eta=phi, cutpoints=kappa, compute_p=False, **kwargs)


def trolley_textbook() -> pm.Model:
    """Return the model of the ratings as a textbook writes it: rating by rating, effects free."""
    trolley = load_data("Trolley")
    with pm.Model(coords=_coords(trolley)) as model:
        kappa = pm.Normal("kappa", 0, 1.5, dims="cutpoint", transform=ordered)
        u, s = _effects(pm.Normal)
        phi = _treatment(trolley) + s[_index("story_idx", trolley["story"])]
        phi += u[_index("person_idx", trolley["id"])]
        _stock("R", phi, kappa, observed=trolley["response"].to_numpy() - 1)
    return model


def trolley_sum_to_zero(
    trolley: pd.DataFrame | None = None, likelihood: Callable = OrderedLogit
) -> pm.Model:
    """Return `crossed_model` of lecture 12: treatment and story by case, effects sum to zero."""
    trolley = load_data("Trolley") if trolley is None else trolley
    cases = trolley.drop_duplicates("case").sort_values("case")
    with pm.Model(coords=_coords(trolley)) as model:
        kappa = pm.Normal("kappa", 0, 1.5, dims="cutpoint", transform=ordered)
        u, s = _effects(pm.ZeroSumNormal)
        theta = _treatment(cases, dims="case") + s[_index("story_idx", cases["story"], dims="case")]
        phi = theta[_index("case_idx", trolley["case"])] + u[_index("person_idx", trolley["id"])]
        likelihood("R", phi, kappa, observed=trolley["response"].to_numpy() - 1)
    return model


def trolley_centred() -> pm.Model:
    """Return `trolley_sum_to_zero` with terms less their means and slopes turned to their axes.

    The cutpoints belong to the average rating; that their prior is about -delta and the slopes are
    independent and equally wide, before the turn as after it, makes the prior the same.
    """
    trolley = load_data("Trolley")
    cases = trolley.drop_duplicates("case").sort_values("case")
    case_idx = pd.factorize(trolley["case"], sort=True)[0]
    action, intention, contact = cases[["action", "intention", "contact"]].to_numpy(float).T
    terms = {"A": action, "I": intention, "C": contact}
    terms |= {"IA": intention * action, "IC": intention * contact}
    design = np.stack(list(terms.values()), axis=1)
    mean = design[case_idx].mean(axis=0)
    design = design - mean
    turn = np.linalg.eigh(np.cov(design[case_idx].T))[1]
    with pm.Model(coords=_coords(trolley) | {"term": list(terms)}) as model:
        z = pm.Normal("z", 0, 0.5, dims="term")
        beta = turn @ z
        for place, term in enumerate(terms):
            pm.Deterministic(f"beta_{term}", beta[place])
        delta = mean @ beta
        kappa_centred = pm.Normal("kappa_centred", -delta, 1.5, dims="cutpoint", transform=ordered)
        pm.Deterministic("kappa", kappa_centred + delta, dims="cutpoint")
        u, s = _effects(pm.ZeroSumNormal)
        theta = design @ beta + s[_index("story_idx", cases["story"], dims="case")]
        phi = theta[case_idx] + u[_index("person_idx", trolley["id"])]
        OrderedLogit("R", phi, kappa_centred, observed=trolley["response"].to_numpy() - 1)
    return model


def more_people(times: int, random_seed: int) -> pd.DataFrame:
    """Simulate the trolley study with several times as many people, about the posterior means.

    Every copy is a new person: its effect is drawn from the population, its ratings from the model.
    Times 1 is simulated as well, so that sizes differ in nothing else.
    """
    rng = np.random.default_rng(random_seed)
    once = load_data("Trolley")[["case", "id", "action", "intention", "contact", "story"]]
    copies = [once.assign(id=once["id"] + f"-{copy}") for copy in range(times)]
    trolley = pd.concat(copies, ignore_index=True)
    action, intention, contact = trolley[["action", "intention", "contact"]].to_numpy(float).T
    phi = -0.9 * action - 0.5 * intention - 1.1 * contact
    phi += -0.5 * intention * action - 1.3 * intention * contact
    for column, spread in (("id", 2.0), ("story", 0.5)):
        codes, levels = pd.factorize(trolley[column], sort=True)
        phi += rng.normal(0, spread, len(levels))[codes]
    # a logistic variable falls above as many cutpoints as the rating says
    latent = phi + rng.logistic(size=len(phi))
    return trolley.assign(response=1 + np.searchsorted([-4.0, -3.1, -2.2, -0.7, 0.4, 1.8], latent))


# --- Random confounds ------------------------------------------------------------------------


def latent_mundlak() -> pm.Model:
    """Return lecture 12's model of a latent confound, on its simulated data set of 200.

    Simulation and model are the notebook's own cells, read by `studies.random_confounds`.
    """
    notebook = random_confounds.execute_cells(random_confounds.study_cells())
    data = notebook["simulate_confounded"](200, np.random.default_rng(random_confounds.SEED))
    return notebook["confound_latent"](data)


# --- All of them -----------------------------------------------------------------------------

OURS, STOCK = "sum to zero, ordered_logit", "sum to zero, stock likelihood"
CENTRED = f"{OURS}, centred predictors"

#: (family, form): function that returns the model.
FORMS: dict[tuple[str, str], Callable[[], pm.Model]] = {
    ("reed frogs", "course"): reed_frogs,
    ("trolley", "textbook"): trolley_textbook,
    ("trolley", STOCK): partial(trolley_sum_to_zero, likelihood=_stock),
    ("trolley", OURS): trolley_sum_to_zero,
    ("trolley", CENTRED): trolley_centred,
    ("confounds, latent Mundlak", "course"): latent_mundlak,
}

#: What grows: function of (times, random_seed) that returns the model of the course's form.
GROWTH: dict[str, Callable[[int, int], pm.Model]] = {
    "people": lambda times, random_seed: trolley_sum_to_zero(more_people(times, random_seed)),
    "tanks": lambda times, random_seed: reed_frogs(more_tanks(times, random_seed)),
}
