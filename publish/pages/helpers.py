"""The page on what `utils` offers: its names, for which autodoc fetches the docstrings."""

from __future__ import annotations

import ast

HEAD = """# The helpers of the course

Every notebook begins with `import utils`.
These are the names it finds there, by subject, with what each takes, returns and refuses.
`utils.py` only hands them on; the package `rethinking` defines them.
"""


def helpers_page(utils: str) -> str:
    """Return the page, in MyST, from utils.py: imports, each group below a comment, its heading."""
    lines, parts = utils.splitlines(), [HEAD]
    for node in ast.parse(utils).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        above = lines[node.lineno - 2]
        if above.startswith("# "):
            parts.append(f"## {above[2].upper()}{above[3:]}")
        names = [alias.name for alias in node.names]
        constants = [f"`utils.{name}`" for name in names if name.isupper()]
        if constants:
            parts.append(f"Constants: {', '.join(constants)}.")
        # Sphinx warns where autodoc finds another kind of thing than the name's form says.
        kinds = [
            f".. {'autoclass' if name[0].isupper() else 'autofunction'}:: utils.{name}"
            for name in names
            if not name.isupper()
        ]
        if kinds:
            parts.append("```{eval-rst}\n" + "\n\n".join(kinds) + "\n```")
    return "\n\n".join(parts) + "\n"
