"""The arithmetic of the benchmarks: medians and exponents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

KEY = ("family", "form", "sampler")


class Spread(NamedTuple):
    """What varies between repeats."""

    least: float
    median: float
    most: float


def _spread(values: pd.Series) -> Spread | None:
    values = values.dropna()
    return None if values.empty else Spread(values.min(), values.median(), values.max())


def _per_second(good: pd.DataFrame) -> Spread | None:
    """Return the spread of ESS per second; of one fit, a standard error by the jackknife."""
    found = _spread(good["min_ess"] / good["sample_s"])
    if len(good) != 1:
        return found
    logs = np.log([float(part) for part in good["min_ess_without"].iloc[0].split(";")])
    factor = float(np.exp(np.sqrt((len(logs) - 1) * logs.var())))
    return Spread(found.median / factor, found.median, found.median * factor)


def summarise(fits: pd.DataFrame) -> dict[tuple[str, str, str], dict]:
    """Return medians and spread of each configuration in ``samplers.csv``, by its `KEY`."""
    found = {}
    for name, rows in fits.groupby(list(KEY), sort=False):
        good = rows[rows["status"] == "ok"]
        found[name] = one = {
            **dict(zip(KEY, name, strict=True)),
            "status": rows["status"].iloc[-1],
            "repeats": len(good),
            "passes": int(good["passes"].astype(bool).sum()),
            "ess_per_s": _per_second(good),
            **{column: _spread(good[column]) for column in ("sample_s", "bare_us", "peak_mb")},
        }
        for cache in ("cold", "warm"):
            compiling = _spread(good.loc[good["cache"] == cache, "compile_s"])
            one[f"compile_{cache}_s"] = compiling
            one[f"ess_per_s_{cache}"] = compiling and _spread(
                good["min_ess"] / (good["sample_s"] + compiling.median)
            )
    return found


def exponent(sizes: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Return the exponent of a power law and its standard error, NaN where points are too few."""
    if len(sizes) < 2:
        return float("nan"), float("nan")
    found = stats.linregress(np.log(sizes), np.log(values))
    return float(found.slope), float(found.stderr) if len(sizes) > 2 else float("nan")
