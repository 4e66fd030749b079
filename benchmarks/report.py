"""Tables and figures of the benchmarks, and what fills the blanks of the page "Which sampler?".

All is made from the stored csv and the facts in samplers.json, so that a table, a figure and
their numbers cannot differ. python -m benchmarks.report makes it anew without measuring.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter
from scipy import stats

from benchmarks.arithmetic import (
    COURSE,
    KEY,
    LADDER,
    NUTS,
    PLAIN,
    TEXTBOOK,
    agreement,
    by_name,
    exponent,
    ratios,
    summarise,
)
from benchmarks.common import machine_line, store
from benchmarks.measure import CHAINS, CORES, NUTPIE, SAMPLERS, VARIANTS
from benchmarks.models import CENTRED, OURS
from rethinking.plots import plot_errorbar, plot_line, plot_scatter
from rethinking.start import STYLE_PATH

RESULTS = Path(__file__).resolve().parent / "results"
FIT_COLUMNS = [
    *(*KEY, "draws", "tune", "target_accept", "seed", "cache", "status", "compile_s", "sample_s"),
    *("gradients", "warmup_counted", "parameters", "max_rhat", "divergences", "min_ess"),
    *("min_ess_without", "bare_us", "peak_mb", "worker_mb", "passes", "problems"),
]
GROWTH_COLUMNS = [
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


# --- Words -----------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return a number with three digits, or with all before the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{min(digits, 4)}f}"


def cell(spread: dict | None) -> str:
    """Return a median with the least and the most in brackets; a dash for None."""
    if spread is None:
        return "–"
    low, middle, high = (number(spread[k]) for k in ("least", "median", "most"))
    return middle if low == high == middle else f"{middle} ({low}–{high})"


def _with_error(value: float, error: float) -> str:
    return f"{value:.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def _median(spread: dict | None) -> str:
    return "–" if spread is None else number(spread["median"])


def _markdown_table(head: list[str], rows: list[list[str]], *, right: int = 0) -> str:
    """Return a table, of which the last columns, so many as `right` says, are aligned there."""
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


#: What stands in the columns of the tables of configurations, which share these functions.
NAMES = {
    "model": itemgetter("family"),
    "form": itemgetter("form"),
    "sampler": itemgetter("sampler"),
}
COMPILE = {
    "compile cold": lambda one: cell(one["compile_cold_s"]),
    "compile warm": lambda one: cell(one["compile_warm_s"]),
}
RATE = {"ESS/s": lambda one: cell(one["ess_per_s"])}
GATE = {"gate": lambda one: f"{one['passes']} of {one['repeats']}"}


def _settings(one: dict) -> str:
    accept = "" if one["target_accept"] is None else f", accept {one['target_accept']}"
    return f"{one['tune']} + {one['draws']}{accept}"


def _gradients(one: dict) -> str:
    star = "" if one["warmup_counted"] else "*"
    return cell({k: v / 1000 for k, v in one["gradients"].items()}) + star


def _configurations(ones: list[dict], names: dict, results: dict, *, right: int = 0) -> str:
    """Return a table with a row a configuration; without a fit it has its status for results."""
    rows = []
    for one in ones:
        row = [column(one) for column in names.values()]
        if one["repeats"]:
            row += [column(one) for column in results.values()]
        else:  # the status may hold any error's message
            status = re.sub(r"([\\`*_$<|~#{}])", r"\\\1", one["status"])
            row += [status, *["–"] * (len(results) - 1)]
        rows.append(row)
    return _markdown_table([*names, *results], rows, right=right)


COLUMNS = f"""\
All numbers are medians over seeds, with the least and the most in brackets. `–` is not known.

- **warm-up + draws**: of each of the {CHAINS} chains, on {CORES} cores; with the target of the
  acceptance where it is not the sampler's own. Where the sampler leaves a setting open, its own
  holds.
- **compile**, seconds, once each: *cold* with an empty cache of PyTensor, *warm* in a new process
  that finds what the first one left. JAX keeps nothing between processes by default, so its cold
  and warm differ in PyTensor's part only. For nutpie on numba the cache is that of the course
  (`compile_cache.py`).
- **sample**, seconds: warm-up and draws, without compilation. (`benchmarks/measure.py` says how
  the two are told apart.)
- **gradients**, thousands: steps of all trajectories of all chains. An asterisk: draws only,
  because the sampler does not tell those of its warm-up.
- **R-hat**: the worst of any entry of any parameter or Deterministic in any repeat.
- **div.**: divergences in all repeats together.
- **least ESS**: the least of bulk and tail (5%, 95%) effective sample size over the same entries.
- **ESS/s**: least ESS per second of sampling; *warm*, *cold*: per second of sampling and
  compilation, the median one where it is cold or warm. Of a fit that was made once the spread is
  one standard error over its chains (the jackknife: each chain is left out in turn).
- **µs/gradient**: seconds of sampling times {CORES} cores over gradients; *bare*: one call of the
  compiled log-probability with its gradient, from one thread, on numba.
- **memory**, MB (a million bytes): the most that the process had, Python and its packages
  included; PyMC's NUTS has {CORES} worker processes besides.
- **gate**: repeats that pass the course's check of convergence.
"""


def _samplers_md(summary: list[dict], facts: dict) -> str:
    """Return the text of ``samplers.md``."""
    results = {
        **COMPILE,
        "sample": lambda one: cell(one["sample_s"]),
        "gradients": _gradients,
        "R-hat": lambda one: f"{one['max_rhat']:.3f}",
        "div.": lambda one: str(one["divergences"]),
        "least ESS": lambda one: cell(one["min_ess"]),
        **RATE,
        "ESS/s warm": lambda one: cell(one["ess_per_s_warm"]),
        "ESS/s cold": lambda one: cell(one["ess_per_s_cold"]),
        "µs/gradient": lambda one: cell(one["us_per_gradient"]),
        "bare": lambda one: cell(one["bare_us"]),
        "memory": lambda one: cell(one["peak_mb"]),
        **GATE,
    }
    compared = [
        [
            *(one["form"], one["sampler"], one["against"]),
            f"{number(one['ratio'])} ({number(one['least'])}–{number(one['most'])})",
            "" if one["goal"] is None else f"at least {one['goal']}",
        ]
        for one in ratios(summary)
    ]
    quick = "**A quick run: it shows that the benchmark works; its numbers mean little.**"
    parts = [
        "# Samplers and forms, compared in one run",
        *([quick] if facts["quick"] else []),
        "Made by `make bench`. Each configuration has two processes of its own: one for the first "
        "seed, with an empty cache, and one for the others.",
        _configurations(summary, NAMES | {"warm-up + draws": _settings}, results),
        COLUMNS.strip(),
        "## Least ESS per second, against two references",
        "Ratio of medians, in brackets the least and the most that the spreads of both allow.",
        _markdown_table(["form", "sampler", "against", "ratio", "goal"], compared),
        "## Do the forms have one posterior?",
        *(
            f"{one['form']}: of {one['means']} posterior means none differs from that with the "
            f"stock likelihood by more than {one['largest']:.2f} Monte Carlo standard errors "
            f"(bound for so many at the level of 1%: {one['bound']:.2f}); root mean square "
            f"{one['root_mean_square']:.2f}."
            for one in facts["agreement"]
        ),
        "## Distance to the floor",
        _floor(summary, facts),
        f"Machine: {machine_line(facts['machine'], facts['versions'])}.",
    ]
    return "\n\n".join(parts) + "\n"


def _floor(summary: list[dict], facts: dict) -> str:
    """Say how far the course's trolley form is from a bare loop."""
    bare = by_name(summary).get(COURSE, {}).get("bare_us")
    if facts["floor"] is None or bare is None:
        return "Not measured."
    counts, us = facts["floor"]["operations"], facts["floor"]["us"]
    return (
        f"One log-probability of the course's trolley form with its gradient takes {cell(bare)} "
        f"µs. A bare loop over {facts['floor']['ratings']:,} ratings with "
        f"{counts['multiplications']} multiplications and {counts['divisions']} division each, "
        f"{counts['logarithms']:,} logarithms and {counts['exponentials']:,} exponentials in all "
        f"takes {number(us)} µs: the model takes {bare['median'] / us:.1f} times as long."
    )


def _growth_tables(growth: pd.DataFrame, *, right: int = 0) -> dict[str, str]:
    """Return a table of sizes and exponents for each thing that grows."""
    found = {}
    for what, part in growth.groupby("what", sort=False):
        rows = [
            [str(row["times"]), f"{row['parameters']:,}", *(number(row[k]) for k in GROWING)]
            for _, row in part.iterrows()
        ]
        if len(part) > 1:
            fitted = [exponent(part["times"], part[k]) for k in GROWING]
            rows.append(["exponent", "", *(_with_error(*each) for each in fitted)])
        head = ["times", "unconstrained parameters", *GROWING.values()]
        found[what] = _markdown_table(head, rows, right=right)
    return found


def _growth_md(growth: pd.DataFrame, facts: dict) -> str:
    """Return the text of ``growth.md``."""
    parts = [
        "# Growth with the number of people and of tanks",
        "Made by `make bench`: the course's forms on nutpie's numba backend, each size in a "
        f"process of its own with an empty cache; {CHAINS} chains on {CORES} cores, "
        f"{growth['tune'].iloc[0]} steps of warm-up and {growth['draws'].iloc[0]} draws, too few "
        "to judge by and enough for the time of a gradient. People are new people: the design of "
        "the 331 is repeated, effects are drawn from the population and ratings from the model. "
        "Tanks likewise.",
    ]
    for what, table in _growth_tables(growth).items():
        parts += [f"## {what.capitalize()}", table]
    parts += [
        "The exponent is the slope of a line through the logarithms, with its standard error: what "
        "is constant at small sizes (Python and its packages in memory, the start of the sampler) "
        "pulls it down.",
        f"Machine: {machine_line(facts['machine'], facts['versions'])}.",
    ]
    return "\n\n".join(parts) + "\n"


# --- The page --------------------------------------------------------------------------------


class UnfoundedError(ValueError):
    """The page on samplers says what the results do not; the text names it."""


def _rate(one: dict, key: str = "ess_per_s") -> float:
    return one[key]["median"]


def check_claims(summary: list[dict], growth: pd.DataFrame, facts: dict) -> None:
    """Raise `UnfoundedError` where the results do not bear what publish/pages/samplers.md says."""
    found = by_name(summary)
    small = ("reed frogs", "confounds, latent Mundlak")
    needed = (*LADDER, *((family, "course", NUTPIE) for family in small))
    if missing := [name for name in needed if name not in found]:
        raise UnfoundedError(
            f"The page on samplers needs a fit of {', '.join(missing[0])}, and the results have "
            "none: run `make bench` again."
        )
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
                    _rate(best, key) > _rate(one, key)
                ) == ahead
        if sampler in VARIANTS:
            slower = _rate(one) < _rate(found[COURSE])
            claims[f"{sampler} does not help"] = slower or one["passes"] < one["repeats"]
        if sampler == "nutpie, JAX":
            others = [_rate(other) for key, other in found.items() if key[0] == family]
            claims[f"nutpie on JAX is the slowest: {family}"] = _rate(one) == min(others)
    for slow, fast in pairwise(LADDER):
        claims[f"{', '.join(fast)} is a step forward"] = _rate(found[slow]) < _rate(found[fast])
    for what, part in growth.groupby("what"):
        for key, low, high in (("bare_us", 0.8, 1.2), ("compile_s", -0.2, 0.2)):
            claims[f"growth of {key} with {what}"] = (
                low < exponent(part["times"], part[key])[0] < high
            )
    for one in facts["agreement"]:
        claims[f"the posterior is the same: {one['form']}"] = one["largest"] < one["bound"]
    if wrong := [claim for claim, holds in claims.items() if not holds]:
        raise UnfoundedError(
            f"publish/pages/samplers.md says what the results do not: {wrong[0]}. Change the page, "
            "and this claim in benchmarks/report.py."
        )


def page(summary: list[dict], growth: pd.DataFrame, facts: dict) -> dict[str, str]:
    """Return what fills the blanks of publish/pages/samplers.md, by name, in Markdown."""
    check_claims(summary, growth, facts)
    found = by_name(summary)
    ours, frogs = found[COURSE], found["reed frogs", "course", NUTPIE]
    agree = next(one for one in facts["agreement"] if one["form"] == OURS)
    textbook = found[TEXTBOOK]
    on_jax = [
        _rate(one, key)
        for name, one in found.items()
        if name[2] in ("NumPyro", "BlackJAX")
        for key in ("compile_cold_s", "compile_warm_s")
        if one[key]
    ]
    return {
        "samplers": _comparison(summary),
        "ladder": _steps(
            [found[name] for name in LADDER if name in found],
            {k: NAMES[k] for k in ("form", "sampler")},
        ),
        "tried": _steps(
            [ours, *(one for one in summary if one["sampler"] in VARIANTS)],
            {"sampler": NAMES["sampler"]},
        ),
        **{f"growth_{what}": table for what, table in _growth_tables(growth, right=6).items()},
        "jax_compile": f"{min(on_jax):.0f} to {max(on_jax):.0f}" if on_jax else "an unknown time",
        "nutpie_gain": f"{_rate(textbook) / _rate(found[NUTS]):.1f}",
        "form_gain": f"{_rate(found[PLAIN]) / _rate(textbook):.0f}",
        "likelihood_gain": f"{_rate(ours) / _rate(found[PLAIN]):.0f}",
        "frogs_compile": f"{_rate(frogs, 'compile_warm_s'):.1f}",
        "frogs_cold": f"{_rate(frogs, 'compile_cold_s'):.1f}",
        "frogs_sample": f"{_rate(frogs, 'sample_s'):.1f}",
        "ours_sample": _median(ours["sample_s"]),
        "agree_count": str(agree["means"]),
        "agree_worst": f"{agree['largest']:.1f}",
        "agree_bound": f"{agree['bound']:.1f}",
        "floor": _floor(summary, facts),
        "machine": machine_line(facts["machine"], facts["versions"]) + ".",
    }


def _comparison(summary: list[dict]) -> str:
    families = list(dict.fromkeys(one["family"] for one in summary))
    ones = sorted(summary, key=lambda one: families.index(one["family"]))
    ones = [one for one in ones if one["sampler"] in SAMPLERS and one["form"] != CENTRED]
    results = {
        **COMPILE,
        "sample": lambda one: _median(one["sample_s"]),
        **RATE,
        "ESS/s warm": lambda one: _median(one["ess_per_s_warm"]),
        "memory": lambda one: _median(one["peak_mb"]),
        **GATE,
    }
    return _configurations(ones, NAMES, results, right=len(results))


def _steps(ones: list[dict], names: dict) -> str:
    """Return a table that compares configurations with the first of them."""
    results = {
        "µs a gradient": lambda one: cell(one["bare_us"]),
        **RATE,
        "times the first": lambda one: number(_rate(one) / _rate(ones[0])),
        **GATE,
    }
    return _configurations(ones, names, results, right=len(results))


# --- Figures ---------------------------------------------------------------------------------

_KINDS = (  # key, legend, marker, color of the style sheet, filled
    ("ess_per_s", "sampling alone", "o", "C0", True),
    ("ess_per_s_warm", "with compilation, warm", "s", "C1", False),
    ("ess_per_s_cold", "with compilation, cold", "^", "C5", False),
)


def draw_samplers(summary: list[dict]) -> Figure:
    """Draw least ESS per second, with and without compilation, without a sampler's variants."""
    families: dict[str, list[dict]] = {}
    for one in (one for one in summary if one["sampler"] in SAMPLERS):
        families.setdefault(one["family"], []).append(one)
    # inches of a row: three lines of label where a model has several forms, or one
    several = [len({one["form"] for one in ones}) > 1 for ones in families.values()]
    heights = [
        (0.85 if many else 0.5) * len(ones) + 0.5
        for many, ones in zip(several, families.values(), strict=True)
    ]
    figure, axes = plt.subplots(
        len(families),
        figsize=(7, 1.7 + sum(heights) + 0.3 * len(heights)),
        sharex=True,
        squeeze=False,
        height_ratios=heights,
    )
    for ax, many, (family, ones) in zip(axes[:, 0], several, families.items(), strict=True):
        ax.set_xscale("log")
        for place, one in enumerate(ones):
            if not one["repeats"]:
                at = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small"}
                ax.annotate(one["status"].partition(":")[0], (0.02, place), **at)
                continue
            for key, _, marker, color, filled in _KINDS:
                if one[key] is not None:
                    low, middle, high = (one[key][k] for k in ("least", "median", "most"))
                    plot_errorbar(
                        *([middle], [place], [low], [high]),
                        ax=ax,
                        orientation="horizontal",
                        color=color,
                        width=6,
                        alpha=0.3,
                        marker=marker,
                        fill=color if filled else "white",
                        size=8,
                        zorder=2 + filled,
                    )
        labels = [
            one["form"].replace(", ", ",\n") + f"\n{one['sampler']}" if many else one["sampler"]
            for one in ones
        ]
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
    things = list(growth["what"].unique())
    figure, axes = plt.subplots(
        len(shown), len(things), figsize=(7, 8.5), sharex="col", sharey="row", squeeze=False
    )
    for column, what in enumerate(things):
        rows = growth[growth["what"] == what]
        times = rows["times"].to_numpy(float)
        for ax, (key, label) in zip(axes[:, column], shown.items(), strict=True):
            values = rows[key].to_numpy(float)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            if len(rows) > 1:
                slope, error = exponent(times, values)
                fitted = np.exp(np.log(values).mean() + slope * np.log(times / stats.gmean(times)))
                plot_line(times, fitted, ax=ax, color="C1", linewidth=2)
                ax.set_title(f"exponent {_with_error(slope, error)}", fontsize=12, loc="left")
            plot_scatter(times, values, ax=ax, color="C0", size=8, fill="white")
            ax.set_xticks(times, [f"{value:.0f}" for value in times])
            ax.minorticks_off()
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(ScalarFormatter())
            if column == 0:
                ax.set_ylabel(label)
        axes[-1, column].set_xlabel(f"{what}, times")
    for ax in axes[:, 0]:  # room for two labels at least
        low, high = ax.get_ylim()
        middle, half = np.sqrt(low * high), max(np.sqrt(high / low), 2.5)
        ax.set_ylim(middle / half, middle * half)
    return figure


def _png(draw: Callable[..., Figure], data: list[dict] | pd.DataFrame) -> bytes:
    with plt.style.context(STYLE_PATH):
        figure, stream = draw(data), io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
        plt.close(figure)
    return stream.getvalue()


# --- Files -----------------------------------------------------------------------------------


def _table(rows: list[dict], columns: list[str]) -> pd.DataFrame:
    """Return a table of rows as it will be read again: five digits."""
    rows = [
        {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}
        for row in rows
    ]
    text = pd.DataFrame(rows).reindex(columns=columns).to_csv(index=False, lineterminator="\n")
    return pd.read_csv(io.StringIO(text))


def tables(rows: list[dict], facts: dict) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Return fits, growth and all facts of a run, from its rows and its machine."""
    by_kind = {kind: [r for r in rows if r["kind"] == kind] for kind in ("fit", "growth", "floor")}
    floor = next(iter(by_kind["floor"]), None)
    facts = facts | {
        "chains": CHAINS,
        "cores": CORES,
        "agreement": agreement(by_kind["fit"]),
        "floor": floor and {k: floor[k] for k in ("ratings", "operations", "us")},
    }
    fits, growth = _table(by_kind["fit"], FIT_COLUMNS), _table(by_kind["growth"], GROWTH_COLUMNS)
    return fits, growth, facts


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Read again what `write` stored of `tables`."""
    fits, growth = (pd.read_csv(folder / f"{name}.csv") for name in ("samplers", "growth"))
    return fits, growth, json.loads((folder / "samplers.json").read_text(encoding="utf-8"))


def texts(fits: pd.DataFrame, growth: pd.DataFrame, facts: dict) -> dict[str, str]:
    """Return the files of the results that are text, by name; the page's is not among them."""
    summary = summarise(fits)
    whole = facts | {"summary": summary, "ratios": ratios(summary)}
    found = {
        "samplers.csv": fits.to_csv(index=False, lineterminator="\n"),
        "samplers.json": json.dumps(whole, indent=1, ensure_ascii=False) + "\n",
        "samplers.md": _samplers_md(summary, facts),
        "growth.csv": growth.to_csv(index=False, lineterminator="\n"),
    }
    return found | ({"growth.md": _growth_md(growth, facts)} if len(growth) else {})


def page_json(fits: pd.DataFrame, growth: pd.DataFrame, facts: dict) -> str:
    """Return the text of ``page.json``; raise where the page says what the results do not."""
    blanks = page(summarise(fits), growth, facts)
    return json.dumps(blanks, indent=1, ensure_ascii=False) + "\n"


def write(folder: Path, fits: pd.DataFrame, growth: pd.DataFrame, facts: dict) -> None:
    """Store tables and figures; then, of a full run, what the page needs, if it bears the page."""
    for name, content in texts(fits, growth, facts).items():
        store(folder / name, content)
    store(folder / "samplers.png", _png(draw_samplers, summarise(fits)))
    if len(growth):
        store(folder / "growth.png", _png(draw_growth, growth))
    (folder / "page.json").unlink(missing_ok=True)
    if not facts["quick"]:
        store(folder / "page.json", page_json(fits, growth, facts))


if __name__ == "__main__":
    write(RESULTS, *read(RESULTS))
