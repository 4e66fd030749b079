"""The models that are benchmarked, each in the forms that are compared.

`FORMS` lists them. A form is a function without arguments that returns a model; a new one is a
function and a line in that table. Growth takes larger data, which `more_people` and `more_tanks`
simulate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd
import pymc as pm
from ordered_logit import OrderedLogit

import utils
from studies import random_confounds

ordered = pm.distributions.transforms.ordered


# --- Reed frogs ------------------------------------------------------------------------------


def reed_frogs(frogs: pd.DataFrame | None = None) -> pm.Model:
    r"""Return the multilevel model of tadpoles in tanks.

    .. math::

        S_i &\sim \text{Binomial}(D_i, p_i), \quad \text{logit}(p_i) = \alpha_i \\
        \alpha_i &\sim \text{Normal}(\bar\alpha, \sigma) \\
        \bar\alpha &\sim \text{Normal}(0, 1.5), \quad \sigma \sim \text{Exponential}(1)

    Parameters
    ----------
    frogs : pandas.DataFrame, optional
        Columns ``density`` and ``surv``, a row a tank; the 48 tanks by default.

    Returns
    -------
    pymc.Model
    """
    frogs = utils.load_data("reedfrogs") if frogs is None else frogs
    with pm.Model(coords={"tank": np.arange(1, len(frogs) + 1)}) as model:
        density = pm.Data("density", frogs["density"].to_numpy(), dims="tank")
        sigma = pm.Exponential("sigma", 1)
        alpha_bar = pm.Normal("alpha_bar", 0, 1.5)
        alpha = pm.Normal("alpha", alpha_bar, sigma, dims="tank")
        p = pm.Deterministic("p", pm.math.invlogit(alpha), dims="tank")
        pm.Binomial("S", n=density, p=p, observed=frogs["surv"].to_numpy(), dims="tank")
    return model


def more_tanks(times: int, random_seed: int) -> pd.DataFrame:
    """Simulate the experiment with several times as many tanks.

    Densities repeat those of the 48 tanks; the log-odds of each tank are drawn anew from
    Normal(1.4, 1.6), about the population that the model finds, its survivors from those.

    Parameters
    ----------
    times : int
    random_seed : int

    Returns
    -------
    pandas.DataFrame
        Columns ``density`` and ``surv``.
    """
    rng = np.random.default_rng(random_seed)
    density = np.tile(utils.load_data("reedfrogs")["density"].to_numpy(), times)
    alpha = rng.normal(1.4, 1.6, len(density))
    return pd.DataFrame({"density": density, "surv": rng.binomial(density, utils.invlogit(alpha))})


# --- Trolley ---------------------------------------------------------------------------------


@cache
def _trolley() -> pd.DataFrame:
    return utils.load_data("Trolley")


def _trolley_coords(trolley: pd.DataFrame) -> dict:
    return {
        "story": sorted(trolley["story"].unique()),
        "person": sorted(trolley["id"].unique()),
        "case": sorted(trolley["case"].unique()),
        "cutpoint": np.arange(1, 7),
    }


def _slopes() -> dict:
    return {name: pm.Normal(f"beta_{name}", 0, 0.5) for name in ("IC", "IA", "C", "I", "A")}


def _treatment(beta: dict, table: pd.DataFrame, dims: str | None = None):
    """Sum of the five treatment terms, for each row of a table."""
    action, intention, contact = (
        pm.Data(name, table[name].to_numpy(float), dims=dims)
        for name in ("action", "intention", "contact")
    )
    main = beta["A"] * action + beta["I"] * intention + beta["C"] * contact
    return main + beta["IA"] * intention * action + beta["IC"] * intention * contact


def trolley_textbook() -> pm.Model:
    r"""Return the model of the ratings as a textbook writes it: rating by rating, stock likelihood.

    .. math::

        R_i &\sim \text{OrderedLogit}(\phi_i, \kappa) \\
        \phi_i &= \beta_A A_i + \beta_I I_i + \beta_C C_i + \beta_{IA} I_i A_i
                  + \beta_{IC} I_i C_i + s_{\text{story}[i]} + u_{\text{person}[i]} \\
        s_j &\sim \text{Normal}(0, \tau_s), \quad u_j \sim \text{Normal}(0, \tau_u) \\
        \beta &\sim \text{Normal}(0, 0.5), \quad \tau \sim \text{Exponential}(1) \\
        \kappa_k &\sim \text{Normal}(0, 1.5), \text{ordered}

    Returns
    -------
    pymc.Model
        The cutpoints have no start of their own: pass `utils.ordered_starts`.
    """
    trolley = _trolley()
    with pm.Model(coords=_trolley_coords(trolley)) as model:
        story_idx = pm.Data("story_idx", pd.factorize(trolley["story"], sort=True)[0])
        person_idx = pm.Data("person_idx", pd.factorize(trolley["id"], sort=True)[0])
        kappa = pm.Normal("kappa", 0, 1.5, dims="cutpoint", transform=ordered)
        tau_u = pm.Exponential("tau_u", 1)
        tau_s = pm.Exponential("tau_s", 1)
        u = pm.Normal("u", 0, tau_u, dims="person")
        s = pm.Normal("s", 0, tau_s, dims="story")
        phi = _treatment(_slopes(), trolley) + s[story_idx] + u[person_idx]
        _stock("R", phi, kappa, observed=trolley["response"].to_numpy() - 1)
    return model


def _stock(name, phi, kappa, **kwargs):
    # all probabilities of all ratings would be stored for each draw otherwise
    return pm.OrderedLogistic(name, eta=phi, cutpoints=kappa, compute_p=False, **kwargs)


def trolley_sum_to_zero(
    trolley: pd.DataFrame | None = None, likelihood: Callable = OrderedLogit
) -> pm.Model:
    r"""Return the course's model of the ratings, `crossed_model` of lecture 12.

    .. math::

        R_i &\sim \text{OrderedLogit}(\phi_i, \kappa), \quad
        \phi_i = \theta_{\text{case}[i]} + u_{\text{person}[i]} \\
        \theta_c &= \beta_A A_c + \beta_I I_c + \beta_C C_c + \beta_{IA} I_c A_c
                    + \beta_{IC} I_c C_c + s_{\text{story}[c]} \\
        s &\sim \text{ZeroSumNormal}(\tau_s), \quad u \sim \text{ZeroSumNormal}(\tau_u)

    Other priors as in `trolley_textbook`.

    Parameters
    ----------
    trolley : pandas.DataFrame, optional
        The course's table by default, or what `more_people` gives.
    likelihood : callable
        ``OrderedLogit`` of the course, or the stock one.

    Returns
    -------
    pymc.Model
        The cutpoints have no start of their own: pass `utils.ordered_starts`.
    """
    trolley = _trolley() if trolley is None else trolley
    coords = _trolley_coords(trolley)
    cases = trolley.drop_duplicates("case").set_index("case").loc[coords["case"]]
    with pm.Model(coords=coords) as model:
        story_idx = pm.Data("story_idx", pd.factorize(cases["story"], sort=True)[0], dims="case")
        case_idx = pm.Data("case_idx", pd.factorize(trolley["case"], sort=True)[0])
        person_idx = pm.Data("person_idx", pd.factorize(trolley["id"], sort=True)[0])
        kappa = pm.Normal("kappa", 0, 1.5, dims="cutpoint", transform=ordered)
        tau_u = pm.Exponential("tau_u", 1)
        tau_s = pm.Exponential("tau_s", 1)
        u = pm.ZeroSumNormal("u", tau_u, dims="person")
        s = pm.ZeroSumNormal("s", tau_s, dims="story")
        theta = _treatment(_slopes(), cases, dims="case") + s[story_idx]
        phi = theta[case_idx] + u[person_idx]
        likelihood("R", phi, kappa, observed=trolley["response"].to_numpy() - 1)
    return model


def trolley_centred() -> pm.Model:
    r"""Return `trolley_sum_to_zero` with predictors that are centred and turned.

    The cutpoints belong to the average rating instead of the case without any treatment, and the
    slopes are turned to the axes of the predictors, so that neither depends much on the others.
    The prior is the same. With the means :math:`m` of the five terms over the ratings and an
    orthogonal matrix :math:`Q`

    .. math::

        \beta &= Q z, \quad z \sim \text{Normal}(0, 0.5), \quad \delta = m \cdot \beta \\
        \kappa'_k &\sim \text{Normal}(-\delta, 1.5), \text{ordered}, \quad
        \kappa = \kappa' + \delta \\
        \phi_i &= (x_i - m) \cdot \beta + s_{\text{story}[i]} + u_{\text{person}[i]}

    Returns
    -------
    pymc.Model
        The cutpoints have no start of their own: pass `utils.ordered_starts`.
    """
    trolley = _trolley()
    coords = _trolley_coords(trolley) | {"term": ["A", "I", "C", "IA", "IC"]}
    cases = trolley.drop_duplicates("case").set_index("case").loc[coords["case"]]
    case_idx = pd.factorize(trolley["case"], sort=True)[0]
    action, intention, contact = cases[["action", "intention", "contact"]].to_numpy(float).T
    terms = [action, intention, contact, intention * action, intention * contact]
    design = np.stack(terms, axis=1)
    mean = design[case_idx].mean(axis=0)
    design = design - mean
    turn = np.linalg.eigh(np.cov(design[case_idx].T))[1]
    with pm.Model(coords=coords) as model:
        story_idx = pm.Data("story_idx", pd.factorize(cases["story"], sort=True)[0], dims="case")
        person_idx = pm.Data("person_idx", pd.factorize(trolley["id"], sort=True)[0])
        z = pm.Normal("z", 0, 0.5, dims="term")
        beta = turn @ z
        for place, term in enumerate(coords["term"]):
            pm.Deterministic(f"beta_{term}", beta[place])
        delta = mean @ beta
        kappa_centred = pm.Normal("kappa_centred", -delta, 1.5, dims="cutpoint", transform=ordered)
        pm.Deterministic("kappa", kappa_centred + delta, dims="cutpoint")
        tau_u = pm.Exponential("tau_u", 1)
        tau_s = pm.Exponential("tau_s", 1)
        u = pm.ZeroSumNormal("u", tau_u, dims="person")
        s = pm.ZeroSumNormal("s", tau_s, dims="story")
        theta = design @ beta + s[story_idx]
        phi = theta[case_idx] + u[person_idx]
        OrderedLogit("R", phi, kappa_centred, observed=trolley["response"].to_numpy() - 1)
    return model


#: About the posterior means of the course's model, from which `more_people` simulates.
TRUTH = {
    "kappa": (-4.0, -3.1, -2.2, -0.7, 0.4, 1.8),
    "slopes": {"A": -0.9, "I": -0.5, "C": -1.1, "IA": -0.5, "IC": -1.3},
    "tau_u": 2.0,
    "tau_s": 0.5,
}


def more_people(times: int, random_seed: int) -> pd.DataFrame:
    """Simulate the trolley study with several times as many people.

    Each of the 331 people is there `times` times, rating the same 30 cases; yet every copy is a
    new person: its effect is drawn from the population and its ratings from the model, with the
    parameters of `TRUTH`. Times 1 is simulated as well, so that sizes differ in nothing else.

    Parameters
    ----------
    times : int
    random_seed : int

    Returns
    -------
    pandas.DataFrame
        Columns of the course's table that the model reads.
    """
    rng = np.random.default_rng(random_seed)
    used = ["case", "response", "id", "action", "intention", "contact", "story"]
    trolley = pd.concat([_trolley()[used]] * times, keys=range(times), names=["copy", "row"])
    trolley = trolley.reset_index("copy").reset_index(drop=True)
    trolley["id"] = trolley["id"] + "-" + trolley["copy"].astype(str)
    slopes, (action, intention, contact) = TRUTH["slopes"], trolley[used[3:6]].to_numpy(float).T
    phi = slopes["A"] * action + slopes["I"] * intention + slopes["C"] * contact
    phi += slopes["IA"] * intention * action + slopes["IC"] * intention * contact
    for column, spread in (("id", TRUTH["tau_u"]), ("story", TRUTH["tau_s"])):
        codes, levels = pd.factorize(trolley[column], sort=True)
        phi += rng.normal(0, spread, len(levels))[codes]
    # a logistic variable falls above as many cutpoints as the rating says
    latent = phi + rng.logistic(size=len(phi))
    trolley["response"] = 1 + np.searchsorted(TRUTH["kappa"], latent)
    return trolley


# --- Random confounds ------------------------------------------------------------------------


def latent_mundlak() -> pm.Model:
    r"""Return lecture 12's model of a latent confound, on its simulated data set of 200.

    Simulation and model are the notebook's own cells, read by `studies.random_confounds`.

    .. math::

        Y_i &\sim \text{Bernoulli}(p_i), \quad \text{logit}(p_i) = \bar\alpha + \tau z_{g[i]}
            + \beta_{XY} X_i + \beta_{ZY} Z_{g[i]} + \beta_{UY} U_{g[i]} \\
        X_i &\sim \text{Normal}(\mu_{g[i]}, \sigma_X), \quad
        \mu_g \sim \text{Normal}(\alpha_X, \beta_{UX}), \quad
        U_g = (\mu_g - \alpha_X) / \beta_{UX}

    Returns
    -------
    pymc.Model
    """
    notebook = random_confounds.execute_cells(random_confounds.study_cells())
    data = notebook["simulate_confounded"](200, np.random.default_rng(random_confounds.SEED))
    return notebook["confound_latent"](data)


# --- All of them -----------------------------------------------------------------------------

#: (family, form): function that returns the model.
FORMS: dict[tuple[str, str], Callable[[], pm.Model]] = {
    ("reed frogs", "course"): reed_frogs,
    ("trolley", "textbook"): trolley_textbook,
    ("trolley", "sum to zero, stock likelihood"): partial(trolley_sum_to_zero, likelihood=_stock),
    ("trolley", "sum to zero, ordered_logit"): trolley_sum_to_zero,
    ("trolley", "sum to zero, ordered_logit, centred predictors"): trolley_centred,
    ("confounds, latent Mundlak", "course"): latent_mundlak,
}

#: What grows: function of (times, random_seed) that returns the model of the course's form.
GROWTH: dict[str, Callable[[int, int], pm.Model]] = {
    "people": lambda times, random_seed: trolley_sum_to_zero(more_people(times, random_seed)),
    "tanks": lambda times, random_seed: reed_frogs(more_tanks(times, random_seed)),
}
