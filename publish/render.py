"""Execute the notebooks and store what comes out: `make render`.

render.py [NAMES...]              execute, and replace each .ipynb whose whole run succeeded;
                                  fail where one took much more than notebooks/budgets.toml allows
render.py --into DIR [NAMES...]   execute into DIR; the tracked files stay as they are
render.py --check [NAMES...]      execute nothing; say which .ipynb are stale
render.py --tidy [NAMES...]       execute nothing; write each .md the way JupyterLab saves it
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from publish.checks import check_notebook, check_source
from publish.files import (
    ROOT,
    CourseError,
    finish,
    image_type,
    key_of,
    orphans,
    place,
    read_text,
    replace,
    select,
    sources,
    tidy,
    to_bytes,
    why_stale,
)

CELL_TIMEOUT = 1800  # seconds
PACKAGES = ("pymc", "arviz", "nutpie", "pytensor", "numba", "numpy", "pandas", "matplotlib")
CORES = 2  # of the machine that the budgets are for
PARTS = ("import", "compile", "sample", "draw", "other")


def kernel_environment(record: Path, root: Path = ROOT) -> dict[str, str]:
    """Return the environment in which a notebook runs: this one, minus what would change outputs.

    Everything a kernel leaves behind goes under _build, nothing into the user's home.
    Checkpoints of studies lie beside the record, not with those of the reader's own runs.
    """
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONWARNINGS", "MATPLOTLIBRC"}}
    env.update(
        COURSE_CHECKPOINTS=str(record.with_suffix(".checkpoints")),
        COURSE_RECORD=str(record),
        IPYTHONDIR=str(root / "_build" / "ipython"),
        JUPYTER_PREFER_ENV_PATH="1",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        PYTHONHASHSEED="0",
    )
    env.pop("JUPYTER_PATH", None)
    return env


def own_kernels() -> KernelSpecManager:
    """Return the kernels of this environment, whatever else the user has installed."""
    return KernelSpecManager(kernel_dirs=[os.path.join(sys.prefix, "share/jupyter/kernels")])


@dataclass
class Run:
    """One execution of one notebook."""

    nb: NotebookNode
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    memory: float | None = None  # MB
    record: list[dict] = field(default_factory=list)


def read_record(path: Path) -> list[dict]:
    """Return the lines that a notebook's helpers wrote about its run."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def execute(nb: NotebookNode, name: str, root: Path = ROOT, say=lambda text: None) -> Run:
    """Run a notebook cell by cell in a kernel of its own.

    Raises
    ------
    CourseError
        If a cell fails, runs out of time, or its kernel dies. The notebook keeps what it had.
    """
    run = Run(nb)
    start = time.monotonic()
    build = root / "_build"
    (build / "ipython").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build, prefix="run-") as folder:
        record = Path(folder) / "record.jsonl"
        kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=own_kernels())
        client = NotebookClient(
            nb,
            km=kernel,
            timeout=CELL_TIMEOUT,
            coalesce_streams=True,
            # Kernels report on the terminal that they talk unencrypted, and that they are stopped.
            extra_arguments=["--log-level=CRITICAL"],
        )
        index, first = 0, True
        try:
            with client.setup_kernel(
                cleanup_kc=True, cwd=str(root / "notebooks"), env=kernel_environment(record, root)
            ):
                for index, cell in enumerate(nb.cells):
                    if cell.cell_type != "code" or not cell.source.strip():
                        continue
                    say(f"{name}: {index + 1} of {len(nb.cells)} cells")
                    known, began = len(run.record), time.monotonic()
                    try:
                        client.execute_cell(cell, index)
                    except KeyboardInterrupt:
                        _end_tasks()
                        raise
                    took = time.monotonic() - began
                    run.record = read_record(record)
                    _share_out(run, cell, took, run.record[known:], first)
                    first = False
                run.memory = _peak_memory(client)
        except CellExecutionError as error:
            raise CourseError(f"{name}, {place(nb, index)} failed: {_reason(error)}") from error
        except CellTimeoutError as error:
            raise CourseError(
                f"{name}, {place(nb, index)} was stopped after {CELL_TIMEOUT} s; make it faster."
            ) from error
        except DeadKernelError as error:
            raise CourseError(
                f"{name}, {place(nb, index)} failed: its Python died; was there enough memory?"
            ) from error
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"{name}, {place(nb, index)} was interrupted") from error
    run.seconds = time.monotonic() - start
    run.parts["other"] += run.seconds - sum(run.parts.values())
    return run


def _end_tasks() -> None:
    """End what an interrupted cell left waiting: it complains once its kernel is dead."""

    async def end():
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    ensure_event_loop().run_until_complete(end())


def _reason(error: CellExecutionError) -> str:
    """Return a failed cell's error in one line; a bare assertion is known by its code."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.evalue}\n{error.traceback}")
    said, _, trace = text.partition("\n")
    code = re.search(r"^-+> *\d+ (.*)$", trace, re.MULTILINE)
    return f"{error.ename}: {said or (code[1].strip() if code else '')}"


def _share_out(run: Run, cell: NotebookNode, took: float, lines: list[dict], first: bool) -> None:
    """Add one cell's seconds to what they were spent on; what is left over is "other"."""
    for part in ("compile", "sample"):
        spent = sum((line.get("seconds") or {}).get(part) or 0.0 for line in lines)
        run.parts[part] += spent
        took -= spent
    if first:
        run.parts["import"] += max(took, 0.0)
    elif any(image_type(output) for output in cell.outputs):
        run.parts["draw"] += max(took, 0.0)


def _peak_memory(client: NotebookClient) -> float | None:
    """Return the largest memory the kernel's process had, in MB."""
    peak = "__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss"
    message = client.kc.execute("", silent=True, user_expressions={"peak": peak})
    reply = client.wait_for_reply(message) or {"content": {}}
    answer = reply["content"].get("user_expressions", {}).get("peak", {})
    text = answer.get("data", {}).get("text/plain")
    if text is None:
        return None
    # Linux counts in kilobytes, macOS in bytes.
    return int(text) / (1e6 if sys.platform == "darwin" else 1024)


# --- The record --------------------------------------------------------------


def summarise(run: Run) -> dict:
    """Return what the tracked record says of a run."""
    fits = [line for line in run.record if line.get("kind") == "fit"]
    studies = [line for line in run.record if line.get("kind") == "study"]
    meant = [line for line in fits if not line.get("expected_failure")]
    judged = meant + studies
    rhat = [line["max_rhat"] for line in judged if line.get("max_rhat") is not None]
    ess = [line["min_ess"] for line in judged if line.get("min_ess") is not None]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "seconds": {
            "total": round(run.seconds, 1),
            **{part: round(run.parts[part], 1) for part in PARTS},
        },
        "peak_memory_mb": None if run.memory is None else round(run.memory),
        "fits": len(meant) + sum(line["fits"] - line["failed"] for line in studies),
        "worst_rhat": round(max(rhat), 4) if rhat else None,
        "least_ess": round(min(ess)) if ess else None,
        "divergences": sum(line.get("divergences") or 0 for line in judged),
        "expected_to_fail": {
            line.get("name", "?"): line["expected_failure"]
            for line in fits
            if line.get("expected_failure")
        },
        "studies": {
            line["name"]: {key: line[key] for key in ("fits", "refitted", "failed")}
            for line in studies
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_budgets(root: Path = ROOT) -> dict[str, dict]:
    """Return what each notebook may take: ``seconds`` and ``memory_mb``.

    Raises
    ------
    CourseError
        If the file cannot be read, or a budget is not two positive numbers.
    """
    path = root / "notebooks" / "budgets.toml"
    if not path.is_file():
        return {}
    try:
        budgets = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{path.name} is not valid TOML: {error}.") from None
    for name, budget in budgets.items():
        right = isinstance(budget, dict) and set(budget) == {"seconds", "memory_mb"}
        # Not isinstance: a bool is an int.
        if not right or not all(type(n) in (int, float) and n > 0 for n in budget.values()):
            raise CourseError(f"{path.name}: {name} needs seconds and memory_mb, both above 0.")
    return budgets


def over_budget(rows: dict[str, dict], budgets: dict[str, dict]) -> list[str]:
    """Return a sentence for each budget that a run on the reference size, 2 cores, passed by half.

    Elsewhere times mean something else, and there is none.
    """
    found = []
    for name, row in rows.items():
        budget = budgets.get(name)
        if budget is None or row["cores"] != CORES:
            continue
        for used, allowed, unit in (
            (row["seconds"]["total"], budget["seconds"], "s"),
            (row["peak_memory_mb"] or 0, budget["memory_mb"], "MB"),
        ):
            if used > 1.5 * allowed:
                found.append(
                    f"{name} took {used:.0f} {unit}, more than one and a half times its budget of "
                    f"{allowed:g} {unit} in notebooks/budgets.toml: make it lighter, or run it "
                    "with nothing beside it."
                )
    return found


def table(rows: dict[str, dict], budgets: dict[str, dict]) -> str:
    """Return the rows of the record as a table for the terminal, used beside budget."""
    head = ["notebook", "seconds", "of", *PARTS, "memory MB", "of", "fits", "worst R-hat"]
    head += ["least ESS", "divergences", "meant to fail"]
    body = []
    for name, row in rows.items():
        total, *parts = (f"{row['seconds'][part]:.1f}" for part in ("total", *PARTS))
        rhat = row["worst_rhat"]
        budget = budgets.get(name, {})
        cells = [total, budget.get("seconds"), *parts, row["peak_memory_mb"]]
        cells += [budget.get("memory_mb"), row["fits"], None if rhat is None else f"{rhat:.4f}"]
        cells += [row["least_ess"], row["divergences"], len(row["expected_to_fail"])]
        body.append([name, *("-" if cell is None else str(cell) for cell in cells)])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def lay_out(line):
        first, *rest = zip(line, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(t.rjust(w) for t, w in rest)])

    return "\n".join([lay_out(head), "  ".join("-" * w for w in widths), *map(lay_out, body)])


def update_record(name: str, row: dict, root: Path = ROOT) -> None:
    """Rewrite the row of a notebook whose .ipynb changed; leave the others as they are."""
    path = root / "notebooks" / "record.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    there = {source.stem for source in sources(root)}
    rows = {key: value for key, value in {**known, name: row}.items() if key in there}
    text = json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False)
    replace(path, (text + "\n").encode())


# --- The commands ------------------------------------------------------------


def render(source: Path, into: Path | None, root: Path = ROOT, say=lambda text: None):
    """Execute one notebook and store it; return the row of its record and whether it changed."""
    name = source.stem
    text = source.read_text(encoding="utf-8")
    key = key_of(source, root)
    nb = read_text(text, source)
    problems = check_source(nb, name)
    if problems:
        raise CourseError("\n".join(problems))
    try:
        run = execute(nb, name, root, say)
        done = finish(run.nb, name, key)
        problems = check_notebook(done, name)
        if problems:
            raise CourseError("\n".join(problems))
        if key_of(source, root) != key:
            raise CourseError(f"{name} changed while it ran; run it again.")
    except CourseError as error:
        kept = root / "_build" / "failed" / f"{name}.ipynb"
        replace(kept, to_bytes(nb))
        where = kept.relative_to(root).as_posix()
        raise CourseError(f"{error}\nThe run, as far as it got, is in {where}.") from error
    target = (into or source.parent) / f"{name}.ipynb"
    return summarise(run), replace(target, to_bytes(done))


def check(chosen: list[Path], everything: bool, root: Path = ROOT) -> int:
    """Print a sentence for each stale notebook; return 1 if there is one."""
    stale = [text for source in chosen if (text := why_stale(source, root))]
    if everything:
        stale += orphans(root)
    for text in stale:
        print(text)
    return 1 if stale else 0


def tidy_all(chosen: list[Path]) -> int:
    """Write each source the way JupyterLab saves it."""
    for source in chosen:
        text = source.read_text(encoding="utf-8")
        if replace(source, tidy(text, source).encode()):
            print(f"{source.name}: written the way JupyterLab saves it.")
    return 0


def render_all(chosen: list[Path], into: Path | None, root: Path = ROOT) -> int:
    """Execute the notebooks, one at a time; return 1 if one of them failed."""
    live = sys.stdout.isatty()
    budgets = read_budgets(root)

    def say(text):
        if live:
            print(f"\r\x1b[K{text}", end="", flush=True)

    rows, changed, failed = {}, {}, []
    code = 0
    try:
        for source in chosen:
            try:
                row, differs = render(source, into, root, say)
            except CourseError as error:
                failed.append(str(error))
                code = 1
                continue
            finally:
                say("")
            rows[source.stem] = row
            if differs and into is None:
                # At once: an interrupt later must not leave this notebook without its row.
                update_record(source.stem, row, root)
            changed[source.stem] = differs
    except KeyboardInterrupt as stop:
        failed.append(f"{stop or 'Interrupted'}; its stored .ipynb is as it was.")
        code = 130
    if rows:
        print(table(rows, budgets))
    if into is None and (over := over_budget(rows, budgets)):
        failed += over
        code = code or 1
    same = [name for name, differs in changed.items() if not differs]
    if same and into is None:
        print(f"The same bytes as before, so nothing was written: {', '.join(same)}.")
    for text in failed:
        print(text, file=sys.stderr)
    if len(rows) < len(chosen) and code == 1:
        print("The stored .ipynb of a notebook that failed is as it was.", file=sys.stderr)
    return code


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAMES", help="notebooks (default: all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--into", type=Path, metavar="DIR", help="write the .ipynb there instead")
    what.add_argument("--check", action="store_true", help="say which .ipynb are stale")
    what.add_argument("--tidy", action="store_true", help="write each .md as JupyterLab saves it")
    options = parser.parse_args(arguments)
    # A kernel's connection file is put where Jupyter keeps such files: in the home, if not told.
    os.environ.setdefault("JUPYTER_RUNTIME_DIR", str(root / "_build" / "jupyter-runtime"))
    try:
        chosen = select(options.names, root)
        if options.check:
            return check(chosen, not options.names, root)
        if options.tidy:
            return tidy_all(chosen)
        if options.into and not options.names:
            # What another run left there must not become a page.
            for old in options.into.glob("*.ipynb"):
                if old.stem not in {source.stem for source in chosen}:
                    old.unlink()
        return render_all(chosen, options.into, root)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
