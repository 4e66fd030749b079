"""The page on calibration, filled from what `make calibrate` stored; no number on it is typed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from publish.files import CourseError
from publish.pages.samplers import BLANK
from publish.pages.text import table

MODELS = [
    "model",
    "notebook",
    "within",
    "nearest",
    "p",
    "data sets",
    "quantities",
    "again",
    "failed",
]
MISTAKES = ["model", "mistake", "caught", "farthest", "distance", "p", "left their band"]


def calibration_page(template: str, results: Path, folder: Path) -> str:
    """Return the template with each ``[[name]]`` filled; put the page's figure into a folder."""
    try:
        record = yaml.safe_load((results / "model-calibration.yml").read_text(encoding="utf-8"))
        shutil.copy(results / "model-calibration.png", folder)
    except FileNotFoundError as error:
        raise CourseError(
            f"publish/pages/{Path(error.filename).name} is missing: get it back with git, or make "
            "it with `make calibrate`."
        ) from None
    known = blanks(record)

    def fill(blank: re.Match[str]) -> str:
        if blank[1] not in known:
            raise CourseError(f"publish/pages/calibration.md: nothing fills «{blank[0]}».")
        return known[blank[1]]

    return BLANK.sub(fill, template)


def blanks(record: dict) -> dict[str, str]:
    """Return what fills the blanks of the page."""
    families = record["families"]
    right, wrong = ([one[which] for one in families] for which in ("right", "mistaken"))
    seconds = sum(one["seconds"] + one["compiling"] for one in right + wrong)
    failing = [one["family"] for one in families if one["right"]["failed"]]
    outside = [
        f"{one['family']} ({', '.join(one['right']['outside'])})"
        for one in families
        if one["right"]["outside"]
    ]
    missed = [one["family"] for one in families if not one["mistaken"]["outside"]]
    models = [
        [one["family"], one["notebook"], "no" if of["outside"] else "yes", of["worst"]]
        + [_p(of), *(str(of[key]) for key in ("data_sets", "quantities", "refits", "failed"))]
        for one, of in zip(families, right, strict=True)
    ]
    mistakes = [
        [one["family"], one["mistake"], "yes" if of["outside"] else "no", of["worst"]]
        + [f"{of['distance']:.2f}", _p(of), f"{len(of['outside'])} of {of['quantities']}"]
        for one, of in zip(families, wrong, strict=True)
    ]
    return {
        "models": table(MODELS, models, right=5),
        "mistakes": table(MISTAKES, mistakes, right=3),
        "number": str(len(families)),
        "quantities": str(sum(of["quantities"] for of in right)),
        "fits": f"{sum(of['data_sets'] for of in right + wrong):,}",
        "data_sets": str(right[0]["data_sets"]),
        "with_mistake": str(wrong[0]["data_sets"]),
        "ranks": str(record["ranks"]),
        "minutes": f"{seconds / 60:.0f}",
        "calibrated": str(sum(not of["outside"] for of in right)),
        "caught": str(sum(bool(of["outside"]) for of in wrong)),
        "left": "; ".join(outside) or "none",
        "missed": "; ".join(missed) or "none",
        "failed": str(sum(of["failed"] for of in right)),
        "failing": "; ".join(failing) or "none",
    }


def _p(of: dict) -> str:
    return f"{of['p']:.3f}" if of["p"] >= 0.001 else "under 0.001"
