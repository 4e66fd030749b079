"""Figures of the benchmarks, and what fills the blanks of the page "Which sampler?".

All is made from the stored csv and the facts in samplers.json, so that a table, a figure and
their numbers cannot differ. python -m benchmarks.report makes it anew without measuring.
"""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter
from scipy import stats

from benchmarks.arithmetic import KEY, Spread, exponent, summarise
from benchmarks.common import machine_line, store
from benchmarks.measure import NUTPIE, SAMPLERS, VARIANTS
from benchmarks.models import CENTRED, OURS, STOCK
from rethinking.plots import plot_errorbar, plot_line, plot_scatter
from rethinking.start import STYLE_PATH

RESULTS = Path(__file__).resolve().parent / "results"
#: Columns of samplers.csv and growth.csv.
FITS = [
    *(*KEY, "draws", "tune", "target_accept", "seed", "cache", "status", "compile_s", "sample_s"),
    *("gradients", "warmup_counted", "parameters", "max_rhat", "divergences", "min_ess"),
    *("min_ess_without", "bare_us", "peak_mb", "passes", "problems"),
]
SIZES = [
    *("what", "times", "parameters", "draws", "tune", "compile_s", "sample_s", "gradients"),
    *("us_per_gradient", "bare_us", "peak_mb"),
]
GROWING = {
    "compile_s": "seconds to compile",
    "us_per_gradient": "µs a gradient, sampling",
    "bare_us": "µs a gradient, bare",
    "sample_s": "seconds to sample",
    "peak_mb": "peak memory, MB",
}
#: The course's fit of the trolley ratings, and the steps to it and beyond.
COURSE = ("trolley", OURS, NUTPIE)
NUTS, TEXTBOOK = (("trolley", "textbook", sampler) for sampler in ("PyMC", NUTPIE))
PLAIN, BEST = ("trolley", STOCK, NUTPIE), ("trolley", CENTRED, NUTPIE)
LADDER = (NUTS, TEXTBOOK, PLAIN, COURSE, BEST)
FROGS = ("reed frogs", "course", NUTPIE)


# --- Words -----------------------------------------------------------------------------------


def _number(value: float) -> str:
    """Return a number with three digits, or with all before the point."""
    digits = max(0, 2 - int(np.floor(np.log10(value))))
    return f"{value:,.{min(digits, 4)}f}"


def _cell(spread: Spread | None) -> str:
    """Return a median with the least and the most in brackets; a dash for None."""
    if spread is None:
        return "–"
    low, middle, high = map(_number, spread)
    return middle if low == high == middle else f"{middle} ({low}–{high})"


def _median(spread: Spread | None) -> str:
    return "–" if spread is None else _number(spread.median)


def _with_error(value: float, error: float) -> str:
    return f"{value:.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def _table(head: list[str], rows: list[list[str]], left: int) -> str:
    """Return a table in Markdown, of which so many columns are aligned left."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def _configurations(ones: list[dict], names: dict[str, str], results: dict) -> str:
    """Return a table with a row a configuration; without a fit it has its status for results."""
    results = results | {"gate": lambda one: f"{one['passes']} of {one['repeats']}"}
    rows = []
    for one in ones:
        row = (
            [column(one) for column in results.values()] if one["repeats"] else ["–"] * len(results)
        )
        if not one["repeats"]:  # the status may hold any error's message
            row[0] = re.sub(r"([\\`*_$<|~#{}])", r"\\\1", one["status"])
        rows.append([*(one[key] for key in names.values()), *row])
    return _table([*names, *results], rows, len(names))


def _comparison(summary: dict[tuple, dict]) -> str:
    families = list(dict.fromkeys(family for family, _, _ in summary))
    ones = [o for o in summary.values() if o["sampler"] in SAMPLERS and o["form"] != CENTRED]
    results = {
        "compile cold": lambda one: _cell(one["compile_cold_s"]),
        "compile warm": lambda one: _cell(one["compile_warm_s"]),
        "sample": lambda one: _median(one["sample_s"]),
        "ESS/s": lambda one: _cell(one["ess_per_s"]),
        "ESS/s warm": lambda one: _median(one["ess_per_s_warm"]),
        "memory": lambda one: _median(one["peak_mb"]),
    }
    ones.sort(key=lambda one: families.index(one["family"]))
    return _configurations(ones, {"model": "family", "form": "form", "sampler": "sampler"}, results)


def _steps(ones: list[dict], *names: str) -> str:
    """Return a table that compares configurations with the first of them."""
    results = {
        "µs a gradient": lambda one: _cell(one["bare_us"]),
        "ESS/s": lambda one: _cell(one["ess_per_s"]),
        "times the first": lambda one: _number(
            one["ess_per_s"].median / ones[0]["ess_per_s"].median
        ),
    }
    return _configurations(ones, {name: name for name in names}, results)


def _growth_table(part: pd.DataFrame) -> str:
    """Return a table of sizes and exponents for one thing that grows."""
    rows = [
        [str(row["times"]), f"{row['parameters']:,}", *(_number(row[k]) for k in GROWING)]
        for _, row in part.iterrows()
    ]
    fitted = [_with_error(*exponent(part["times"], part[k])) for k in GROWING]
    head = ["times", "unconstrained parameters", *GROWING.values()]
    return _table(head, [*rows, ["exponent", "", *fitted]], 1)


# --- The page --------------------------------------------------------------------------------


class UnfoundedError(ValueError):
    """The page on samplers says what the results do not; the text names it."""


def check_claims(summary: dict[tuple, dict], growth: pd.DataFrame) -> None:
    """Raise `UnfoundedError` where the results do not bear what publish/pages/samplers.md says."""
    found = {name: one for name, one in summary.items() if one["repeats"]}
    needed = (*LADDER, FROGS, ("confounds, latent Mundlak", "course", NUTPIE))
    if missing := [name for name in needed if name not in found]:
        raise UnfoundedError(
            f"The page on samplers needs a fit of {', '.join(missing[0])}, and the results have "
            "none: run `make bench` again."
        )
    rate = {name: one["ess_per_s"].median for name, one in found.items()}
    claims = {}
    for name, one in found.items():
        family, form, sampler = name
        best = found.get((family, form, NUTPIE))
        # the page says who samples faster and compiles longer
        long_run = family == "reed frogs" and sampler in ("NumPyro", "BlackJAX")
        for key in ("ess_per_s", "ess_per_s_warm"):
            if best and sampler in SAMPLERS and sampler != NUTPIE and one[key] and best[key]:
                ahead = not (long_run and key == "ess_per_s")
                claims[f"{'in front of' if ahead else 'behind'} {', '.join(name)}: {key}"] = (
                    best[key].median > one[key].median
                ) == ahead
        if sampler in VARIANTS:
            slower = rate[name] < rate[COURSE]
            claims[f"{sampler} does not help"] = slower or one["passes"] < one["repeats"]
        if sampler == "nutpie, JAX":
            least = min(value for other, value in rate.items() if other[0] == family)
            claims[f"nutpie on JAX is the slowest: {family}"] = rate[name] == least
    for slow, fast in pairwise(LADDER):
        claims[f"{', '.join(fast)} is a step forward"] = rate[slow] < rate[fast]
    for what, part in growth.groupby("what"):
        for key, low, high in (("bare_us", 0.8, 1.2), ("compile_s", -0.2, 0.2)):
            slope, _ = exponent(part["times"], part[key])
            claims[f"growth of {key} with {what}"] = low < slope < high
    if wrong := [claim for claim, holds in claims.items() if not holds]:
        raise UnfoundedError(
            f"publish/pages/samplers.md says what the results do not: {wrong[0]}. Change the page, "
            "and this claim in benchmarks/report.py."
        )


def page(fits: pd.DataFrame, growth: pd.DataFrame, facts: dict) -> str:
    """Return ``page.json``: what fills the blanks of publish/pages/samplers.md, in Markdown."""
    summary = summarise(fits)
    check_claims(summary, growth)
    frogs, variants = summary[FROGS], [o for o in summary.values() if o["sampler"] in VARIANTS]
    rate = {name: summary[name]["ess_per_s"].median for name in LADDER}
    on_jax = [
        one[key].median
        for one in summary.values()
        for key in ("compile_cold_s", "compile_warm_s")
        if one["sampler"] in ("NumPyro", "BlackJAX") and one[key]
    ]
    blanks = {
        "samplers": _comparison(summary),
        "ladder": _steps([summary[name] for name in LADDER], "form", "sampler"),
        "tried": _steps([summary[COURSE], *variants], "sampler"),
        **{f"growth_{what}": _growth_table(part) for what, part in growth.groupby("what")},
        "jax_compile": f"{min(on_jax):.0f} to {max(on_jax):.0f}" if on_jax else "an unknown time",
        "nutpie_gain": f"{rate[TEXTBOOK] / rate[NUTS]:.1f}",
        "form_gain": f"{rate[PLAIN] / rate[TEXTBOOK]:.0f}",
        "likelihood_gain": f"{rate[COURSE] / rate[PLAIN]:.0f}",
        "frogs_compile": f"{frogs['compile_warm_s'].median:.1f}",
        "frogs_cold": f"{frogs['compile_cold_s'].median:.1f}",
        "frogs_sample": f"{frogs['sample_s'].median:.1f}",
        "ours_sample": _median(summary[COURSE]["sample_s"]),
        "machine": machine_line(facts["machine"], facts["versions"]) + ".",
    }
    return json.dumps(blanks, indent=1, ensure_ascii=False) + "\n"


# --- Figures ---------------------------------------------------------------------------------

_KINDS = (  # key, legend, marker, color of the style sheet, filled
    ("ess_per_s", "sampling alone", "o", "C0", True),
    ("ess_per_s_warm", "with compilation, warm", "s", "C1", False),
    ("ess_per_s_cold", "with compilation, cold", "^", "C5", False),
)


def draw_samplers(fits: pd.DataFrame) -> Figure:
    """Draw least ESS per second, with and without compilation, without a sampler's variants."""
    families: dict[str, list[dict]] = {}
    for one in summarise(fits[fits["sampler"].isin(SAMPLERS)]).values():
        families.setdefault(one["family"], []).append(one)
    # a model in several forms has three lines of label a row: inches
    heights = [
        (0.85 if family == "trolley" else 0.5) * len(ones) + 0.5
        for family, ones in families.items()
    ]
    size = (7, 1.7 + sum(heights) + 0.3 * len(heights))
    figure, axes = plt.subplots(
        len(families), figsize=size, sharex=True, squeeze=False, height_ratios=heights
    )
    for ax, (family, ones) in zip(axes[:, 0], families.items(), strict=True):
        ax.set_xscale("log")
        for place, one in enumerate(ones):
            if not one["repeats"]:
                at = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small"}
                ax.annotate(one["status"].partition(":")[0], (0.02, place), **at)
            for key, _, marker, color, filled in _KINDS:
                if one[key]:
                    low, middle, high = one[key]
                    look = {"marker": marker, "fill": color if filled else "white", "size": 8}
                    look |= {"color": color, "width": 6, "alpha": 0.3, "zorder": 2 + filled}
                    ends = ([middle], [place], [low], [high])
                    plot_errorbar(*ends, ax=ax, orientation="horizontal", **look)
        labels = [one["sampler"] for one in ones]
        if family == "trolley":
            labels = [one["form"].replace(", ", ",\n") + f"\n{one['sampler']}" for one in ones]
        ax.set_yticks(range(len(ones)), labels)
        ax.set_ylim(len(ones) - 0.4, -0.6)
        ax.set_title(family, loc="left")
        ax.grid(visible=False, axis="y")
    axes[-1, 0].set_xlabel("least ESS per second")
    handles = []
    for _, label, marker, color, filled in _KINDS:
        look = {"color": color, "markerfacecolor": color if filled else "white", "markersize": 8}
        handles.append(plt.Line2D([], [], linestyle="none", marker=marker, label=label, **look))
    figure.legend(handles=handles, loc="outside upper center", ncols=1, frameon=False)
    return figure


def draw_growth(growth: pd.DataFrame) -> Figure:
    """Draw time of a bare gradient, seconds to compile and memory against size, with lines."""
    shown = {"bare_us": "µs a gradient", "compile_s": "compile, s", "peak_mb": "memory, MB"}
    things = list(growth.groupby("what"))
    figure, axes = plt.subplots(
        len(shown), len(things), figsize=(7, 8.5), sharex="col", sharey="row", squeeze=False
    )
    for column, (what, rows) in zip(axes.T, things, strict=True):
        times = rows["times"].to_numpy(float)
        for ax, (key, label) in zip(column, shown.items(), strict=True):
            values = rows[key].to_numpy(float)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            slope, error = exponent(times, values)
            fitted = stats.gmean(values) * (times / stats.gmean(times)) ** slope
            plot_line(times, fitted, ax=ax, color="C1", linewidth=2)
            ax.set_title(f"exponent {_with_error(slope, error)}", fontsize=12, loc="left")
            plot_scatter(times, values, ax=ax, color="C0", size=8, fill="white")
            ax.set_xticks(times, [f"{value:.0f}" for value in times])
            ax.minorticks_off()
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(ScalarFormatter())
            if ax in axes[:, 0]:
                ax.set_ylabel(label)
        ax.set_xlabel(f"{what}, times")
    for ax in axes[:, 0]:  # room for two labels at least
        low, high = ax.get_ylim()
        middle, half = np.sqrt(low * high), max(np.sqrt(high / low), 2.5)
        ax.set_ylim(middle / half, middle * half)
    return figure


# --- Files -----------------------------------------------------------------------------------


def keep(folder: Path, rows: list[dict], facts: dict) -> None:
    """Store the rows of a run, floats to five digits, and its facts."""
    store(folder / "samplers.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    rows = [
        {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}
        for row in rows
    ]
    for kind, name, columns in (("fit", "samplers", FITS), ("growth", "growth", SIZES)):
        table = pd.DataFrame([r for r in rows if r["kind"] == kind]).reindex(columns=columns)
        store(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Read fits, growth and facts, as `keep` stored them."""
    fits, growth = (pd.read_csv(folder / f"{name}.csv") for name in ("samplers", "growth"))
    return fits, growth, json.loads((folder / "samplers.json").read_text(encoding="utf-8"))


def write(folder: Path) -> None:
    """Draw what is stored; then, of a full run, store what the page needs, if it bears the page."""
    fits, growth, facts = read(folder)
    for name, draw, table in (("samplers", draw_samplers, fits), ("growth", draw_growth, growth)):
        if len(table):
            with plt.style.context(STYLE_PATH):
                figure, stream = draw(table), io.BytesIO()
                figure.savefig(stream, format="png", metadata={"Software": None})
                plt.close(figure)
            store(folder / f"{name}.png", stream.getvalue())
    (folder / "page.json").unlink(missing_ok=True)
    if not facts["quick"]:
        store(folder / "page.json", page(fits, growth, facts))


if __name__ == "__main__":
    write(RESULTS)
