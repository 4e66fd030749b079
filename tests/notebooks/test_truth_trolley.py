"""Numerical truth of the fits of deep dive 12b: importance sampling with a likelihood written here.

The likelihood takes the 9,930 ratings one by one and uses nothing of ``ordered_logit``. Proposals
are draws from a multivariate t around the mode, so the means come with a Monte Carlo error of
their own. The executed notebook wrote its posterior means to the run record.
"""

from functools import cache

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import optimize, special, stats

import utils
from tests.standard_errors import check

pytestmark = pytest.mark.notebook("12b-What_Memory_Is_Worth")
PROPOSALS = 20_000


@cache
def trolley():
    table = pd.read_csv("data/Trolley.csv")
    return table.assign(
        story_idx=pd.factorize(table["story"], sort=True)[0],
        person_idx=pd.factorize(table["id"], sort=True)[0],
    )


def log_shares(phi, kappa):
    """Logarithm of the seven probabilities; phi (..., n), kappa (..., 6) -> (..., n, 7)."""
    upper = kappa[..., None, :] - phi[..., :, None]
    ends = np.full((*upper.shape[:-1], 1), np.inf)
    upper = np.concatenate([-ends, upper, ends], axis=-1)
    # the smaller of F(b) - F(a) and F(-a) - F(-b) loses no digits
    flip = upper[..., :-1] > 0
    low, high = upper[..., :-1], upper[..., 1:]
    difference = np.where(
        flip, special.expit(-low) - special.expit(-high), special.expit(high) - special.expit(low)
    )
    with np.errstate(divide="ignore"):
        return np.log(difference)


def zero_sum_basis(size):
    """Orthonormal columns that sum to zero, (size, size - 1)."""
    return np.linalg.svd(np.eye(size) - 1 / size)[0][:, : size - 1]


class Posterior:
    """A model of the trolley section in unconstrained parameters, one rating at a time.

    Parameters: cutpoints (first, then logs of the gaps), slopes, story effects in a zero-sum basis,
    logarithm of their scale, whichever the model has.
    """

    def __init__(self, *, stories=False, learnt=False, treatments=False):
        self.stories, self.learnt, self.treatments = stories, learnt, treatments
        self.cell = trolley()["case"] if treatments else trolley()["story"]
        self.row, self.cells = pd.factorize(self.cell, sort=True)
        first = trolley().groupby(self.cell.to_numpy()).first().loc[self.cells]
        self.story_of_cell = first["story_idx"].to_numpy()
        a, i, c = (first[k].to_numpy(float) for k in ("action", "intention", "contact"))
        self.design = np.stack([a, i, c, i * a, i * c], axis=1)
        self.basis = zero_sum_basis(12)
        self.size = 6 + 5 * treatments + 11 * stories + learnt

    def split(self, theta):
        kappa = np.cumsum(
            np.concatenate([theta[..., :1], np.exp(theta[..., 1:6])], axis=-1), axis=-1
        )
        jacobian = theta[..., 1:6].sum(axis=-1)
        rest = theta[..., 6:]
        slopes = rest[..., :5] if self.treatments else np.zeros((*theta.shape[:-1], 5))
        rest = rest[..., 5:] if self.treatments else rest
        flat = rest[..., :11] if self.stories else np.zeros((*theta.shape[:-1], 11))
        scale = np.exp(rest[..., 11]) if self.learnt else np.full(theta.shape[:-1], 5.0)
        jacobian = jacobian + (np.log(scale) if self.learnt else 0)
        return kappa, slopes, flat, scale, jacobian

    def variables(self, theta):
        kappa, slopes, flat, scale, _ = self.split(theta)
        found = {"kappa": kappa, "slopes": slopes, "effect": flat @ self.basis.T}
        return found | {"scale": scale[..., None]}

    def log_density(self, theta):
        kappa, slopes, flat, scale, jacobian = self.split(theta)
        phi = slopes @ self.design.T + (flat @ self.basis.T)[..., self.story_of_cell]
        shares = log_shares(phi, kappa)
        # one by one: rating i reads the entry of its cell and category
        total = shares[..., self.row, trolley()["response"].to_numpy() - 1].sum(axis=-1)
        total = total + stats.norm.logpdf(kappa, 0, 1.5).sum(axis=-1) + jacobian
        if self.treatments:
            total = total + stats.norm.logpdf(slopes, 0, 0.5).sum(axis=-1)
        if self.stories:
            total = total + stats.norm.logpdf(flat, 0, scale[..., None]).sum(axis=-1)
        if self.learnt:
            total = total - scale
        return total

    def means(self):
        """Posterior means and their Monte Carlo errors, by self-normalized importance sampling."""
        shares = np.cumsum(trolley()["response"].value_counts(normalize=True).sort_index())
        closed = special.logit(shares.to_numpy()[:-1])
        start = np.zeros(self.size)
        start[:6] = np.r_[closed[0], np.log(np.diff(closed))]
        if self.learnt:
            start[-1] = np.log(0.4)

        def objective(theta):
            return -self.log_density(theta)

        mode = optimize.minimize(objective, start, method="BFGS", options={"gtol": 1e-2}).x
        step = 1e-3
        moves = np.eye(self.size) * step
        at = self.log_density(
            mode
            + np.concatenate([moves[:, None] + moves, moves[:, None] - moves]).reshape(
                -1, self.size
            )
        ).reshape(2, self.size, self.size)
        back = self.log_density(
            mode
            - np.concatenate([moves[:, None] + moves, moves[:, None] - moves]).reshape(
                -1, self.size
            )
        ).reshape(2, self.size, self.size)
        hessian = (at[0] + back[0] - at[1] - back[1]) / (4 * step**2)
        proposal = stats.multivariate_t(mode, np.linalg.inv(-hessian), df=8, seed=1)
        theta = proposal.rvs(PROPOSALS)
        parts = np.array_split(theta, 40)
        log_weight = np.concatenate([self.log_density(part) for part in parts])
        log_weight -= proposal.logpdf(theta)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        assert 1 / (weight**2).sum() > PROPOSALS / 10, "the proposals miss the posterior"
        found = {}
        for name, values in self.variables(theta).items():
            mean = weight @ values
            found[name] = mean, np.sqrt(weight**2 @ (values - mean) ** 2)
        return found


@pytest.fixture(scope="module")
def record(run_record):
    return run_record("12b-What_Memory_Is_Worth")


def compare(record, name, truth, variables):
    """z-scores of the notebook's means, with the errors of both sides."""
    rows = {r["variable"]: r for r in record if r["kind"] == "estimate" and r["name"] == name}
    scores = []
    for variable, (mean, error) in ((v, truth[t]) for v, t in variables.items()):
        assert variable in rows, f"the record has no {variable!r} of {name!r}; it has {set(rows)}"
        difference = np.array(rows[variable]["mean"]) - mean
        scores.append(difference / np.hypot(rows[variable]["mcse"], error))
    check(np.concatenate([np.ravel(s) for s in scores]), name)


def test_complete_pooling_against_the_closed_form(record):
    """Without effects the cutpoints are the log-odds of cumulative shares, but for the prior."""
    rows = {
        r["variable"]: r for r in record if r["kind"] == "estimate" and r["name"] == "pooled_idata"
    }
    shares = trolley()["response"].value_counts(normalize=True).sort_index().cumsum()
    share = shares.to_numpy()[:-1]
    spread = 1 / np.sqrt(len(trolley()) * share * (1 - share))  # of a log-odds, delta method
    gap = np.array(rows["kappa"]["mean"]) - special.logit(share)
    assert np.abs(gap / spread).max() < 0.1


@pytest.mark.parametrize(
    ("name", "options", "variables"),
    [
        ("pooled_idata", {}, {"kappa": "kappa"}),
        ("no_pooling_idata", {"stories": True}, {"kappa": "kappa", "beta": "effect"}),
        (
            "partial_idata",
            {"stories": True, "learnt": True},
            {"kappa": "kappa", "beta": "effect", "sigma": "scale"},
        ),
        (
            "treatment_idata",
            {"stories": True, "learnt": True, "treatments": True},
            {"kappa": "kappa", "s": "effect", "tau": "scale"},
        ),
    ],
)
def test_tables_against_ratings_one_by_one(record, name, options, variables):
    truth = Posterior(**options).means()
    if options.get("treatments"):
        mean, error = truth["slopes"]
        for k, slope in enumerate(["beta_A", "beta_I", "beta_C", "beta_IA", "beta_IC"]):
            truth[slope] = mean[k], error[k]
            variables = variables | {slope: slope}
    compare(record, name, truth, variables)


def test_people_against_pymcs_own_likelihood(record):
    """331 people, two ratings each: PyMC's OrderedLogistic, a rating at a time."""
    people = sorted(trolley()["id"].unique())
    rng = np.random.default_rng(12)
    turn = rng.permuted(np.tile(np.arange(30), (len(people), 1)), axis=1)
    ordered_rows = trolley().sort_values("id", kind="stable")
    rows = ordered_rows[turn.ravel() < 2]
    with pm.Model() as model:
        kappa = pm.Normal("kappa", 0, 1.5, shape=6, transform=pm.distributions.transforms.ordered)
        tau = pm.Exponential("tau", 1)
        u = pm.ZeroSumNormal("u", tau, shape=331)
        pm.OrderedLogistic(
            "R",
            eta=u[rows["person_idx"].to_numpy()],
            cutpoints=kappa,
            observed=rows["response"].to_numpy() - 1,
            compute_p=False,
        )
    idata = utils.fit(model, name="a rating at a time", random_seed=99)
    posterior = idata["posterior"]
    truth = {
        k: (posterior[k].mean(("chain", "draw")).to_numpy(), az.mcse(posterior[k]).to_numpy())
        for k in ("kappa", "tau", "u")
    }
    compare(record, "people, 2 ratings", truth, {k: k for k in truth})
