"""The living figures of lecture 14 in a browser without network: numbers, keys and both grounds."""

import json
import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

from rethinking.correlated import arrivals
from utils import feature_teacher, trajectory_scrubber

pytestmark = pytest.mark.usefixtures("shown")

MEASURED = np.array([[1.0, 1.4], [-0.7, np.nan], [0.3, 0.1]])
NAMES = ("first rate", "second rate")


def teach():
    learnt = arrivals(MEASURED, 0.3)
    zero = arrivals(MEASURED, 0.3, correlated=False)
    feature_teacher(MEASURED, learnt, zero, features=NAMES)
    return learnt, zero


def scrub():
    steps = np.linspace(0, 1, 6)
    slow = np.column_stack([steps, -steps]), 1 + 0.01 * steps
    wild = np.array([[0, 0], [1, -1], [50, 80], [np.nan, 0]]), np.array([1, 2, 3000, np.inf])
    trajectory_scrubber({0.1: slow, 0.8: wild}, [slow[0]], names=("x", "v"), limits=(-2, 2, -2, 2))


def data_of(shown):
    block = BeautifulSoup(shown.living, "html.parser").find("script", type="application/json")
    return json.loads(block.string)


def test_the_teacher_holds_what_arrivals_found(shown):
    learnt, zero = teach()
    held = data_of(shown)
    assert held["measured"] == [[1.0, 1.4], [-0.7, None], [0.3, 0.1]]
    assert held["features"] == list(NAMES) and len(held["zero"]) == 4
    np.testing.assert_allclose(held["learnt"][3]["means"], learnt[3].means, atol=6e-4)
    cov = zero[2].covs[1]
    np.testing.assert_allclose(
        held["zero"][2]["covs"][1], [cov[0, 0], cov[0, 1], cov[1, 1]], atol=6e-4
    )


def test_a_trajectory_ends_where_numbers_do(shown):
    scrub()
    held = data_of(shown)
    assert [len(path["path"]) for path in held["paths"]] == [6, 3]
    assert held["paths"][1]["error"] == [0.0, 1.0, 2999.0]


def test_what_cannot_be_shown_is_refused(shown):
    steps = arrivals(MEASURED, 0.3)
    with pytest.raises(ValueError, match="zero must hold one step for each number"):
        feature_teacher(MEASURED, steps, steps[1:], features=NAMES)
    options = {"contours": [], "names": ("x", "v"), "limits": (-1, 1, -1, 1)}
    with pytest.raises(ValueError, match="trajectories is empty"):
        trajectory_scrubber({}, **options)
    with pytest.raises(ValueError, match=r"size 0\.1 has positions of the shape \(2, 2\) and 3"):
        trajectory_scrubber({0.1: (np.zeros((2, 2)), np.zeros(3))}, **options)
    assert not shown


def test_they_are_small_and_fetch_nothing(shown):
    for make in (teach, scrub):
        make()
        page = shown.living
        assert len(page.encode()) < 30_000 and "__" not in page
        assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}


@pytest.fixture(params=["light", "dark"])
def page(browser, shown, request):
    teach()
    one = shown.living
    scrub()
    context = browser.new_context(viewport={"width": 360, "height": 900})
    context.set_offline(True)
    page, trouble = context.new_page(), []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    page.set_content(
        f'<!doctype html><html lang="en" data-theme="{request.param}"><meta charset="utf-8">'
        f"{one}{shown.living}"
    )
    page.mode = request.param
    yield page
    context.close()
    assert not trouble


def test_the_teacher_by_keyboard(page):
    learnt, zero = arrivals(MEASURED, 0.3), arrivals(MEASURED, 0.3, correlated=False)
    root = page.locator(".feature-teacher")
    slider, sentence = root.get_by_role("slider"), root.locator("[aria-live]")
    picture = root.get_by_role("img")
    slider.focus()
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext") == "3 of 3 departments"
    page.keyboard.press("ArrowLeft")

    def check_guess(step, text):
        told = re.search(r"guessed as (\S+), give or take (\S+)\.", text).groups()
        found = [float(number.replace("−", "-")) for number in told]
        np.testing.assert_allclose(found, [step.means[1, 1], step.covs[1, 1, 1] ** 0.5], atol=0.006)

    check_guess(learnt[2], sentence.inner_text())
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    check_guess(zero[2], sentence.inner_text())
    assert "taken as zero" in sentence.inner_text()
    check_guess(zero[2], picture.get_attribute("aria-label"))
    assert root.locator("polygon").count() == 3  # the population, and two departments


def test_the_trajectory_by_keyboard(page):
    root = page.locator(".trajectory-scrubber")
    size, step = root.get_by_role("slider").all()
    sentence = root.locator("[aria-live]")
    assert "accepted with probability 0.99" in sentence.inner_text()
    size.focus()
    page.keyboard.press("ArrowRight")
    assert "has diverged" in sentence.inner_text()
    step.focus()
    page.keyboard.press("Home")
    assert step.get_attribute("aria-valuetext") == "step 0 of 2"
    page.keyboard.press("ArrowRight")
    assert "the energy is off by 1.00" in sentence.inner_text()


def test_they_fit_a_phone_and_follow_the_mode(page):
    wide = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
    assert page.evaluate(wide)
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}[page.mode]
    for root in page.locator(".living").all():
        assert root.evaluate("node => getComputedStyle(node).backgroundColor") == ground
        assert root.evaluate(
            """root => [...root.querySelectorAll('svg text')].every(text => {
              const box = text.getBoundingClientRect(), room = root.getBoundingClientRect();
              return box.left >= room.left && box.right <= room.right + 0.5;
            })"""
        )
