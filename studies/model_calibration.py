"""Simulation-based calibration of the models of lectures 11 to 14: `make calibrate`.

Each family of `studies.calibrated_models` draws parameters from the prior and data from them, the
notebook's model is fitted to the data, and each true value is ranked among independent draws of
its posterior. If model and sampler are right, these ranks are uniform. The same is done with a
mistake planted in each model. The rule, fixed before the first run: a model is calibrated if no
quantity leaves its simultaneous band, and all bands of all right models hold together in 95% of
studies (Bonferroni); a mistake is caught if a quantity leaves such a band.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import os
import re
import time
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import xarray as xr
import yaml
from pytensor.graph.basic import Variable

from rethinking.sampling import CompiledModel
from studies import calibrated_models
from studies.calibrated_models import FAMILIES, Family
from studies.calibration import _band, calibration_table
from studies.pool import PACKAGES, ROOT, StudyError, fit_judged, process_pool, run_all

# Beside the page and not here: no notebook depends on them.
PAGES = ROOT / "publish" / "pages"
RESULT, RECORD, FIGURE = (PAGES / f"model-calibration.{end}" for end in ("csv", "yml", "png"))
COMMAND = "make calibrate"
SEED = 18
DATA_SETS, WITH_MISTAKE = 150, 60
RANKS = 100  # draws of a posterior, evenly spaced
ATTEMPTS = (
    {"tune": 300, "draws": 800, "target_accept": 0.9},
    {"tune": 1000, "draws": 2000, "target_accept": 0.97},
)


# --- The notebook's code ----------------------------------------------------------------------


def open_data(name: str, value: Any) -> Variable:
    """Give what is observed as data that can change, unless the notebook does so already."""
    return value if isinstance(value, Variable) else pm.Data(f"{name}_data", value)


class _Open(ast.NodeTransformer):
    """Write `observed=open_data("S", ...)` for `observed=...`, and draw no sample."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        for keyword in node.keywords:
            if keyword.arg == "observed":
                names = [node.args[0], keyword.value]
                keyword.value = ast.Call(ast.Name("open_data", ast.Load()), names, [])
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        return None if "pm.sample(" in ast.unparse(node) else self.generic_visit(node)


@cache
def _cells(notebook: str) -> tuple[str, ...]:
    """Code of a notebook's cells as it is in the source."""
    (path,) = (ROOT / "notebooks").glob(f"{notebook}-*.md")
    cells = jupytext.read(path, fmt="md:myst").cells
    return tuple(cell.source for cell in cells if cell.cell_type == "code")


def code_of(family: Family) -> str:
    """Return the model's code, as the notebook has it today, with its outcomes left open."""
    for source in _cells(family.notebook):
        if family.model in source:
            for node in ast.parse(source).body:
                named = getattr(node, "name", None)
                if isinstance(node, ast.With):
                    named = getattr(node.items[0].optional_vars, "id", None)
                if named == family.model:
                    return ast.unparse(ast.fix_missing_locations(_Open().visit(node)))
    raise StudyError(
        f"Notebook {family.notebook} has no model {family.model}: correct it in "
        "studies/calibrated_models.py."
    )


def noncentred(code: str) -> str:
    """Write `alpha_bar + sigma * z` for a population that the notebook samples as it stands.

    The posterior is the same. With a scale near zero, which priors allow and the notebooks' data do
    not have, the centred form fails: in 4 of 12 data sets of reed frogs, when it was tried.
    """
    scale = r"(sigma|tau\w*|beta_UX), dims='(\w+)'\)"
    code = re.sub(
        rf"pm\.Normal\('(\w+)', (\w+), {scale}",
        r"pm.Deterministic('\1', \2 + \3 * pm.Normal('\1_z', 0, 1, dims='\4'), dims='\4')",
        code,
    )
    return re.sub(
        rf"pm\.ZeroSumNormal\('(\w+)', {scale}",
        r"pm.Deterministic('\1', \2 * pm.ZeroSumNormal('\1_z', 1, dims='\3'), dims='\3')",
        code,
    )


def build(family: Family, *, mistaken: bool = False, centred: bool = False) -> pm.Model:
    """Build the notebook's model on the small design, non-centred, maybe with its mistake."""
    code = code_of(family) if centred else noncentred(code_of(family))
    if mistaken:
        if code.count(family.mistake[0]) != 1:
            raise StudyError(
                f"{family.model} of notebook {family.notebook} does not have «{family.mistake[0]}» "
                "once: plant another in studies/calibrated_models.py."
            )
        code = code.replace(*family.mistake)
    names = calibrated_models.namespace() | {"open_data": open_data}
    exec(compile(code, family.model, "exec"), names)
    found = names[family.model]
    if isinstance(found, pm.Model):
        return found
    return found(names["by_residence" if family.model == "town_model" else "confound_data"])


# --- One model --------------------------------------------------------------------------------


class Fitted:
    """A family's model, compiled once, with its log-likelihood as a quantity."""

    def __init__(self, family: str, mistaken: bool):
        self.family, self.number = FAMILIES[family], list(FAMILIES).index(family)
        self.model = build(self.family, mistaken=mistaken)
        self.model.check_bounds = False  # data and parameters are in range: faster
        self.quantities = [*self.family.watch, "log_likelihood"]
        with self.model as model:
            parts = [pm.logp(v, model.rvs_to_values[v]).sum() for v in model.observed_RVs]
            total = pm.Deterministic("log_likelihood", sum(parts))
        truth, outcomes = self.simulate(0)
        self.log_likelihood = pytensor.function(
            [model[k] for k in truth], total, mode="FAST_COMPILE", on_unused_input="ignore"
        )
        self.compiled = CompiledModel(model, vary=list(outcomes), store=self.quantities)

    def simulate(self, number: int) -> tuple[dict, dict]:
        """Draw the parameters and the outcomes of one data set."""
        return self.family.simulate(np.random.default_rng([SEED, self.number, number]))

    def rank(self, number: int) -> dict[str, Any]:
        """Fit one data set; return a uniform value a quantity, if all is right, and a verdict."""
        start = time.process_time()
        truth, data = self.simulate(number)
        with self.model:
            pm.set_data(data)
        truth["log_likelihood"] = self.log_likelihood(*truth.values())
        rng = np.random.default_rng([SEED, self.number, number, 1])
        idata, verdict, refits = fit_judged(
            self.compiled, data, ATTEMPTS, seed=int(rng.integers(2**31))
        )
        row: dict[str, Any] = {"refits": refits, "passed": bool(verdict.passed), "pit": {}}
        for name in self.quantities:
            draws = idata["posterior"][name].to_numpy()
            draws = draws.reshape(draws.shape[0] * draws.shape[1], -1)  # chain after chain
            draws = draws[:: len(draws) // RANKS][:RANKS]
            below = (draws < np.ravel(truth[name])).sum(axis=0)
            ends = {name: 0} if below.size == 1 else {f"{name}, first": 0, f"{name}, last": -1}
            for label, at in ends.items():
                # a whole number becomes a real one by a random fraction
                value = round((below[at] + rng.uniform()) / (RANKS + 1), 4)
                row["pit"][label] = min(max(value, 1e-4), 1 - 1e-4)  # a 1 would have p = 0
        return row | {"seconds": time.process_time() - start}


def calibrate(family: str, mistaken: bool, data_sets: int) -> dict:
    """Fit a model to its data sets, in a worker."""
    start = time.process_time()
    pytensor.config.blas__ldflags = ""  # look for none, as `utils.start()` does
    fitted = Fitted(family, mistaken)
    compiling = time.process_time() - start
    rows = [fitted.rank(number) for number in range(data_sets)]
    return {
        "family": family,
        "mistaken": mistaken,
        "pit": {label: [row["pit"][label] for row in rows] for label in rows[0]["pit"]},
        "refits": sum(row["refits"] for row in rows),
        "failed": sum(not row["passed"] for row in rows),
        "compiling": round(compiling),
        "seconds": round(sum(row["seconds"] for row in rows)),
    }


# --- The verdict ------------------------------------------------------------------------------


def values(rows: pd.DataFrame) -> xr.Dataset:
    """Give rows of equally many data sets the form that `calibration_table` takes."""
    names = rows["family"] + ": " + rows["quantity"]
    pit = (np.array([each.split()], dtype=float) for each in rows["pit"])
    return xr.Dataset({k: (("chain", "draw"), x) for k, x in zip(names, pit, strict=True)})


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Judge every quantity, the right models' together and the mistaken ones' together."""
    found = [
        calibration_table(values(rows)).set_index(rows.index)
        for _, rows in table.groupby("mistaken")
    ]
    return table.drop(columns="pit").join(pd.concat(found))


def summary(found: list[dict], table: pd.DataFrame) -> list[dict]:
    """Sum up a family in a row: what was fitted, and what left its band."""
    judged = verdicts(table)
    rows = []
    for family, about in FAMILIES.items():
        row: dict[str, Any] = {
            "family": about.name,
            "notebook": about.notebook,
            "model": about.model,
            "mistake": about.mistake_in_words,
        }
        for mistaken in (False, True):
            of = judged[(judged["family"] == family) & (judged["mistaken"] == mistaken)]
            (one,) = [x for x in found if (x["family"], x["mistaken"]) == (family, mistaken)]
            worst = of.sort_values(["outside", "p"], ascending=[False, True]).iloc[0]
            row["mistaken" if mistaken else "right"] = {
                "data_sets": len(next(iter(one["pit"].values()))),
                "quantities": len(of),
                "outside": of.loc[~of["calibrated"], "quantity"].tolist(),
                "worst": worst["quantity"],
                "distance": round(float(worst["distance"]), 3),
                "p": float(f"{worst['p']:.2g}"),
                **{key: one[key] for key in ("refits", "failed", "compiling", "seconds")},
            }
        rows.append(row)
    return rows


def draw(table: pd.DataFrame) -> None:
    """Draw how far the shares of the ranks are from uniform: a panel a family."""
    judged = verdicts(table)
    halves = {bool(mistaken): values(rows) for mistaken, rows in table.groupby("mistaken")}
    bands = {mistaken: _band(of, 0.95) for mistaken, of in halves.items()}
    fig, axs = plt.subplots(5, 3, figsize=(8, 10), sharex=True, sharey=True)
    for ax, (family, about) in zip(axs.flat, FAMILIES.items(), strict=False):
        points, lower, upper = bands[False]
        ax.fill_between(
            points, lower - points, upper - points, color="0.85", linewidth=0, label="its band"
        )
        for row in judged[(judged["family"] == family) & ~judged["mistaken"]].itertuples():
            _line(ax, halves[False][f"{family}: {row.quantity}"], "a quantity", color="C1", lw=0.8)
        wrong = judged[(judged["family"] == family) & judged["mistaken"]]
        worst = wrong.loc[wrong["outside"].idxmax(), "quantity"]
        _line(ax, halves[True][f"{family}: {worst}"], "with a mistake", color="C0", ls="--", lw=2)
        points, lower, upper = bands[True]
        for end in (lower, upper):
            ax.plot(points, end - points, color="0.3", ls=":", lw=1, label="its band, too")
        ax.set_title(about.name.replace(", ", ",\n", 1), fontsize=9)
        ax.tick_params(labelsize=8, labelbottom=True)
    lines = dict(zip(*axs.flat[0].get_legend_handles_labels()[::-1], strict=True))
    axs.flat[-1].legend(lines.values(), lines.keys(), loc="center", fontsize=9)
    for ax in axs.flat[len(FAMILIES) :]:
        ax.set_axis_off()
    fig.supxlabel("rank of the truth, from 0 to 1", fontsize=10)
    fig.supylabel("share of data sets with a lower rank, less what is expected", fontsize=10)
    fig.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(fig)


def _line(ax: plt.Axes, pit: xr.DataArray, label: str, **how: Any) -> None:
    """Draw the distribution of the values, less the uniform one."""
    points = np.linspace(0, 1, 201)
    shares = (pit.to_numpy().ravel() <= points[:, None]).mean(1)
    ax.plot(points, shares - points, label=label, **how)


# --- The stored result ------------------------------------------------------------------------


def key_of(made_with: dict[str, str]) -> str:
    """SHA-256 of the notebooks' models, of the two files of the study and of versions."""
    files = [
        Path(file).read_text(encoding="utf-8") for file in (__file__, calibrated_models.__file__)
    ]
    parts = [ast.unparse(ast.parse(code)) for code in files]
    parts += [code_of(family) for family in FAMILIES.values()]
    parts += [f"{name} {version}" for name, version in sorted(made_with.items())]
    return hashlib.sha256("\n\0".join(parts).encode()).hexdigest()


def load() -> tuple[pd.DataFrame, dict]:
    """Load the stored values and their record, if they belong to the present code.

    Raises
    ------
    StudyError
        A file is missing, changed, or made by other code.
    """
    if not (RESULT.is_file() and RECORD.is_file() and FIGURE.is_file()):
        raise StudyError(f"The result of {Path(__file__).name} is missing: run `{COMMAND}`.")
    record = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
    if record["key"] != key_of(record["versions"]):
        raise StudyError(f"{RESULT.name} was made by other code: run `{COMMAND}`.")
    for path in (RESULT, FIGURE):
        if record["sha256"][path.name] != hashlib.sha256(path.read_bytes()).hexdigest():
            raise StudyError(f"{path.name} has changed: `git checkout -- studies`, or `{COMMAND}`.")
    return pd.read_csv(RESULT), record


def main() -> None:
    """Run the study, or what is left of it; store the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-sets", type=int, default=DATA_SETS)
    parser.add_argument("--with-mistake", type=int, default=WITH_MISTAKE)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tasks = [(family, False, options.data_sets) for family in FAMILIES]
    tasks += [(family, True, options.with_mistake) for family in FAMILIES]
    with process_pool(options.workers) as pool:
        found = run_all(calibrate, tasks, name="models", executor=pool)
    rows = [
        {k: one[k] for k in ("family", "mistaken")}
        | {"quantity": name, "pit": " ".join(map(str, x))}
        for one in found
        for name, x in one["pit"].items()
    ]
    table = pd.DataFrame(rows)
    table.to_csv(RESULT, index=False, lineterminator="\n")
    with plt.style.context(ROOT / "statistical-rethinking-2023.mplstyle"):
        draw(table)
    made_with = {name: importlib.metadata.version(name) for name in PACKAGES}
    record = {
        "what": "Simulation-based calibration of the models of lectures 11 to 14.",
        "seed": SEED,
        "ranks": RANKS,
        "families": summary(found, table),
        "sha256": {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in (RESULT, FIGURE)},
        "versions": made_with,
        "key": key_of(made_with),
    }
    RECORD.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    # not as __main__: a worker has to find the functions under their module's name
    from studies import model_calibration

    model_calibration.main()
