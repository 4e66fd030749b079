"""The formula check for every distribution of PyMC: the same verdict at every look, or refused.

Parameters of mixtures, of censored distributions and of random walks are distributions themselves:
they are taken apart, never drawn.
"""

import inspect
import re
import warnings

import numpy as np
import pymc as pm
import pytest

from rethinking.formula import compare
from rethinking.ordered_logit import OrderedLogit, OrderedMultinomial
from utils import FormulaError, show_formula

pytestmark = pytest.mark.usefixtures("shown")

K = np.array([0.2, 0.3, 0.5])
CUTPOINTS = np.array([-1.0, 0.0, 1.0])
COV = np.array([[2.0, 0.3], [0.3, 1.0]])
W = 1.0 - np.eye(3)
normal, poisson, exponential = pm.Normal.dist, pm.Poisson.dist, pm.Exponential.dist
walk = {"init_dist": normal(0, 1), "shape": 5}
rows = {"init_dist": pm.MvNormal.dist([0, 0], np.eye(2)), "shape": (5, 2)}

# What the lectures 11 to 14 take.
LECTURES = {
    "OrderedLogit(0.5, CUTPOINTS)": lambda n: OrderedLogit(n, 0.5 * np.ones(4), CUTPOINTS),
    "OrderedLogistic(0.5, CUTPOINTS)": lambda n: pm.OrderedLogistic(n, 0.5, CUTPOINTS, shape=4),
    "OrderedMultinomial(0.5, CUTPOINTS, 4)": lambda n: OrderedMultinomial(
        n, 0.5 * np.ones(3), CUTPOINTS, 4, shape=(3, 4)
    ),
    "Categorical(K)": lambda n: pm.Categorical(n, K, shape=3),
    "Dirichlet(K)": lambda n: pm.Dirichlet(n, K),
    "Multinomial(4, K)": lambda n: pm.Multinomial(n, 4, K),
    "Binomial(4, 0.3)": lambda n: pm.Binomial(n, 4, 0.3),
    "Bernoulli(0.3)": lambda n: pm.Bernoulli(n, 0.3),
    "BetaBinomial(2, 3, 10)": lambda n: pm.BetaBinomial(n, 2, 3, 10),
    "Normal(0.5, 2)": lambda n: pm.Normal(n, 0.5, 2),
    "HalfNormal(2)": lambda n: pm.HalfNormal(n, 2),
    "Exponential(3)": lambda n: pm.Exponential(n, 3),
    "LogNormal(0.5, 2)": lambda n: pm.LogNormal(n, 0.5, 2),
    "Poisson(3)": lambda n: pm.Poisson(n, 3),
    "Gamma(2, 3)": lambda n: pm.Gamma(n, 2, 3),
    "Uniform(-1, 2)": lambda n: pm.Uniform(n, -1, 2),
    "NegativeBinomial(2, 3)": lambda n: pm.NegativeBinomial(n, 2, 3),
    "Beta(2, 3)": lambda n: pm.Beta(n, 2, 3),
    "ZeroSumNormal(2)": lambda n: pm.ZeroSumNormal(n, 2, shape=3),
    "MvNormal(0.5, COV)": lambda n: pm.MvNormal(n, 0.5, COV),
    "LKJCholeskyCov(2, 3, Exponential(1))": lambda n: pm.LKJCholeskyCov(n, 2, 3, exponential(1)),
    "LKJCorr(3, 2)": lambda n: pm.LKJCorr(n, 3, 2),
    "StudentT(4, 0.5, 2)": lambda n: pm.StudentT(n, 4, 0.5, sigma=2),
    "GaussianRandomWalk(0.5, 2, Normal(0, 1))": lambda n: pm.GaussianRandomWalk(n, 0.5, 2, **walk),
    "TruncatedNormal(0.5, 2, 0, 3)": lambda n: pm.TruncatedNormal(n, 0.5, 2, lower=0, upper=3),
}
# What has distributions, or draws, for parameters.
MIXTURES = {
    "ZeroInflatedPoisson(0.3, 2)": lambda n: pm.ZeroInflatedPoisson(n, 0.3, 2),
    "ZeroInflatedBinomial(0.3, 5, 0.4)": lambda n: pm.ZeroInflatedBinomial(n, 0.3, 5, 0.4),
    "ZeroInflatedNegativeBinomial(0.3, 2, 3)": lambda n: pm.ZeroInflatedNegativeBinomial(
        n, 0.3, 2, 3
    ),
    "HurdlePoisson(0.3, 2)": lambda n: pm.HurdlePoisson(n, 0.3, 2),
    "HurdleGamma(0.3, 2, 3)": lambda n: pm.HurdleGamma(n, 0.3, 2, 3),
    "HurdleLogNormal(0.3, 2, 3)": lambda n: pm.HurdleLogNormal(n, 0.3, 2, 3),
    "HurdleNegativeBinomial(0.3, 2, 3)": lambda n: pm.HurdleNegativeBinomial(n, 0.3, 2, 3),
    "Mixture(K, [Normal(-1, 1), Normal(0, 2), Normal(1, 3)])": lambda n: pm.Mixture(
        n, K, [normal(-1, 1), normal(0, 2), normal(1, 3)]
    ),
    "Mixture(K, Poisson(CUTPOINTS))": lambda n: pm.Mixture(n, K, poisson(CUTPOINTS)),
    "NormalMixture(K, CUTPOINTS, 2)": lambda n: pm.NormalMixture(n, K, CUTPOINTS, 2),
    "Censored(Normal(0.5, 2), -1, 50)": lambda n: pm.Censored(n, normal(0.5, 2), -1, 50),
    "Truncated(Gamma(2, 3), 1, 90)": lambda n: pm.Truncated(n, pm.Gamma.dist(2, 3), 1, 90),
    "Truncated(Normal(0.5, 2), 0, 90)": lambda n: pm.Truncated(n, normal(0.5, 2), 0, 90),
    "RandomWalk(Normal(0, 1), Exponential(2))": lambda n: pm.RandomWalk(
        n, init_dist=normal(0, 1), innovation_dist=exponential(2), shape=5
    ),
    "AR(0.5, 2, Normal(0, 1))": lambda n: pm.AR(n, 0.5, 2, **walk),
    "GARCH11(1, 0.2, 0.3, 2)": lambda n: pm.GARCH11(n, 1, 0.2, 0.3, 2, shape=5),
    "MvGaussianRandomWalk(CUTPOINTS, MATRIX, MvNormal(0, MATRIX))": lambda n: (
        pm.MvGaussianRandomWalk(
            n,
            mu=CUTPOINTS,
            cov=np.eye(3),
            init_dist=pm.MvNormal.dist(0, np.eye(3)),
            shape=(5, 3),
        )
    ),
}
OTHERS = {
    "AsymmetricLaplace(2, 0.5, 3)": lambda n: pm.AsymmetricLaplace(n, kappa=2, mu=0.5, b=3),
    "CAR(CUTPOINTS, W, 0.5, 2)": lambda n: pm.CAR(n, CUTPOINTS, W, 0.5, 2),
    "Cauchy(0.5, 2)": lambda n: pm.Cauchy(n, 0.5, 2),
    "ChiSquared(3)": lambda n: pm.ChiSquared(n, 3),
    "DiracDelta(2)": lambda n: pm.DiracDelta(n, 2),
    "DirichletMultinomial(4, K)": lambda n: pm.DirichletMultinomial(n, 4, K),
    "DiscreteUniform(1, 5)": lambda n: pm.DiscreteUniform(n, 1, 5),
    "DiscreteWeibull(0.5, 2)": lambda n: pm.DiscreteWeibull(n, 0.5, 2),
    "ExGaussian(0.5, 2, 3)": lambda n: pm.ExGaussian(n, 0.5, 2, nu=3),
    "Flat()": lambda n: pm.Flat(n),
    "Geometric(0.3)": lambda n: pm.Geometric(n, 0.3),
    "Gumbel(0.5, 2)": lambda n: pm.Gumbel(n, 0.5, 2),
    "HalfCauchy(2)": lambda n: pm.HalfCauchy(n, 2),
    "HalfFlat()": lambda n: pm.HalfFlat(n),
    "HalfStudentT(4, 2)": lambda n: pm.HalfStudentT(n, 4, 2),
    "HyperGeometric(20, 5, 4)": lambda n: pm.HyperGeometric(n, 20, 5, 4),
    "ICAR(W, 2)": lambda n: pm.ICAR(n, W, 2),
    "Interpolated(CUTPOINTS, K)": lambda n: pm.Interpolated(n, CUTPOINTS, K),
    "InverseGamma(2, 3)": lambda n: pm.InverseGamma(n, 2, 3),
    "Kumaraswamy(2, 3)": lambda n: pm.Kumaraswamy(n, 2, 3),
    "Laplace(0.5, 2)": lambda n: pm.Laplace(n, 0.5, 2),
    "Logistic(0.5, 2)": lambda n: pm.Logistic(n, 0.5, 2),
    "LogitNormal(0.5, 2)": lambda n: pm.LogitNormal(n, 0.5, 2),
    "Lognormal(0.5, 2)": lambda n: pm.Lognormal(n, 0.5, 2),
    "MatrixNormal(0.5, COV, MATRIX)": lambda n: pm.MatrixNormal(
        n, 0.5, rowcov=COV, colcov=np.eye(3)
    ),
    "Moyal(0.5, 2)": lambda n: pm.Moyal(n, 0.5, 2),
    "MvStudentT(4, 0.5, COV)": lambda n: pm.MvStudentT(n, 4, mu=0.5, scale=COV),
    "MvStudentTRandomWalk(4, ZERO, COV, MvNormal(0, COV))": lambda n: pm.MvStudentTRandomWalk(
        n,
        nu=4,
        mu=np.zeros(2),
        scale=COV,
        init_dist=pm.MvNormal.dist(0, COV),
        shape=(5, 2),
    ),
    "OrderedProbit(0.5, CUTPOINTS, 2)": lambda n: pm.OrderedProbit(n, 0.5, CUTPOINTS, 2),
    "Pareto(2, 3)": lambda n: pm.Pareto(n, 2, 3),
    "PolyaGamma(2, 0.5)": lambda n: pm.PolyaGamma(n, 2, 0.5),
    "Rice(2, 3)": lambda n: pm.Rice(n, 2, 3),
    "SkewNormal(1, 0.5, 2)": lambda n: pm.SkewNormal(n, alpha=1, mu=0.5, sigma=2),
    "SkewStudentT(2, 3, 0.5, 4)": lambda n: pm.SkewStudentT(n, 2, 3, mu=0.5, sigma=4),
    "StickBreakingWeights(2, 4)": lambda n: pm.StickBreakingWeights(n, 2, 4),
    "Triangular(0, 4, 1)": lambda n: pm.Triangular(n, 0, 4, 1),
    "VonMises(0.5, 2)": lambda n: pm.VonMises(n, 0.5, 2),
    "Wald(2, 3)": lambda n: pm.Wald(n, 2, 3),
    "Weibull(2, 3)": lambda n: pm.Weibull(n, 2, 3),
    "Wishart(4, COV)": lambda n: pm.Wishart(n, 4, COV),
}
REFUSED = ("CustomDist", "DensityDist", "EulerMaruyama", "KroneckerNormal", "Simulator")
NUMBERS = {"CUTPOINTS": CUTPOINTS, "K": K, "COV": COV, "W": W, "ZERO": np.zeros(2)}
ALL = LECTURES | MIXTURES | OTHERS
LOOKS = 20


def written(short, variable):
    """The formula with its arrays as lists, and an index for each variable of its own."""
    for name, value in (NUMBERS | {"MATRIX": np.eye(3)}).items():
        short = re.sub(rf"\b{name}\b", str(value.tolist()), short)
    left = ", ".join("ijk"[: variable.ndim - variable.owner.op.ndim_supp])
    return f"y[{left}] ~ {short}" if left else f"y ~ {short}"


def changed(formula):
    """The formula with one number changed, for each number but the later ones of a list."""
    for found in re.finditer(r"(?<![\w.])\d+(\.\d+)?", formula):
        before, after = formula[: found.start()], formula[found.end() :]
        # the second entry of a list and the others: one of them stands for all
        if before.count("[") == before.count("]") or before.rstrip("-").endswith("["):
            number = found[0]
            other = float(number) + 0.125 if "." in number else int(number) + 1
            yield f"{before}{other}{after}"


def model_of(make):
    with warnings.catch_warnings(), pm.Model() as model:
        warnings.simplefilter("ignore")
        make("y")
    return model


def verdict(model, formula):
    try:
        show_formula(model, formula, name="y")
    except FormulaError as error:
        return str(error)
    return "right"


@pytest.mark.parametrize("short", ALL)
def test_one_verdict_on_each_distribution(short, monkeypatch):
    model = model_of(ALL[short])
    formula = written(short, model["y"])
    looks = LOOKS if short in LECTURES | MIXTURES else 2
    if short.startswith(("Hurdle", "Truncated(G", "Mv", "LKJ")):
        looks = 5  # PyMC takes a third of a second to write one down
    assert {verdict(model, formula) for _ in range(looks)} == {"right"}
    for wrong in changed(formula):
        said = verdict(model, wrong)
        assert "Formula and code disagree" in said or "W must be" in said, wrong
    monkeypatch.setattr(compare, "in_words", lambda *a: "")  # which takes its time
    if looks > 2:
        said = verdict(model, wrong)
        assert {verdict(model, wrong) for _ in range(looks)} == {said} != {"right"}


def test_no_distribution_of_pymc_is_forgotten():
    """Each is tried above, or refused in words."""
    there = {
        name
        for name, value in vars(pm).items()
        if inspect.isclass(value) and hasattr(value, "dist")
    }
    abstract = {"Continuous", "Discrete", "Distribution"}
    assert there - {re.match(r"\w+", short)[0] for short in ALL} == {*REFUSED, *abstract}
    model = model_of(lambda name: pm.Normal(name))
    for word in REFUSED:
        assert f"No formula can show {word} in `y ~ {word}(1)`" in verdict(model, f"y ~ {word}(1)")
    for word in abstract:
        assert "is no distribution of PyMC" in verdict(model, f"y ~ {word}(1)")


SAID = {
    # what the code has, what the formula says, what is told
    "a rate": (
        lambda n: pm.Exponential(n, 2),
        "Exponential(3)",
        "parameter 1 of y in the code is another (lam: 3 by the formula, 2 by the code)",
    ),
    "a rate in second place": (
        lambda n: pm.Gamma(n, 2, 4),
        "Gamma(2, 3)",
        "parameter 2 of y in the code is another (beta: 3 by the formula, 4 by the code)",
    ),
    "a precision": (
        lambda n: pm.Normal(n, 0, tau=4),
        "Normal(0, 2)",
        "parameter 2 of y in the code is another (sigma: 2 by the formula, 0.5 by the code)",
    ),
    "a mean that PyMC turns into a probability": (
        lambda n: pm.NegativeBinomial(n, 3, 4),
        "NegativeBinomial(2, 4)",
        "parameter 1 of y in the code is another (mu: 2 by the formula, 3 by the code)",
    ),
    "the share of zeros": (
        lambda n: pm.ZeroInflatedPoisson(n, 0.3, 2),
        "ZeroInflatedPoisson(0.4, 2)",
        "parameter 1 of y in the code is another (psi",
    ),
    "the rate of a mixture": (
        lambda n: pm.ZeroInflatedPoisson(n, 0.3, 2),
        "ZeroInflatedPoisson(0.3, 4)",
        "parameter 2 of y in the code is another (mu: 4 by the formula, 2 by the code)",
    ),
    "within": (
        lambda n: pm.Censored(n, exponential(2), 0, 3),
        "Censored(Exponential(4), 0, 3)",
        "parameter 1 of y (a component) in the code is another (lam: 4 by the formula, 2 by",
    ),
    "left out": (
        lambda n: pm.Normal(n, 0.5, 2),
        "Normal(0.5)",
        "a parameter of y that the formula leaves out is another in the code (1 by PyMC's default",
    ),
    "another component": (
        lambda n: pm.Censored(n, normal(0, 2), 0, 3),
        "Censored(StudentT(3, 0, 2), 0, 3)",
        "the code draws a component of y from Normal",
    ),
    "fewer components": (
        lambda n: pm.Mixture(n, [0.5, 0.5], [normal(0, 1), normal(1, 1)]),
        "Mixture([0.5, 0.5], [Normal(0, 1), Normal(1, 1), Normal(2, 1)])",
        "",
    ),
    "a value in place of a distribution": (
        lambda n: pm.Normal(n, normal(0, 1), 2),
        "Normal(0, 2)",
        "by the code, a parameter of y is a distribution, by the formula it is a value",
    ),
    "a distribution that is none": (
        lambda n: pm.Censored(n, normal(0, 2), 0, 3),
        "Censored(1, 0, 3)",
        "In `y ~ Censored(1, 0, 3)`, dist of Censored is a distribution: write one there",
    ),
    "too many": (
        lambda n: pm.TruncatedNormal(n, 0, 1, lower=0, upper=1),
        "TruncatedNormal(0, 1, 2, 0, 1)",
        "TruncatedNormal are mu, sigma, lower, upper, in this order, and 5 are written.",
    ),
    "a draw with arithmetic": (
        lambda n: pm.Normal(n, 2 * normal(0, 1), 2),
        "Normal(0, 2)",
        "is made of a draw that is no variable of the model; give that draw a name",
    ),
    "a value of draws": (
        lambda n: pm.Deterministic(n, 2 * normal(0, 1)),
        None,
        "is made of a draw that is no variable of the model; give that draw a name",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_is_in_the_words_of_the_formula(case):
    make, right, message = SAID[case]
    formula = f"y ~ {right}" if right else "y = 0"
    said = verdict(model_of(make), formula)
    assert message in said and said.startswith(
        ("Formula and code", "PyMC cannot read", "`y", "In `y")
    )
    assert "got an unexpected" not in said and "Can't pass" not in said


def test_a_mixture_of_the_parameters_of_a_model():
    """The case that was reported: right in every look, wrong in every look."""
    with pm.Model() as model:
        lam, p = pm.Exponential("lam", 1), pm.Beta("p", 2, 2)
        pm.ZeroInflatedPoisson("Y", p, lam, observed=np.array([0, 1, 0, 3]))
    formula = """
        Y[i] ~ ZeroInflatedPoisson(p, lam)
        p ~ Beta(2, 2)
        lam ~ Exponential(1)
        """
    for _ in range(20):
        assert verdict(model, formula) == "right"
        assert "parameter 2 of Y" in verdict(model, formula.replace("p, lam", "p, lam * 2"))
        assert "parameter 1 of Y" in verdict(model, formula.replace("p, lam", "1 - p, lam"))


def test_covariances_by_their_cholesky_factor():
    """The factor's name stands for the covariance; PyMC's own additions need no lines."""
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", 2, 2, exponential(1, shape=2))
        mu = pm.Normal("mu", 0, 1, shape=2)
        pm.MvNormal("b", mu, chol=chol, shape=(3, 2))
    assert {v.name for v in model.deterministics} == {"chol_corr", "chol_stds"}
    formula = """
        b[j] ~ MvNormal(mu, chol)
        mu[k] ~ Normal(0, 1)
        chol ~ LKJCholeskyCov(2, 2, Exponential(1))
        """
    assert verdict(model, formula) == "right"
    for old, new in (
        ("(2, 2, Exp", "(3, 2, Exp"),
        ("ial(1)", "ial(2)"),
        ("mu, chol", "2 * mu[k], chol"),
    ):
        assert "disagree" in verdict(model, formula.replace(old, new)) or "index" in verdict(
            model, formula.replace(old, new)
        )
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", 2, 2, exponential(1, shape=2))
        pm.MvNormal("b", np.zeros(2), cov=chol, shape=(3, 2))  # a factor taken for a covariance
    formula = "b[j] ~ MvNormal(0, chol)\nchol ~ LKJCholeskyCov(2, 2, Exponential(1))"
    assert "parameter 2 of b in the code is another (cov)" in verdict(model, formula)


def test_bounds_without_end_and_lists_are_typeset(shown):
    model = model_of(lambda n: pm.Censored(n, pm.Normal.dist(0, 1), 0, None))
    assert verdict(model, "y ~ Censored(Normal(0, 1), 0, inf)") == "right"
    assert r"\text{Censored}(\text{Normal}(0, 1), 0, \infty)" in shown.markdown
    model = model_of(lambda n: pm.Mixture(n, [0.25, 0.75], [normal(0, 1), normal(1, 1)]))
    assert verdict(model, "y ~ Mixture([0.25, 0.75], [Normal(0, 1), Normal(1, 1)])") == "right"
    assert r"\text{Mixture}([0.25, 0.75], [\text{Normal}(0, 1), " in shown.markdown
