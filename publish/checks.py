"""What every notebook of the course must keep to, as checks that say what to do.

`check_notebook` runs them all; the rendering refuses a run that fails one, and the tests apply
the same list to the stored and to the freshly executed notebooks. A check gets a notebook and
yields sentences; adding one to a list below is all it takes.
"""

from __future__ import annotations

import ast
import base64
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from nbformat import NotebookNode

from publish.files import IMAGES, ROOT, figure_of, image_type, place, role_of, without_fences

Check = Callable[[NotebookNode, str], Iterator[str]]

LEAST_WORDS_OF_ALT = 12
LARGEST_IMAGE = 400_000

CHART_TYPE = re.compile(
    r"\b(area|bar|box|contour|density|dot|ecdf|energy|error[- ]bar|forest|heat ?map|interval|line|"
    r"point|rank|ridge|scatter|step|trace|violin)s?[- ]?(and[- ]\w+[- ])?"
    r"(chart|plot|graph|diagram)s?\b|\b(histogram|scatterplot|heat ?map)s?\b",
    re.IGNORECASE,
)
AXES = re.compile(r"\b(axis|axes)\b", re.IGNORECASE)
ARROWS = re.compile(r"\barrows?\b|→|->", re.IGNORECASE)

MYST = MarkdownIt("commonmark").enable("table").use(colon_fence_plugin).use(myst_role_plugin)

# Each takes a keyword that fixes what it draws.
SEED_WORDS = {"random_seed", "seed", "random_state", "rng"}
SEEDED_ANYWHERE = re.compile(r"sample|sample_\w+|rvs")
SEEDED_BY_OWNER = {"draw": {"pm", "pymc"}, "fit": {"utils", "pm", "pymc"}}
SEEDED_NAMES = {"fit", "draw"}
LOCAL_GENERATORS = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "Philox"}


# --- The source --------------------------------------------------------------


def _prose(nb: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield the Markdown cells without fenced and inline code."""
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            yield index, re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", without_fences(cell.source))


def _figures(nb: NotebookNode) -> Iterator[tuple[int, NotebookNode, dict]]:
    for index, cell in enumerate(nb.cells):
        figure = figure_of(cell)
        if figure:
            yield index, cell, figure


def _code(nb: NotebookNode) -> Iterator[tuple[int, ast.Module]]:
    """Yield the code cells as syntax trees, magics turned into calls."""
    transform = TransformerManager().transform_cell
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            try:
                yield index, ast.parse(transform(cell.source))
            except SyntaxError:
                continue  # the run says so


def one_title(nb: NotebookNode, name: str) -> Iterator[str]:
    titles = [t for _, text in _prose(nb) for t in re.findall(r"^# +\S.*$", text, re.MULTILINE)]
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            titles += re.findall(r"^# +\S.*$", data.get("text/markdown", ""), re.MULTILINE)
            titles += re.findall(r"<h1\b[^>]*>", data.get("text/html", ""))
    if len(titles) != 1:
        found = "; ".join(titles) or "none"
        yield f"a notebook has one level-1 heading, this one has {len(titles)} ({found})."


def post_block(nb: NotebookNode, name: str) -> Iterator[str]:
    found = [
        block
        for cell in nb.cells
        if cell.cell_type == "markdown"
        for block in re.findall(r"^:{3,}\{post\}(.*?)^:{3,}\s*$", cell.source, re.M | re.S)
    ]
    if len(found) != 1:
        yield f"a notebook has one post block below its title, this one has {len(found)}."
        return
    if not re.match(r"\s*[A-Z][a-z]{2} \d{1,2}, \d{4}\s*$", found[0].split("\n")[0]):
        yield "the post block has no date; write :::{post} Jan 31, 2026."
    for option in ("tags", "category", "author"):
        if not re.search(rf"^:{option}: *\S", found[0], re.MULTILINE):
            yield f"the post block says nothing for :{option}:; fill it in."


def figure_headers(nb: NotebookNode, name: str) -> Iterator[str]:
    lecture = re.match(r"\d+[a-z]?(?=-)", name)
    start = f"fig-{lecture[0]}-" if lecture else "fig-"
    for index, _, figure in _figures(nb):
        if not re.fullmatch(rf"{start}[a-z0-9]+(-[a-z0-9]+)*", figure["name"]):
            yield (
                f"{place(nb, index)}: the figure's name is «{figure['name']}»; give it one like "
                f"{start}what-it-shows, in small letters."
            )
        if not figure["caption"]:
            yield f"{place(nb, index)}: the figure has no caption; write mystnb.figure.caption."


def labels_unique(nb: NotebookNode, name: str) -> Iterator[str]:
    labels = [figure["name"] for _, _, figure in _figures(nb)]
    for _, text in _prose(nb):
        labels += re.findall(r"^\(([^()\s]+)\)=\s*$", text, re.MULTILINE)
    for label, count in Counter(labels).items():
        if count > 1 and label:
            yield f"the label «{label}» is given {count} times; a label names one place."


def plain_markdown(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse what a code host would show as source; `post` blocks and labels are let pass."""
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "markdown":
            continue
        found = []
        for token in MYST.parse(cell.source):
            directive = re.match(r"\{([\w:.-]+)\}", token.info)
            if token.type in {"fence", "colon_fence"} and directive and directive[1] != "post":
                found.append(f"the directive {{{directive[1]}}}")
            roles = (child for child in token.children or [] if child.type == "myst_role")
            found += [f"the role {{{role.meta['name']}}}" for role in roles]
        if re.search(r"\$\$[ \t]*\([\w:.-]+\)", without_fences(cell.source)):
            found.append("a formula's label")
        for what in found:
            yield (
                f"{place(nb, index)}: a code host shows {what} as source; write it in plain "
                "Markdown."
            )


def _call_name(call: ast.Call) -> tuple[str, str]:
    """Return the called name and the name it hangs on: ("sample", "pm") for pm.sample()."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id, ""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return function.attr, owner.id if isinstance(owner, ast.Name) else "?"
    return "", ""


def _draws(call: ast.Call) -> bool:
    """Return whether a call draws random numbers."""
    called, owner = _call_name(call)
    if SEEDED_ANYWHERE.fullmatch(called):
        return True
    if owner == "":
        return called in SEEDED_NAMES
    # Our own fits have names; the fits of statsmodels have none, and draw nothing.
    named = called == "fit" and any(keyword.arg == "name" for keyword in call.keywords)
    return named or owner in SEEDED_BY_OWNER.get(called, ())


def seeds_named(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, tree in _code(nb):
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called, _ = _call_name(call)
            if _draws(call):
                if not SEED_WORDS & {keyword.arg for keyword in call.keywords}:
                    yield (
                        f"{place(nb, index)}: {called}() names no seed; "
                        "add random_seed=RANDOM_SEED."
                    )
            elif called == "default_rng" and not (call.args or call.keywords):
                yield f"{place(nb, index)}: default_rng() has no seed; give it RANDOM_SEED."


def no_global_seed(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, tree in _code(nb):
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "random"
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id in {"np", "numpy"}
                and node.attr not in LOCAL_GENERATORS
            ):
                yield (
                    f"{place(nb, index)}: np.random.{node.attr} works on numpy's global state; "
                    "use a generator, np.random.default_rng(RANDOM_SEED)."
                )


def one_random_seed(nb: NotebookNode, name: str) -> Iterator[str]:
    set_in, used = [], False
    for index, tree in _code(nb):
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == "RANDOM_SEED":
                used = True
                if isinstance(node.ctx, ast.Store):
                    set_in.append(index)
    if used and len(set_in) != 1:
        where = ", ".join(place(nb, index) for index in set_in) or "nowhere"
        yield f"RANDOM_SEED is set {len(set_in)} times ({where}); set it once, at the top."


def warnings_kept(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, tree in _code(nb):
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called, _ = _call_name(call)
            if called not in {"filterwarnings", "simplefilter"}:
                continue
            values = [*call.args, *(keyword.value for keyword in call.keywords)]
            ignores = any(isinstance(v, ast.Constant) and v.value == "ignore" for v in values)
            narrow = len(call.args) > 1 or any(k.arg == "message" for k in call.keywords)
            if ignores and not (narrow and called == "filterwarnings"):
                yield (
                    f"{place(nb, index)}: {called}('ignore') hides every warning; remove the "
                    "cause, or name the one warning with message= and category=."
                )


def no_typed_results(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse decimals in captions and alt texts, unless the code holds the same number.

    A number that the code does not hold was read off a result, and nothing would change it
    when the result does.
    """
    code = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "code")
    inputs = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", code))
    for index, _, figure in _figures(nb):
        for field in ("caption", "alt"):
            typed = re.findall(r"(?<![\w.])\d+\.\d+(?![\w]|\.\d)", figure[field])
            for number in dict.fromkeys(typed):
                if number not in inputs:
                    yield (
                        f"{place(nb, index)}: {number} in the figure's {field} is typed; say it "
                        "in words, or let a cell compute it."
                    )


def alt_texts(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, cell, figure in _figures(nb):
        alt = figure["alt"]
        for output in cell.get("outputs", []):
            mime = image_type(output)
            if mime and not alt:
                alt = str(output.get("metadata", {}).get(mime, {}).get("alt") or "")
        here = place(nb, index)
        if not alt:
            if cell.get("outputs") or cell.get("execution_count"):
                yield f"{here}: the figure has no alt text; write mystnb.image.alt."
            continue
        words = len(alt.split())
        if re.search(r"\bcausal graph\b", alt, re.IGNORECASE):
            if not ARROWS.search(alt):
                yield f"{here}: the alt text of a causal graph lists its arrows; list them."
        else:
            if words < LEAST_WORDS_OF_ALT:
                yield (
                    f"{here}: the alt text has {words} words; say in {LEAST_WORDS_OF_ALT} or "
                    "more what is to be seen."
                )
            if not CHART_TYPE.search(alt):
                yield f"{here}: the alt text names no chart type; begin with one («Scatter chart»)."
            if not AXES.search(alt):
                yield f"{here}: the alt text names no axis; say what x axis and y axis show."
        a, b = alt.lower().split(), figure["caption"].lower().split()
        if SequenceMatcher(None, a, b, autojunk=False).ratio() > 0.6:
            yield (
                f"{here}: the alt text is the caption again; the caption says what to see, "
                "the alt text describes the picture."
            )


# --- The outputs -------------------------------------------------------------


class _Text(HTMLParser):
    """The text of HTML and SVG as a reader sees it, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag, attrs):
        self._silent += tag in {"script", "style"}

    def handle_endtag(self, tag):
        self._silent -= tag in {"script", "style"}

    def handle_data(self, data):
        if self._silent <= 0:
            self.parts.append(data)


def _outputs(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    for index, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            yield place(nb, index), output


def _texts(nb: NotebookNode, seen_only: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each textual output; of HTML and SVG only what a reader sees, if asked for."""
    for here, output in _outputs(nb):
        if output.output_type == "stream":
            yield here, output.text
        for mime, value in output.get("data", {}).items():
            if not isinstance(value, str) or (mime in IMAGES and mime != "image/svg+xml"):
                continue
            if seen_only and mime in {"text/html", "image/svg+xml"}:
                parser = _Text()
                parser.feed(value)
                value = " ".join(parser.parts)
            yield here, value


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return f"«{text[:100]}…»" if len(text) > 100 else f"«{text}»"


def _search(
    nb: NotebookNode, name: str, pattern: str, problem: str, seen_only: bool = False
) -> Iterator[str]:
    for here, text in _texts(nb, seen_only):
        found = re.search(pattern, text)
        if found:
            around = text[max(0, found.start() - 20) : found.end() + 60]
            yield f"{here}: {problem} {_quote(around)}"


def no_error(nb: NotebookNode, name: str) -> Iterator[str]:
    for here, output in _outputs(nb):
        if output.output_type == "error":
            yield f"{here}: it fails with {output.ename}: {output.evalue}; put the cell right."


def no_stderr(nb: NotebookNode, name: str) -> Iterator[str]:
    for here, output in _outputs(nb):
        if output.output_type == "stream" and output.name == "stderr":
            yield f"{here}: it writes to stderr; remove the cause of {_quote(output.text)}"


def no_path(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse the folders of this machine, and what looks like one of another."""
    known = {str(Path.home()), str(ROOT), sys.prefix, tempfile.gettempdir()}
    exact = "|".join(re.escape(folder) for folder in sorted(known) if len(folder) > 3)
    usual = r"/(?:home|Users)/[^/\s\"'<>]+/|/tmp/|/var/folders/"
    yield from _search(
        nb, name, rf"(?<![\w/.:-])(?:(?:{exact})(?![\w-])|{usual})", "do not show a path:"
    )


def no_widget(nb: NotebookNode, name: str) -> Iterator[str]:
    for here, output in _outputs(nb):
        for mime in output.get("data", {}):
            if "widget" in mime:
                yield f"{here}: a widget is gone when the kernel is; switch the progress bar off."


def images_in_figures(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        count = sum(image_type(output) is not None for output in cell.outputs)
        if count and figure_of(cell) is None:
            yield (
                f"{place(nb, index)}: it shows an image but names no figure; "
                "write mystnb.figure with name and caption, and mystnb.image.alt."
            )
        elif figure_of(cell) is not None and cell.execution_count and count != 1:
            yield (
                f"{place(nb, index)}: a figure's cell shows one image, this one {count}; "
                "split the cell, or combine the images."
            )


def images_small(nb: NotebookNode, name: str) -> Iterator[str]:
    for here, output in _outputs(nb):
        mime = image_type(output)
        if mime:
            data = output.data[mime]
            size = len(data) if mime == "image/svg+xml" else len(base64.b64decode(data))
            if size > LARGEST_IMAGE:
                yield (
                    f"{here}: the image has {size // 1000} kB, the limit is "
                    f"{LARGEST_IMAGE // 1000}; draw fewer points, or at a lower resolution."
                )


def scripts_have_stills(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, cell in enumerate(nb.cells):
        still = False
        for output in cell.get("outputs", []):
            still = still or image_type(output) is not None
            data = output.get("data", {})
            script = "<script" in data.get("text/html", "") or "application/javascript" in data
            if role_of(output) == "living":
                if not still:
                    yield (
                        f"{place(nb, index)}: a living figure needs a still one before it in its "
                        "cell, for readers where scripts do not run."
                    )
            elif script:
                yield (
                    f"{place(nb, index)}: it shows a script; mark the output as living "
                    "(metadata course.role) and put a still figure before it."
                )


SOURCE_CHECKS: list[Check] = [
    one_title,
    post_block,
    figure_headers,
    alt_texts,
    no_typed_results,
    labels_unique,
    plain_markdown,
    seeds_named,
    no_global_seed,
    one_random_seed,
    warnings_kept,
]
UUID = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
OUTPUT_CHECKS: list[Check] = [
    no_error,
    no_stderr,
    no_path,
    no_widget,
    images_in_figures,
    images_small,
    scripts_have_stills,
    partial(
        _search,
        pattern=r"\b\w*Warning\b\s*:|\bWARNING\b",
        problem="it prints a warning; remove its cause:",
        seen_only=True,
    ),
    partial(
        _search,
        pattern=r"\r(?!\n)|\d+%\s*\||[█▏▎▍▌▋▊▉━╸╺]{2,}|\bit/s\b|<progress\b",
        problem="switch the progress bar off, it leaves this:",
    ),
    partial(
        _search,
        pattern=r"\b0x[0-9a-fA-F]{6,}\b|<[^<>]{1,200} at 0x",
        problem="do not show an object's address (end the cell with ; or print a value):",
    ),
    partial(
        _search,
        pattern=rf"{UUID}|id=[\"']T_[0-9a-f]{{5}}\b",
        problem="a random name differs in every run (give a Styler a fixed uuid):",
    ),
    partial(
        _search,
        pattern=r"\b\d{1,2}:\d\d:\d\d\b|\bWall time\b|\bCPU times\b|\bLast updated\b",
        problem="do not show when or how long it ran:",
        seen_only=True,
    ),
]


def check_source(nb: NotebookNode, name: str) -> list[str]:
    """Return what is wrong with a notebook before it runs, a sentence each."""
    return [f"{name}, {text}" for check in SOURCE_CHECKS for text in check(nb, name=name)]


def check_notebook(nb: NotebookNode, name: str) -> list[str]:
    """Return everything that is wrong with an executed notebook, a sentence each."""
    checks = [*SOURCE_CHECKS, *OUTPUT_CHECKS]
    return [f"{name}, {text}" for check in checks for text in check(nb, name=name)]
