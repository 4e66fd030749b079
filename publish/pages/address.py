"""The project's address, and where it lets the course run in a browser."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import quote, urlsplit


def project_address(root: Path) -> str | None:
    """Return the address in pyproject.toml, the one place for it; None while it is unset."""
    with (root / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"].get("urls", {}).get("Repository") or None


def launch_links(address: str | None, name: str | None = None) -> dict[str, str]:
    """Return the addresses at which the course can be run in a browser.

    Parameters
    ----------
    address : str or None
        The project's address.
    name : str, optional
        A notebook's file name without its ending; by default the course as a whole.

    Returns
    -------
    dict of str to str
        By title; empty without an address. Colab reads from GitHub alone.
    """
    if not address:
        return {}
    parts = urlsplit(address)
    path = parts.path.strip("/").removesuffix(".git")
    if parts.hostname == "github.com":
        home = f"gh/{path}"
    elif parts.hostname == "gitlab.com":
        home = f"gl/{quote(path, safe='')}"
    else:
        home = f"git/{quote(address, safe='')}"
    file = f"notebooks/{quote(name)}.ipynb" if name else ""
    tree = f"lab/tree/{file or 'notebooks'}"
    links = {"Open in Binder": f"https://mybinder.org/v2/{home}/HEAD?urlpath={quote(tree)}"}
    if parts.hostname == "github.com":
        colab = f"https://colab.research.google.com/github/{path}"
        links["Open in Colab"] = f"{colab}/blob/HEAD/{file}" if file else f"{colab}/"
    return links
