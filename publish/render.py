"""Execute the notebooks and store what comes out: `make render`.

render.py [NAMES...]              execute, and replace each .ipynb whose whole run succeeded; fail
                                  where one took much more than its front matter allows
render.py --into DIR [NAMES...]   leave the tracked files as they are, and execute into DIR what
                                  does not lie there already
render.py --check [NAMES...]      execute nothing; say which .ipynb are stale
render.py --tidy [NAMES...]       execute nothing; write each .md the way JupyterLab saves it
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # an interrupt of the imports, which take a second, ends in silence
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from publish.checks import check_source
from publish.execute import execute, keep, must_run, run_folder, store
from publish.files import (
    ROOT,
    CourseError,
    course_facts,
    disk_says,
    execution_key,
    orphans,
    read_text,
    replace,
    select,
    sources,
    tidy,
    to_bytes,
    why_stale,
)
from publish.record import over_budget, summarise, table, update_runs


def render(
    source: Path, into: Path | None, root: Path = ROOT, say: Callable[[str], None] = print
) -> tuple[dict, bytes]:
    """Execute one notebook and keep its run; return its summary and its stored form."""
    name = source.stem
    key = execution_key(source, root)
    nb = read_text(source.read_text(encoding="utf-8"), source)
    if problems := check_source(nb, name):
        raise CourseError("\n".join(problems))
    try:
        with run_folder(root) as folder:
            record = folder / "record.jsonl"
            run = execute(nb, name, root, say, record)
            return summarise(run), to_bytes(keep(run.nb, record, source, key, into, root))
    except CourseError as error:
        kept = root / "_build" / "failed" / f"{name}.ipynb"
        try:
            replace(kept, to_bytes(nb))
            where = f"The run, as far as it got, is in {kept.relative_to(root).as_posix()}."
        except CourseError as another:
            where = str(another)
        raise CourseError(f"{error}\n{where}") from error
    except OSError as error:
        raise CourseError(f"{name} did not get to its end. {disk_says(error)}") from error


def render_all(chosen: list[Path], into: Path | None, root: Path = ROOT) -> int:
    """Execute the notebooks, one at a time; return 1 if one of them failed."""

    def say(text: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\x1b[K{text}", end="", flush=True)

    budgets = {}
    for source in chosen:
        nb = read_text(source.read_text(encoding="utf-8"), source)
        budgets[source.stem] = course_facts(nb, source.name)
    rows, taken, same, failed = {}, [], [], []
    code = 0
    try:
        for source in chosen:
            if into and not must_run(source, into, root):
                taken.append(source.stem)
                continue
            try:
                row, content = render(source, into, root, say)
                rows[source.stem] = row
                if into is None:
                    # At once: an interrupt later must not leave this notebook without its row.
                    if replace(source.with_suffix(".ipynb"), content):
                        update_runs(source.stem, row, root)
                    else:
                        same.append(source.stem)
            except CourseError as error:
                failed.append(str(error))
                code = 1
            finally:
                say("")
    except KeyboardInterrupt as stop:
        failed.append(f"{str(stop) or 'Interrupted'}; its stored .ipynb is as it was.")
        code = 130
    if rows:
        print(table(rows, budgets))
    if taken:
        print(f"Executed before from the same files, so taken as they are: {', '.join(taken)}.")
    if same:
        print(f"The same bytes as before, so nothing was written: {', '.join(same)}.")
    if code == 1:
        failed.append("The stored .ipynb of a notebook that failed is as it was.")
    if into is None and (over := over_budget(rows, budgets)):
        failed += over
        code = code or 1
    for text in failed:
        print(text, file=sys.stderr)
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
            stale = [text for source in chosen if (text := why_stale(source, root))]
            stale += [] if options.names else orphans(root)
            print("\n".join(stale), end="\n" if stale else "")
            return bool(stale)
        if options.tidy:
            for source in chosen:
                if replace(source, tidy(source.read_text("utf-8"), source).encode()):
                    print(f"{source.name}: written the way JupyterLab saves it.")
            return 0
        if options.into and options.into.resolve() == store(root).resolve():
            # What another run left there must not become a page; elsewhere it is not ours.
            for old in options.into.glob("*.ipynb"):
                if old.stem not in {source.stem for source in sources(root)}:
                    old.unlink()
        return render_all(chosen, options.into, root)
    except (CourseError, OSError) as error:
        print(disk_says(error) if isinstance(error, OSError) else error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
