"""The index that the search page reads: the sections of all pages, as a script beside them.

Sphinx's own search finds pages, not sections, and fetches them for its excerpts, which a browser
does not allow where pages are opened as files. `_static/search.js` ranks what it finds here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

SKIPPED = (nodes.raw, nodes.comment, nodes.math_block, nodes.title, addnodes.desc_signature)
SKIPPED_CLASSES = {"post", "cell-label"}
NAME = re.compile(r"[A-Za-z_]\w{3,}")
TEX = re.compile(r"\\(?:text|mathbf|mathcal|left|right)\b|\\([A-Za-z]+)|[\\{}]")
#: Of pages: lectures come before deep dives, and these before the others.
LECTURE, DIVE, OTHER = range(3)


@dataclass
class Section:
    """A part of a page that a link can lead to: a section, or a helper's entry."""

    anchor: str
    title: str
    terms: list[str] = field(default_factory=list)  # what the text marks as one
    text: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # in its code

    def row(self) -> list[str]:
        """Return what the script holds of it."""
        text = " ".join(" ".join(self.text).split())
        return [self.anchor, self.title, "|".join(self.terms), text, " ".join(sorted(self.names))]


def sections_of(doctree: nodes.document) -> list[Section]:
    """Return the sections of a page, each with the text that is in none below it."""
    found = [Section("", "")]

    def walk(node: nodes.Node, inside: Section) -> None:
        if isinstance(node, nodes.section):
            inside = Section(node["ids"][0], node.next_node(nodes.title).astext())
            found.append(inside)
        elif isinstance(node, addnodes.desc) and node[0]["ids"]:
            inside = Section(node[0]["ids"][0], node[0]["fullname"])
            found.append(inside)
        elif isinstance(node, SKIPPED) or SKIPPED_CLASSES.intersection(classes_of(node)):
            return
        elif isinstance(node, nodes.literal_block):
            inside.names.update(NAME.findall(node.astext()))
            return
        elif isinstance(node, nodes.TextElement):
            # A formula in words: \bar\alpha as bar alpha.
            inside.text.append(TEX.sub(r" \1", node.astext()))
            inside.terms += [part.astext() for part in node.findall(is_term)]
            return
        for child in node.children:
            walk(child, inside)

    walk(doctree, found[0])
    return found[1:]


def classes_of(node: nodes.Node) -> list[str]:
    """Return a node's classes; a piece of text has none."""
    return node["classes"] if isinstance(node, nodes.Element) else []


def is_term(node: nodes.Node) -> bool:
    """Whether a text marks this as a term, or names a helper: there it tends to be explained."""
    helper = isinstance(node, nodes.literal) and node.astext().startswith("utils.")
    return helper or isinstance(node, nodes.emphasis | nodes.strong)


def rank(page: str) -> int:
    """Return how early a page's sections come, of those that say the same."""
    return LECTURE if re.match(r"\d+-", page) else DIVE if page[0].isdigit() else OTHER


def collect(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Keep the sections of a page that is being written."""
    if isinstance(doctree, nodes.document):
        app.course_sections[page] = [section.row() for section in sections_of(doctree)]


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the index, a script since a page that is opened as a file may load nothing else."""
    pages = sorted((rank(page), page, rows) for page, rows in app.course_sections.items())
    if not error:
        text = json.dumps(pages, ensure_ascii=False, separators=(",", ":"))
        (Path(app.outdir) / "sections.js").write_text(f"const PAGES = {text};\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx, whose own index would only add weight to each page."""
    app.course_sections = {}
    app.connect("builder-inited", lambda app: setattr(app.builder, "search", False))
    app.connect("html-page-context", collect)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
