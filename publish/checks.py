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
from pathlib import Path

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from nbformat import NotebookNode

from publish.files import (
    IMAGES,
    ROOT,
    CourseError,
    code_trees,
    course_facts,
    credits_of,
    figure_of,
    image_type,
    is_guard,
    place,
    role_of,
)
from publish.formulas import models_without_formula

Check = Callable[[NotebookNode, str], Iterator[str]]

LARGEST_IMAGE = 400_000

MYST = MarkdownIt("commonmark")
for plugin in (colon_fence_plugin, dollarmath_plugin, myst_block_plugin, myst_role_plugin):
    MYST.use(plugin)

# Each takes a keyword that fixes what it draws.
SEED_WORDS = {"random_seed", "seed", "random_state", "rng"}
SEEDED_ANYWHERE = re.compile(r"sample|sample_\w+|rvs")
SEEDED_BY_OWNER = {"draw": {"pm", "pymc"}, "fit": {"utils", "pm", "pymc"}}
LOCAL_GENERATORS = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "Philox"}


# --- The source --------------------------------------------------------------


def _tokens(nb: NotebookNode) -> Iterator[tuple[int, Token]]:
    """Yield the blocks of the Markdown cells."""
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            yield from ((index, token) for token in MYST.parse(cell.source))


def _nodes(nb: NotebookNode, kind: type[ast.AST]) -> Iterator[tuple[int, ast.AST]]:
    """Yield the parts of the code cells that are of one kind."""
    for index, tree in code_trees(nb):
        yield from ((index, node) for node in ast.walk(tree) if isinstance(node, kind))


def _figures(nb: NotebookNode) -> list[tuple[int, NotebookNode, dict]]:
    return [(i, cell, figure_of(cell)) for i, cell in enumerate(nb.cells) if figure_of(cell)]


def one_title(nb: NotebookNode, name: str) -> Iterator[str]:
    count = sum(token.type == "heading_open" and token.tag == "h1" for _, token in _tokens(nb))
    for _, output in _outputs(nb):
        data = output.get("data", {})
        count += len(re.findall(r"^# +\S", data.get("text/markdown", ""), re.MULTILINE))
        count += len(re.findall(r"<h1\b", data.get("text/html", "")))
    if count != 1:
        yield f"a notebook has one level-1 heading, this one has {count}."
    elif not nb.cells[0].source.startswith("# "):
        yield "a notebook begins with its title; write «# Title» into its first line."


def facts_told(nb: NotebookNode, name: str) -> Iterator[str]:
    try:
        course_facts(nb, "it")
    except CourseError as error:
        yield from str(error).splitlines()
    if nb.metadata.get("jupytext", {}).get("cell_metadata_filter") != "-jupyter":
        yield (
            "JupyterLab opens its folded code unfolded; write jupytext: cell_metadata_filter: "
            "-jupyter in its front matter."
        )


def authors_told(nb: NotebookNode, name: str) -> Iterator[str]:
    credits = credits_of(nb)
    if not credits or not credits[-1].startswith("Written by "):
        yield (
            "it does not say whose it is; end with a section «## Authors», a list whose last line "
            "is «- Written by ...», after what it is based on."
        )
    if len(credits) > 1 and not credits[0].startswith("Based on "):
        yield "the first line of the section Authors says «- Based on ...»."


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
    for label, count in Counter(figure["name"] for _, _, figure in _figures(nb)).items():
        if count > 1 and label:
            yield f"{count} figures are called «{label}»; a name is one figure's."


def plain_markdown(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse what a code host and JupyterLab would show as source."""
    for index, token in _tokens(nb):
        fence = re.match(r"\{[\w:.-]+\}", token.info) if "fence" in token.type else None
        found = [f"the directive {fence[0]}"] if fence else []
        roles = (child for child in token.children or [] if child.type == "myst_role")
        found += [f"the role {{{role.meta['name']}}}" for role in roles]
        found += ["a label"] if token.type in {"myst_target", "math_block_label"} else []
        for what in found:
            yield (
                f"{place(nb, index)}: a code host shows {what} as source; write it in plain "
                "Markdown."
            )


def starts(nb: NotebookNode, name: str) -> Iterator[str]:
    code = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code"]
    if code and not is_guard(nb.cells[code.pop(0)]):
        yield (
            "the first code cell is not the one that says what to install; copy that of another "
            "notebook, with its tag remove-cell."
        )
    if (*code[:1], ("start", "utils")) not in [(i, _call_name(c)) for i, c in _nodes(nb, ast.Call)]:
        yield (
            "the code cell after that does not call utils.start(); call it there, so that style, "
            "messages and compiled models are those of the course."
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
        return called in SEEDED_BY_OWNER
    # Our own fits have names; the fits of statsmodels have none, and draw nothing.
    named = called == "fit" and any(keyword.arg == "name" for keyword in call.keywords)
    return named or owner in SEEDED_BY_OWNER.get(called, ())


def seeds_named(nb: NotebookNode, name: str) -> Iterator[str]:
    options = _options(nb)
    for index, call in _nodes(nb, ast.Call):
        called, _ = _call_name(call)
        if _draws(call) and not SEED_WORDS & _keywords(call, options):
            yield f"{place(nb, index)}: {called}() names no seed; add random_seed=RANDOM_SEED."
        elif called == "default_rng" and not (call.args or call.keywords):
            yield f"{place(nb, index)}: default_rng() has no seed; give it RANDOM_SEED."


def _options(nb: NotebookNode) -> dict[str, set[str]]:
    """Return the keywords of each `NAME = dict(...)`, for calls with `**NAME`."""
    return {
        target.id: {keyword.arg for keyword in node.value.keywords}
        for _, node in _nodes(nb, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
        and isinstance(node.value, ast.Call)
        and _call_name(node.value) == ("dict", "")
    }


def _keywords(call: ast.Call, options: dict[str, set[str]]) -> set[str]:
    """Return the keywords of a call, those that come with `**NAME` or `**(NAME | {...})` too."""
    spread = (keyword.value for keyword in call.keywords if keyword.arg is None)
    names = (n.id for value in spread for n in ast.walk(value) if isinstance(n, ast.Name))
    return {keyword.arg for keyword in call.keywords}.union(*(options.get(n, ()) for n in names))


def samples_judged(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse a `pm.sample` that the convergence gate does not follow in its cell or the next."""
    trees = [(index, list(ast.walk(tree))) for index, tree in code_trees(nb)]
    for position, (index, nodes) in enumerate(trees):
        near = [*nodes, *(trees[position + 1][1] if position + 1 < len(trees) else [])]
        judged = {
            ast.unparse(call.args[0])
            for call in near
            if isinstance(call, ast.Call)
            and call.args
            and _call_name(call)[0] == "check_convergence"
        }
        held = {
            node.value: ast.unparse(node.targets[0])
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        }
        for call in nodes:
            if not isinstance(call, ast.Call) or _call_name(call) != ("sample", "pm"):
                continue
            if held.get(call) not in judged:
                fit = held.get(call, "its result")
                yield (
                    f"{place(nb, index)}: pm.sample is not judged; let "
                    f"utils.check_convergence({fit}) follow it in the same cell or the next."
                )


def formulas_shown(nb: NotebookNode, name: str) -> Iterator[str]:
    cells = (nb.cells[index].source.splitlines() for index, _ in code_trees(nb))
    lines = [line for cell in cells for line in cell if line[:1] not in ("%", "!")]
    for model in models_without_formula("\n".join(lines)):
        yield (
            f"no formula is shown for {model}; call show_formula for it below its cell, "
            "or write `# no formula:` and why beside its `with`."
        )


def figures_headed(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse a cell that opens a figure and has no header for it, before it runs."""
    for index, tree in code_trees(nb):
        steps = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
        called = {
            ast.unparse(node.func)
            for step in steps
            for node in ast.walk(step)
            if isinstance(node, ast.Call)
        }
        opens = called & {"plt.subplots", "plt.figure", "utils.draw_causal_graph"}
        if opens and figure_of(nb.cells[index]) is None:
            yield (
                f"{place(nb, index)}: {min(opens)}() opens a figure that has no header; write "
                "mystnb.figure with name and caption, and mystnb.image.alt."
            )


def tables_loaded(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse tables of the course's own that are read past their sidecar."""
    for index, call in _nodes(nb, ast.Call):
        called, owner = _call_name(call)
        measured = "benchmarks/results" in ast.unparse(call)
        if owner in {"pd", "pandas"} and called.startswith("read_") and not measured:
            yield (
                f"{place(nb, index)}: pd.{called}() reads a table past its sidecar; put the table "
                "into data/ and read it with utils.load_data."
            )


def no_global_seed(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, node in _nodes(nb, ast.Attribute):
        owned = ast.unparse(node.value) in {"np.random", "numpy.random"}
        if owned and node.attr not in LOCAL_GENERATORS:
            yield (
                f"{place(nb, index)}: np.random.{node.attr} works on numpy's global state; "
                "use a generator, np.random.default_rng(RANDOM_SEED)."
            )


def one_random_seed(nb: NotebookNode, name: str) -> Iterator[str]:
    named = [
        (index, isinstance(node.ctx, ast.Store))
        for index, node in _nodes(nb, ast.Name)
        if node.id == "RANDOM_SEED"
    ]
    set_in = [place(nb, index) for index, stored in named if stored]
    if named and len(set_in) != 1:
        where = ", ".join(set_in) or "nowhere"
        yield f"RANDOM_SEED is set {len(set_in)} times ({where}); set it once, at the top."


def warnings_kept(nb: NotebookNode, name: str) -> Iterator[str]:
    for index, call in _nodes(nb, ast.Call):
        called, _ = _call_name(call)
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        ignores = any(isinstance(v, ast.Constant) and v.value == "ignore" for v in values)
        if called in {"filterwarnings", "simplefilter"} and ignores:
            yield f"{place(nb, index)}: {called}('ignore') hides warnings; remove their cause."


def no_typed_results(nb: NotebookNode, name: str) -> Iterator[str]:
    """Refuse decimals in captions and alt texts that the code does not hold: read off a result."""
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
            # A causal graph brings its own.
            alt = alt or str(output.get("metadata", {}).get(image_type(output), {}).get("alt", ""))
        here = place(nb, index)
        a, b = alt.lower().split(), figure["caption"].lower().split()
        if not a:
            executed = cell.get("outputs") or cell.get("execution_count")
            if executed or "draw_causal_graph(" not in cell.source:
                yield f"{here}: the figure has no alt text; write mystnb.image.alt."
        elif len(a) < 3:
            yield f"{here}: the alt text is «{alt}»; say what is to be seen."
        elif SequenceMatcher(None, a, b, autojunk=False).ratio() > 0.6:
            yield (
                f"{here}: the alt text is the caption again; the caption says what to see, "
                "the alt text describes the picture."
            )


# --- The outputs -------------------------------------------------------------


def _outputs(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    for index, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            yield place(nb, index), output


def _texts(nb: NotebookNode, seen: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each textual output; of HTML and SVG only what a reader sees, if asked for."""
    for here, output in _outputs(nb):
        if output.output_type == "stream":
            yield here, output.text
        for mime, value in output.get("data", {}).items():
            if not isinstance(value, str) or (mime in IMAGES and mime != "image/svg+xml"):
                continue
            if seen and mime in {"text/html", "image/svg+xml"}:
                soup = BeautifulSoup(value, "html.parser")
                for silent in soup(["script", "style"]):
                    silent.extract()
                value = soup.get_text(" ")
            yield here, value


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return f"«{text[:100]}…»" if len(text) > 100 else f"«{text}»"


def _search(
    nb: NotebookNode, name: str, pattern: str, problem: str, seen: bool = False
) -> Iterator[str]:
    for here, text in _texts(nb, seen):
        if found := re.search(pattern, text):
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
        count = sum(image_type(output) is not None for output in cell.get("outputs", []))
        figure = figure_of(cell)
        if count and figure is None:
            yield (
                f"{place(nb, index)}: it shows an image but names no figure; "
                "write mystnb.figure with name and caption, and mystnb.image.alt."
            )
        elif figure and cell.execution_count and count != 1:
            yield (
                f"{place(nb, index)}: a figure's cell shows one image, this one {count}; "
                "split the cell, or combine the images."
            )


def images_small(nb: NotebookNode, name: str) -> Iterator[str]:
    for here, output in _outputs(nb):
        if mime := image_type(output):
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
    facts_told,
    authors_told,
    figure_headers,
    alt_texts,
    no_typed_results,
    labels_unique,
    plain_markdown,
    starts,
    seeds_named,
    samples_judged,
    formulas_shown,
    figures_headed,
    tables_loaded,
    no_global_seed,
    one_random_seed,
    warnings_kept,
]
# What an output must not hold, and what to do about it.
PATTERNS = {
    r"\r(?!\n)|\d+%\s*\||[█▏▎▍▌▋▊▉━╸╺]{2,}|\bit/s\b|<progress\b": (
        "switch the progress bar off, it leaves this:"
    ),
    r"\b0x[0-9a-fA-F]{6,}\b|<[^<>]{1,200} at 0x": (
        "do not show an object's address (end the cell with ; or print a value):"
    ),
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|id=[\"']T_[0-9a-f]{5}\b": (
        "a random name differs in every run (give a Styler a fixed uuid):"
    ),
}
# The same, of what a reader sees.
SEEN_PATTERNS = {
    r"\b\w*Warning\b\s*:|\bWARNING\b": "it prints a warning; remove its cause:",
    r"\b\d{1,2}:\d\d:\d\d\b|\bWall time\b|\bCPU times\b|\bLast updated\b": (
        "do not show when or how long it ran:"
    ),
}
OUTPUT_CHECKS: list[Check] = [
    no_error,
    no_stderr,
    no_path,
    no_widget,
    images_in_figures,
    images_small,
    scripts_have_stills,
    *(partial(_search, pattern=p, problem=said) for p, said in PATTERNS.items()),
    *(partial(_search, pattern=p, problem=said, seen=True) for p, said in SEEN_PATTERNS.items()),
]


def check_source(nb: NotebookNode, name: str) -> list[str]:
    """Return what is wrong with a notebook before it runs, a sentence each."""
    return [f"{name}, {text}" for check in SOURCE_CHECKS for text in check(nb, name=name)]


def check_notebook(nb: NotebookNode, name: str) -> list[str]:
    """Return everything that is wrong with an executed notebook, a sentence each."""
    found = [f"{name}, {text}" for check in OUTPUT_CHECKS for text in check(nb, name=name)]
    return check_source(nb, name) + found
