"""What a run says of itself: its record, the summary kept in notebooks/runs.json, its budget.

A run's record are the JSON lines that the notebook's helpers write while it runs, into the file
that COURSE_RECORD names. No kernel is started here.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from nbformat import NotebookNode

from publish.files import ROOT, alone, replace, sources

PACKAGES = ("pymc", "arviz", "nutpie", "pytensor", "numba", "numpy", "pandas", "matplotlib")
CORES = 2  # of the machine that the budgets are for
PARTS = ("import", "compile", "sample", "draw", "other")


@dataclass
class Run:
    """One execution of one notebook."""

    nb: NotebookNode
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    memory: float = 0.0  # MB
    record: list[dict] = field(default_factory=list)


def read_record(path: Path) -> list[dict]:
    """Return the lines that a notebook's helpers wrote about its run."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def summarise(run: Run) -> dict:
    """Return what notebooks/runs.json says of a run."""
    fits = [line for line in run.record if line.get("kind") == "fit"]
    studies = [line for line in run.record if line.get("kind") == "study"]
    meant = [line for line in fits if not line.get("expected_failure")]
    judged = meant + studies
    rhat = [line["max_rhat"] for line in judged if line.get("max_rhat") is not None]
    ess = [line["min_ess"] for line in judged if line.get("min_ess") is not None]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "seconds": {
            "total": round(run.seconds, 1),
            **{part: round(run.parts[part], 1) for part in PARTS},
        },
        "peak_memory_mb": round(run.memory),
        "fits": len(meant) + sum(line["fits"] - line["failed"] for line in studies),
        "worst_rhat": round(max(rhat), 4) if rhat else None,
        "least_ess": round(min(ess)) if ess else None,
        "divergences": sum(line.get("divergences") or 0 for line in judged),
        "expected_to_fail": {
            line["name"]: line["expected_failure"] for line in fits if line not in meant
        },
        "studies": {
            line["name"]: {key: line[key] for key in ("fits", "refitted", "failed")}
            for line in studies
        },
    }


def over_budget(rows: dict[str, dict], budgets: dict[str, dict]) -> list[str]:
    """Return a sentence for each budget that a run passed by half; on other machines, none."""
    found = []
    for name, row in rows.items():
        budget, seconds = budgets[name], row["seconds"]["total"]
        memory = (row["peak_memory_mb"], budget["memory_mb"], "MB")
        for used, allowed, unit in ((seconds, budget["seconds"], "s"), memory):
            if used > 1.5 * allowed and row["cores"] == CORES:
                found.append(
                    f"{name} took {used:.0f} {unit}, more than one and a half times its budget of "
                    f"{allowed:g} {unit} in its front matter: make it lighter, or run it "
                    "with nothing beside it."
                )
    return found


def table(rows: dict[str, dict], budgets: dict[str, dict]) -> str:
    """Return the runs as a table for the terminal, used beside budget."""
    head = ["notebook", "seconds", "of", *PARTS, "memory MB", "of", "fits", "worst R-hat"]
    head += ["least ESS", "divergences", "meant to fail"]
    body = []
    for name, row in rows.items():
        total, *parts = (f"{row['seconds'][part]:.1f}" for part in ("total", *PARTS))
        rhat = row["worst_rhat"]
        budget = budgets[name]
        cells = [total, budget["seconds"], *parts, row["peak_memory_mb"]]
        cells += [budget["memory_mb"], row["fits"], None if rhat is None else f"{rhat:.4f}"]
        cells += [row["least_ess"], row["divergences"], len(row["expected_to_fail"])]
        body.append([name, *("-" if cell is None else str(cell) for cell in cells)])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def lay_out(line):
        first, *rest = zip(line, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(t.rjust(w) for t, w in rest)])

    return "\n".join([lay_out(head), "  ".join("-" * w for w in widths), *map(lay_out, body)])


def update_runs(name: str, row: dict, root: Path = ROOT) -> None:
    """Rewrite the row of a notebook whose .ipynb changed; leave the others as they are."""
    path = root / "notebooks" / "runs.json"
    there = {source.stem for source in sources(root)}
    with alone(root):  # else one of two renders takes away the other's row
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        rows = {key: value for key, value in {**known, name: row}.items() if key in there}
        text = json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False)
        replace(path, (text + "\n").encode())
