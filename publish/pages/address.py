"""The project's address, and where it lets the course run in a browser."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import quote, urlsplit


def project_address(root: Path) -> str | None:
    """Return the address in pyproject.toml, the one place for it; None while it is unset."""
    with (root / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"].get("urls", {}).get("Repository")


def launch_links(address: str | None, name: str | None = None) -> list[str]:
    """Return links in Markdown to where a notebook, or the course, can be run in a browser."""
    if not address:
        return []
    file = f"notebooks/{name}.ipynb" if name else "notebooks"
    binder = f"https://mybinder.org/v2/git/{quote(address, safe='')}/HEAD"
    links = [f"[Open in Binder]({binder}?urlpath={quote(f'lab/tree/{file}')})"]
    parts = urlsplit(address)
    if parts.hostname == "github.com":  # the only host that Colab reads from
        colab = f"https://colab.research.google.com/github{parts.path.removesuffix('.git')}"
        links.append(f"[Open in Colab]({colab}/{f'blob/HEAD/{file}' if name else ''})")
    return links
