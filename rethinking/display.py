"""What a cell shows beside figures and tables: the one door to IPython."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from IPython import get_ipython
from IPython.display import DisplayHandle, display

from rethinking import record


def show(markdown: str, plain: str) -> None:
    """Show Markdown as the output of a cell, with plain text for where it is not read.

    Parameters
    ----------
    markdown, plain : str

    Examples
    --------
    >>> show("*One*.", "One.")
    One.
    """
    _show({"text/markdown": markdown, "text/plain": plain})


def show_page(html: str, plain: str) -> None:
    """Show a figure that moves: a page with a script, after the still one of its cell.

    Parameters
    ----------
    html, plain : str

    Examples
    --------
    >>> show_page("<p>One.</p>", "A page, where scripts run.")
    A page, where scripts run.
    """
    _show({"text/html": html, "text/plain": plain}, metadata={"course": {"role": "living"}})


def _show(data: dict[str, str], **options: object) -> None:
    if get_ipython() is None:  # a plain Python would print all of it, as a dict
        print(data["text/plain"])
    else:
        display(data, raw=True, **options)


def say(text: str) -> None:
    '''Show a sentence as Markdown output, so that its numbers come from the computation.

    Parameters
    ----------
    text : str
        Markdown. Line breaks and indentation of a triple-quoted string are folded away, so a
        long sentence can be wrapped in the source; a blank line starts a new paragraph.

    Examples
    --------
    >>> say(f"""All {20} fits
    ...     pass the gate.""")
    All 20 fits pass the gate.
    '''
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    folded = "\n\n".join(paragraphs)
    show(folded, folded)


def check_claim(
    statement: str,
    estimate: float,
    standard_error: float,
    *,
    above: float | None = None,
    below: float | None = None,
    within: float | None = None,
    margin: float = 2.0,
) -> None:
    """Assert a statement of the text and print it with its margin in standard errors.

    Exactly one of `above`, `below` and `within` says what is claimed.

    Parameters
    ----------
    statement : str
        The claim as a sentence, printed before its margin.
    estimate : float
        The computed figure.
    standard_error : float
        Its standard error, in the same unit.
    above, below : float, optional
        The figure lies above (below) this value by `margin` standard errors or more.
    within : float, optional
        The figure lies within `margin` standard errors of this value: the data do not tell
        the two apart. `margin` is then an upper bound.
    margin : float
        Number of standard errors.

    Raises
    ------
    AssertionError
        The computation no longer supports the statement.
    ValueError
        Not exactly one of `above`, `below`, `within`; a standard error that is not positive.

    Examples
    --------
    >>> check_claim("Two is above one.", 2.0, 0.25, above=1)
    ✓ Two is above one. Computed: 2 ± 0.25, 4.0 standard errors above 1.
    """
    given = {
        k: v for k, v in (("above", above), ("below", below), ("within", within)) if v is not None
    }
    if len(given) != 1:
        raise ValueError(f"Give exactly one of above, below, within; got {sorted(given) or None}.")
    if not (np.isfinite(estimate) and np.isfinite(standard_error) and standard_error > 0):
        raise ValueError(
            "The estimate and its standard_error must be finite and the latter positive; got "
            f"{estimate!r} and {standard_error!r}."
        )
    (kind, reference), *_ = given.items()
    distance = (estimate - reference) / standard_error
    holds = {
        "above": distance >= margin,
        "below": distance <= -margin,
        "within": abs(distance) <= margin,
    }[kind]
    if not holds:
        raise AssertionError(
            f"The text says: {statement!r} ({kind} {reference:g}, margin {margin:g} standard "
            f"errors), but the computed figure is {estimate:.4g} with standard error "
            f"{standard_error:.2g}, {distance:+.1f} standard errors away. Change the sentence, "
            "not the margin."
        )
    where = {
        "above": f"{abs(distance):.1f} standard errors above {reference:g}",
        "below": f"{abs(distance):.1f} standard errors below {reference:g}",
        "within": f"{abs(distance):.1f} standard errors from {reference:g}",
    }[kind]
    record.line("claim", statement=statement, estimate=estimate, standard_error=standard_error)
    say(f"✓ {statement} Computed: {estimate:.3g} ± {standard_error:.2g}, {where}.")


def progress[T](
    items: Iterable[T], *, label: str, total: int | None = None, initial: int = 0
) -> Iterator[T]:
    """Yield `items` and show how many are done, in JupyterLab and in a terminal.

    One line is rewritten in place and ends as "20 of 20 label", so an executed notebook keeps
    a sentence and no debris of a bar. Work that takes long shows how much time is left.

    Parameters
    ----------
    items : iterable
    label : str
        What is counted, in the plural: "fits".
    total : int, optional
        Number of all items, for an iterable that does not know its own; it is then taken item by
        item and not read in advance.
    initial : int
        How many were done before, and are not among `items`.

    Yields
    ------
    object
        The items, one by one.

    Examples
    --------
    >>> [2 * n for n in progress([1, 2, 3], label="fits")]
    [2, 4, 6]
    """
    if total is None:
        items = list(items)
        total = initial + len(items)
    show = _notebook_line() if _in_notebook() else _terminal_line()
    first = shown = time.monotonic()
    done = initial
    show(f"{done} of {total} {label}")
    try:
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if done == initial + 1:
                first = now  # what goes before it, a start of processes say, is not repeated
            if now - shown >= 0.2 and done < total:
                shown = now
                left = (now - first) / max(done - initial - 1, 1) * (total - done)
                show(f"{done} of {total} {label}" + (f", {_duration(left)}" if left > 5 else ""))
    finally:  # also where the work failed or was interrupted
        show(f"{done} of {total} {label}", last=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _in_notebook() -> bool:
    return hasattr(get_ipython(), "kernel")


def _notebook_line() -> Callable[..., None]:
    handles: list[DisplayHandle] = []

    def show(text: str, *, last: bool = False) -> None:
        line = {"text/plain": text}
        if handles:
            handles[0].update(line, raw=True)
        elif (handle := display(line, raw=True, display_id=True)) is not None:
            handles.append(handle)

    return show


def _terminal_line() -> Callable[..., None]:
    def show(text: str, *, last: bool = False) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)

    return show
