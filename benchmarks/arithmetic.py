"""The arithmetic of the benchmarks: medians, ratios, agreement, exponents."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from benchmarks.measure import CORES, NUTPIE, VARIANTS
from benchmarks.models import CENTRED, OURS, STOCK

KEY = ("family", "form", "sampler")
#: The course's fit of the trolley ratings, and the steps to it and beyond.
COURSE = ("trolley", OURS, NUTPIE)
NUTS, TEXTBOOK = (("trolley", "textbook", sampler) for sampler in ("PyMC", NUTPIE))
PLAIN, BEST = ("trolley", STOCK, NUTPIE), ("trolley", CENTRED, NUTPIE)
LADDER = (NUTS, TEXTBOOK, PLAIN, COURSE, BEST)
#: What it is compared with: name, configuration, goal.
REFERENCES = (
    ("PyMC's NUTS, textbook form", NUTS, 100),
    ("nutpie, sum to zero, stock likelihood", PLAIN, 5),
)


def _spread(values: pd.Series) -> dict[str, float] | None:
    values = values.dropna().astype(float)
    if values.empty:
        return None
    return {"median": values.median(), "least": values.min(), "most": values.max()}


def _jackknife(without: str) -> float:
    """Return the standard error of the logarithm of an ESS, from those that lack one chain."""
    logs = np.log([float(part) for part in without.split(";")])
    return float(np.sqrt((len(logs) - 1) * logs.var()))


def summarise(fits: pd.DataFrame) -> list[dict]:
    """Return medians and spread of each configuration in ``samplers.csv``.

    Numbers that vary between repeats are dicts of median, least and most; None where there is
    none. Of a configuration that was fitted once, the spread of the ESS per second is one
    standard error over its chains, each of which is left out in turn.
    """
    found = []
    for names, rows in fits.groupby(list(KEY), sort=False):
        good = rows[rows["status"] == "ok"]
        one = {
            **dict(zip(KEY, names, strict=True)),
            "status": rows["status"].iloc[-1],
            "repeats": len(good),
            **{name: rows[name].iloc[0].item() for name in ("draws", "tune", "target_accept")},
        }
        if np.isnan(one["target_accept"]):
            one["target_accept"] = None
        found.append(one)
        if good.empty:
            continue
        cold, warm = (
            _spread(good.loc[good["cache"] == cache, "compile_s"]) for cache in ("cold", "warm")
        )
        per_second = _spread(good["min_ess"] / good["sample_s"])
        if len(good) == 1:
            error = _jackknife(good["min_ess_without"].iloc[0])
            for end, sign in (("least", -1), ("most", 1)):
                per_second[end] = float(per_second["median"] * np.exp(sign * error))
        # of warm-up that a sampler does not count, the seconds are there and the steps are not
        counted = good[good["warmup_counted"].astype(bool)]
        cores = VARIANTS.get(names[-1], {}).get("cores", CORES)
        one |= {
            "parameters": int(good["parameters"].iloc[0]),
            "compile_cold_s": cold,
            "compile_warm_s": warm,
            "sample_s": _spread(good["sample_s"]),
            "gradients": _spread(good["gradients"]),
            "warmup_counted": bool(good["warmup_counted"].iloc[0]),
            "max_rhat": good["max_rhat"].max().item(),
            "divergences": int(good["divergences"].sum()),
            "min_ess": _spread(good["min_ess"]),
            "ess_per_s": per_second,
            "passes": int(good["passes"].astype(bool).sum()),
            "bare_us": _spread(good["bare_us"]),
            "peak_mb": _spread(good["peak_mb"]),
        }
        for name, compiling in (("warm", cold and warm), ("cold", cold)):
            total = good["sample_s"] + compiling["median"] if compiling else None
            one[f"ess_per_s_{name}"] = compiling and _spread(good["min_ess"] / total)
        one["us_per_gradient"] = _spread(1e6 * cores * counted["sample_s"] / counted["gradients"])
    return found


def by_name(summary: list[dict]) -> dict[tuple, dict]:
    """Return the configurations that have a fit."""
    return {tuple(one[k] for k in KEY): one for one in summary if one["repeats"]}


def ratios(summary: list[dict]) -> list[dict]:
    """Compare all trolley configurations with the two references, by least ESS per second.

    The least and the most are what the spreads of both allow.
    """
    fitted, found = by_name(summary), []
    for names, one in fitted.items():
        for name, reference, goal in REFERENCES:
            if names[0] != "trolley" or names == reference or reference not in fitted:
                continue
            a, b = one["ess_per_s"], fitted[reference]["ess_per_s"]
            found.append(
                dict(zip(KEY, names, strict=True))
                | {
                    "against": name,
                    "ratio": a["median"] / b["median"],
                    "least": a["least"] / b["most"],
                    "most": a["most"] / b["least"],
                    "goal": goal if names == COURSE else None,
                }
            )
    return found


def agreement(rows: list[dict]) -> list[dict]:
    """Compare the posterior means of the other trolley forms with those of the stock likelihood.

    Of each form on nutpie's numba backend all seeds are taken together. Differences are in Monte
    Carlo standard errors; the bound is for the largest of so many at the level of 1%.
    """
    by_form: dict[str, list[dict]] = {}
    for row in rows:
        if "means" in row and row["sampler"] == NUTPIE:
            by_form.setdefault(row["form"], []).append(row)
    pooled = {
        form: (
            np.mean([row["means"] for row in same], axis=0),
            np.linalg.norm([row["errors"] for row in same], axis=0) / len(same),
        )
        for form, same in by_form.items()
    }
    stock = pooled.pop(STOCK, None)
    found = []
    for form, (means, errors) in pooled.items() if stock else ():
        scores = (means - stock[0]) / np.hypot(errors, stock[1])
        found.append(
            {
                "form": form,
                "means": len(scores),
                "largest": float(np.abs(scores).max()),
                "root_mean_square": float(np.sqrt((scores**2).mean())),
                "bound": float(stats.norm.isf(0.005 / len(scores))),
            }
        )
    return found


def exponent(sizes: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Return the exponent of a power law and its standard error: a line through the logarithms.

    The error is NaN for two points, which any line meets.
    """
    found = stats.linregress(np.log(sizes), np.log(values))
    return float(found.slope), float(found.stderr) if len(sizes) > 2 else float("nan")
