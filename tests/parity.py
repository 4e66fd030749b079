"""Ours beside others' numbers: make the table of the page *Parity*.

Run it after `make course`: .venv/bin/python -m tests.parity [NUMBERS...]

For each notebook the means that its run recorded are put beside an answer that was found in another
way. `tests/notebooks/test_parity.py` compares the stored table with each new run.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from functools import cache

import matplotlib
import numpy as np

from publish.execute import store
from publish.files import ROOT, CourseError, code_trees, read_text, replace, select
from tests import parity_references as exact
from tests.frog_quadrature import exact_fixed, exact_multilevel, exact_predator
from tests.frog_quadrature import frogs as frog_table
from tests.notebooks import test_truth_correlated as correlated
from tests.notebooks import test_truth_crossed as crossed
from tests.notebooks import test_truth_districts as districts
from tests.notebooks import test_truth_trolley as trolley

TEXTS = {"notebook", "fit", "quantity", "source", "why"}
STORED = ROOT / "publish" / "pages" / "parity.csv"

INTEGRATION = "integration over a grid"
IMPORTANCE = "importance sampling"
CLOSED = "closed form"
FRESH = "fresh schools, integrated over a grid"
OTHER = "another sampler run: PyMC's own likelihood, a rating at a time"
# K. Hench's "Statistical explorations" prints the output of the book's R code.
BOOK = "the book's R code, as run by K. Hench"
ROUNDED = "printed with two decimals; "


@dataclass
class Row:
    """One comparison; errors are Monte Carlo standard errors, 0 where there is none."""

    notebook: str
    fit: str  # as the run record names it
    quantity: str
    ours: float
    error: float
    reference: float
    reference_error: float
    source: str
    why: str = ""  # the reason, where ours is meant to differ

    @property
    def difference(self) -> float:
        """In standard errors of both."""
        return (self.ours - self.reference) / float(np.hypot(self.error, self.reference_error))


@cache
def recorded(number: str) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Means and errors that a notebook's run recorded, by fit and variable."""
    (source,) = select([STEMS[number]])
    path = store() / f"{source.stem}.jsonl"
    if not path.is_file():
        raise CourseError(f"{source.stem} has no run; run `make course` first.")
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {
        (row["name"], row["variable"]): (np.array(row["mean"]), np.array(row["mcse"]))
        for row in rows
        if row["kind"] == "estimate"
    }


def ours(number: str, fit: str, quantity: str) -> tuple[float, float]:
    """One recorded mean and its error; ``alpha[3]`` is an entry, ``elpd`` a sum over all units.

    Scores of units share their draws: the error of their sum is at most the sum of their errors.
    """
    variable, _, index = quantity.partition("[")
    mean, error = (np.ravel(part) for part in recorded(number)[fit, variable])
    if variable == "elpd":
        return float(mean.sum()), float(error.sum())
    place = int(index[:-1]) if index else 0
    return float(mean[place]), float(error[place])


@cache
def names_of(number: str, *wanted: str) -> dict:
    """Names that a notebook's first cells define: data that it simulates."""
    (source,) = select([STEMS[number]])
    nb = read_text(source.read_text(encoding="utf-8"), source)
    names: dict = {"__name__": "notebook"}
    for _, tree in code_trees(nb):
        if set(wanted) <= set(names):
            return names
        if any(isinstance(node, ast.With) for node in ast.walk(tree)):
            continue  # a model or a figure
        try:
            exec(compile(tree, source.name, "exec"), names)
        except NameError:  # uses what was left out
            continue
    return names


# --- The comparisons, a function for each notebook ---------------------------------------------


def compare(
    number: str, fit: str, found: dict, source: str, *, label: str = "", why: str = ""
) -> Iterator[Row]:
    """Rows for each quantity of a reference: a mean, or a mean with its error."""
    for quantity, value in found.items():
        reference, error = value if isinstance(value, tuple) else (float(value), 0.0)
        mean, own = ours(number, fit, quantity)
        name = f"{label or fit.removesuffix('_idata').replace('_', ' ')}: {quantity}"
        yield Row(STEMS[number], fit, name, mean, own, float(reference), float(error), source, why)


def only(found: dict, *names: str) -> dict:
    return {name: found[name] for name in names}


def coming_from_elsewhere() -> Iterator[Row]:
    table = frog_table()
    group = (table["pred"] == "pred").to_numpy(int)
    found = exact.two_groups(table["surv"].to_numpy(), table["density"].to_numpy(), group)
    yield from compare("00", "frog_idata", found, INTEGRATION)


def lecture_11() -> Iterator[Row]:
    fits = {
        "cutpoint_idata": "cutpoints",
        "treatment_idata": "treatments",
        "gender_idata": "gender",
        "main_idata": "main effect",
    }
    for fit, kind in fits.items():
        found = exact.trolley_fit(kind)
        if kind not in ("cutpoints", "treatments"):
            found = {k: v for k, v in found.items() if not k.startswith("kappa")}
        yield from compare("11", fit, found, IMPORTANCE)
    book = {f"kappa[{k}]": v for k, v in enumerate([-1.92, -1.27, -0.72, 0.25, 0.89, 1.77])}
    # The spread of a number that was rounded to two decimals.
    book = {k: (v, 0.01 / np.sqrt(12)) for k, v in book.items()}
    why = ROUNDED + "cutpoints Normal(0, 1.5) there, Normal(0, 1) here"
    yield from compare("11", "cutpoint_idata", book, BOOK, why=why)
    education = {"beta_E": -0.32, "beta_A": -0.70, "beta_I": -0.72, "beta_C": -0.96}
    error = {"beta_E": 0.17 / np.sqrt(955), "beta_A": 0.001, "beta_I": 0.001, "beta_C": 0.001}
    found = {k: (v, float(np.hypot(error[k], 0.01 / np.sqrt(12)))) for k, v in education.items()}
    # Fitted once with the book's priors, our model gave the book's numbers.
    why = ROUNDED + "slopes Normal(0, 1) and cutpoints Normal(0, 1.5) there, narrower here"
    yield from compare("11", "education", found, BOOK, why=why)


def dive_11a() -> Iterator[Row]:
    names = names_of("11a", "ratings", "group_idx")
    for fit, two in (("one_sd_idata", False), ("two_sd_idata", True)):
        found = exact.ordered_probit(names["ratings"], names["group_idx"], two=two)
        yield from compare("11a", fit, found, IMPORTANCE)


def frogs(found: dict, *names: str) -> dict:
    """Of a quadrature: hyperparameters, the first and the last tank, the sum of the scores."""
    units = {f"p[{i}]": found["p"][i] for i in (0, 47)} if "p" in names else {}
    scores = {"elpd": found["elpd"].sum()} if "elpd" in names else {}
    return {n: found[n] for n in names if n not in ("p", "elpd")} | units | scores


def confounds(number: str, data: dict, fits: dict[str, str]) -> Iterator[Row]:
    for kind, fit in fits.items():
        yield from compare(
            number, fit, exact.confounded(data, kind), IMPORTANCE, label=f"confound, {kind}"
        )


def lecture_12() -> Iterator[Row]:
    many = exact_multilevel()
    yield from compare(
        "12", "multilevel_idata", frogs(many, "alpha_bar", "sigma", "p"), INTEGRATION
    )
    yield from compare("12", "multilevel", frogs(many, "elpd"), INTEGRATION)
    yield from compare("12", "sigma = 1", frogs(exact_fixed(1.0), "elpd"), INTEGRATION)
    yield from compare("12", "sigma 5.00", frogs(exact_fixed(5.0), "alpha_bar"), INTEGRATION)
    for fit, sd in (("predator_idata", 0.5), ("wide_idata", 1.5)):
        found = frogs(exact_predator(sd), "alpha_bar", "beta_P", "sigma")
        yield from compare("12", fit, found, INTEGRATION)
    yield from compare("12", "predator", frogs(exact_predator(), "elpd"), INTEGRATION)
    # WAIC of the book's code; elpd is -WAIC / 2.
    why = (
        "WAIC with a parameter for each observation, and for tanks already seen; ours is for tanks "
        "left out"
    )
    yield from compare(
        "12", "multilevel", {"elpd": (-201.75 / 2, 0.01 / np.sqrt(48))}, BOOK, why=why
    )
    names = names_of("12", "confounded", "groups")
    data = {"group_idx": names["confounded"]["group"], "trait": names["confounded"]["trait"]}
    data |= {
        "survived": names["confounded"]["survived"],
        "group_trait": names["groups"]["group_trait"],
    }
    fits = {
        "naive": "naive_idata",
        "fixed effects": "fixed_effects_idata",
        "multilevel": "confound_multilevel_idata",
        "Mundlak": "mundlak_idata",
        "latent": "latent_idata",
    }
    yield from confounds("12", data, fits)


def dive_12a() -> Iterator[Row]:
    names = names_of("12a", "passed", "size")
    found = exact.binomial_population(names["passed"], names["size"])
    found = only(found, "alpha_bar", "sigma") | {f"p[{i}]": found["p"][i] for i in (0, 59)}
    yield from compare("12a", "school_idata", found, INTEGRATION)
    found = only(found, "alpha_bar", "sigma")
    yield from compare("12a", "noncentred_idata", found, INTEGRATION)


def dive_12b() -> Iterator[Row]:
    models = {
        "pooled_idata": ({}, ["kappa"]),
        "partial_idata": ({"stories": True, "learnt": True}, ["beta", "sigma"]),
        "treatment_idata": (
            {"stories": True, "learnt": True, "treatments": True},
            ["beta_A", "beta_I", "beta_C", "beta_IA", "beta_IC", "tau"],
        ),
    }
    slopes = ["beta_A", "beta_I", "beta_C", "beta_IA", "beta_IC"]
    for fit, (options, variables) in models.items():
        truth = trolley.Posterior(**options).means()
        mean, error = truth["slopes"]
        truth |= {name: (mean[[k]], error[[k]]) for k, name in enumerate(slopes)}
        truth |= {"beta": truth["effect"], "sigma": truth["scale"], "tau": truth["scale"]}
        found = {
            f"{name}[{i}]" if len(truth[name][0]) > 1 else name: (m, e)
            for name in variables
            for i, (m, e) in enumerate(zip(*truth[name], strict=True))
        }
        yield from compare("12b", fit, found, IMPORTANCE)


def dive_12c() -> Iterator[Row]:
    models = {
        "multilevel": exact_multilevel(),
        "sigma = 1": exact_fixed(1.0),
        "sigma = 5": exact_fixed(5.0),
        "predator": exact_predator(),
    }
    for fit, found in models.items():
        yield from compare("12c", fit, frogs(found, "elpd"), INTEGRATION)
    for fit, names in {
        "multilevel": ("alpha_bar", "sigma"),
        "sigma = 1": ("alpha_bar",),
        "sigma = 5": ("alpha_bar",),
        "predator": ("alpha_bar", "beta_P", "sigma"),
    }.items():
        idata = f"{fit.replace(' = ', '_')}_idata"
        yield from compare("12c", idata, frogs(models[fit], *names), INTEGRATION, label=fit)


def dive_12d() -> Iterator[Row]:
    data = names_of("12d", "confound_data")["confound_data"]
    kinds = ("naive", "fixed effects", "multilevel", "Mundlak", "latent")
    yield from confounds("12d", data, {kind: f"confound {kind}" for kind in kinds})


def dive_12e() -> Iterator[Row]:
    (source,) = select([STEMS["12e"]])
    rows = map(json.loads, (store() / f"{source.stem}.jsonl").read_text("utf-8").splitlines())
    claims = {row["statement"]: row for row in rows if row["kind"] == "claim"}
    for size, (reference, error) in exact.gains().items():
        claim = claims[f"{size} gain"]
        quantity = f"gain by pooling, classrooms of {size} (mean absolute error)"
        own = claim["estimate"], claim["standard_error"]
        yield Row(
            "12e", "", quantity, *own, reference, error, "fresh schools, integrated over a grid"
        )


def dive_12f() -> Iterator[Row]:
    many = frogs(exact_multilevel(), "alpha_bar", "sigma")
    for fit in ("centred_idata", "noncentred_idata"):
        yield from compare("12f", fit, many, INTEGRATION)
    found = {
        name if np.size(mean) == 1 else f"{name}[0]": (np.ravel(mean)[0], np.ravel(error)[0])
        for name, (mean, error) in crossed.reference().items()
    }
    yield from compare("12f", "crossed_idata", found, OTHER)


def lecture_13() -> Iterator[Row]:
    fits = {"D": ("district_idata", "noncentred_idata", "integrated_idata"), "DU": ("town_idata",)}
    for model, names in districts.HYPERPARAMETERS.items():
        means = districts.means(model)
        for fit in fits[model]:
            yield from compare("13", fit, only(means, *names), INTEGRATION)
        yield from compare("13", model, {"elpd": means["elpd"].sum()}, INTEGRATION)
    found = {f"p[{i}]": districts.means("D")["p"][i] for i in (0, 53)}
    yield from compare("13", "district_idata", found, INTEGRATION)


def lecture_14() -> Iterator[Row]:
    for fit, (model, variables) in correlated.FITS.items():
        mean, error, _ = correlated.moments(*correlated.exact(model))
        for variable, places in variables.items():
            found = {
                f"{variable}[{i}]" if len(places) > 1 else variable: (mean[at], error[at])
                for i, at in enumerate(places)
            }
            yield from compare("14", fit, found, IMPORTANCE)


def dive_14a() -> Iterator[Row]:
    yield from compare("14a", "straight_idata", {"v": 0.0, "z": 0.0}, CLOSED)
    why = "the fit fails on purpose: its steps do not enter the neck"
    for fit in ("funnel_idata", "ten_idata"):
        yield from compare("14a", fit, {"v": 0.0}, CLOSED, why=why)


NOTEBOOKS = {
    "00-Coming_from_R_or_PyMC_5": coming_from_elsewhere,
    "11-Ordered_Categories": lecture_11,
    "11a-Metric_Models_on_Ordinal_Data": dive_11a,
    "12-Multilevel_Models": lecture_12,
    "12a-Simulating_Pooling_and_Shrinkage": dive_12a,
    "12b-What_Memory_Is_Worth": dive_12b,
    "12c-Scoring_Multilevel_Models": dive_12c,
    "12d-Random_Confounds": dive_12d,
    "12e-A_Thousand_Schools": dive_12e,
    "12f-Practical_Difficulties": dive_12f,
    "13-Multilevel_Adventures": lecture_13,
    "14-Correlated_Features": lecture_14,
    "14a-Inconvenient_Posteriors": dive_14a,
}
STEMS = {stem.partition("-")[0]: stem for stem in NOTEBOOKS}


def read(path=STORED) -> list[Row]:
    """The stored table."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(**{k: v if k in TEXTS else float(v) for k, v in row.items()})
            for row in csv.DictReader(file)
        ]  # fmt: skip


def main(numbers: list[str]) -> None:
    """Compute the references of these notebooks, or of all, and store the table."""
    matplotlib.use("Agg")
    for number in [source.stem for source in select(numbers)] if numbers else NOTEBOOKS:
        found = {row.notebook: [] for row in (read() if STORED.is_file() else [])}
        for row in read() if STORED.is_file() else []:
            found[row.notebook].append(row)
        found[number] = list(NOTEBOOKS[number]())
        rows = [row for key in NOTEBOOKS for row in found.get(key, [])]
        lines = io.StringIO()
        out = csv.writer(lines, lineterminator="\n")
        out.writerow(field.name for field in fields(Row))
        for row in rows:
            out.writerow(f"{v:.6g}" if isinstance(v, float) else v for v in astuple(row))
        replace(STORED, lines.getvalue().encode())
        far = [row for row in found[number] if not row.why and abs(row.difference) > 4]
        print(f"{number}: {len(found[number])} comparisons, {len(far)} beyond four errors.", *far)


if __name__ == "__main__":
    main(sys.argv[1:])
