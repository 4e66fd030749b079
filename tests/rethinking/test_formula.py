"""The formula check: what it typesets, every disagreement that it sees; every model passes it."""

import ast
import re

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethinking import display
from rethinking.formula.typeset import CHANGED_COLOR, latex
from rethinking.ordered_logit import OrderedLogit
from utils import FormulaError, show_formula

ordered = pm.distributions.transforms.ordered


pytestmark = pytest.mark.usefixtures("shown")


TANK = np.array([0, 1, 1, 2])
X = np.array([0.1, 0.5, 0.9, 0.3])


@pytest.fixture(scope="module")
def model():
    with pm.Model(coords={"tank": list("ABC")}) as model:
        density = pm.Data("density", np.full(4, 10))
        tank_idx = pm.Data("tank_idx", TANK)
        x = pm.Data("x", X)
        sigma = pm.Exponential("sigma", 2)
        alpha_bar = pm.Normal("alpha_bar", 0, 1.5)
        beta_P = pm.Normal("beta_P", 0.25, 0.5)
        alpha = pm.Normal("alpha", alpha_bar, sigma, dims="tank")
        p = pm.Deterministic("p", pm.math.invlogit(alpha[tank_idx] + beta_P * x))
        pm.Binomial("S", density, p, observed=[1, 2, 3, 4])
    return model


FORMULA = """
    S[i] ~ Binomial(D[i], p[i])
    logit(p[i]) = alpha[T[i]] + beta_P * x[i]
    alpha[j] ~ Normal(alpha_bar, sigma)
    beta_P ~ Normal(0.25, 0.5)
    alpha_bar ~ Normal(0, 1.5)
    sigma ~ Exponential(2)
    """
SYMBOLS = {"D": "density", "T": "tank_idx"}


def check(model, formula, *, name="a model", symbols=SYMBOLS, **options):
    return show_formula(model, formula, name=name, symbols=symbols, **options)


# --- what is shown


def test_a_right_formula_is_typeset(model, shown):
    check(model, FORMULA)
    ((output, _),) = shown
    assert set(output) == {"text/markdown", "text/plain"}
    assert shown.plain == "\n".join(row.strip() for row in FORMULA.strip().splitlines())
    equation, notes = shown.markdown.rsplit("$$", 1)
    assert equation == (
        "$$\n\\begin{aligned}\n"
        r"S_{i} &\sim \text{Binomial}(D_{i}, p_{i}) \\" + "\n"
        r"\text{logit}(p_{i}) &= \alpha_{T[i]} + \beta_{P}\, x_{i} \\" + "\n"
        r"\alpha_{j} &\sim \text{Normal}(\bar{\alpha}, \sigma) \\" + "\n"
        r"\beta_{P} &\sim \text{Normal}(0.25, 0.5) \\" + "\n"
        r"\bar{\alpha} &\sim \text{Normal}(0, 1.5) \\" + "\n"
        r"\sigma &\sim \text{Exponential}(2)"
        "\n\\end{aligned}\n"
    )
    assert notes.strip() == "In the code $D$ is `density` and $T$ is `tank_idx`."


def test_spaces_and_empty_lines_do_not_matter(model, shown):
    spread = FORMULA.replace("\n", "\n\n").replace(", ", "  ,   ").replace(" ~ ", "~")
    check(model, spread)
    check(model, FORMULA)
    assert shown[0][0]["text/markdown"] == shown.markdown


# Each is also compared with the same expression in PyTensor.
EXPRESSIONS = {
    "a - (b - c)": r"a - (b - c)",
    "a - b - c": r"a - b - c",
    "a - b + c": r"a - b + c",
    "a * (b + c)": r"a\, (b + c)",
    "(a + b) * c": r"(a + b)\, c",
    "a + b * c": r"a + b\, c",
    "-a * b": r"-a\, b",
    "a * -b": r"a\, (-b)",
    "a + -b": r"a + (-b)",
    "-(a + b)": r"-(a + b)",
    "(-a) ** 2": r"(-a)^{2}",
    "-(a ** 2)": r"-a^{2}",
    "(a * b) ** c": r"(a\, b)^{c}",
    "(a / b) ** 2": r"(\frac{a}{b})^{2}",
    "(a ** b) ** c": r"(a^{b})^{c}",
    "a ** b ** c": r"a^{b^{c}}",
    "a ** (1 - b)": r"a^{1 - b}",
    "a / (b + c)": r"\frac{a}{b + c}",
    "a / b * c": r"\frac{a}{b}\, c",
    "exp(a) * sqrt(b)": r"\text{exp}(a)\, \text{sqrt}(b)",
    "log(a) + invlogit(b)": r"\text{log}(a) + \text{invlogit}(b)",
    "0.123456789 * a": r"0.123456789\, a",
    "1234567 * a": r"1234567\, a",
    "0.00001 * a": r"1 \times 10^{-5}\, a",
    "sigma_P ** 2 + theta": r"\sigma_{P}^{2} + \theta",
    "rho_bar - lambda_": r"\bar{\rho} - \lambda",
    "treatment": r"\text{treatment}",
    "mu_bar_k": r"\bar{\mu}_{k}",
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_are_typeset_as_they_bind(text, shown):
    functions = {k: getattr(pm.math, k) for k in ("exp", "sqrt", "log", "invlogit")}
    names = sorted({x.id for x in ast.walk(ast.parse(text)) if isinstance(x, ast.Name)})
    names = [name for name in names if name not in functions]
    with pm.Model() as model:
        priors = {name: pm.Normal(name) for name in names}
        pm.Deterministic("d", eval(text, functions | priors))
    lines = [f"d = {text}"] + [f"{name} ~ Normal(0, 1)" for name in reversed(names)]
    check(model, "\n".join(lines), symbols=None)
    first, *_ = shown.markdown.splitlines()[2:]
    assert first.removesuffix(r" \\") == f"d &= {EXPRESSIONS[text]}"
    assert "operatorname" not in shown.markdown


def test_infinity_is_a_sign():
    assert latex(ast.parse("a[i] - inf", mode="eval").body) == r"a_{i} - \infty"


# --- what is compared


def with_likelihood(prior, parameter="theta"):
    """A model of one parameter, to try a prior."""
    with pm.Model() as model:
        prior(parameter)
    return model


PRIORS = {
    "Normal(0.5, 2)": lambda name: pm.Normal(name, 0.5, 2),
    "Normal(-1, 2)": lambda name: pm.Normal(name, sigma=2, mu=-1),
    "Normal(0, 2)": lambda name: pm.Normal(name, tau=0.25),
    "HalfNormal(3)": lambda name: pm.HalfNormal(name, 3),
    "Exponential(5)": lambda name: pm.Exponential(name, scale=0.2),
    "Gamma(2, 3)": lambda name: pm.Gamma(name, alpha=2, beta=3),
    "InverseGamma(2, 3)": lambda name: pm.InverseGamma(name, 2, 3),
    "StudentT(4, 0.5, 2.5)": lambda name: pm.StudentT(name, nu=4, mu=0.5, sigma=2.5),
    "Cauchy(0.5, 2)": lambda name: pm.Cauchy(name, 0.5, 2),
    "HalfCauchy(2)": lambda name: pm.HalfCauchy(name, 2),
    "Beta(2, 5)": lambda name: pm.Beta(name, 2, 5),
    "LogNormal(0.5, 2)": lambda name: pm.LogNormal(name, 0.5, 2),
    "Uniform(0.5, 2)": lambda name: pm.Uniform(name, 0.5, 2),
    "Laplace(0.5, 2)": lambda name: pm.Laplace(name, 0.5, 2),
    "Poisson(3)": lambda name: pm.Poisson(name, 3),
    "Bernoulli(0.25)": lambda name: pm.Bernoulli(name, 0.25),
    "NegativeBinomial(2, 3)": lambda name: pm.NegativeBinomial(name, 2, 3),
    "BetaBinomial(2, 3, 10)": lambda name: pm.BetaBinomial(name, 2, 3, 10),
}


@pytest.mark.parametrize("text", PRIORS)
def test_priors_of_many_kinds(text, shown):
    model = with_likelihood(PRIORS[text])
    check(model, f"theta ~ {text}", symbols=None)
    word, numbers = text.rstrip(")").split("(")
    assert rf"\theta &\sim \text{{{word}}}({numbers})" in shown.markdown
    values = numbers.split(", ")
    for position, value in enumerate(values):
        more = float(value) + (0.125 if "." in value else 1)
        other = values[:position] + [f"{more:g}"] + values[position + 1 :]
        with pytest.raises(FormulaError, match=r"disagree: .* parameter \d of theta in the code"):
            check(model, f"theta ~ {word}({', '.join(other)})", symbols=None)
    with pytest.raises(FormulaError, match=r"disagree: .*the code draws theta from \w+\. Change"):
        check(model, "theta ~ Gumbel(1, 2)", symbols=None)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    factor=st.one_of(st.floats(0.01, 100), st.floats(0.999, 1.001)).filter(
        lambda f: abs(f - 1) > 1e-5
    ),
)
def test_any_other_constant_is_caught(data, factor):
    constants = [m for m in re.finditer(r"\d+(\.\d+)?", FORMULA) if float(m[0])]
    which = data.draw(st.sampled_from(constants))
    wrong = f"{FORMULA[: which.start()]}{float(which[0]) * factor!r}{FORMULA[which.end() :]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "display", lambda *a, **k: pytest.fail("was shown"))
        with pytest.raises(FormulaError, match="disagree"):
            check(SHARED["model"], wrong)


SHARED = {}


@pytest.fixture(autouse=True, scope="module")
def shared_with_hypothesis(model):
    SHARED["model"] = model


def regression(likelihood):
    """A model with data x, a slope b, and a likelihood made of b * x."""
    with pm.Model() as model:
        x = pm.Data("x", X)
        b = pm.Normal("b", 0, 1)
        likelihood(b * x)
    return model


LIKELIHOODS = {
    "logit, by p": (
        lambda eta: pm.Bernoulli("y", p=pm.math.invlogit(eta), observed=[0, 1, 1, 0]),
        "y[i] ~ Bernoulli(p[i])\nlogit(p[i]) = b * x[i]",
    ),
    "logit, by logit_p": (
        lambda eta: pm.Bernoulli("y", logit_p=eta, observed=[0, 1, 1, 0]),
        "y[i] ~ Bernoulli(p[i])\nlogit(p[i]) = b * x[i]",
    ),
    "log": (
        lambda eta: pm.Poisson("y", pm.math.exp(eta), observed=[0, 1, 1, 0]),
        "y[i] ~ Poisson(mu[i])\nlog(mu[i]) = b * x[i]",
    ),
    "no link": (
        lambda eta: pm.Normal("y", eta, 2, observed=[0, 1, 1, 0]),
        "y[i] ~ Normal(mu[i], 2)\nmu[i] = b * x[i]",
    ),
    "no line of its own": (
        lambda eta: pm.Normal("y", eta, 2, observed=[0, 1, 1, 0]),
        "y[i] ~ Normal(b * x[i], 2)",
    ),
    "two steps": (
        lambda eta: pm.Normal("y", pm.math.exp(eta) + 1, 2, observed=[0, 1, 1, 0]),
        "y[i] ~ Normal(mu[i], 2)\nmu[i] = m[i] + 1\nlog(m[i]) = b * x[i]",
    ),
}


@pytest.mark.parametrize("case", LIKELIHOODS)
def test_links(case):
    likelihood, lines = LIKELIHOODS[case]
    model = regression(likelihood)
    check(model, f"{lines}\nb ~ Normal(0, 1)", symbols=None)
    for wrong in (
        lines.replace("b * x", "2 * b * x"),
        lines.replace("x[i]", "x[i]**2"),
        lines.replace("b * x[i]", "b"),
    ):
        with pytest.raises(FormulaError, match=r"disagree: .* parameter 1 of y in the code is"):
            check(model, f"{wrong}\nb ~ Normal(0, 1)", symbols=None)


@pytest.mark.parametrize("right", ["logit", "log", "identity"])
@pytest.mark.parametrize("wrong", ["logit", "log", "identity"])
def test_wrong_link(right, wrong):
    inverse = {"logit": pm.math.invlogit, "log": pm.math.exp, "identity": lambda x: x}[right]
    for deterministic in (True, False):
        with pm.Model() as model:
            b = pm.Normal("b", 0, 1)
            p = pm.Deterministic("p", inverse(b)) if deterministic else inverse(b)
            pm.Normal("y", p, 1, observed=0.0)
        formula = f"y ~ Normal(p, 1)\n{wrong}(p) = b\nb ~ Normal(0, 1)"
        if right == wrong:
            check(model, formula, symbols=None)
        else:
            with pytest.raises(FormulaError, match=r"says .* (p|y) (of the model|in the code)"):
                check(model, formula, symbols=None)


def test_ordered_logit_with_cutpoints(shown):
    with pm.Model() as model:
        x = pm.Data("x", X)
        alpha = pm.Normal("alpha", 0, 1.5, shape=3, transform=ordered, initval=[-1, 0, 1])
        beta = pm.Normal("beta", 0, 0.5)
        pm.OrderedLogistic("R", beta * x, alpha, observed=[0, 1, 2, 3], compute_p=False)
    formula = """
        R[i] ~ OrderedLogit(phi[i], alpha)
        phi[i] = beta * x[i]
        beta ~ Normal(0, 0.5)
        alpha[k] ~ Normal(0, 1.5), ordered
        """
    check(model, formula, symbols=None)
    assert r"R_{i} &\sim \text{OrderedLogit}(\phi_{i}, \alpha)" in shown.markdown
    assert r"\text{Normal}(0, 1.5),\ \text{ordered}" in shown.markdown
    with pytest.raises(FormulaError, match="in the formula not: write `alpha"):
        check(model, formula.replace(", ordered", ""), symbols=None)
    with pytest.raises(FormulaError, match="nothing orders beta"):
        check(model, formula.replace("0.5)", "0.5), ordered"), symbols=None)
    for old, new in (("beta * x", "-beta * x"), ("alpha)", "2 * alpha)")):
        with pytest.raises(FormulaError, match=r"R in the code is another|alpha has 3 entries"):
            check(model, formula.replace(old, new), symbols=None)


def test_ordered_logit_of_the_course():
    with pm.Model() as model:
        x = pm.Data("x", X)
        kappa = pm.Normal("kappa", 0, 1.5, shape=3, transform=ordered)
        beta = pm.Normal("beta", 0, 0.5)
        OrderedLogit("R", beta * x, kappa, observed=[0, 1, 2, 3])
    formula = """
        R[i] ~ OrderedLogit(phi[i], kappa)
        phi[i] = beta * x[i]
        beta ~ Normal(0, 0.5)
        kappa[k] ~ Normal(0, 1.5), ordered
        """
    check(model, formula, symbols=None)
    with pytest.raises(FormulaError, match="has 1 parameters, R in the code has 2"):
        check(model, formula.replace(", kappa)", ")", 1), symbols=None)
    for old, new in (("beta * x", "-beta * x"), ("kappa)", "2 * kappa)")):
        with pytest.raises(FormulaError, match=r"R in the code is another|kappa has 3 entries"):
            check(model, formula.replace(old, new), symbols=None)


def test_counts_of_ratings_and_sum_to_zero():
    counts = np.array([[3, 1, 0], [2, 2, 2], [0, 0, 5], [1, 0, 0]])
    with pm.Model() as model:
        n = pm.Data("n", counts.sum(axis=1))
        kappa = pm.Normal("kappa", 0, 1.5, shape=2, transform=ordered)
        tau = pm.Exponential("tau", 1)
        u = pm.ZeroSumNormal("u", tau, shape=4)
        pm.OrderedMultinomial("C", u, kappa, n, observed=counts, compute_p=False)
    formula = """
        C[j] ~ OrderedMultinomial(u[j], kappa, n[j])
        u[j] ~ ZeroSumNormal(tau)
        tau ~ Exponential(1)
        kappa[k] ~ Normal(0, 1.5), ordered
        """
    check(model, formula, symbols=None)
    for old, new in (
        ("ZeroSumNormal(tau)", "ZeroSumNormal(2 * tau)"),
        ("n[j])", "2 * n[j])"),
        ("(u[j]", "(-u[j]"),
        ("ZeroSumNormal(tau)", "Normal(0, tau)"),
    ):
        with pytest.raises(FormulaError, match="Formula and code disagree"):
            check(model, formula.replace(old, new), symbols=None)


def test_observed_variable_on_the_right():
    """X is drawn in one line and used in another, as its data."""
    with pm.Model() as model:
        seen = pm.Data("x", X)
        mu = pm.Normal("mu", 0, 1)
        pm.Normal("X", mu, 1, observed=seen)
        beta = pm.Normal("beta", 0, 1)
        pm.Normal("Y", beta * seen, 1, observed=np.zeros(4))
    formula = """
        Y[i] ~ Normal(beta * X[i], 1)
        beta ~ Normal(0, 1)
        X[i] ~ Normal(mu, 1)
        mu ~ Normal(0, 1)
        """
    check(model, formula, symbols=None)
    with pytest.raises(FormulaError, match="parameter 1 of Y"):
        check(model, formula.replace("beta * X[i]", "beta * X[i]**2"), symbols=None)
    with pm.Model() as model:  # observed numbers that are no pm.Data
        mu = pm.Normal("mu", 0, 1)
        pm.Normal("X", mu, 1, observed=X)
        beta = pm.Normal("beta", 0, 1)
        pm.Normal("Y", beta * X, 1, observed=np.zeros(4))
    check(model, formula, symbols=None)


def test_several_indices():
    """Rows and columns are told apart, in the formula as in the code."""
    with pm.Model() as model:
        i, j = pm.Data("I", np.array([0, 1, 2, 2])), pm.Data("J", np.array([0, 0, 1, 2]))
        m, s = pm.Normal("m", 0, 1, shape=3), pm.HalfNormal("s", 1, shape=3)
        b = pm.Normal("b", m[:, None], s, shape=(3, 3))
        pm.Deterministic("turned", b.T)
        pm.Normal("y", b[i, j], 1, observed=np.zeros(4))
    formula = """
        y[n] ~ Normal(b[I[n], J[n]], 1)
        turned[r, c] = b[c, r]
        b[r, c] ~ Normal(m[r], s[c])
        s[c] ~ HalfNormal(1)
        m[r] ~ Normal(0, 1)
        """
    check(model, formula, symbols=None)
    for old, new in (
        ("b[I[n], J[n]]", "b[J[n], I[n]]"),
        ("b[I[n], J[n]]", "b[I[n], I[n]]"),
        ("b[c, r]", "b[r, c]"),
        ("m[r], s[c]", "m[c], s[c]"),
        ("m[r], s[c]", "m[r], s[r]"),
    ):
        with pytest.raises(FormulaError, match="disagree"):
            check(model, formula.replace(old, new), symbols=None)


def test_vectors():
    with pm.Model() as model:
        cov = pm.Data("cov", np.array([[1.0, 0.3], [0.3, 2.0]]))
        weight = pm.Data("weight", np.array([1.0, 2.0, 3.0]))
        kind = pm.Data("kind", np.array([0, 1, 1, 0]))
        mu = pm.Normal("mu", 0, 1, shape=2)
        pm.MvNormal("b", mu, cov)
        q = pm.Dirichlet("q", weight, shape=(2, 3))
        pm.Categorical("z", q[kind], observed=[0, 1, 2, 0])
    formula = """
        z[i] ~ Categorical(q[kind[i], k])
        q[g, k] ~ Dirichlet(weight)
        b[k] ~ MvNormal(mu, cov)
        mu[k] ~ Normal(0, 1)
        """
    check(model, formula, symbols=None)
    for old, new in (
        ("q[kind[i], k]", "q[i, k]"),
        ("MvNormal(mu", "MvNormal(2 * mu"),
        ("Dirichlet(weight)", "Dirichlet(2)"),
    ):
        with pytest.raises(FormulaError):
            check(model, formula.replace(old, new), symbols=None)


def test_population_without_an_index_of_its_own():
    """An intercept is the mean of every row, and the first entry may be named by its number."""
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=2)
        pm.Normal("y", a[0] * np.ones(4), 1, observed=np.zeros(4))
    check(model, "y[i] ~ Normal(mu[i], 1)\nmu[i] = a[0]\na[j] ~ Normal(0, 1)", symbols=None)
    with pytest.raises(FormulaError, match="disagree"):
        check(model, "y[i] ~ Normal(mu[i], 1)\nmu[i] = a[1]\na[j] ~ Normal(0, 1)", symbols=None)
    with pytest.raises(FormulaError, match=r"an index of a does not fit: .* out of bounds"):
        check(model, "y[i] ~ Normal(mu[i], 1)\nmu[i] = a[2]\na[j] ~ Normal(0, 1)", symbols=None)


def test_data_at_a_special_value_hide_nothing():
    """sigma is 1 in the model, where sigma, sigma**2 and sigma**w are the same number."""
    with pm.Model() as model:
        sigma, w = pm.Data("sigma", 1.0), pm.Data("w", 0.5)
        x = pm.Normal("x", 0, sigma**w, shape=3)
        pm.Deterministic("alpha", sigma ** (1 - w) * x)
    right = "alpha[j] = sigma**(1 - w) * x[j]\nx[j] ~ Normal(0, sigma**w)"
    check(model, right, symbols=None)
    for old, new in (
        ("sigma**(1 - w)", "sigma**w"),
        ("sigma**(1 - w)", "sigma"),
        ("sigma**(1 - w) * x", "x"),
        ("sigma**w)", "sigma)"),
        ("sigma**w)", "1)"),
    ):
        with pytest.raises(FormulaError, match="disagree"):
            check(model, right.replace(old, new), symbols=None)
    assert float(model["sigma"].get_value()) == 1
    # a number in place of data that are not named is compared with what they hold
    with pm.Model() as model:
        pm.Exponential("sigma", pm.Data("rate", 2.0))
    check(model, "sigma ~ Exponential(2)", symbols=None)
    check(model, "sigma ~ Exponential(rate)", symbols=None)
    with pytest.raises(FormulaError, match=r"lam: 1 by the formula, 2 by the code"):
        check(model, "sigma ~ Exponential(1)", symbols=None)


WRONG = {
    "prior": ("Normal(0, 1.5)", "Normal(0, 1)", r"`alpha_bar ~ Normal\(0, 1\)`, but parameter 2"),
    "values told": ("Normal(0, 1.5)", "Normal(0, 1)", "1 by the formula, 1.5 by the code"),
    "swapped": ("(0.25, 0.5)", "(0.5, 0.25)", "parameter 1 of beta_P .* mind the order of the par"),
    "names swapped": ("(alpha_bar, sigma)", "(sigma, alpha_bar)", "parameter 1 of alpha in the"),
    "data swapped": ("(D[i], p[i])", "(p[i], D[i])", "parameter 1 of S in the code is another"),
    "distribution": ("Exponential(2)", "HalfNormal(2)", "draws sigma from Exponential"),
    "no distribution": ("Exponential(2)", "Exponental(2)", "'Exponental' .* is no distribution"),
    "no distribution but in PyMC": ("Exponential(2)", "Model(2)", "'Model' .* is no distribution"),
    "not a call": ("Exponential(2)", "2", "Right of ~ there must be a distribution"),
    "by name": ("(0.25, 0.5)", "(0.25, sigma=0.5)", "without their names, in the order of PyMC"),
    "by list": ("(0.25, 0.5)", "(*x)", "without their names, in the order of PyMC"),
    "too many parameters": ("Exponential(2)", "Exponential(2, 3, 4)", "PyMC cannot read `sigma ~"),
    "too few parameters": ("(D[i], p[i])", "(D[i])", r"PyMC cannot read `S\[i\] ~"),
    "sign": ("+ beta_P", "- beta_P", "another value"),
    "factor": ("beta_P * x", "2 * beta_P * x", r"says `logit\(p\[i\]\) = .*p of the model has ano"),
    "term gone": (" + beta_P * x[i]", "", "another value"),
    "link": ("logit(p[i])", "log(p[i])", "another value"),
    "no link": ("logit(p[i])", "p[i]", "another value"),
    "unknown link": ("logit(p[i])", "probit(p[i])", "Unknown link 'probit'.*'identity', 'log', 'l"),
    "link of two": ("logit(p[i])", "logit(p[i], 2)", "The link logit is of one name"),
    "link of none": ("logit(p[i])", "logit()", "The link logit is of one name"),
    "line of a parameter gone": ("beta_P ~ Normal(0.25, 0.5)", "", "model has beta_P, the formula"),
    "line of the data gone": (
        "S[i] ~ Binomial(D[i], p[i])",
        "",
        "model has S, the formula has not",
    ),
    "line of a value gone": (
        "logit(p[i]) = alpha[T[i]] + beta_P * x[i]",
        "",
        "The model has p, the formula has not: add its line",
    ),
    "prior too many": (
        "sigma ~",
        "gamma ~ Normal(0, 1)\nsigma ~",
        "has `gamma ~ .*no such random variable: add it to the code or take the line out",
    ),
    "value too many": ("sigma ~", "q = alpha_bar * 2\nsigma ~", "no other line uses q"),
    "a value as a draw": (
        "logit(p[i]) = alpha[T[i]] + beta_P * x[i]",
        "p[i] ~ Beta(1, 1)",
        "no such",
    ),
    "index missing": ("alpha[T[i]]", "alpha", "alpha has 3 entries: give it an index"),
    "index of the row": ("alpha[T[i]]", "alpha[i]", r"shapes \(3,\) and \(4,\): an index is miss"),
    "index too many": (
        "beta_P * x[i]",
        "beta_P[i] * x[i]",
        "beta_P is written with 1 indices, but",
    ),
    "index of nothing": ("x[i]", "x[k]", "the index k does not stand on the left: .* as in p.k."),
    "two indices": ("x[i]", "x[i, i]", "x is written with 2 indices, but the model's has 1 dim"),
    "no index left": ("alpha[j] ~", "alpha ~", "alpha has 0 indices, in the model 1 dimensions"),
    "index too many left": ("sigma ~", "sigma[j] ~", "sigma has 1 indices, in the model 0 dimens"),
    "no index left of =": ("logit(p[i])", "logit(p)", "p has 0 indices, in the model 1 dimension"),
    "two left of =": ("logit(p[i])", "logit(p[i, k])", "p has 2 indices, in the model 1 dimension"),
    "number left": ("alpha[j] ~", "alpha[0] ~", "each index is a letter of its own"),
    "twice left": ("logit(p[i])", "logit(p[i, i])", "each index is a letter of its own"),
    "expression left": ("sigma ~", "2 * sigma ~", "Left of ~ or = there must be one name"),
    "order": (
        "alpha_bar ~ Normal(0, 1.5)\n    sigma ~ Exponential(2)",
        "sigma ~ Exponential(2)\n    alpha_bar ~ Normal(0, 1.5)",
        "from its last line to its first: alpha_bar, sigma, .* in the order sigma, alpha_bar",
    ),
    "unknown symbol": ("x[i]", "z[i]", r"'z' of the formula .* symbols=\{'z': \.\.\.\}"),
    "unknown function": ("beta_P * x[i]", "sin(beta_P)", r"Cannot evaluate 'sin\(beta_P\)'"),
    "function of two": ("beta_P *", "exp(beta_P, beta_P) *", "Cannot evaluate 'exp"),
    "unknown operation": ("beta_P * x[i]", "beta_P // x[i]", "Cannot evaluate 'beta_P // x"),
    "word for a number": ("Exponential(2)", "Exponential('2')", "Cannot evaluate \"'2'\""),
    "own value": ("beta_P * x[i]", "p[i]", "needs its own value"),
    "unreadable": (
        "Normal(0, 1.5)",
        "Normal(0 1.5)",
        r"Cannot read the line 'alpha_bar ~ Normal\(0 1",
    ),
    "no relation": ("sigma ~ Exponential(2)", "sigma", "Cannot read the line 'sigma': write `name"),
    "nothing right": ("Exponential(2)", "", "Cannot read the line 'sigma ~'"),
    "two lines": (
        "sigma ~ Exponential(2)",
        "sigma ~ Exponential(2)\nsigma ~ Exponential(2)",
        "two lines for sigma",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_disagreement_is_seen_and_nothing_is_shown(case, model, shown):
    old, new, message = WRONG[case]
    assert FORMULA.count(old) == 1
    with pytest.raises(FormulaError, match=f"(?s){message}"):
        check(model, FORMULA.replace(old, new), name="wrong")
    assert shown == []
    check(model, FORMULA)  # the check left no trace in the model


def test_empty_formula(model):
    with pytest.raises(FormulaError, match="The model has sigma, the formula has not"):
        check(model, "")


def test_potentials_cannot_be_shown():
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1)
        pm.Potential("extra", -(a**2))
    with pytest.raises(FormulaError, match=r"a pm\.Potential \(extra\), which no line of a form"):
        check(model, "a ~ Normal(0, 1)", symbols=None)


def test_symbol_of_an_absent_name(model):
    with pytest.raises(FormulaError, match="symbols maps 'T' to 'tank', which the model has not"):
        check(model, FORMULA, symbols={"D": "density", "T": "tank"})


def test_symbols_rename_parameters_too(shown):
    with pm.Model() as model:
        pm.Normal("b", pm.Normal("intercept", 0, 1), 2)
    check(model, "b ~ Normal(a, 2)\na ~ Normal(0, 1)", symbols={"a": "intercept"})
    assert shown.markdown.endswith("In the code $a$ is `intercept`.")
    with pytest.raises(FormulaError, match="parameter 1 of b in the code is another"):
        check(model, "b ~ Normal(2 * a, 2)\na ~ Normal(0, 1)", symbols={"a": "intercept"})


# --- since


def test_new_and_changed_lines_are_marked_in_words(shown):
    with pm.Model() as first:
        a, b = pm.Normal("a", 0, 1), pm.Normal("beta_P", 0, 1)
        pm.Normal("y", a + b, 1, observed=0.0)
    with pm.Model() as second:
        sigma = pm.Exponential("sigma", 1)
        a = pm.Normal("a", 0, 1)
        pm.Normal("y", a, sigma, observed=0.0)
    earlier = check(
        first,
        "y ~ Normal(a + beta_P, 1)\nbeta_P ~ Normal(0, 1)\na ~ Normal(0, 1)",
        name="first",
        symbols=None,
    )
    assert "color" not in shown.markdown
    options = {"name": "second", "symbols": None, "since": earlier}
    later = check(
        second, "y ~ Normal(a, sigma)\na ~ Normal(0,1)\nsigma ~ Exponential(1)", **options
    )
    equation, notes = shown.markdown.rsplit("$$", 1)
    y, a, sigma = equation.strip().splitlines()[2:-1]
    assert y.count(rf"\color{{{CHANGED_COLOR}}}") == 3 and r"\text{(changed)}" in y
    assert sigma.count(rf"\color{{{CHANGED_COLOR}}}") == 3 and r"\text{(new)}" in sigma
    assert a == r"a &\sim \text{Normal}(0, 1) \\"  # written with another space, but the same
    assert notes.strip() == (
        r"New since the first model: the line of $\sigma$. Changed: the line of $y$. "
        r"Gone: $\beta_{P}$."
    )
    assert shown.plain.splitlines() == [
        "y ~ Normal(a, sigma)  (changed)",
        "a ~ Normal(0,1)",
        "sigma ~ Exponential(1)  (new)",
    ]
    options |= {"name": "third", "since": later}
    check(second, "y ~ Normal(a, sigma)\na ~ Normal(0, 1)\nsigma ~ Exponential(1)", **options)
    assert "color" not in shown.markdown and "Changed" not in shown.markdown


def test_since_is_a_formula_or_nothing(model):
    check(model, FORMULA, since=None)
    with pytest.raises(TypeError, match="since is what an earlier show_formula returned, got 'te"):
        check(model, FORMULA, since="textbook")


@pytest.fixture(scope="module")
def monotone_model():
    level, group = np.array([0, 3, 1, 2, 3]), np.array([0, 1, 1, 0, 0])
    with pm.Model() as model:
        E, G = pm.Data("E", level), pm.Data("G", group)
        alpha = pm.Data("alpha", np.full(3, 2.0))
        delta = pm.Dirichlet("delta", alpha, shape=(2, 3))
        epsilon = pm.Dirichlet("epsilon", alpha)
        beta = pm.Normal("beta", 0, 1)
        by_group = pt.concatenate([np.zeros((2, 1)), pt.cumsum(delta, axis=1)], axis=1)
        for_all = pt.concatenate([[0.0], pt.cumsum(epsilon)])
        pm.Normal("y", beta * by_group[G, E] + for_all[E], 1, observed=np.zeros(5))
    return model


MONOTONE = """
    y[i] ~ Normal(beta * sum(delta[G[i], :E[i]]) + sum(epsilon[:E[i]]), 1)
    beta ~ Normal(0, 1)
    epsilon[k] ~ Dirichlet(alpha)
    delta[g, k] ~ Dirichlet(alpha)
    """


def test_sums_of_the_first_entries(monotone_model, shown):
    show_formula(monotone_model, MONOTONE, name="monotone")
    latex = shown[-1][0]["text/markdown"]
    assert r"\beta\, \sum_{k < E[i]} \delta_{G[i], k}" in latex
    assert r"\sum_{k < E[i]} \epsilon_{k}" in latex


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epsilon[:E[i]]", "epsilon[:G[i]]", "Formula and code disagree"),
        ("delta[G[i], :E[i]]", "delta[:E[i]]", r"write it as sum\(delta\[:E\[i\]\]\)"),
        ("epsilon[:E[i]]", "epsilon[1:E[i]]", "of the first entries"),
        ("epsilon[:E[i]]", "epsilon[E[i]]", "of the first entries"),
        ("epsilon[:E[i]]", "epsilon[:E[i] + 1]", "has from 1 to 4 terms, but epsilon has 3"),
    ],
)
def test_other_sums_are_refused(monotone_model, old, new, message):
    with pytest.raises(FormulaError, match=message):
        show_formula(monotone_model, MONOTONE.replace(old, new), name="monotone")
