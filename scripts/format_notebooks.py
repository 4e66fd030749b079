"""Put the code in the sources of the notebooks in order: part of `make format`.

Ruff formats no code cells in Markdown, and jupytext's own pipe either hands it plain Python, from
which it takes the closing semicolons, or sorts the cells' options. So ruff gets a notebook, and
only its code comes back.
"""

from __future__ import annotations

import subprocess
import sys

import nbformat
from notebook_files import CourseError, read_text, replace, sources, to_bytes, write_text


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
    return write_text(nb, source)


def main() -> int:
    """Format every source in place."""
    try:
        for source in sources():
            text = source.read_text(encoding="utf-8")
            if replace(source, formatted(text, source).encode()):
                print(f"{source.name}: formatted.")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
