"""What the pages say that is written down elsewhere already.

The first page, the status page, the data page and the citation page are made from the notebooks,
the records of their runs, the tables' sidecars, CITATION.cff and the project's address; no number
on them is typed.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from nbformat import NotebookNode
from PIL import Image

from publish.files import CourseError, credits_of, figure_of, image_type
from publish.measure import measure
from publish.pages.address import launch_links

FILL = re.compile(r"^<!-- fill: (\w+)(?: ([\w-]+))? -->$", re.MULTILINE)
TO_NOTEBOOK = re.compile(r"\[([^]]+)\]\(([\w-]+)\.ipynb(?:#[\w-]+)?\)")

# What kinds of notebook there are, as the menu names them, in its order.
GROUPS = ("Start here", "Lectures", "Deep dives")

# What a lecture follows, by the facts of its front matter.
FOLLOWS = {"lecture": "2023: lecture", "edition": "2026:", "book": "book:"}

# The columns of the status page, and what they mean.
FITS = {
    "fits": "fits that had to pass the convergence gate and did, those of studies included",
    "worst R-hat": "the largest of all these fits and all their parameters; 1 is best",
    "least ESS": "the smallest effective sample size, in the bulk or in the tails",
    "divergences": "paths of the sampler that left the posterior, in all these fits together",
    "meant to fail": "fits that show a failure; they are listed below and not counted before",
}
TIME = {
    "total": "seconds from the start of the Python process to the last cell",
    "import": "seconds in the first cell, which loads the packages",
    "compile": "seconds of turning models into machine code",
    "sample": "seconds of drawing from posteriors",
    "draw": "seconds in cells that make a figure, without the fits in them",
    "other": "seconds for all the rest",
    "memory": "the most memory that the Python process held at any time, in MB",
}


@dataclass
class Lecture:
    """What the pages say of a notebook."""

    name: str  # of its file, without the ending
    nb: NotebookNode
    facts: dict  # from the front matter of its source
    run: dict | None  # its row of notebooks/runs.json

    @property
    def title(self) -> str:
        """Its title, with which its first cell begins."""
        return self.nb.cells[0].source.partition("\n")[0].removeprefix("# ")

    @property
    def numbered(self) -> str:
        """Its title after its number, by which the texts call it."""
        number = self.name.partition("-")[0]
        return self.title if number == "00" else f"{number} {self.title}"

    @property
    def reading(self) -> float:
        """Minutes to read it."""
        return measure(self.nb, "")["minutes"]

    @property
    def group(self) -> str:
        """Which of `GROUPS` it is; a deep dive has a letter after the number of its lecture."""
        if self.name.startswith("00-"):
            return "Start here"
        return "Deep dives" if re.match(r"\d+[a-z]-", self.name) else "Lectures"

    @property
    def link(self) -> str:
        """A link to the page, in Markdown."""
        return f"[{escape(self.title)}]({self.name})"


# --- The head of a lecture ---------------------------------------------------


def head_of(lecture: Lecture, address: str | None) -> str:
    """Return what stands below a lecture's title: whose it is, its facts, its files, in MyST."""
    name, facts = lecture.name, lecture.facts
    said = [facts["date"], f"level: {facts['level']}", f"tags: {facts['tags']}"]
    links = [
        f"[Notebook (.ipynb)](path:download/{name}.ipynb)",
        f"[Source (.md)](path:download/{name}.md)",
        *launch_links(address, name),
    ]
    parts = [[line.rstrip(".") for line in credits_of(lecture.nb)], map(escape, said), links]
    return "\n\n".join(["```{container} post", *map(" · ".join, parts), "```"])


# --- The first page ----------------------------------------------------------


def front_page(template: str, lectures: list[Lecture], folder: Path, address: str | None) -> str:
    """Return the first page with its blanks filled, each a comment ``<!-- fill: ... -->``.

    Its picture is written into the folder. A link to a notebook that is not built here is left out.
    """
    built = {one.name for one in lectures}

    def fill(found: re.Match) -> str:
        kind, name = found.groups()
        if kind == "lectures":
            return lecture_table(lectures)
        if kind == "dives":
            return dive_list(lectures)
        if kind == "contents":
            return contents(lectures)
        if kind == "figure":
            return front_figure(name, lectures, folder)
        if kind == "launch":
            return launch_text(address)
        raise CourseError(
            f"publish/pages/index.md: nothing fills «{found[0]}»; say figure, lectures, "
            "dives, contents or launch."
        )

    text = TO_NOTEBOOK.sub(lambda link: link[0] if link[2] in built else link[1], template)
    return FILL.sub(fill, text)


def contents(lectures: list[Lecture]) -> str:
    """Return the menu: the notebooks by group."""
    trees = []
    for group in GROUPS:
        names = [f"{one.numbered} <{one.name}>" for one in lectures if one.group == group]
        lines = [
            "```{toctree}",
            f":caption: {group}",
            ":hidden:",
            ":maxdepth: 1",
            "",
            *names,
            "```",
        ]
        trees += ["\n".join(lines)] if names else []
    return "\n\n".join(trees)


def lecture_table(lectures: list[Lecture]) -> str:
    """Return the path through the lectures as a table in Markdown."""
    head = ["lecture", "what it is about", "what it follows", "what you need", "time"]
    rows = []
    for one in lectures:
        if one.group == "Lectures":
            said = [f"{title} {one.facts[f]}" for f, title in FOLLOWS.items() if f in one.facts]
            texts = [one.facts["about"], "; ".join(said), one.facts.get("needs", ""), time_for(one)]
            rows.append([one.link, *map(escape, texts)])
    return table(head, rows, right=0)


def dive_list(lectures: list[Lecture]) -> str:
    """Return the deep dives as lists in Markdown, below the title of their lecture."""
    titles = {one.name.partition("-")[0]: one.title for one in lectures if one.group == "Lectures"}
    lines = []
    for one in lectures:
        if one.group != "Deep dives":
            continue
        number = re.match(r"\d+", one.name)[0]
        head = f"**{escape(': '.join(filter(None, [f'Lecture {number}', titles.get(number)])))}**"
        lines += [] if head in lines else ["", head, ""]
        needs = [f"You need {escape(one.facts['needs'])}."] if "needs" in one.facts else []
        said = " ".join([escape(one.facts["about"]), *needs, f"{time_for(one).capitalize()}."])
        lines.append(f"- {one.link}\\\n  {said}")
    return "\n".join(lines).strip()


def time_for(one: Lecture) -> str:
    """Return what a notebook takes to read and to run, in words."""
    run = [f"{minutes(one.run['seconds']['total'])} to run"] if one.run else []
    return ", ".join([f"{minutes(60 * one.reading)} to read", *run])


def minutes(seconds: float) -> str:
    """Return a time in whole minutes, in words."""
    count = round(seconds / 60)
    return "under a minute" if count < 1 else "1 minute" if count == 1 else f"{count} minutes"


def front_figure(name: str, lectures: list[Lecture], folder: Path) -> str:
    """Return a notebook's figure in MyST; nothing where no notebook built here has it."""
    for one in lectures:
        for cell in one.nb.cells:
            figure = figure_of(cell)
            if figure and figure["name"] == name:
                return figure_block(cell, folder, source=f"From [{escape(one.title)}](#{name}).")
    return ""


def figure_block(cell: NotebookNode, folder: Path, *, source: str = "") -> str:
    """Write the image of a figure's cell into a folder; return the figure in MyST.

    A source says where the figure is from, if this is not its own place; links lead to that.
    """
    figure = figure_of(cell)
    output = next((output for output in cell.outputs if image_type(output)), None)
    if output is None:
        raise CourseError(f"The figure {figure['name']} has no image; run `make render`.")
    mime = image_type(output)
    if mime == "image/svg+xml":
        file, data = f"{figure['name']}.svg", output.data[mime].encode()
    else:
        file, data = f"{figure['name']}.webp", light_image(base64.b64decode(output.data[mime]))
    (folder / file).write_bytes(data)
    alt = figure["alt"] or output.metadata[mime]["alt"]
    # In quotes, since a «#» would end the option.
    options = [f":alt: {json.dumps(alt, ensure_ascii=False)}"]
    options += [] if source else [f":name: {figure['name']}"]
    # A picture of the first page is described where it comes from.
    text = f"<details><summary>Description</summary>{html.escape(alt)}</details>"
    fold = [] if source else ["", text]
    lines = [f"::::{{figure}} {file}", *options, "", figure["caption"], source, *fold, "::::"]
    return "\n".join(lines)


def light_image(data: bytes) -> bytes:
    """Return an image with a palette of 256 colours on white, as WebP without further loss.

    The stored notebooks keep theirs; a lecture of forty figures would weigh 3 MB for them alone.
    """
    with Image.open(io.BytesIO(data)) as image:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
    fewer = ground.convert("RGB").quantize(
        256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    small = io.BytesIO()
    fewer.convert("RGB").save(small, "WEBP", lossless=True, method=2)
    return small.getvalue()


def launch_text(address: str | None) -> str:
    """Return the first page's section on the ways in through a browser, in Markdown."""
    links = launch_links(address)
    if not links:
        return ""
    text = (
        "## Run it in a browser\n\n"
        "Nothing needs to be installed, but these are machines of others: they are slower, and "
        "what you change there is gone when you leave. Binder makes the environment of the "
        "course by itself.\n\n" + " · ".join(links)
    )
    if "Colab" in text:
        text += (
            "\n\nColab opens the notebook alone. Install its helpers in a first cell of your own, "
            "and restart the session if Colab asks for it:\n\n```ipython3\n%pip install --quiet "
            f"git+{address}\n```"
        )
    return text


# --- The status page ---------------------------------------------------------


def status_page(lectures: list[Lecture]) -> str:
    """Return the page on the runs behind the pages, in Markdown."""
    runs = [(one.link, one.run) for one in lectures if one.run]
    fits, time, studies, failing = [], [], [], []
    machines: dict[str, list[str]] = {}
    for link, run in runs:
        worst = _number(run["worst_rhat"], ".4f")
        counts = [run["divergences"], len(run["expected_to_fail"])]
        fits.append([link, f"{run['fits']:,}", worst, *map(_number, [run["least_ess"], *counts])])
        seconds = [f"{run['seconds'][part]:.1f}" for part in TIME if part != "memory"]
        time.append([link, *seconds, _number(run["peak_memory_mb"])])
        for name, found in run["studies"].items():
            numbers = [_number(found[key]) for key in ("fits", "refitted", "failed")]
            studies.append([link, escape(name), *numbers])
        failing += [
            [link, escape(name), escape(why)] for name, why in run["expected_to_fail"].items()
        ]
        versions = {"Python": run["python"], **run["packages"]}
        said = ", ".join(f"{name} {version}" for name, version in versions.items())
        # One line for each set of versions: after a full render, a single one.
        machines.setdefault(f"{run['system']}, cores: {run['cores']}; {said}", []).append(link)
    parts = [
        "# Status",
        "What the run behind each page took, and how well its fits converged. `make render` "
        "writes these numbers down when it replaces a notebook; nobody types them.",
        "## Convergence",
        table(["lecture", *FITS], fits),
        meanings(FITS),
        "## Time and memory",
        table(["lecture", *TIME], time),
        meanings(TIME),
        "## Studies",
        "A study simulates many data sets and fits each. Fits that did not pass the gate were "
        "made again, once and more carefully; what failed then is counted and kept.",
        table(["lecture", "study", "fits", "refitted", "failed"], studies, right=3),
        "## Fits that are meant to fail",
        "Each shows what a failure looks like. Should one of them pass the gate, its notebook "
        "stops.",
        table(["lecture", "fit", "why it fails"], failing, right=0),
        "## Machine and versions",
        *(f"- {' and '.join(links)}: {escape(said)}" for said, links in machines.items()),
        "These packages matter most to the numbers; `requirements.lock` holds all.",
    ]
    return "\n\n".join(parts) + "\n"


def _number(value: float | None, form: str = ",") -> str:
    return "none" if value is None else format(value, form)


# --- The citation page -------------------------------------------------------


def citation_page(text: str) -> str:
    """Return the page on citation, in MyST, from the text of CITATION.cff."""
    about = yaml.safe_load(text)
    parts = [
        "# Citation",
        about["message"],
        _in_words(about),
        "## What it follows",
        *map(_in_words, about["references"]),
        "## For programs",
        "The same as `CITATION.cff`, from which reference managers and code hosts make an entry in "
        "the style you ask for; a button at the corner copies it.",
        f"```{{code-block}} yaml\n{text}```",
        f"Licences of this course: {' and '.join(about['license'])}.",
    ]
    return "\n\n".join(parts) + "\n"


def _in_words(work: dict) -> str:
    people = [
        person.get("name") or f"{person['given-names']} {person['family-names']}"
        for person in work["authors"]
    ]
    edition = f"{work['edition']} edition" if "edition" in work else None
    version = f"version {work['version']}" if "version" in work else None
    publisher = work.get("publisher", {}).get("name")
    facts = [work["type"], edition, publisher, version, work.get("year")]
    tail = ", ".join(escape(fact) for fact in facts if fact)
    return f"- {escape(', '.join(people))}: *{escape(work['title'])}*, {tail}."


# --- The data page -----------------------------------------------------------


def data_page(folder: Path) -> str:
    """Return the page on the data, in MyST, from the tables' sidecars."""
    parts = [
        "# Data",
        "The tables that the lectures use, where they come from, and what is in them.",
    ]
    for path in sorted(folder.glob("*.yml"), key=lambda p: p.stem.lower()):
        about = yaml.safe_load(path.read_text(encoding="utf-8"))
        name, licence = about["name"], about["licence"]
        facts = {
            "Study": about["study"],
            "Published with": about["published_with"],
            "How the table was made": about["made"],
            "Licence": f"{licence['note']} (looked up on {licence['checked']})",
            "Rows": f"{about['rows']:,}",
            "Missing values": about["missing"],
            "SHA-256": f"`{about['sha256']}`",
        }
        rows = [
            [f"`{c['name']}`", _line(c["meaning"]), c["unit"], f"`{c['type']}`", _values(c)]
            for c in about["columns"]
        ]
        parts += [
            f"({name.lower()}-data)=\n## {name}",
            about["title"],
            about["description"],
            meanings({title: _line(text) for title, text in facts.items()}),
            table(["column", "meaning", "unit", "type", "values"], rows, right=0),
        ]
    return "\n\n".join(parts) + "\n"


def _values(column: dict) -> str:
    if "range" in column:
        return "{} to {}".format(*column["range"])
    if "values" in column:
        return ", ".join(map(str, column["values"]))
    return f"`{column['pattern']}`"


def _line(text: object) -> str:
    return " ".join(str(text).replace("|", r"\|").split())


# --- Markdown ----------------------------------------------------------------


def table(head: list[str], rows: list[list[str]], *, right: int | None = None) -> str:
    """Return a table in Markdown; in words, that there is nothing to put into it.

    Its last columns hold numbers, as many as `right` says, by default all but the first.
    """
    if not rows:
        return "None."
    right = len(head) - 1 if right is None else right
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def meanings(columns: dict[str, str]) -> str:
    """Return what the columns of a table mean, as a list in Markdown."""
    return "\n".join(f"- **{name}:** {text}" for name, text in columns.items())


def escape(text: object) -> str:
    """Return plain text so that Markdown shows it as it is, in a table too."""
    return re.sub(r"([\\`*_$<\[\]|~#{}])", r"\\\1", " ".join(str(text).split()))
