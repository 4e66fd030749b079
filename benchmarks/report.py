"""Tables and figures of the benchmarks, from the rows that `run.py` measured.

Everything is made from the stored csv and the facts in samplers.json, so that a table, a figure
and their numbers cannot differ.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.common import machine_line, store
from benchmarks.measure import CHAINS, CORES, SAMPLERS, cores_of

KEY = ["family", "form", "sampler"]
FIT_COLUMNS = [
    *(*KEY, "draws", "tune", "target_accept", "seed", "cache", "status", "compile_s", "sample_s"),
    *("gradients", "warmup_counted", "parameters", "max_rhat", "divergences", "min_ess"),
    *("min_ess_without", "bare_us", "peak_mb", "worker_mb", "passes", "problems"),
]
GROWTH_COLUMNS = [
    *("what", "times", "parameters", "draws", "tune", "compile_s", "sample_s", "gradients"),
    *("us_per_gradient", "bare_us", "peak_mb"),
]
SAMPLER_NUTPIE = "nutpie, numba"
#: The course's fit of the trolley ratings.
COURSE = ("trolley", "sum to zero, ordered_logit", SAMPLER_NUTPIE)
#: What it is compared with: name, configuration, goal.
REFERENCES = (
    ("PyMC's NUTS, textbook form", ("trolley", "textbook", "PyMC"), 100),
    (
        "nutpie, sum to zero, stock likelihood",
        ("trolley", "sum to zero, stock likelihood", SAMPLER_NUTPIE),
        5,
    ),
)
GROWING = {
    "compile_s": "seconds to compile",
    "us_per_gradient": "µs a gradient, sampling",
    "bare_us": "µs a gradient, bare",
    "sample_s": "seconds to sample",
    "peak_mb": "peak memory, MB",
}


# --- Numbers ---------------------------------------------------------------------------------


def _spread(values: pd.Series) -> dict[str, float] | None:
    values = values.dropna().astype(float)
    if values.empty:
        return None
    return {"median": values.median(), "least": values.min(), "most": values.max()}


def _jackknife(without: str) -> float:
    """Return the standard error of the logarithm of an ESS, from those that lack one chain."""
    logs = np.log([float(part) for part in without.split(";")])
    return float(np.sqrt((len(logs) - 1) * logs.var()))


def summarise(table: pd.DataFrame) -> list[dict]:
    """Return medians and spread of each configuration.

    Parameters
    ----------
    table : pandas.DataFrame
        Of ``samplers.csv``, a row a fit.

    Returns
    -------
    list of dict
        Numbers that vary between repeats are dicts of median, least and most; None where there
        is none. Of a configuration that was fitted once, the spread of the ESS per second is one
        standard error over its chains, each of which is left out in turn.
    """
    found = []
    for names, rows in table.groupby(KEY, sort=False):
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
        per_second = good["min_ess"] / good["sample_s"]
        without = _spread(per_second)
        if len(good) == 1:
            error = _jackknife(good["min_ess_without"].iloc[0])
            without["least"] = float(without["median"] * np.exp(-error))
            without["most"] = float(without["median"] * np.exp(error))
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
            "ess_per_s": without,
            "passes": int(good["passes"].astype(bool).sum()),
            "bare_us": _spread(good["bare_us"]),
            "peak_mb": _spread(good["peak_mb"]),
        }
        for name, compiling in (("warm", cold and warm), ("cold", cold)):
            total = good["sample_s"] + compiling["median"] if compiling else None
            one[f"ess_per_s_{name}"] = compiling and _spread(good["min_ess"] / total)
        # of warm-up that a sampler does not count, the seconds are there and the steps are not
        counted = good[good["warmup_counted"].astype(bool)]
        one["us_per_gradient"] = _spread(
            1e6 * cores_of(names[-1]) * counted["sample_s"] / counted["gradients"]
        )
    return found


def ratios(summary: list[dict]) -> list[dict]:
    """Compare all trolley configurations with the two references, by least ESS per second.

    Parameters
    ----------
    summary : list of dict
        From `summarise`.

    Returns
    -------
    list of dict
        Configuration, reference, ratio of medians, and the least and most that the spreads of
        both allow; for sampling alone, and with warm compilation where both have that.
    """
    by_name = {tuple(one[k] for k in KEY): one for one in summary if one["repeats"]}
    found = []
    for names, one in by_name.items():
        for name, reference, goal in REFERENCES:
            if names[0] != "trolley" or names == reference or reference not in by_name:
                continue
            a, b = one["ess_per_s"], by_name[reference]["ess_per_s"]
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

    Parameters
    ----------
    rows : list of dict
        What `run.run` returns; of each form on nutpie's numba backend all seeds are taken together.

    Returns
    -------
    list of dict
        Form, number of means, the largest difference and the root mean square of all, both in
        Monte Carlo standard errors, and the bound for the largest of so many at the level of 1%.
    """
    by_form: dict[str, list[dict]] = {}
    for row in rows:
        if "means" in row and row["sampler"] == SAMPLER_NUTPIE:
            by_form.setdefault(row["form"], []).append(row)
    pooled = {
        form: (
            np.mean([row["means"] for row in same], axis=0),
            np.linalg.norm([row["errors"] for row in same], axis=0) / len(same),
        )
        for form, same in by_form.items()
    }
    stock = pooled.pop(REFERENCES[1][1][1], None)
    if stock is None:
        return []
    found = []
    for form, (means, errors) in pooled.items():
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


def exponent(sizes, values) -> tuple[float, float]:
    """Return the exponent of a power law and its standard error: a line through the logarithms.

    Parameters
    ----------
    sizes, values : array_like
        Positive.

    Returns
    -------
    exponent, error : float
        The error is NaN for two points, which any line meets.
    """
    found = stats.linregress(np.log(sizes), np.log(values))
    return float(found.slope), float(found.stderr) if len(sizes) > 2 else float("nan")


# --- Words -----------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return a number with three digits, or with all before the point.

    Parameters
    ----------
    value : float

    Returns
    -------
    str
    """
    if value == 0:
        return "0"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{min(digits, 4)}f}"


def _with_error(value: float, error: float) -> str:
    return f"{value:.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def cell(spread: dict | None) -> str:
    """Return a median with the least and the most in brackets; a dash for None.

    Parameters
    ----------
    spread : dict or None
        With median, least, most.

    Returns
    -------
    str
    """
    if spread is None:
        return "–"
    low, middle, high = (number(spread[k]) for k in ("least", "median", "most"))
    return middle if low == high == middle else f"{middle} ({low}–{high})"


def _markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _settings(one: dict) -> str:
    accept = "" if one["target_accept"] is None else f", accept {one['target_accept']}"
    return f"{one['tune']} + {one['draws']}{accept}"


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


def markdown(table: pd.DataFrame, facts: dict) -> str:
    """Return the text of ``samplers.md``.

    Parameters
    ----------
    table : pandas.DataFrame
        Of ``samplers.csv``.
    facts : dict
        Of ``samplers.json``: machine, versions, floor, quick.

    Returns
    -------
    str
    """
    summary = summarise(table)
    head = [
        *("model", "form", "sampler", "warm-up + draws", "compile cold", "compile warm", "sample"),
        *("gradients", "R-hat", "div.", "least ESS", "ESS/s", "ESS/s warm", "ESS/s cold"),
        *("µs/gradient", "bare", "memory", "gate"),
    ]
    rows = []
    for one in summary:
        row = [*(one[k] for k in KEY), _settings(one)]
        if not one["repeats"]:
            rows.append([*row, one["status"], *["–"] * (len(head) - len(row) - 1)])
            continue
        star = "" if one["warmup_counted"] else "*"
        thousands = {k: v / 1000 for k, v in one["gradients"].items()}
        row += [cell(one[k]) for k in ("compile_cold_s", "compile_warm_s", "sample_s")]
        row += [cell(thousands) + star, f"{one['max_rhat']:.3f}", str(one["divergences"])]
        row += [cell(one[k]) for k in ("min_ess", "ess_per_s", "ess_per_s_warm", "ess_per_s_cold")]
        row += [cell(one[k]) for k in ("us_per_gradient", "bare_us", "peak_mb")]
        rows.append([*row, f"{one['passes']} of {one['repeats']}"])
    parts = ["# Samplers and forms, compared in one run"]
    if facts["quick"]:
        parts.append("**A quick run: it shows that the benchmark works; its numbers mean little.**")
    parts += [
        "Made by `make bench`. Each configuration has two processes of its own: one for the first "
        "seed, with an empty cache, and one for the others.",
        _markdown_table(head, rows),
        COLUMNS.strip(),
        "## Least ESS per second, against two references",
        "Ratio of medians, in brackets the least and the most that the spreads of both allow.",
    ]
    compared = ratios(summary)
    parts.append(
        _markdown_table(
            ["form", "sampler", "against", "ratio", "goal"],
            [
                [
                    *(one["form"], one["sampler"], one["against"]),
                    f"{number(one['ratio'])} ({number(one['least'])}–{number(one['most'])})",
                    "" if one["goal"] is None else f"at least {one['goal']}",
                ]
                for one in compared
            ],
        )
        if compared
        else "The references are missing."
    )
    parts.append("## Do the forms have one posterior?")
    parts += [
        f"{one['form']}: of {one['means']} posterior means none differs from that with the stock "
        f"likelihood by more than {one['largest']:.2f} Monte Carlo standard errors (bound for so "
        f"many at the level of 1%: {one['bound']:.2f}); root mean square "
        f"{one['root_mean_square']:.2f}."
        for one in facts.get("agreement", [])
    ]
    parts += ["## Distance to the floor", floor_words(summary, facts), _machine_words(facts)]
    return "\n\n".join(parts) + "\n"


def floor_words(summary: list[dict], facts: dict) -> str:
    """Return how far the course's trolley form is from a bare loop, in two sentences.

    Parameters
    ----------
    summary : list of dict
        From `summarise`.
    facts : dict
        With ``floor``.

    Returns
    -------
    str
    """
    bare = [one["bare_us"] for one in summary if tuple(one[k] for k in KEY) == COURSE[:3]]
    if facts["floor"] is None or not bare or bare[0] is None:
        return "Not measured."
    counts, us = facts["floor"]["operations"], facts["floor"]["us"]
    return (
        f"One log-probability of the course's trolley form with its gradient takes "
        f"{cell(bare[0])} µs. A bare loop over {facts['floor']['ratings']:,} ratings with "
        f"{counts['multiplications']} multiplications and {counts['divisions']} division each, "
        f"{counts['logarithms']:,} logarithms and {counts['exponentials']:,} exponentials in all "
        f"takes {number(us)} µs: the model takes {bare[0]['median'] / us:.1f} times as long."
    )


def _machine_words(facts: dict) -> str:
    return f"Machine: {machine_line(facts['machine'], facts['versions'])}."


def growth_markdown(table: pd.DataFrame, facts: dict) -> str:
    """Return the text of ``growth.md``.

    Parameters
    ----------
    table : pandas.DataFrame
        Of ``growth.csv``.
    facts : dict
        Of ``samplers.json``.

    Returns
    -------
    str
    """
    parts = [
        "# Growth with the number of people and of tanks",
        "Made by `make bench`: the course's forms on nutpie's numba backend, each size in a "
        f"process of its own with an empty cache; {CHAINS} chains on {CORES} cores, "
        f"{table['tune'].iloc[0]} steps of warm-up and {table['draws'].iloc[0]} draws, too few to "
        "judge by and enough for the time of a gradient. People are new people: the design of the "
        "331 is repeated, effects are drawn from the population and ratings from the model. Tanks "
        "likewise.",
    ]
    for what, rows in table.groupby("what", sort=False):
        lines = [
            [str(row["times"]), f"{row['parameters']:,}", *(number(row[k]) for k in GROWING)]
            for _, row in rows.iterrows()
        ]
        if len(rows) > 1:
            fitted = [exponent(rows["times"], rows[k]) for k in GROWING]
            lines.append(["exponent", "", *(_with_error(*each) for each in fitted)])
        parts += [
            f"## {what.capitalize()}",
            _markdown_table(["times", "unconstrained parameters", *GROWING.values()], lines),
        ]
    parts += [
        "The exponent is the slope of a line through the logarithms, with its standard error: what "
        "is constant at small sizes (Python and its packages in memory, the start of the sampler) "
        "pulls it down.",
        _machine_words(facts),
    ]
    return "\n\n".join(parts) + "\n"


# --- Figures ---------------------------------------------------------------------------------

_KINDS = (  # key, legend, marker, colour of the style sheet, filled
    ("ess_per_s", "sampling alone", "o", "C0", True),
    ("ess_per_s_warm", "with compilation, warm", "s", "C1", False),
    ("ess_per_s_cold", "with compilation, cold", "^", "C5", False),
)


def draw_samplers(summary: list[dict], axes=None):
    """Draw least ESS per second, with and without compilation; variants of a sampler are left out.

    Parameters
    ----------
    summary : list of dict
        From `summarise`, or from ``samplers.json``.
    axes : sequence of matplotlib.axes.Axes, optional
        One for each model; a new figure by default.

    Returns
    -------
    list of matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    import utils

    families = {}
    for one in (one for one in summary if one["sampler"] in SAMPLERS):
        families.setdefault(one["family"], []).append(one)
    # inches of a row: three lines of label where a model has several forms, or one
    several = [len({one["form"] for one in ones}) > 1 for ones in families.values()]
    heights = [
        (0.85 if many else 0.5) * len(ones) + 0.5
        for many, ones in zip(several, families.values(), strict=True)
    ]
    if axes is None:
        _, axes = plt.subplots(
            len(families),
            figsize=(7, 1.7 + sum(heights) + 0.3 * len(heights)),
            sharex=True,
            squeeze=False,
            height_ratios=heights,
        )
        axes = axes[:, 0]
    for ax, many, (family, ones) in zip(axes, several, families.items(), strict=True):
        ax.set_xscale("log")
        for place, one in enumerate(ones):
            if not one["repeats"]:
                ax.annotate(
                    one["status"].partition(":")[0],
                    (0.02, place),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize="small",
                )
                continue
            for key, _, marker, color, filled in _KINDS:
                if one[key] is not None:
                    low, middle, high = (one[key][k] for k in ("least", "median", "most"))
                    utils.plot_errorbar(
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
    axes[-1].set_xlabel("least ESS per second")
    handles = [
        plt.Line2D(
            [],
            [],
            linestyle="none",
            marker=marker,
            color=color,
            markerfacecolor=color if filled else "white",
            markersize=8,
            label=label,
        )
        for _, label, marker, color, filled in _KINDS
    ]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=1, frameon=False)
    return list(axes)


def draw_growth(table: pd.DataFrame, axes=None):
    """Draw time of a bare gradient, seconds to compile and memory against size, with fitted lines.

    Parameters
    ----------
    table : pandas.DataFrame
        Of ``growth.csv``.
    axes : array of matplotlib.axes.Axes, optional
        Three rows, and a column for each thing that grows; a new figure by default.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, ScalarFormatter

    import utils

    shown = {"bare_us": "µs a gradient", "compile_s": "compile, s", "peak_mb": "memory, MB"}
    things = list(table["what"].unique())
    if axes is None:
        _, axes = plt.subplots(
            len(shown), len(things), figsize=(7, 8.5), sharex="col", sharey="row", squeeze=False
        )
    for column, what in enumerate(things):
        rows = table[table["what"] == what]
        times = rows["times"].to_numpy(float)
        for ax, (key, label) in zip(axes[:, column], shown.items(), strict=True):
            values = rows[key].to_numpy(float)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            if len(rows) > 1:
                slope, error = exponent(times, values)
                fitted = np.exp(np.log(values).mean() + slope * np.log(times / stats.gmean(times)))
                utils.plot_line(times, fitted, ax=ax, color="C1", linewidth=2)
                ax.set_title(f"exponent {_with_error(slope, error)}", fontsize=12, loc="left")
            utils.plot_scatter(times, values, ax=ax, color="C0", size=8, fill="white")
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
    return axes


def _png(draw, *data) -> bytes:
    import matplotlib.pyplot as plt

    import utils

    with plt.style.context(utils.STYLE_PATH):
        axes = np.ravel(draw(*data))
        stream = io.BytesIO()
        axes[0].figure.savefig(stream, format="png", metadata={"Software": None})
        plt.close(axes[0].figure)
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


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Read results that `write` stored.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    fits, growth : pandas.DataFrame
    facts : dict
    """
    fits, growth = (pd.read_csv(folder / f"{name}.csv") for name in ("samplers", "growth"))
    return fits, growth, json.loads((folder / "samplers.json").read_text(encoding="utf-8"))


def write(rows: list[dict], facts: dict, folder: Path) -> list[str]:
    """Write the tables and figures of a run.

    Parameters
    ----------
    rows : list of dict
        What `run.run` returns.
    facts : dict
        machine, versions, quick.
    folder : Path

    Returns
    -------
    list of str
        Names of the files.
    """
    by_kind = {kind: [r for r in rows if r["kind"] == kind] for kind in ("fit", "growth", "floor")}
    floor = next(iter(by_kind["floor"]), None)
    facts = facts | {
        "chains": CHAINS,
        "cores": CORES,
        "agreement": agreement(by_kind["fit"]),
        "floor": floor and {k: floor[k] for k in ("ratings", "operations", "us")},
    }
    files: dict[str, str | bytes] = {}
    if by_kind["fit"]:
        fits = _table(by_kind["fit"], FIT_COLUMNS)
        files["samplers.csv"] = fits.to_csv(index=False, lineterminator="\n")
        files["samplers.md"] = markdown(fits, facts)
        summary = summarise(fits)
        files["samplers.png"] = _png(draw_samplers, summary)
        whole = facts | {"summary": summary, "ratios": ratios(summary)}
        files["samplers.json"] = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    if by_kind["growth"]:
        growth = _table(by_kind["growth"], GROWTH_COLUMNS)
        files["growth.csv"] = growth.to_csv(index=False, lineterminator="\n")
        files["growth.md"] = growth_markdown(growth, facts)
        files["growth.png"] = _png(draw_growth, growth)
    for name, content in files.items():
        store(folder / name, content)
    return sorted(files)
