"""What the pages need beyond MyST-NB.

Figures numbered as in the notebooks, checks that do not interrupt, and tables of prose that a
phone can show.
"""

from __future__ import annotations

import re

from docutils import nodes
from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Whitespace
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.highlighting import PygmentsBridge

from publish.files import figure_number

PROSE = 40  # characters in a cell, from which on a table is read rather than looked up

# What is printed where nothing is wrong: by the convergence gate, of counted fits; by a claim.
PASSED = {
    nodes.literal_block: re.compile(r"\w+ converged: |\d+ of \d+ "),
    nodes.paragraph: re.compile("✓ "),
}

# Coloured as the text around them; operators, too, of which there are thousands.
PLAIN = {Name, Name.Namespace, Operator, Punctuation, Whitespace}


class LightFormatter(HtmlFormatter):
    """Code without a tag around each word that has no colour of its own: half of a page.

    Each line has one, by which what does not fit on it hangs below its own beginning.
    """

    def _get_css_classes(self, ttype):
        return "" if ttype in PLAIN else super()._get_css_classes(ttype)

    def _format_lines(self, tokensource):
        for is_code, line in super()._format_lines(tokensource):
            deep = len(re.match(r"(?:<[^>]*>)*( *)", line)[1])
            hang = f' style="--hang: {deep + 4}ch"' if deep else ""
            yield is_code, f'<span class="line"{hang}>{line}</span>' if is_code else line


def number_by_lecture(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number the figures of a lecture 12.1, 12.2, as the notebook itself does; no others."""
    for name, numbers in env.toc_fignumbers.items():
        if not name[:1].isdigit():
            numbers.pop("figure", None)
        for position, identity in enumerate(numbers.get("figure", {}), start=1):
            numbers["figure"][identity] = (figure_number(name, position),)
    return []


def label_cells(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put its column's heading into each cell of a table of prose.

    It is shown where the page is too narrow for columns and the cells stand below each other.
    """
    for table in doctree.findall(nodes.table):
        head, body = next(table.findall(nodes.thead), None), next(table.findall(nodes.tbody))
        longest = max((len(cell.astext()) for cell in body.findall(nodes.entry)), default=0)
        if head is None or longest <= PROSE:
            continue
        table["classes"].append("prose")
        titles = [cell.astext() for cell in head.findall(nodes.entry)]
        for row in body.findall(nodes.row):
            for title, cell in zip(titles, row.children, strict=True):
                if cell.astext():
                    cell.insert(0, nodes.inline("", title, classes=["cell-label"]))


def quiet_checks(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Set what a passed check says as a small line, below the code or the text it belongs to."""
    for kind, said in PASSED.items():
        for node in list(doctree.findall(kind)):
            if said.match(text := node.astext()):
                node.replace_self(nodes.paragraph("", text, classes=["check"]))


def name_folds(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Let a fold be read aloud by what stands on it, and not all alike."""
    if "body" in context:
        context["body"] = context["body"].replace(' aria-label="Toggle hidden content"', "")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    PygmentsBridge.html_formatter = LightFormatter
    # What the pages use of MathJax, at half the weight of the bundle; after the extension that
    # copies it, which names the bundle.
    app.config.mathjax_path = "mathjax/startup.js"
    # After Sphinx itself has numbered them, which it does at the same event.
    app.connect("env-get-updated", number_by_lecture, priority=900)
    app.connect("doctree-resolved", label_cells)
    app.connect("doctree-resolved", quiet_checks)
    app.connect("html-page-context", name_folds)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
