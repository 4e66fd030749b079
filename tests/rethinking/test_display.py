"""Sentences, claims and progress: what a notebook keeps of them."""

import itertools

import numpy as np
import pytest

from rethinking import display
from utils import check_claim, progress, say

pytestmark = pytest.mark.usefixtures("shown")


# --- say


def test_sentences_are_folded(shown):
    say(
        f"""All {20} fits
        pass the   gate.

        A new
        paragraph, with $\\alpha$ and `code`."""
    )
    assert (
        shown.plain
        == shown.markdown
        == ("All 20 fits pass the gate.\n\nA new paragraph, with $\\alpha$ and `code`.")
    )


@pytest.mark.parametrize(
    ("text", "folded"),
    [("One.", "One."), ("\n  One.\n", "One."), ("a\tb\n\n\n\nc", "a b\n\n\n\nc"), ("", "")],
)
def test_short_sentences(text, folded, shown):
    say(text)
    assert shown.markdown.replace("\n\n\n\n", "\n\n") == folded.replace("\n\n\n\n", "\n\n")


def test_plain_python_prints_the_plain_text_alone(shown, monkeypatch, capsys):
    monkeypatch.setattr(display, "get_ipython", lambda: None)
    display.show("*One*.", "One.")
    display.show_page("<p>Two</p>", "Two.")
    assert capsys.readouterr().out == "One.\nTwo.\n" and shown == []


# --- check_claim


HOLDS = [
    ({"above": 1}, 2.0, 0.5, "2.0 standard errors above 1."),
    ({"above": 0, "margin": 3}, 5.0, 1.0, "5.0 standard errors above 0."),
    ({"below": 1}, 0.0, 0.25, "4.0 standard errors below 1."),
    ({"below": 0, "margin": 0}, -0.1, 1.0, "0.1 standard errors below 0."),
    ({"within": 1}, 1.5, 1.0, "0.5 standard errors from 1."),
    ({"within": 1}, -1.0, 1.0, "2.0 standard errors from 1."),
    ({"above": 0}, np.float32(2), np.float64(1), "2.0 standard errors above 0."),
]


@pytest.mark.parametrize(("claim", "estimate", "error", "where"), HOLDS)
def test_claims_that_hold_are_printed_with_their_margin(claim, estimate, error, where, shown):
    check_claim("So it is.", estimate, error, **claim)
    assert (
        shown.plain
        == shown.markdown
        == f"✓ So it is. Computed: {estimate:.3g} ± {error:.2g}, {where}"
    )


FAILS = [
    ({"above": 1}, 1.9, 0.5, "+1.8 standard errors away"),
    ({"above": 1}, 0.0, 0.5, "-2.0 standard errors away"),
    ({"below": 1}, 0.6, 0.25, "-1.6 standard errors away"),
    ({"below": 1}, 3.0, 0.25, "+8.0 standard errors away"),
    ({"within": 1}, 3.1, 1.0, "+2.1 standard errors away"),
    ({"within": 1}, -1.1, 1.0, "-2.1 standard errors away"),
    ({"above": 1, "margin": 5}, 2.0, 0.25, "+4.0 standard errors away"),
    ({"above": np.nan}, 2.0, 0.25, "+nan standard errors away"),
    ({"within": np.nan}, 2.0, 0.25, "+nan standard errors away"),
]


@pytest.mark.parametrize(("claim", "estimate", "error", "away"), FAILS)
def test_claims_that_fail_say_what_was_found(claim, estimate, error, away, shown):
    with pytest.raises(AssertionError) as caught:
        check_claim("So it is.", estimate, error, **claim)
    (kind, value), *_ = claim.items()
    margin = claim.get("margin", 2)
    assert str(caught.value).startswith(
        f"The text says: 'So it is.' ({kind} {value:g}, margin {margin} standard errors), but the "
        f"computed figure is {estimate:.4g} with standard error {error:.2g}, {away}."
    )
    assert shown == []


@pytest.mark.parametrize(
    ("estimate", "error", "claim", "message"),
    [
        (1.0, 1.0, {}, "exactly one of above, below, within; got None"),
        (1.0, 1.0, {"above": 0, "within": 0}, r"got \['above', 'within'\]"),
        (1.0, 0.0, {"above": 0}, r"got 1\.0 and 0\.0"),
        (1.0, -1.0, {"above": 0}, "the latter positive"),
        (1.0, np.nan, {"above": 0}, "must be finite"),
        (1.0, np.inf, {"within": 0}, "must be finite"),
        (np.nan, 1.0, {"above": 0}, "must be finite"),
        (np.inf, 1.0, {"above": 0}, "must be finite"),
    ],
)
def test_claims_that_say_nothing_are_refused(estimate, error, claim, message, shown):
    with pytest.raises(ValueError, match=message):
        check_claim("So it is.", estimate, error, **claim)
    assert shown == []


# --- progress


@pytest.fixture
def clock(monkeypatch):
    """A second passes each time the time is asked for."""
    ticks = itertools.count()
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(ticks)))


@pytest.mark.parametrize("items", [[], ["a"], [1, 2, 3]])
def test_progress_yields_all_and_ends_in_a_sentence(items, shown, clock):
    assert list(progress(iter(items), label="fits")) == items
    n = len(items)
    assert len(shown) == 1
    said = [f"{k} of {n} fits" for k in [*range(n or 1), n]]
    assert shown.handle.lines == [{"text/plain": line} for line in said]


def test_progress_of_work_that_comes_one_by_one(shown, clock):
    taken = []

    def work():
        for k in range(20):
            taken.append(k)
            yield k

    for k in progress(work(), label="fits", total=24, initial=4):
        assert len(taken) == k + 1  # not read in advance
    lines = [line["text/plain"] for line in shown.handle.lines]
    assert lines[0] == "4 of 24 fits"
    assert lines[1] == "5 of 24 fits"  # one item says nothing of the next
    assert lines[2] == "6 of 24 fits, 18 s left"
    assert lines[-1] == "24 of 24 fits"


def test_the_time_left_does_not_repeat_the_start(shown, monkeypatch):
    ticks = itertools.chain([0.0], itertools.count(30.0))  # processes start, then a second each
    monkeypatch.setattr(display.time, "monotonic", lambda: next(ticks))
    assert len(list(progress(range(20), label="fits"))) == 20
    lines = [line["text/plain"] for line in shown.handle.lines]
    assert lines[:3] == ["0 of 20 fits", "1 of 20 fits", "2 of 20 fits, 18 s left"]


def test_progress_does_not_flood_the_notebook(shown):
    assert len(list(progress(range(10_000), label="fits"))) == 10_000
    assert len(shown.handle.lines) < 50


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_in_a_terminal_rewrites_one_line(terminal, monkeypatch, capsys, shown, clock):
    monkeypatch.setattr(display, "get_ipython", lambda: None)
    monkeypatch.setattr(display.sys.stderr, "isatty", lambda: terminal, raising=False)
    assert list(progress("ab", label="fits")) == ["a", "b"]
    out, err = capsys.readouterr()
    assert (out, shown) == ("", [])
    if terminal:
        assert err.endswith("\r\x1b[K2 of 2 fits\n") and err.count("\n") == 1
    else:
        assert err == ""


def test_progress_stops_where_the_work_fails(shown):
    with pytest.raises(ZeroDivisionError):
        for k in progress([2, 1, 0, 3], label="fits"):
            1 / k
    assert shown.handle.lines[-1] == {"text/plain": "2 of 4 fits"}


def test_progress_without_a_display(monkeypatch):
    monkeypatch.setattr(display, "display", lambda *a, **k: None)
    assert list(progress("abc", label="letters")) == ["a", "b", "c"]
