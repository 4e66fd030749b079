"""The page on samplers, filled from what `make bench` stored; no number on it is typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import common
import pandas as pd
import report
from measure import SAMPLERS, VARIANTS

from publish.files import CourseError
from publish.pages.text import FILL, escape, meanings, table

NUMBER = re.compile(r"\[\[(\w+)\]\]")
PRODUCT = report.COURSE
NUTS, STOCK = (reference for _, reference, _ in report.REFERENCES)
CENTRED = ("trolley", f"{PRODUCT[1]}, centred predictors", PRODUCT[2])

LONG_RUNS = {("reed frogs", "NumPyro"), ("reed frogs", "BlackJAX")}

COLUMNS = {
    "compile cold": "seconds to compile with an empty cache, as in the first run after an "
    "installation",
    "compile warm": "seconds in a new process that finds PyTensor's cache on disk filled; with "
    "nutpie on numba its own callbacks are in that cache, too, as the course keeps them",
    "sample": "seconds of warm-up and draws, four chains on two cores",
    "ESS/s": "least effective sample size of any parameter a second of sampling; in brackets the "
    "least and the most of the repeats, or, of a single run, plus and minus a standard error",
    "ESS/s warm": "the same, a second of warm compilation and sampling",
    "memory": "the most memory that the process held, in MB",
    "gate": "repeats that passed the course's check of convergence",
}
FIGURES = {
    "samplers": (
        "Effective draws of the worst parameter a second, on a logarithmic axis, for each model "
        "and sampler. Filled circles: sampling alone. Open marks: with compilation. For small "
        "models compilation costs most; for the trolley ratings the form and the likelihood "
        "decide.",
        "Three horizontal point charts, one a model. x axis: least effective sample size a "
        "second, logarithmic; y axis: forms and samplers. Filled red circles for sampling alone "
        "lie to the right of open blue squares and open triangles, which count compilation, too.",
    ),
    "growth": (
        "Time of one gradient, seconds to compile and memory, for more people and for more tanks. "
        "A gradient takes time nearly in proportion to the data; compilation hardly depends on it.",
        "Six line charts with points on logarithmic axes, in two columns, people and tanks. x "
        "axes: how many times the data; y axes: microseconds a gradient, seconds to compile, "
        "memory in MB. The time of a gradient rises along a straight line, compilation and memory "
        "are nearly level.",
    ),
}


def samplers_page(template: str, results: Path, folder: Path) -> str:
    """Return the page with its blanks filled; put its figures into a folder.

    Parameters
    ----------
    template : str
        publish/pages/samplers.md: ``<!-- fill: ... -->`` for tables and figures, ``[[name]]`` for numbers.
    results : Path
        benchmarks/results.
    folder : Path
        Where the figures are written.

    Raises
    ------
    CourseError
        If there are no results, the template has a blank that nothing fills, or the page says
        what the results do not.
    """
    try:
        facts = json.loads((results / "samplers.json").read_text(encoding="utf-8"))
        growth = pd.read_csv(results / "growth.csv")
    except FileNotFoundError as error:
        raise CourseError(
            f"benchmarks/results/{Path(error.filename).name} is missing: make it with `make "
            "bench`, or get it back with git."
        ) from None
    found = {tuple(one[k] for k in report.KEY): one for one in facts["summary"] if one["repeats"]}
    missing = [name for name in (PRODUCT, NUTS, STOCK, CENTRED) if name not in found]
    if missing:
        raise CourseError(
            f"benchmarks/results has no fit of {', '.join(missing[0])}: run `make bench` again."
        )
    _check(found, growth)
    tables = {
        "samplers": lambda: _comparison(facts["summary"]),
        "columns": lambda: meanings(COLUMNS),
        "ladder": lambda: _ladder(found),
        "tried": lambda: _tried(facts["summary"], found),
        "growth": lambda: _growth(growth),
    }
    numbers = _numbers(facts, found)

    def fill(blank: re.Match) -> str:
        kind, name = blank.groups()
        if kind == "figure" and name in FIGURES:
            shutil.copy(results / f"{name}.png", folder / f"{name}.png")
            caption, alt = FIGURES[name]
            head = f":::{{figure}} {name}.png\n:alt: {json.dumps(alt)}\n:figclass: figure-front\n"
            return f"{head}\n{caption}\n:::"
        if kind in tables and not name:
            return tables[kind]()
        raise CourseError(f"publish/pages/samplers.md: nothing fills «{blank[0]}».")

    def number(blank: re.Match) -> str:
        if blank[1] not in numbers:
            raise CourseError(f"publish/pages/samplers.md: there is no number «{blank[1]}».")
        return numbers[blank[1]]

    return NUMBER.sub(number, FILL.sub(fill, template))


def _rate(one: dict, key: str = "ess_per_s") -> float:
    return one[key]["median"]


def _check(found: dict, growth: pd.DataFrame) -> None:
    """See that the results still bear what the page says."""
    claims = {}
    for (family, form, sampler), one in found.items():
        best = found.get((family, form, report.SAMPLER_NUTPIE))
        if not best or sampler not in SAMPLERS or one is best:
            continue
        for key in ("ess_per_s", "ess_per_s_warm"):
            if one[key] and best[key]:
                # the page says who samples faster and compiles longer
                ahead = not (key == "ess_per_s" and (family, sampler) in LONG_RUNS)
                word = "ahead of" if ahead else "behind"
                claims[f"nutpie on numba is {word} {sampler}: {family}, {form}, {key}"] = (
                    _rate(best, key) > _rate(one, key)
                ) == ahead
    claims |= {
        "each step of the ladder is faster": all(
            _rate(found[slow]) < _rate(found[fast])
            for slow, fast in ((NUTS, STOCK), (STOCK, PRODUCT), (PRODUCT, CENTRED))
        ),
        "no variant helps": all(
            _rate(one) < _rate(found[PRODUCT]) or one["passes"] < one["repeats"]
            for name, one in found.items()
            if name[2] in VARIANTS
        ),
    }
    for family in ("reed frogs", "confounds, latent Mundlak"):
        rates = {name[2]: _rate(one) for name, one in found.items() if name[0] == family}
        if "nutpie, JAX" in rates:
            claims[f"nutpie on JAX is the slowest: {family}"] = (
                min(rates, key=rates.get) == "nutpie, JAX"
            )
    for what, part in growth.groupby("what"):
        for key, low, high in (("bare_us", 0.8, 1.2), ("compile_s", -0.2, 0.2)):
            slope, _ = report.exponent(part["times"], part[key])
            claims[f"growth of {key} with {what}"] = low < slope < high
    wrong = [claim for claim, holds in claims.items() if not holds]
    if wrong:
        raise CourseError(
            f"publish/pages/samplers.md says what benchmarks/results does not: {wrong[0]}. Change the page."
        )


def _cells(one: dict, *keys: str) -> list[str]:
    return [report.cell(one.get(key)) for key in keys]


def _medians(one: dict, *keys: str) -> list[str]:
    return [report.number(one[key]["median"]) if one.get(key) else "–" for key in keys]


def _comparison(summary: list[dict]) -> str:
    rows = []
    families = list(dict.fromkeys(one["family"] for one in summary))
    for one in sorted(summary, key=lambda one: families.index(one["family"])):
        if one["sampler"] in VARIANTS or tuple(one[k] for k in report.KEY) == CENTRED:
            continue
        row = [escape(one[k]) for k in report.KEY]
        if one["repeats"]:
            row += _medians(one, "compile_cold_s", "compile_warm_s", "sample_s")
            row += _cells(one, "ess_per_s") + _medians(one, "ess_per_s_warm", "peak_mb")
            row += [f"{one['passes']} of {one['repeats']}"]
        else:
            row += [escape(one["status"]), *["–"] * 6]
        rows.append(row)
    return table(["model", "form", "sampler", *COLUMNS], rows, right=7)


def _ladder(found: dict) -> str:
    rows = []
    for name in (NUTS, ("trolley", "textbook", report.SAMPLER_NUTPIE), STOCK, PRODUCT, CENTRED):
        if name in found:
            one = found[name]
            times = _rate(one) / _rate(found[NUTS])
            row = [escape(name[1]), escape(name[2]), *_cells(one, "bare_us", "ess_per_s")]
            rows.append([*row, report.number(times), f"{one['passes']} of {one['repeats']}"])
    head = ["form", "sampler", "µs a gradient", "ESS/s", "times the first", "gate"]
    return table(head, rows, right=4)


def _tried(summary: list[dict], found: dict) -> str:
    lines = []
    for one in summary:
        if one["sampler"] not in VARIANTS:
            continue
        what = one["sampler"].partition(", numba, ")[2].capitalize()
        if not one["repeats"]:
            default = found[PRODUCT]["sample_s"]["median"]
            lines.append(
                f"- **{what}**: {one['status']}, without a first fit; the default takes "
                f"{report.number(default)} s a fit."
            )
            continue
        share = _rate(one) / _rate(found[PRODUCT])
        lines.append(
            f"- **{what}**: {report.number(share)} times the effective draws a second of the "
            f"default; {one['passes']} of {one['repeats']} fits passed the gate."
        )
    return "\n".join(lines)


def _growth(growth: pd.DataFrame) -> str:
    rows = []
    for what, part in growth.groupby("what", sort=False):
        for _, row in part.iterrows():
            cells = [report.number(row[key]) for key in report.GROWING]
            rows.append([f"{what} × {row['times']}", f"{row['parameters']:,}", *cells])
        fitted = [report.exponent(part["times"], part[key]) for key in report.GROWING]
        cells = [f"{slope:.2f} ± {error:.2f}" for slope, error in fitted]
        rows.append([f"**exponent, {what}**", "", *cells])
    return table(["data", "parameters", *report.GROWING.values()], rows)


def _numbers(facts: dict, found: dict) -> dict[str, str]:
    frogs = found["reed frogs", "course", report.SAMPLER_NUTPIE]
    agree = next(one for one in facts["agreement"] if one["form"] == PRODUCT[1])
    textbook = found.get(("trolley", "textbook", report.SAMPLER_NUTPIE), found[NUTS])
    on_jax = [
        one[key]["median"]
        for name, one in found.items()
        if name[2] in ("NumPyro", "BlackJAX")
        for key in ("compile_cold_s", "compile_warm_s")
        if one[key]
    ]
    return {
        "jax_compile": f"{min(on_jax):.0f} to {max(on_jax):.0f}",
        "nutpie_gain": f"{_rate(textbook) / _rate(found[NUTS]):.1f}",
        "form_gain": f"{_rate(found[STOCK]) / _rate(textbook):.0f}",
        "likelihood_gain": f"{_rate(found[PRODUCT]) / _rate(found[STOCK]):.0f}",
        "all_gain": f"{_rate(found[PRODUCT]) / _rate(found[NUTS]):.0f}",
        "frogs_compile": f"{frogs['compile_warm_s']['median']:.1f}",
        "frogs_cold": f"{frogs['compile_cold_s']['median']:.1f}",
        "frogs_sample": f"{frogs['sample_s']['median']:.1f}",
        "agree_count": str(agree["means"]),
        "agree_worst": f"{agree['largest']:.1f}",
        "agree_bound": f"{agree['bound']:.1f}",
        "floor": report.floor_words(facts["summary"], facts),
        "machine": common.machine_line(facts["machine"], facts["versions"]) + ".",
    }
