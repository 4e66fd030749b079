"""Put the code in the sources of the notebooks in order: part of `make format`.

format.py           write each .md with its code formatted
format.py --check   write nothing; say what ruff has against the code, before a long run

Captions and alt texts are written the way JupyterLab saves them, too.

Ruff formats no code cells in Markdown, and jupytext's own pipe either hands it plain Python, from
which it takes the closing semicolons, or sorts the cells' options. So ruff gets a notebook, and
only its code comes back.
"""

from __future__ import annotations

import subprocess
import sys

import nbformat

from publish.files import CourseError, read_text, replace, sources, tidy, to_bytes, write_text


def formatted(text: str, source) -> str:
    """Return a source's text with the code cells as `ruff format` writes them."""
    nb = read_text(text, source)
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", f"{source.stem}.ipynb", "-"],
        input=to_bytes(nb),
        capture_output=True,
    )
    if ruff.returncode:
        raise CourseError(f"{source.name} cannot be formatted: {ruff.stderr.decode().strip()}")
    for cell, new in zip(nb.cells, nbformat.reads(ruff.stdout.decode(), 4).cells, strict=True):
        if cell.cell_type == "code":
            cell.source = new.source
    return tidy(write_text(nb, source), source)


def complaints(text: str, source) -> str:
    """Return what `ruff check` says of a source's code, and whether it is formatted."""
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format", "concise"]
        + ["--stdin-filename", str(source.with_suffix(".ipynb")), "-"],
        input=to_bytes(read_text(text, source)),
        capture_output=True,
    )
    said = (ruff.stdout + ruff.stderr).decode().strip()
    if formatted(text, source) != text:
        said += f"\n{source.name} is not formatted; run `make format`."
    return said.strip()


def check() -> int:
    """Print the complaints about every source; return 1 if there are any."""
    said = [text for source in sources() if (text := complaints(source.read_text("utf-8"), source))]
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


def main(arguments: list[str]) -> int:
    """Format every source in place, or check it."""
    try:
        if arguments == ["--check"]:
            return check()
        for source in sources():
            text = source.read_text(encoding="utf-8")
            if replace(source, formatted(text, source).encode()):
                print(f"{source.name}: formatted.")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
