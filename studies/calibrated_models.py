"""What `studies.model_calibration` calibrates: models of the notebooks, and how data arise.

A model is the notebook's own code, with a small design in place of its table. Its truth and data
come from a function here that was written from the displayed formula, in NumPy: so the model that
is fitted has to say what the formula says. Each family has a planted mistake, too: a piece of its
code and what stands there instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from numpy.random import Generator
from scipy.special import expit

from rethinking.data import load_data
from rethinking.ordered_logit import OrderedLogit, OrderedMultinomial

Drawn = tuple[dict[str, Any], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Family:
    """A model of a notebook, what draws its data, and a mistake that calibration has to see."""

    name: str
    notebook: str  # its number
    model: str  # what stands after `as`, or the name of the function that returns it
    watch: tuple[str, ...]  # parameters; of a vector the first and the last entry
    mistake: tuple[str, str]  # code as `noncentred` gives it, and what stands there instead
    mistake_in_words: str
    simulate: Callable[[Generator], Drawn]  # all parameters, and the outcomes by their pm.Data


FAMILIES: dict[str, Family] = {}


def _family(*about: Any) -> Callable:
    def add(simulate: Callable[[Generator], Drawn]) -> Callable[[Generator], Drawn]:
        FAMILIES[simulate.__name__.strip("_")] = Family(*about, simulate)
        return simulate

    return add


# --- Small designs, under the names that the notebooks give to their tables --------------------

FROGS = load_data("reedfrogs").assign(surv=0)
#: Action, intention, contact of the six kinds of cases.
KINDS = pd.DataFrame(
    [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (0, 1, 1)],
    columns=["action", "intention", "contact"],
)
#: Eight levels of education, each with two kinds of cases.
CELLS = KINDS.iloc[np.resize([0, 3, 1, 4, 2, 5], 16)].reset_index(drop=True)
CELLS["level"] = np.repeat(np.arange(8), 2)
PEOPLE, RATINGS = 15, 30
TERMS = KINDS.set_axis(["A", "I", "C"], axis=1).astype(float)
TERMS = TERMS.assign(IA=TERMS["I"] * TERMS["A"], IC=TERMS["I"] * TERMS["C"])
TERMS = pd.concat([TERMS, TERMS], ignore_index=True)
STORY_CODES = np.repeat(np.arange(4), 3)
CASE_CODES, PERSON_CODES = (x.ravel() for x in np.meshgrid(np.arange(12), np.arange(12)))
WOMEN = np.resize([2, 5, 10, 20, 40], 20)
TOWN = pd.DataFrame({"district": np.repeat(np.arange(20), 2), "urban": np.tile([0, 1], 20)})
TOWN = TOWN.assign(women=np.column_stack([WOMEN, WOMEN[::-1]]).ravel(), users=0)
GROUPS, EACH = 12, 8


def _confounded() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(12)
    group_idx = np.repeat(np.arange(GROUPS), EACH)
    trait = rng.normal(rng.normal(0, 1, GROUPS)[group_idx], 1)
    return {
        "group_idx": group_idx,
        "trait": trait,
        "trait_mean": trait.reshape(GROUPS, EACH).mean(1),
        "group_trait": rng.normal(0, 1, GROUPS),
        "survived": np.zeros(GROUPS * EACH, dtype=int),
    }


CONFOUNDED = _confounded()


def _counts(rows: int, n: int) -> pd.DataFrame:
    """Ratings of each row, all of them the lowest: only their number counts."""
    return pd.DataFrame(n * np.eye(1, 7, dtype=int).repeat(rows, 0), columns=range(1, 8))


def namespace() -> dict[str, Any]:
    """Names that a model's cell reads: imports and tables."""
    rating = {"rating": range(1, 8), "cutpoint": range(1, 7)}
    return {
        "np": np,
        "pd": pd,
        "pm": pm,
        "pt": pt,
        "OrderedLogit": OrderedLogit,
        "OrderedMultinomial": OrderedMultinomial,
        "ordered": pm.distributions.transforms.ordered,
        "coords": rating
        | {"kind": range(6), "level": range(8), "step": range(1, 8), "cell": range(16)}
        | {"case": range(12), "story": range(4), "person": range(12), "tank": range(1, 49)}
        | {"district": range(20), "feature": ["rural level", "urban difference"]},
        "trolley_coords": rating | {"person": range(PEOPLE)},
        "confound_coords": {"group": range(GROUPS)},
        "TREATMENTS": list(KINDS),
        "frogs": FROGS,
        "kinds": KINDS,
        "kind_counts": _counts(6, 20),
        "cells": CELLS,
        "level_counts_of_kind": _counts(16, 10),
        "person_counts": _counts(PEOPLE, RATINGS),
        "terms": TERMS,
        "story_codes": STORY_CODES,
        "case_codes": CASE_CODES,
        "person_codes": PERSON_CODES,
        "ratings": np.zeros(len(CASE_CODES), dtype=int),
        "by_district": pd.DataFrame({"district": range(20), "women": WOMEN, "users": 0}),
        "by_residence": TOWN,
        "counts": TOWN,
        "district_idx": TOWN["district"].to_numpy(),
        "confound_data": CONFOUNDED,
        "urban": TOWN["urban"].to_numpy(dtype=float),
    }


# --- Truth and data, from the formulas --------------------------------------------------------


def _ratings(rng: Generator, n: int, phi: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """Draw how many of n ratings with log-odds phi are 1, 2, ... 7."""
    ends = np.zeros((len(phi), 1)), expit(kappa - phi[:, None]), np.ones((len(phi), 1))
    return rng.multinomial(n, np.diff(np.hstack(ends), axis=1))


def _zero_sum(rng: Generator, sd: float, size: int) -> np.ndarray:
    z = rng.normal(0, sd, size)
    return z - z.mean()


def _normals(rng: Generator, sd: float, *names: str) -> dict[str, float]:
    return {name: rng.normal(0, sd) for name in names}


@_family(
    "ordered logit, treatments",
    "11",
    "treatment_model",
    ("beta_A", "beta_I", "beta_C", "kappa"),
    ("beta_A * A + beta_I * I", "beta_A * I + beta_I * A"),
    "action and intention change places",
)
def _treatments(rng: Generator) -> Drawn:
    beta = _normals(rng, 0.5, "beta_A", "beta_I", "beta_C")
    kappa = np.sort(rng.normal(0, 1, 6))
    phi = KINDS.to_numpy() @ list(beta.values())
    return beta | {"kappa": kappa}, {"counts": _ratings(rng, 20, phi, kappa)}


@_family(
    "ordered logit, education in steps",
    "11",
    "education_model",
    ("beta_E", "delta", "beta_A", "beta_I", "beta_C", "kappa"),
    ("so_far[E]", "so_far[7 - E]"),
    "levels of education counted from the top",
)
def _education(rng: Generator) -> Drawn:
    beta = _normals(rng, 0.5, "beta_A", "beta_I", "beta_C", "beta_E")
    delta, kappa = rng.dirichlet(np.full(7, 2.0)), np.sort(rng.normal(0, 1, 6))
    so_far = np.append(0, delta.cumsum())
    effects = [beta[f"beta_{t}"] for t in "AIC"]
    phi = beta["beta_E"] * so_far[CELLS["level"]] + CELLS[list(KINDS)].to_numpy() @ effects
    return beta | {"delta": delta, "kappa": kappa}, {"R_data": _ratings(rng, 10, phi, kappa)}


@_family(
    "ordered logit, people",
    "12",
    "person_model",
    ("tau", "u", "kappa"),
    ("pm.Exponential('tau', 1)", "pm.Exponential('tau', 10)"),
    "prior Exponential(10) of tau",
)
def _people(rng: Generator) -> Drawn:
    kappa, tau = np.sort(rng.normal(0, 1.5, 6)), rng.exponential()
    u = _zero_sum(rng, tau, PEOPLE)
    return {"kappa": kappa, "tau": tau, "u": u}, {"C_data": _ratings(rng, RATINGS, u, kappa)}


@_family(
    "ordered logit, people and stories",
    "12f",
    "crossed_model",
    ("tau_u", "tau_s", "u", "s", "beta_A", "beta_I", "beta_C", "beta_IA", "beta_IC", "kappa"),
    ("theta[case_idx] + u[person_idx]", "theta[case_idx] - u[person_idx]"),
    "wrong sign of the people",
)
def _crossed(rng: Generator) -> Drawn:
    beta = _normals(rng, 0.5, *(f"beta_{k}" for k in TERMS))
    kappa, tau_u, tau_s = np.sort(rng.normal(0, 1.5, 6)), rng.exponential(), rng.exponential()
    u, s = _zero_sum(rng, tau_u, 12), _zero_sum(rng, tau_s, 4)
    theta = TERMS.to_numpy() @ list(beta.values()) + s[STORY_CODES]
    rating = _ratings(rng, 1, theta[CASE_CODES] + u[PERSON_CODES], kappa).argmax(1)
    truth = {"kappa": kappa, "tau_u": tau_u, "tau_s": tau_s, "u": u, "s": s}
    return beta | truth, {"R_data": rating}


@_family(
    "reed frogs",
    "12",
    "multilevel_model",
    ("alpha_bar", "sigma", "alpha"),
    ("alpha[tank_idx]", "alpha[tank_idx[::-1]]"),
    "tanks in the reverse order",
)
def _frogs(rng: Generator) -> Drawn:
    alpha_bar, sigma = rng.normal(0, 1.5), rng.exponential()
    alpha = rng.normal(alpha_bar, sigma, 48)
    truth = {"alpha_bar": alpha_bar, "sigma": sigma, "alpha": alpha}
    return truth, {"S_data": rng.binomial(FROGS["density"], expit(alpha))}


@_family(
    "reed frogs, predators",
    "12",
    "predator_model",
    ("alpha_bar", "sigma", "beta_P", "z"),
    ("+ beta_P * predators", "- beta_P * predators"),
    "wrong sign of the predators",
)
def _predators(rng: Generator) -> Drawn:
    alpha_bar, sigma, beta = rng.normal(0, 1.5), rng.exponential(), rng.normal(0, 0.5)
    z = rng.normal(0, 1, 48)
    logit_p = alpha_bar + sigma * z + beta * (FROGS["pred"] == "pred").to_numpy()
    truth = {"alpha_bar": alpha_bar, "sigma": sigma, "beta_P": beta, "z": z}
    return truth, {"S_data": rng.binomial(FROGS["density"], expit(logit_p))}


@_family(
    "districts, D",
    "13",
    "district_model",
    ("alpha_bar", "sigma", "alpha"),
    ("p[district_idx]", "p[district_idx[::-1]]"),
    "districts in the reverse order",
)
def _districts(rng: Generator) -> Drawn:
    alpha_bar, sigma = rng.normal(0, 1), rng.exponential()
    alpha = rng.normal(alpha_bar, sigma, 20)
    truth = {"alpha_bar": alpha_bar, "sigma": sigma, "alpha": alpha}
    return truth, {"C_data": rng.binomial(WOMEN, expit(alpha))}


def _users(rng: Generator, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    logit_p = alpha[TOWN["district"]] + beta[TOWN["district"]] * TOWN["urban"].to_numpy()
    return rng.binomial(TOWN["women"], expit(logit_p))


@_family(
    "districts, DU",
    "13",
    "town_model",
    ("alpha_bar", "sigma", "beta_bar", "tau", "alpha", "z"),
    ("beta[district_idx] * urban", "beta[district_idx] * (1 - urban)"),
    "town and country change places",
)
def _town(rng: Generator) -> Drawn:
    truth = _normals(rng, 1, "alpha_bar", "beta_bar")
    truth |= {"sigma": rng.exponential(), "tau": rng.exponential(), "z": rng.normal(0, 1, 20)}
    truth["alpha"] = rng.normal(truth["alpha_bar"], truth["sigma"], 20)
    beta = truth["beta_bar"] + truth["tau"] * truth["z"]
    return truth, {"C_data": _users(rng, truth["alpha"], beta)}


@_family(
    "districts, DUR",
    "14",
    "dur_model",
    ("alpha_bar", "sigma", "beta_bar", "tau", "rho", "z"),
    ("L[1, 1] * z[1]", "L[0, 1] * z[1]"),
    "the factor's entry that is always zero",
)
def _correlated(rng: Generator) -> Drawn:
    truth = _normals(rng, 1, "alpha_bar", "beta_bar")
    truth |= {"sigma": rng.exponential(), "tau": rng.exponential()}
    rho, z = 2 * rng.beta(4, 4) - 1, rng.normal(0, 1, (2, 20))
    root = np.sqrt(1 - rho**2)
    alpha = truth["alpha_bar"] + truth["sigma"] * z[0]
    beta = truth["beta_bar"] + truth["tau"] * (rho * z[0] + root * z[1])
    truth |= {"rho": rho, "z": z, "L": np.array([[1, 0], [rho, root]])}
    return truth, {"C_data": _users(rng, alpha, beta)}


def _survived(rng: Generator, trait: np.ndarray, effect: float, of_group: Any) -> np.ndarray:
    logit_p = effect * trait + np.broadcast_to(of_group, GROUPS)[CONFOUNDED["group_idx"]]
    return rng.binomial(1, expit(logit_p))


@_family(
    "random confound, naive",
    "12d",
    "confound_naive",
    ("alpha", "beta_XY", "beta_ZY"),
    ("pm.Normal('alpha', 0, 10)", "pm.Normal('alpha', 0, 1)"),
    "prior Normal(0, 1) of alpha",
)
def _naive(rng: Generator) -> Drawn:
    truth = _normals(rng, 10, "alpha") | _normals(rng, 1, "beta_XY", "beta_ZY")
    of_group = truth["alpha"] + truth["beta_ZY"] * CONFOUNDED["group_trait"]
    data = _survived(rng, CONFOUNDED["trait"], truth["beta_XY"], of_group)
    return truth, {"survived": data}


def _groups(rng: Generator, *slopes: str) -> tuple[dict[str, Any], np.ndarray]:
    """Draw slopes, a population of groups and their levels with the effect of Z."""
    truth: dict[str, Any] = _normals(rng, 1, "alpha_bar", "beta_XY", "beta_ZY", *slopes)
    truth |= {"tau": rng.exponential(), "z": rng.normal(0, 1, GROUPS)}
    alpha = truth["alpha_bar"] + truth["tau"] * truth["z"]
    return truth, alpha + truth["beta_ZY"] * CONFOUNDED["group_trait"]


@_family(
    "random confound, varying effects",
    "12d",
    "confound_multilevel",
    ("alpha_bar", "tau", "beta_XY", "beta_ZY", "z"),
    ("beta_ZY * group_trait", "beta_ZY * group_trait[::-1]"),
    "group traits in the reverse order",
)
def _varying(rng: Generator) -> Drawn:
    truth, of_group = _groups(rng)
    return truth, {"survived": _survived(rng, CONFOUNDED["trait"], truth["beta_XY"], of_group)}


@_family(
    "random confound, Mundlak",
    "12d",
    "confound_mundlak",
    ("alpha_bar", "tau", "beta_XY", "beta_ZY", "beta_xbar", "z"),
    ("+ beta_xbar * trait_mean", "- beta_xbar * trait_mean"),
    "wrong sign of the mean of X",
)
def _mundlak(rng: Generator) -> Drawn:
    truth, of_group = _groups(rng, "beta_xbar")
    of_group = of_group + truth["beta_xbar"] * CONFOUNDED["trait_mean"]
    return truth, {"survived": _survived(rng, CONFOUNDED["trait"], truth["beta_XY"], of_group)}


@_family(
    "random confound, latent Mundlak",
    "12d",
    "confound_latent",
    ("alpha_bar", "tau", "beta_XY", "beta_ZY", "beta_UY", "sigma_X", "beta_UX", "alpha_X", "mu"),
    ("(mu - alpha_X) / beta_UX", "mu - alpha_X"),
    "U is not divided by its scale",
)
def _latent(rng: Generator) -> Drawn:
    truth, of_group = _groups(rng, "beta_UY", "alpha_X")
    truth |= {"sigma_X": rng.exponential(), "beta_UX": rng.exponential()}
    U = rng.normal(0, 1, GROUPS)
    truth["mu"] = truth["alpha_X"] + truth["beta_UX"] * U
    trait = rng.normal(truth["mu"][CONFOUNDED["group_idx"]], truth["sigma_X"])
    of_group = of_group + truth["beta_UY"] * U
    survived = _survived(rng, trait, truth["beta_XY"], of_group)
    return truth, {"trait": trait, "survived": survived}
