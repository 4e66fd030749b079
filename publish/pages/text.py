"""What the pages say that is written down elsewhere already.

The first page, the status page and the citation page are made from the notebooks, the record of
their runs, CITATION.cff and the project's address; no number on them is typed.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from nbformat import NotebookNode

from publish.files import CourseError, figure_of, image_type, without_fences
from publish.pages.address import launch_links

FILL = re.compile(r"^<!-- fill: (\w+)(?: ([\w-]+))? -->$", re.MULTILINE)
ENDINGS = {"image/png": "png", "image/svg+xml": "svg", "image/jpeg": "jpg", "image/gif": "gif"}

# The columns of the status page: their titles, and what they mean.
TIME = {
    "total": "seconds from the start of the Python process to the last cell",
    "import": "the first cell, which loads the packages",
    "compile": "turning models into machine code",
    "sample": "drawing from posteriors",
    "draw": "cells that make a figure, without the fits in them",
    "other": "all the rest",
    "memory": "the most memory that the Python process held at any time, in MB",
}
FITS = {
    "fits": "fits that had to pass the convergence gate and did, those of studies included",
    "worst R-hat": "the largest of all these fits and all their parameters; 1 is best",
    "least ESS": "the smallest effective sample size, in the bulk or in the tails",
    "divergences": "paths of the sampler that left the posterior, in all these fits together",
    "meant to fail": "fits that show a failure; they are listed below and not counted before",
}
STUDIES = {
    "study": "the name under which the notebook runs it",
    "fits": "data sets that were simulated and fitted",
    "refitted": "fits that did not pass the gate and were made again, once and more carefully",
    "failed": "fits that did not pass the second time either; they are counted and kept",
}


@dataclass
class Lecture:
    """What the pages say of a notebook.

    Attributes
    ----------
    name : str
        The notebook's file name without its ending.
    title : str
    level : str
        The category in the notebook's `post` block; empty without one.
    about : str
        One sentence from publish/pages/lectures.yml; empty without one.
    run : dict
        The notebook's row of the record; empty where it has none.
    """

    name: str
    title: str
    level: str
    about: str
    run: dict

    @property
    def link(self) -> str:
        """A link to the page, in Markdown."""
        return f"[{escape(self.title)}]({self.name})"


def read_lectures(notebooks: dict[str, NotebookNode], root: Path) -> list[Lecture]:
    """Return what is known of the notebooks, in the order given.

    Parameters
    ----------
    notebooks : dict of str to NotebookNode
        By file name without ending.
    root : Path
        The folder of the project, with the record and the sentences.

    Raises
    ------
    CourseError
        If a notebook has no title.
    """
    record = root / "notebooks" / "record.json"
    runs = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    sentences = root / "publish" / "pages" / "lectures.yml"
    about = yaml.safe_load(sentences.read_text(encoding="utf-8")) if sentences.is_file() else {}
    found = []
    for name, nb in notebooks.items():
        text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
        title = re.search(r"^# +(.+?) *$", without_fences(text), re.MULTILINE)
        if title is None:
            raise CourseError(f"{name} has no title; begin it with a heading of level 1.")
        sentence = " ".join((about.get(name) or "").split())
        level = post_options(text).get("category", "")
        found.append(Lecture(name, title[1], level, sentence, runs.get(name, {})))
    return found


def post_options(text: str) -> dict[str, str]:
    """Return the options of the `post` block in a Markdown text; none without a block."""
    block = re.search(r"^:::\{post\}[^\n]*\n(.*?)^:::", text, re.MULTILINE | re.DOTALL)
    if block is None:
        return {}
    lines = re.findall(r"^:(\w+): *(.*?) *$", block[1], re.MULTILINE)
    return dict(lines)


# --- The first page ----------------------------------------------------------


def front_page(
    template: str,
    lectures: list[Lecture],
    notebooks: dict[str, NotebookNode],
    folder: Path,
    address: str | None,
) -> str:
    """Return the first page with its blanks filled, each a comment ``<!-- fill: ... -->``.

    Parameters
    ----------
    template : str
        publish/pages/index.md.
    lectures : list of Lecture
    notebooks : dict of str to NotebookNode
        With outputs; one of them holds the page's picture.
    folder : Path
        Where the picture is written.
    address : str or None
        The project's address; None leaves the ways in through a browser out.

    Raises
    ------
    CourseError
        If the template has a blank of another kind.
    """

    def fill(found: re.Match) -> str:
        kind, name = found.groups()
        if kind == "lectures":
            return lecture_table(lectures)
        if kind == "figure" and name:
            return picture(name, lectures, notebooks, folder)
        if kind == "launch":
            return launch_text(address)
        raise CourseError(
            f"publish/pages/index.md: nothing fills «{found[0]}»; say figure, lectures or launch."
        )

    return FILL.sub(fill, template)


def lecture_table(lectures: list[Lecture]) -> str:
    """Return the lectures as a table in Markdown."""
    rows = [
        [
            lecture.link,
            escape(lecture.about),
            escape(lecture.level),
            minutes(lecture.run["seconds"]["total"]) if lecture.run else "not recorded",
            f"{lecture.run['fits']:,}" if lecture.run else "not recorded",
        ]
        for lecture in lectures
    ]
    return table(["lecture", "what it is about", "level", "run time", "fits"], rows, right=2)


def picture(
    name: str, lectures: list[Lecture], notebooks: dict[str, NotebookNode], folder: Path
) -> str:
    """Write a notebook's stored figure into a folder; return it in MyST with its caption.

    Nothing is returned where no notebook has it, as while a single lecture is built.
    """
    for lecture in lectures:
        for cell in notebooks[lecture.name].cells:
            figure = figure_of(cell)
            if figure is None or figure["name"] != name:
                continue
            for output in cell.outputs:
                mime = image_type(output)
                if mime is None:
                    continue
                data = output.data[mime]
                data = data.encode() if mime == "image/svg+xml" else base64.b64decode(data)
                file = folder / f"front.{ENDINGS[mime]}"
                file.write_bytes(data)
                alt = figure["alt"] or output.metadata.get(mime, {}).get("alt", "")
                source = f"From [{escape(lecture.title)}](#{name})."
                # In quotes, since a «#» would end the option.
                said = json.dumps(alt, ensure_ascii=False)
                head = f":::{{figure}} {file.name}\n:alt: {said}\n:figclass: figure-front\n"
                return f"{head}\n{figure['caption']} {source}\n:::"
    return ""


def minutes(seconds: float) -> str:
    """Return a time in whole minutes, in words."""
    count = round(seconds / 60)
    if count < 1:
        return "under a minute"
    return "1 minute" if count == 1 else f"{count} minutes"


# --- The ways in through a browser -------------------------------------------


def launch_text(address: str | None) -> str:
    """Return the first page's section on the ways in through a browser, in MyST."""
    links = launch_links(address)
    if not links:
        return ""
    parts = [
        "## Run it in a browser",
        "Nothing needs to be installed, but these are machines of others: they are slower, and "
        "what you change there is gone when you leave. Binder makes the environment of the "
        "course by itself.",
    ]
    if "Open in Colab" in links:
        parts += [
            "Colab opens the notebook alone. Fetch the rest of the course in a first cell of "
            "your own:",
            f"```ipython3\n!git clone --quiet {address} course && pip install --quiet ./course\n"
            "%cd course\n```",
        ]
    return "\n\n".join([*parts, "```{launch}\n```"])


# --- The status page ---------------------------------------------------------


def status_page(lectures: list[Lecture]) -> str:
    """Return the page on the runs behind the pages, in Markdown.

    A lecture without a row in the record is named as such.
    """
    runs = [lecture for lecture in lectures if lecture.run]
    parts = [
        "# Status",
        "What the run behind each page took, and how well its fits converged. `make render` "
        "writes these numbers down when it replaces a notebook; nobody types them.",
    ]
    missing = [lecture.link for lecture in lectures if not lecture.run]
    if missing:
        parts += [f"Not recorded: {', '.join(missing)}."]
    if not runs:
        return "\n\n".join(parts) + "\n"
    parts += ["## Convergence", table(["lecture", *FITS], [_fits(one) for one in runs])]
    parts += [meanings(FITS)]
    parts += ["## Time and memory", table(["lecture", *TIME], [_time(one) for one in runs])]
    parts += ["All times are in seconds.", meanings(TIME)]
    studies = [
        [one.link, escape(name), *(f"{found[key]:,}" for key in ("fits", "refitted", "failed"))]
        for one in runs
        for name, found in (one.run.get("studies") or {}).items()
    ]
    if studies:
        parts += [
            "## Studies",
            "A study simulates many data sets and fits each.",
            table(["lecture", *STUDIES], studies, right=3),
            meanings(STUDIES),
        ]
    failing = [
        [one.link, escape(name), escape(why)]
        for one in runs
        for name, why in (one.run.get("expected_to_fail") or {}).items()
    ]
    if failing:
        parts += [
            "## Fits that are meant to fail",
            "Each shows what a failure looks like. Should one of them pass the gate, its notebook "
            "stops.",
            table(["lecture", "fit", "why it fails"], failing, right=0),
        ]
    parts += ["## Machine and versions", _versions(runs)]
    parts += [
        "The machine is its system, its processor and the number of its cores. The versions are "
        "those of the packages on which the numbers depend most; `requirements.lock` holds all."
    ]
    return "\n\n".join(parts) + "\n"


def _fits(lecture: Lecture) -> list[str]:
    run = lecture.run
    rhat = run.get("worst_rhat")
    return [
        lecture.link,
        _number(run["fits"]),
        "none" if rhat is None else f"{rhat:.4f}",
        _number(run.get("least_ess")),
        _number(run["divergences"]),
        _number(len(run.get("expected_to_fail") or {})),
    ]


def _time(lecture: Lecture) -> list[str]:
    seconds = [f"{lecture.run['seconds'][part]:.1f}" for part in TIME if part != "memory"]
    return [lecture.link, *seconds, _number(lecture.run.get("peak_memory_mb"))]


def _versions(runs: list[Lecture]) -> str:
    # One row for each set of versions: after a full render, a single one.
    same: dict[tuple, list[Lecture]] = {}
    for one in runs:
        cores = one.run["cores"]
        machine = f"{one.run['system']}, {cores} {'core' if cores == 1 else 'cores'}"
        packages = {"Python": one.run["python"], **one.run["packages"]}
        key = (machine, tuple((name, version or "none") for name, version in packages.items()))
        same.setdefault(key, []).append(one)
    names = list(dict.fromkeys(name for _, versions in same for name, _ in versions))
    head = ["what", *(" and ".join(one.link for one in group) for group in same.values())]
    rows = [["machine", *(escape(machine) for machine, _ in same)]]
    rows += [[name, *(dict(versions).get(name, "none") for _, versions in same)] for name in names]
    return table(head, rows, right=0)


def _number(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"


# --- The citation page -------------------------------------------------------


def citation_page(about: dict) -> str:
    """Return the page on citation, in MyST, from what CITATION.cff holds."""
    parts = [
        "# Citation",
        str(about["message"]),
        "The blocks below are BibTeX; a button at their corner copies them. `CITATION.cff`, in "
        "the folder of the course, has the same in a form that programs read.",
        "## This course",
        _in_words(about),
        _code(bibtex(about)),
    ]
    references = about.get("references") or []
    if references:
        parts += ["## What it follows"]
    for reference in references:
        parts += [_in_words(reference), _code(bibtex(reference))]
    licences = about.get("license") or []
    licences = [licences] if isinstance(licences, str) else licences
    if licences:
        parts += [f"Licences of this course: {' and '.join(licences)}."]
    return "\n\n".join(parts) + "\n"


def bibtex(work: dict) -> str:
    """Return a work as an entry of BibTeX.

    Parameters
    ----------
    work : dict
        The root of a CITATION.cff, or one of its references.

    Returns
    -------
    str
        A `book` where the work is one, else `misc`, which every style knows.
    """
    kind = "book" if work["type"] == "book" else "misc"
    how = "" if kind == "book" else str(work["type"]).capitalize()
    if work.get("version"):
        how += f", version {work['version']}"
    fields = {
        # Double braces keep a name of several words, and the capitals of a title.
        "author": " and ".join(
            f"{{{name}}}" if "name" in person else name
            for person in work["authors"]
            for name in [_name(person)]
        ),
        "title": f"{{{work['title']}}}",
        "edition": work.get("edition"),
        "publisher": (work.get("publisher") or {}).get("name"),
        "year": _year(work),
        "howpublished": how,
        "doi": work.get("doi"),
        "url": work.get("url") or work.get("repository-code"),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{_key(work)},", *lines, "}"])


def _in_words(work: dict) -> str:
    people = ", ".join(escape(_name(person, given_first=True)) for person in work["authors"])
    facts = [f"{work['edition']} edition" if work.get("edition") else None]
    facts += [(work.get("publisher") or {}).get("name"), _year(work)]
    facts += [f"version {work['version']}" if work.get("version") else None]
    if work["type"] not in ("book", "software"):
        facts += [work["type"]]
    tail = ", ".join(escape(str(fact)) for fact in facts if fact)
    return f"{people}: *{escape(work['title'])}*" + (f", {tail}." if tail else ".")


def _name(person: dict, *, given_first: bool = False) -> str:
    if "name" in person:
        return person["name"]
    family, given = person["family-names"], person.get("given-names", "")
    if given_first:
        return f"{given} {family}".strip()
    return f"{family}, {given}" if given else family


def _year(work: dict) -> str:
    return str(work.get("year") or work.get("date-released") or "")[:4]


def _key(work: dict) -> str:
    person = work["authors"][0]
    words = [] if "name" in person else [person["family-names"], _year(work)]
    words += re.findall(r"\w+", work["title"])
    # A person, a year and two words of the title tell entries apart, and titles alone do.
    return "-".join(words[:4] if "name" not in person else words).lower()


def _code(text: str) -> str:
    return f"```{{code-block}} bibtex\n{text}\n```"


# --- Markdown ----------------------------------------------------------------


def table(head: list[str], rows: list[list[str]], *, right: int | None = None) -> str:
    """Return a table in Markdown.

    Parameters
    ----------
    head : list of str
    rows : list of list of str
        Cells as Markdown, as many as there are titles.
    right : int, optional
        How many columns, counted from the last, hold numbers; by default all but the first.
    """
    right = len(head) - 1 if right is None else right
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def meanings(columns: dict[str, str]) -> str:
    """Return what the columns of a table mean, as a list in Markdown."""
    return "\n".join(f"- **{name}:** {text}" for name, text in columns.items())


def escape(text: str) -> str:
    """Return plain text so that Markdown shows it as it is, in a table too."""
    return re.sub(r"([\\`*_$<\[\]|~#{}])", r"\\\1", " ".join(str(text).split()))
