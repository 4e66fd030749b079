"""The two files of a notebook: the text we write (.md) and what a run makes of it (.ipynb).

The .md is the only source. This module reads it, finds the files that a run is made from
(`made_from`), puts a run into the one form that is stored (`finish`), and says whether a stored
.ipynb still belongs to its .md (`why_stale`). No kernel is started here.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
from filelock import FileLock
from IPython.core.inputtransformer2 import TransformerManager
from jupytext.config import load_jupytext_config
from markdown_it import MarkdownIt
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]

# Raise it when `finish` changes what is stored: every stored .ipynb is then stale.
FORM = 5

# Of a package of the project, what a run can depend on.
KINDS = {".py", ".html", ".css", ".js", ".csv", ".yml", ".mplstyle"}

IMAGES = ("image/png", "image/svg+xml", "image/jpeg", "image/gif")

# What JupyterLab writes down when its kernel starts, without the Python version, which would
# make the same notebook differ between two machines.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}

# The first code cell of every notebook: nothing, where the helpers are; elsewhere one sentence, as
# in Colab or a folder with another `utils.py`. It is written for any Python and nothing installed.
GUARD = """\
from importlib.util import find_spec
from pathlib import Path

file = getattr(find_spec("utils"), "origin", None)
if not (file and Path(file).with_name("rethinking").is_dir()):
    todo = f"rename {file}, which hides them" if file else "%pip install its folder or wheel"
    needs = "This notebook needs the helpers of Statistical Rethinking in PyMC"
    error = ImportError(f"{needs}: {todo}, then restart the kernel.")
    error._render_traceback_ = lambda: [str(error)]  # IPython shows the sentence alone
    raise error
"""

# What JupyterLab folds; the pages and the sources have the tags.
FOLDS = {
    "remove-cell": {"source_hidden": True},
    "hide-input": {"source_hidden": True},
    "hide-cell": {"outputs_hidden": True, "source_hidden": True},
}

# What the front matter says in words, and what to write. A lecture also says `lecture` (of 2023),
# `edition` (of 2026), `book` (which chapter), of any notebook what it `needs`.
FACTS = {
    "about": "one sentence",
    "date": "31 January 2026, say,",
    "level": "beginner, intermediate or advanced",
    "tags": "words between commas",
}

# Left in a notebook by whoever opened or ran it; no part of the course.
PASSING_CELL_METADATA = ("collapsed", "scrolled", "trusted", "execution", "ExecuteTime")


class CourseError(Exception):
    """An error that the person at the keyboard can put right; its text is one clear sentence."""


# --- The source --------------------------------------------------------------


def sources(root: Path = ROOT) -> list[Path]:
    """Return the .md files of the course, in order."""
    return sorted((root / "notebooks").glob("*.md"))


def select(names: list[str], root: Path = ROOT) -> list[Path]:
    """Return the sources that were asked for by name, file or leading number; all if none were."""
    found = sources(root)
    chosen = [] if names else found
    for name in names:
        stem = Path(name).stem
        hits = [p for p in found if stem in (p.stem, p.stem.split("-")[0])]
        if not hits:
            known = ", ".join(p.stem for p in found) or "none"
            raise CourseError(f"No notebook is called «{name}»; there are: {known}.")
        chosen += [p for p in hits if p not in chosen]
    return chosen


def read_text(text: str, source: Path) -> NotebookNode:
    """Read a source's text as a notebook without outputs."""
    try:
        return jupytext.reads(text, fmt="md:myst", config=load_jupytext_config(str(source)))
    except Exception as error:
        raise CourseError(f"{source.name} cannot be read as a notebook: {error}") from error


def write_text(nb: NotebookNode, source: Path) -> str:
    """Return the text that JupyterLab writes when it saves this notebook as `source`."""
    # Jupytext writes its options into the notebook it is given.
    nb = copy.deepcopy(nb)
    # JupyterLab's server sorts them.
    if facts := nb.metadata.get("course"):
        nb.metadata["course"] = dict(sorted(facts.items()))
    return jupytext.writes(nb, fmt="md:myst", config=load_jupytext_config(str(source)))


def tidy(text: str, source: Path) -> str:
    """Return the same source the way JupyterLab saves it, captions and alt texts on one line.

    Saving without a change leaves a file as it was only if it has this form.
    """
    nb = read_text(text, source)
    for cell in nb.cells:
        options = cell.metadata.get("mystnb", {})
        for part, field in (("figure", "caption"), ("image", "alt")):
            value = options.get(part, {}).get(field)
            if isinstance(value, str):
                options[part][field] = " ".join(value.split())
    return write_text(nb, source)


def course_facts(nb: NotebookNode, name: str = "The notebook") -> dict:
    """Return what the front matter says of a notebook as `course`, what every one has to say."""
    facts = dict(nb.metadata.get("course") or {})
    lacking = [
        f"{name} does not say «{field}»; write {example} as course: {field}: in its front matter."
        for field, example in FACTS.items()
        if not isinstance(facts.get(field), str) or not facts[field].strip()
    ]
    budget = [facts.get(field) for field in ("seconds", "memory_mb")]
    # Not isinstance: a bool is an int.
    if not all(type(value) in (int, float) and value > 0 for value in budget):
        lacking.append(
            f"{name} has no budget; write course: seconds: and memory_mb:, both above 0, in its "
            "front matter."
        )
    if lacking:
        raise CourseError("\n".join(lacking))
    return facts


def credits_of(nb: NotebookNode) -> list[str]:
    """Return the lines of the section Authors, in Markdown: on what it is based, by whom it is."""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            found = re.search(r"^## Authors\n\n((?:- .+(?:\n|\Z))+)", cell.source, re.MULTILINE)
            if found:
                return [line.removeprefix("- ") for line in found[1].splitlines()]
    return []


def is_guard(cell: NotebookNode) -> bool:
    """Return whether a cell is the one that says what to install, folded everywhere."""
    return cell.source == GUARD.rstrip() and cell.metadata.get("tags") == ["remove-cell"]


def code_trees(nb: NotebookNode) -> Iterator[tuple[int, ast.Module]]:
    """Yield the code cells as syntax trees, magics turned into calls."""
    transform = TransformerManager().transform_cell
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            try:
                yield index, ast.parse(transform(cell.source))
            except SyntaxError:
                continue  # the run says so


# --- What a run is made from -------------------------------------------------


def made_from(source: Path, root: Path = ROOT) -> dict[str, str]:
    """Return each file that the outputs of a notebook depend on, with a short sha256.

    They are the source without its facts, the lock, the style sheets, the project's packages that
    it imports or that these import, the tables that these load, and the tables of measurements
    that it names. A change of another lecture's package or table leaves a notebook as it is.
    """
    text = source.read_text(encoding="utf-8")
    trees = [tree for _, tree in code_trees(read_text(text, source))]
    modules = _modules(trees, root)
    tables = [*(root / "benchmarks" / "results").glob("*.csv"), *(root / "data").glob("*.csv")]
    files = {root / "requirements.lock", *root.glob("*.mplstyle"), *modules}
    files |= _tables([*trees, *filter(None, modules.values())], root)
    files |= {path for path in tables if path.name in text}
    found = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in files if path.is_file()
    }
    # What a notebook may take is no part of what it gives.
    head, end, body = text.partition("\n---\n")
    head = re.sub(r"^course:.*\n(?:[ \t].*\n)*", "", head + "\n", flags=re.MULTILINE)
    found[source.relative_to(root).as_posix()] = (head + end + body).encode()
    found["publish/files.py:FORM"] = str(FORM).encode()
    return {name: hashlib.sha256(found[name]).hexdigest()[:12] for name in sorted(found)}


def claims_of(name: str, root: Path = ROOT) -> Path:
    """Return the file of the claims that are asked of a notebook's fits after its last cell."""
    return root / "tests" / "notebooks" / "claims" / f"{name}.py"


def execution_key(source: Path, root: Path = ROOT) -> str:
    """Return the sha256 of all that one execution depends on, the Python version too."""
    claims = claims_of(source.stem, root)
    asked = claims.read_text(encoding="utf-8") if claims.is_file() else ""
    content = [made_from(source, root), asked, platform.python_version()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _modules(trees: list[ast.Module], root: Path) -> dict[Path, ast.Module | None]:
    """Return the files of the project's packages and modules that are reached by imports.

    A package counts as a whole, with its subpackages and their files. Python files come with their
    syntax trees.
    """
    found: dict[Path, ast.Module | None] = {}
    queue = list(trees)
    while queue:
        for name in _imported(queue.pop()):
            files = [root / f"{name}.py"]
            if (root / name / "__init__.py").is_file():
                files += [path for path in (root / name).rglob("*") if path.suffix in KINDS]
            for path in files:
                if path.is_file() and path not in found:
                    found[path] = None
                    if path.suffix == ".py":
                        with suppress(SyntaxError):  # the run says so
                            found[path] = ast.parse(path.read_bytes())
                            queue.append(found[path])
    return found


def _imported(tree: ast.Module) -> set[str]:
    """Return the first part of every name that a text imports from outside its package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def _tables(trees: list[ast.Module], root: Path) -> set[Path]:
    """Return the tables that are loaded by name, with their sidecars.

    They are all tables of the course where `load_data` is used in any other way than called with a
    literal name: better a run too many than outputs of a table that has changed.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]
    literal = [
        node.args[0].value
        for node in nodes
        if isinstance(node, ast.Call)
        and _name(node.func) == "load_data"
        and [type(argument) for argument in node.args] == [ast.Constant]
    ]
    every = len(literal) < sum(_name(node) == "load_data" for node in nodes)
    return {
        path
        for path in (root / "data").glob("*")
        if path.suffix in {".csv", ".yml"} and (every or path.stem in literal)
    }


def _name(node: ast.AST) -> str | None:
    """Return the last part of a name: "load_data" for ``utils.load_data``."""
    return getattr(node, "attr", getattr(node, "id", None))


# --- The stored form ---------------------------------------------------------


def figure_of(cell: NotebookNode) -> dict | None:
    """Return name, caption and alt text as the cell's header gives them; None without a figure."""
    options = cell.metadata.get("mystnb") or {}
    if cell.cell_type != "code" or "figure" not in options:
        return None
    figure = options["figure"] or {}
    alt = (options.get("image") or {}).get("alt")
    return {
        "name": str(figure.get("name") or "").strip(),
        "caption": " ".join(str(figure.get("caption") or "").split()),
        "alt": " ".join(str(alt or "").split()),
    }


def role_of(output: NotebookNode) -> str | None:
    """Return what an output is for: "figure-text", "living", or None."""
    return (output.get("metadata", {}).get("course") or {}).get("role")


def image_type(output: NotebookNode) -> str | None:
    """Return the image type of an output that a page shows as an image."""
    data = output.get("data", {})
    if "text/html" in data:
        return None
    return next((mime for mime in IMAGES if mime in data), None)


def figure_number(name: str, position: int) -> str:
    """Return the number of a notebook's figure: 12.3 is the third of lecture 12."""
    lecture = re.match(r"0*(\d+[a-z]?)(?=-)", name)
    return f"{lecture[1]}.{position}" if lecture else str(position)


def finish(nb: NotebookNode, name: str, made: dict[str, str]) -> NotebookNode:
    """Return a run in the form that is stored: the same bytes for the same outputs.

    The caption goes below the image as text, since neither a code host nor JupyterLab shows a
    cell's header, and the alt text into the image's metadata; the pages set both properly.
    What the run was made from is no part of ``course``, which JupyterLab writes into the .md.
    """
    nb = nbformat.from_dict(json.loads(json.dumps(nb)))
    jupytext_metadata = dict(nb.metadata.get("jupytext", {}))
    jupytext_metadata.pop("text_representation", None)
    nb.metadata = NotebookNode(
        jupytext=jupytext_metadata,
        kernelspec=nb.metadata.get("kernelspec", {}),
        language_info=LANGUAGE,
        made_from=made,
        **{field: nb.metadata[field] for field in ("course",) if field in nb.metadata},
    )
    nb.nbformat, nb.nbformat_minor = 4, 5

    seen: Counter[str] = Counter()
    runs = figures = 0
    for cell in nb.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        for field in PASSING_CELL_METADATA:
            cell.metadata.pop(field, None)
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("jupyter", None)
        for tag in cell.metadata.get("tags", []):
            if tag in FOLDS:
                cell.metadata["jupyter"] = FOLDS[tag]
                if "outputs_hidden" in FOLDS[tag]:
                    # JupyterLab writes it beside.
                    cell.metadata["collapsed"] = True
        runs += bool(cell.source.strip())
        cell.execution_count = runs if cell.source.strip() else None
        figure = figure_of(cell)
        figures += figure is not None
        outputs: list[NotebookNode] = []
        for output in cell.outputs:
            if role_of(output) == "figure-text":
                continue
            if output.output_type == "execute_result":
                output.execution_count = runs
            last = outputs[-1] if outputs else {}
            if output.output_type == "stream" and output.name == last.get("name"):
                # How often a kernel flushes its stream is a matter of timing.
                last.text += output.text
                continue
            outputs.append(output)
            mime = image_type(output)
            if mime and figure:
                outputs.append(_describe(output, mime, figure, figure_number(name, figures)))
        cell.outputs = outputs
    nb.metadata["outputs"] = outputs_digest(nb)
    return nb


def outputs_digest(nb: NotebookNode) -> str:
    """Return what tells whether somebody changed an output after the run."""
    outputs = [cell.get("outputs", []) for cell in nb.cells]
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()[:16]


def _describe(output: NotebookNode, mime: str, figure: dict, number: str) -> NotebookNode:
    """Write the alt text into an image's metadata; return the caption as an output."""
    about = output.metadata.setdefault(mime, {})
    alt = figure["alt"] or " ".join(str(about.get("alt") or "").split())
    about["alt"] = alt
    if "text/plain" in output.data:
        # Else «<Figure size 700x500 with 1 Axes>», which helps nobody.
        output.data["text/plain"] = alt or f"Figure {number}"
    return nbformat.v4.new_output(
        "display_data",
        data={
            "text/markdown": (
                f'<a id="{figure["name"]}"></a>**Figure {number}.** {figure["caption"]}'
            ),
            "text/plain": f"Figure {number}. {figure['caption']}",
        },
        metadata={"course": {"role": "figure-text"}},
    )


def to_bytes(nb: NotebookNode) -> bytes:
    """Return a notebook as Jupyter's own writer puts it into a file."""
    return (nbformat.writes(nb, version=nbformat.NO_CONVERT) + "\n").encode()


def replace(path: Path, content: bytes) -> bool:
    """Put a file in place as a whole or not at all; return whether its bytes changed."""
    if path.is_file() and path.read_bytes() == content:
        return False
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise CourseError(f"{path} is as it was. {disk_says(error)}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return True


def disk_says(error: OSError) -> str:
    """Say in words what the disk refused."""
    where = f" ({error.filename})" if error.filename else ""
    return (
        f"The disk says: {error.strerror or error}{where}. Make room, or allow to write there, and "
        "run it again."
    )


@contextmanager
def alone(root: Path = ROOT) -> Iterator[None]:
    """Let no other process of this course change files that belong together at the same time."""
    (root / "_build").mkdir(exist_ok=True)
    with FileLock(root / "_build" / "lock"):  # until this process has ended, at the latest
        yield


# --- Agreement of the two ----------------------------------------------------


def place(nb: NotebookNode, index: int) -> str:
    """Return a cell's place in words, counting from 1 as a reader does."""
    for cell in reversed(nb.cells[: index + 1]):
        if cell.cell_type == "markdown":
            tokens = MarkdownIt("commonmark").parse(cell.source)
            found = [text.content for head, text in pairwise(tokens) if head.type == "heading_open"]
            if found:
                return f"cell {index + 1} (under «{found[-1]}»)"
    return f"cell {index + 1}"


def _plain(cell: NotebookNode) -> tuple:
    left_out = {*PASSING_CELL_METADATA, "jupyter"}
    metadata = {k: v for k, v in cell.metadata.items() if k not in left_out}
    return cell.cell_type, cell.source.rstrip(), json.dumps(metadata, sort_keys=True)


def why_stale(source: Path, root: Path = ROOT, stored: Path | None = None) -> str | None:
    """Return one sentence that says why a stored .ipynb is out of date, and what to do."""
    stored = stored or source.with_suffix(".ipynb")
    remedy = "run `make render`."
    if not stored.is_file():
        return f"{stored.name} is missing; {remedy}"
    try:
        nb = nbformat.read(stored, as_version=nbformat.NO_CONVERT)
    except Exception as error:
        return f"{stored.name} is no readable notebook ({type(error).__name__}); {remedy}"
    text = read_text(source.read_text(encoding="utf-8"), source)
    for index, cell in enumerate(text.cells):
        if index >= len(nb.cells) or _plain(cell) != _plain(nb.cells[index]):
            return f"{stored.name} is stale: {place(text, index)} differs in the .md; {remedy}"
    if len(nb.cells) > len(text.cells):
        return f"{stored.name} is stale: it has cells that the .md no longer has; {remedy}"
    for index, cell in enumerate(nb.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"{stored.name} holds an error in {place(text, index)}; {remedy}"
    if nb.metadata.get("outputs") != outputs_digest(nb):
        return f"{stored.name} holds outputs that are not those of its run; {remedy}"
    then, now = nb.metadata.get("made_from", {}), made_from(source, root)
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if changed:
        named = changed if len(changed) < 5 else [*changed[:3], f"{len(changed) - 3} other files"]
        listed = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
        return f"{stored.name} is stale: {listed} changed since it was made; {remedy}"
    return None


def orphans(root: Path = ROOT) -> list[str]:
    """Return one sentence for each .ipynb that has no .md."""
    return [
        f"{path.name} has no {path.stem}.md; delete it, or bring its source back."
        for path in sorted((root / "notebooks").glob("*.ipynb"))
        if not path.with_suffix(".md").is_file()
    ]
