"""What the pages need beyond MyST-NB.

`post` blocks, buttons that open a notebook in a browser, figures numbered as in the notebooks,
and tables of prose that a phone can show.
"""

from __future__ import annotations

import re
from datetime import datetime

from docutils import nodes
from docutils.parsers.rst import directives
from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Whitespace
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.highlighting import PygmentsBridge
from sphinx.util.docutils import SphinxDirective

from publish.pages.address import launch_links

PROSE = 40  # characters in a cell, from which on a table is read rather than looked up


# Coloured as the text around them; operators, too, of which there are thousands.
PLAIN = {Name, Name.Namespace, Operator, Punctuation, Whitespace}


class LightFormatter(HtmlFormatter):
    """Code without a tag around each word that has no colour of its own: half of a page."""

    def _get_css_classes(self, ttype):
        return "" if ttype in PLAIN else super()._get_css_classes(ttype)


class Post(SphinxDirective):
    """A lecture's head: date, author, level and tags, as in the PyMC example gallery."""

    has_content = False
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = dict.fromkeys(("tags", "category", "author"), directives.unchanged)

    def run(self):
        """Return the head as a block, with links to the notebook and its source."""
        items = []
        if self.arguments:
            items.append(("date", "", _day(self.arguments[0])))
        for option, title in (("author", "by "), ("category", "level: "), ("tags", "tags: ")):
            text = " ".join(self.options.get(option, "").split())
            if text:
                items.append((option, title, text))
        line = nodes.paragraph(classes=["post-facts"])
        for index, (option, title, text) in enumerate(items):
            if index:
                line += nodes.Text(" · ")
            line += nodes.inline("", f"{title}{text}", classes=[f"post-{option}"])
        links = nodes.paragraph(classes=["post-files"])
        name = self.env.docname
        for suffix, title in ((".ipynb", "Notebook"), (".md", "Source")):
            target = f"download/{name}{suffix}"
            if (self.env.srcdir / target).is_file():
                if links.children:
                    links += nodes.Text(" · ")
                link = addnodes.download_reference("", "", reftarget=target, refdoc=name)
                link += nodes.Text(f"{title} ({suffix})")
                links += link
        about = nodes.paragraph(classes=["post-about"])
        for page in ("data", "errata", "status", "citation"):
            if page in self.env.found_docs:
                if about.children:
                    about += nodes.Text(" · ")
                about += _page_link(page, page.capitalize(), name)
        block = nodes.container(classes=["post"])
        buttons = launch_buttons(self.config.course_repository, name)
        block += [part for part in (line, links, about, *buttons) if part.children]
        self.set_source_info(block)
        return [block]


class Launch(SphinxDirective):
    """The buttons that open the course in a browser; nothing while it has no address."""

    def run(self):
        """Return the buttons in a line of their own."""
        return launch_buttons(self.config.course_repository)


def launch_buttons(address: str, name: str | None = None) -> list[nodes.Node]:
    """Return a line of links to where a notebook, or the course, runs in a browser.

    Without an address there is none.
    """
    found = launch_links(address, name)
    if not found:
        return []
    line = nodes.paragraph(classes=["launch"])
    for title, target in found.items():
        if line.children:
            line += nodes.Text(" ")
        line += nodes.reference("", title, refuri=target, classes=["launch-button"])
    return [line]


def _page_link(page: str, title: str, docname: str) -> nodes.Node:
    link = addnodes.pending_xref(
        "",
        refdoc=docname,
        refdomain="std",
        reftype="doc",
        reftarget=f"/{page}",
        refexplicit=True,
        refwarn=True,
    )
    link += nodes.inline("", title)
    return link


def _day(text: str) -> str:
    try:
        day = datetime.strptime(text.strip(), "%b %d, %Y")
    except ValueError:
        return text
    return f"{day.day} {day:%B %Y}"


def number_by_lecture(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number the figures of a lecture 12.1, 12.2, as the notebook itself does; no others."""
    for name, numbers in env.toc_fignumbers.items():
        lecture = re.match(r"0*(\d+[a-z]?)(?=-)", name)
        if lecture is None:
            numbers.pop("figure", None)
            continue
        for index, identity in enumerate(numbers.get("figure", {}), start=1):
            numbers["figure"][identity] = (lecture[1], index)
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


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.add_config_value("course_repository", "", "env", str)
    app.add_directive("post", Post)
    app.add_directive("launch", Launch)
    PygmentsBridge.html_formatter = LightFormatter
    # What the pages use of MathJax, at half the weight of the bundle; after the extension that
    # copies it, which names the bundle.
    app.config.mathjax_path = "mathjax/startup.js"
    # After Sphinx itself has numbered them, which it does at the same event.
    app.connect("env-get-updated", number_by_lecture, priority=900)
    app.connect("doctree-resolved", label_cells)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
