"""Write the skeleton of a notebook: `make new NAME=15-Some_Title`, or 15a-... for a deep dive.

It is new.md beside this file, filled in, and a file of claims. Both pass
`make check NOTEBOOK=15-Some_Title` as they are; what has to be replaced says TODO.
"""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

from publish.files import GUARD, ROOT, CourseError, claims_of, sources, tidy
from publish.one import NAME

TEMPLATE = Path(__file__).with_suffix(".md")
CLAIMS = '''"""What the text and the captions of {title} say of its fits."""


def test_tanks_differ():
    assert float(sigma_draws.quantile(0.001)) > 0.5


def test_small_tanks_move_most():
    assert moved[10] > moved[35]
'''


def skeleton(name: str, today: date) -> str:
    """Return the source of a notebook of this name."""
    number, _, title = name.partition("-")
    said = {
        "title": title.replace("_", " "),
        "figure": f"fig-{number}-{title.lower().replace('_', '-')}",
        "date": f"{today.day} {today:%B %Y}",
        "year": str(today.year),
        "seed": str(int(re.match(r"\d+", number)[0])),
        "guard": GUARD.rstrip(),
    }
    return re.sub(r"@(\w+)@", lambda blank: said[blank[1]], TEMPLATE.read_text(encoding="utf-8"))


def write_new(name: str, root: Path = ROOT, today: date | None = None) -> list[Path]:
    """Write the source of a notebook and its claims; return the two files."""
    if not NAME.fullmatch(name):
        raise CourseError(
            f"«{name}» is no name of a notebook; write one like NAME=15-Some_Title for a lecture, "
            "NAME=15a-Some_Title for a deep dive."
        )
    source = root / "notebooks" / f"{name}.md"
    claims = claims_of(name, root)
    for path in (source, claims):
        if path.exists():
            where = path.relative_to(root).as_posix()
            raise CourseError(f"{where} is there already; take another name, or delete it.")
    texts = {
        source: tidy(skeleton(name, today or date.today()), source),
        claims: CLAIMS.format(title=name.partition("-")[2].replace("_", " ")),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the skeleton and say what comes next."""
    if len(arguments) != 1:
        print("Name one notebook: make new NAME=15-Some_Title.", file=sys.stderr)
        return 1
    (name,) = arguments
    number = name.split("-")[0]
    others = [source.stem for source in sources(root) if source.stem.split("-")[0] == number]
    try:
        for path in write_new(name, root):
            print(f"Written: {path.relative_to(root).as_posix()}")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    if others:
        print(f"The number {number} is also that of {', '.join(others)}: name both in full.")
    print(f"Next: make check NOTEBOOK={name}, then replace each TODO.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
