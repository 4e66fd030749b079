"""The page on samplers, filled from what `make bench` stored; no number on it is typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from publish.files import CourseError

BLANK = re.compile(r"\[\[(\w+)\]\]")


def samplers_page(template: str, results: Path, folder: Path) -> str:
    """Return the template with each ``[[name]]`` filled; put the page's figures into a folder.

    What fills the blanks is in page.json of the results, which is there only where the results
    bear what the page says.
    """
    try:
        known = json.loads((results / "page.json").read_text(encoding="utf-8"))
        for name in ("samplers.png", "growth.png"):
            shutil.copy(results / name, folder)
    except FileNotFoundError as error:
        raise CourseError(
            f"benchmarks/results/{Path(error.filename).name} is missing: get it back with git, or "
            "make it with `python -m benchmarks.report`, which says what keeps it from being made."
        ) from None

    def fill(blank: re.Match[str]) -> str:
        if blank[1] not in known:
            raise CourseError(f"publish/pages/samplers.md: nothing fills «{blank[0]}».")
        return known[blank[1]]

    return BLANK.sub(fill, template)
