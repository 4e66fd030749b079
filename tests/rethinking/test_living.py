"""The explorers in a browser that has no network: numbers, keys, touch, and both grounds."""

import itertools
import json
import re
from pathlib import Path

import matplotlib.colors as mcolors
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from bs4 import BeautifulSoup
from scipy import integrate, special, stats

from rethinking.living import _WIDGETS
from utils import cutpoint_explorer, point_explorer, shrinkage_explorer, tank_scrubber

ROOT = Path(__file__).resolve().parents[2]


pytestmark = pytest.mark.usefixtures("shown")


# --- What a notebook stores


def people(n=48):
    rng = np.random.default_rng(5)
    mean = np.round(rng.uniform(0.1, 0.9, n), 4)
    return pd.DataFrame(
        {
            "tank": np.arange(1, n + 1),
            "pred": np.where(np.arange(n) % 16 < 8, "no predators", "predators"),
            "density": rng.choice([10, 25, 35], n),
            "share": np.round(mean + rng.uniform(-0.1, 0.1, n), 4),
            "mean": mean,
            "low": mean - 0.1,
            "high": np.minimum(mean + 0.1, 1),
        }
    )


COLUMNS = {
    "tank": "tank",
    "pred": "kind",
    "density": "tadpoles",
    "share": "share that survived",
    "mean": "posterior mean",
    "low": "89% ETI from",
    "high": "to",
}
OPTIONS = {"x": "tank", "y": "mean", "label": "tank", "columns": COLUMNS}
TEXTS = {"title": "Survival of the tanks", "alt": "Scatter chart of 48 tanks."}
FULL = OPTIONS | TEXTS | {"groups": "pred", "interval": ("low", "high"), "raw": "share"}


def data_of(shown):
    block = BeautifulSoup(shown.living, "html.parser").find("script", type="application/json")

    def no_constant(word):
        pytest.fail(f"{word} is no JSON")

    return json.loads(block.string, parse_constant=no_constant)


# --- tank_scrubber


@pytest.fixture
def frogs():
    return pd.DataFrame({"density": [10, 10, 25, 25, 25], "surv": [9, 1, 25, 0, 12]})


def survival_of(sigma):
    mean = xr.DataArray(np.linspace(0.2, 0.8, 5) * sigma, dims="tank")
    return {"mean": mean, "lower": mean - 0.05, "upper": mean + 0.05}


SIGMAS = [0.1, 0.357894736, 1.0]


def scrub(frogs, sigmas=SIGMAS):
    tank_scrubber(frogs, {s: survival_of(s) for s in sigmas}, {s: 0.7 - s / 10 for s in sigmas})


def test_tank_scrubber_holds_its_data(frogs, shown):
    before = frogs.copy()
    scrub(frogs)
    pd.testing.assert_frame_equal(frogs, before)
    held = data_of(shown)
    assert held["sigma"] == [0.1, 0.358, 1.0]
    assert held["raw"] == [0.9, 0.1, 1.0, 0.0, 0.48]
    assert held["median"] == [0.69, 0.664, 0.6]
    assert held["blocks"] == [
        {"first": 0, "last": 1, "label": "10 tadpoles"},
        {"first": 2, "last": 4, "label": "25 tadpoles"},
    ]
    for key in ("mean", "lower", "upper"):
        expected = [survival_of(s)[key].values for s in SIGMAS]
        np.testing.assert_allclose(held[key], expected, atol=5e-4)
    assert 0 <= held["start"] < len(SIGMAS)


@pytest.mark.parametrize("others", [[0.1, 1.0], [0.1, 0.357894736, 2.0], [1.0, 0.357894736, 0.1]])
def test_other_sigmas_are_refused(frogs, shown, others):
    with pytest.raises(ValueError, match="the same sigmas in the same order"):
        tank_scrubber(frogs, {s: survival_of(s) for s in SIGMAS}, dict.fromkeys(others, 0.5))
    assert shown == []


def test_no_undefined_number_is_shown(frogs, shown):
    frogs.loc[0, ["density", "surv"]] = 0
    with pytest.raises(ValueError, match="undefined at position 0, where there are 0 of 0"):
        scrub(frogs)
    assert shown == []


# --- explorers


def test_shrinkage_explorer_holds_its_data(shown):
    shrinkage_explorer(np.float64(1.4567), sigma=1.2345)
    assert data_of(shown) == {"alpha_bar": 1.46, "start": {"N": 5, "S": 1, "sigma": 1.234}}


@pytest.mark.parametrize("bad", [9, -8.1, np.nan, np.inf])
def test_no_population_beyond_the_log_odds(shown, bad):
    with pytest.raises(ValueError, match="alpha_bar must be log-odds from -8 to 8, not"):
        shrinkage_explorer(bad)
    assert not shown


@pytest.mark.parametrize("bad", [0, 4.1, np.nan])
def test_no_sigma_beyond_its_slider(bad):
    with pytest.raises(ValueError, match=r"sigma must be from 0\.1 to 4, as on its slider, not"):
        shrinkage_explorer(1.5, sigma=bad)


KAPPA = [-1.92, -1.27, -0.72, 0.25, 0.89, 1.77]


def test_cutpoint_explorer_holds_its_data(shown):
    cutpoint_explorer(xr.DataArray([-1.9167, 0.2501]), phi=np.float64(0.26))
    assert data_of(shown) == {"kappa": [-1.92, 0.25], "phi": 0.3}
    assert len(shown.living.encode()) < 15_000


@pytest.mark.parametrize(
    ("kappa", "phi", "message"),
    [
        ([0.5, 0.2], 0, "must increase"),
        ([0.5, 0.5], 0, "must increase"),
        ([], 0, "1 to 9 cutpoints"),
        (np.zeros((2, 2)), 0, "1 to 9 cutpoints"),
        (np.arange(10), 0, "1 to 9 cutpoints"),
        ([-9, 0], 0, "log-odds from -8 to 8"),
        ([0, np.nan], 0, "log-odds from -8 to 8"),
        ([0, 1], 3.1, "phi must be from -3 to 3"),
        ([0, 1], np.nan, "phi must be from -3 to 3"),
    ],
)
def test_no_other_cutpoints(shown, kappa, phi, message):
    with pytest.raises(ValueError, match=message):
        cutpoint_explorer(kappa, phi=phi)
    assert not shown


def test_point_explorer_holds_its_data(shown):
    table = people()
    before = table.copy()
    point_explorer(table, **FULL)
    pd.testing.assert_frame_equal(table, before)
    held = data_of(shown)
    assert held["headings"] == list(COLUMNS.values())[1:]
    row = table.iloc[3]
    assert held["cells"][3] == [
        "no predators",
        str(row["density"]),
        *(f"{row[name]:.2f}" for name in ("share", "mean", "low", "high")),
    ]
    assert held["names"][3] == "4" and held["group"][:9] == [0] * 8 + [1]
    np.testing.assert_allclose(held["upper"], table["high"], rtol=1e-4)
    assert (
        held["interval"] == "89% ETI from … to …" and held["raw_heading"] == "share that survived"
    )


def test_groups_are_in_the_order_of_their_categories(shown):
    table = people().assign(pred=lambda t: pd.Categorical(t["pred"], ["predators", "no predators"]))
    point_explorer(table, **FULL)
    held = data_of(shown)
    assert held["groups"] == ["predators", "no predators"] and held["group"][:2] == [1, 1]


def test_a_name_cannot_end_the_script(shown):
    table = people(2).assign(tank=["</script><b>", "b & c"], place=[1.0, 2.0])
    point_explorer(table, **OPTIONS | TEXTS | {"x": "place"})
    assert data_of(shown)["names"] == ["</script><b>", "b & c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": "nothing"}, "has no column 'nothing'"),
        ({"x": "pred"}, "The column 'pred' must hold numbers"),
        ({"label": "pred"}, "Two rows of 'pred' are called 'no predators'"),
        ({"title": " "}, "title, alt and columns must not be empty"),
        ({"columns": {}}, "title, alt and columns must not be empty"),
        ({"groups": "tank"}, "'tank' must name one of at most four groups"),
        ({"interval": ("high", "low")}, "'high' must nowhere lie above 'low'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(shown, change, message):
    with pytest.raises(ValueError, match=message):
        point_explorer(people(), **FULL | change)
    assert not shown


def test_undefined_numbers_and_long_tables_are_refused():
    with pytest.raises(ValueError, match="'mean' must hold finite numbers"):
        point_explorer(people().assign(mean=np.nan), **FULL)
    for n in (0, 401):
        with pytest.raises(ValueError, match=f"takes 1 to 400 rows, not {n}"):
            point_explorer(people(n), **FULL)


def explorers(shown, n=48):
    shrinkage_explorer(1.5)
    point_explorer(people(n), **FULL)
    cutpoint_explorer(KAPPA)
    return [data["text/html"] for data, _ in shown[-3:]]


def test_living_figures_are_small_and_the_same_each_time(frogs, shown):
    pages = []
    for _ in range(2):
        scrub(frogs)
        pages.append([shown.living, *explorers(shown, 400)])
    assert pages[0] == pages[1]
    for page, size in zip(pages[0], (15_000, 15_000, 100_000, 15_000), strict=True):
        assert len(page.encode()) < size
        assert "__" not in page and str(ROOT) not in page
        # a name, not an address that is fetched
        assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<(link|img|iframe)|src=|@import|url\(|fetch\(", page)


def luminance(color):
    """Relative luminance by WCAG 2."""
    rgb = np.array(mcolors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def colors(mode):
    rules = (_WIDGETS / "living.css").read_text().splitlines()[mode == "dark"]
    return dict(re.findall(r"--([\w-]+):(#\w+)", rules))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_marks_stand_out_from_their_ground(mode):
    found = colors(mode)
    ground = luminance(found.pop("ground"))
    found.pop("line")  # of the grid, which the numbers on the axis repeat
    for name, color in found.items():
        lighter, darker = sorted([luminance(color), ground], reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= (4.5 if name == "text" else 3), name


# --- In a browser


@pytest.fixture
def page(browser, shown, tmp_path):
    """A page like those of the course with all explorers; it must ask for nothing, and not err."""
    cells = "".join(
        '<div class="cell"><figure><img alt="still" src="data:,"></figure></div>'
        f'<div class="cell">{html}</div>'
        for html in explorers(shown)
    )
    path = tmp_path / "page.html"
    path.write_text(
        f'<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">{cells}'
    )
    context = browser.new_context(has_touch=True, viewport={"width": 900, "height": 1400})
    context.set_offline(True)
    trouble = []
    page = context.new_page()
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))

    def refuse(route):
        if route.request.url == path.as_uri():
            route.continue_()
        else:
            trouble.append(route.request.url)
            route.abort()

    page.route(re.compile("^(?!data:)"), refuse)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert not trouble


def exact(n, s, alpha_bar, sigma):
    """Mean of p given s of n, by Simpson's rule over alpha around the top."""

    def log(alpha):
        return stats.norm.logpdf(alpha, alpha_bar, sigma) + s * alpha - n * np.logaddexp(0, alpha)

    span = np.linspace(alpha_bar - sigma * (n + 9), alpha_bar + sigma * (n + 9), 20001)
    values = log(span)
    inside = np.linspace(*span[values > values.max() - 40][[0, -1]], 20001)
    weight = np.exp(log(inside) - values.max())
    return integrate.simpson(special.expit(inside) * weight) / integrate.simpson(weight)


GRID = [
    (n, s, sigma)
    for n, sigma in itertools.product([1, 5, 10, 33, 60], [0.1, 0.25, 0.7, 1.5, 4.0])
    for s in sorted({0, n // 3, n // 2, n})
]


@pytest.mark.parametrize("alpha_bar", [1.5, -8, 8])
def test_estimates_agree_with_numerical_integration(page, shown, alpha_bar):
    shrinkage_explorer(alpha_bar)
    page.set_content(shown.living)
    found = page.eval_on_selector(
        ".shrinkage-explorer", "(root, grid) => grid.map(at => root.estimate(...at))", GRID
    )
    expected = [exact(n, s, alpha_bar, sigma) for n, s, sigma in GRID]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sliders_move_by_keyboard_and_say_so(page):
    root = page.locator(".shrinkage-explorer")
    size, passed, spread = root.get_by_role("slider").all()
    assert page.get_by_label("How many passed, S").count() == 1
    sentence, picture = root.locator("[aria-live=polite]"), root.get_by_role("img")

    def state():
        valuetexts = [slider.get_attribute("aria-valuetext") for slider in (size, passed, spread)]
        return (*valuetexts, sentence.inner_text(), picture.get_attribute("aria-label"))

    page.keyboard.press("Tab")
    assert size.evaluate("node => node === document.activeElement")
    before = state()
    assert before[:2] == ("5 students", "1 of 5 students, a share of 0.20")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert state()[:2] == ("10 students", "2 of 10 students, a share of 0.20"), "the share stays"
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    after = state()
    assert after[:3] == ("10 students", "10 of 10 students, a share of 1.00", "sigma 0.1")
    estimate = exact(10, 10, 1.5, 0.1)
    level = special.expit(1.5)
    assert after[3] == (
        f"10 of 10 students passed, a raw share of 1.000. With sigma 0.1 the estimate is"
        f" {estimate:.3f}, {1 - estimate:.3f} lower, towards complete pooling ({level:.3f})."
    )
    assert f"{estimate:.3f}" in after[4] and all(a != b for a, b in zip(before, after, strict=True))


SENTENCES = """([n, s, k]) => {
  const root = document.querySelector(".shrinkage-explorer");
  [n, s, k].forEach((value, i) => {
    const slider = root.querySelectorAll("input")[i];
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
  });
  return root.querySelector("[aria-live]").textContent;
}"""


@pytest.mark.parametrize(
    ("n", "s", "words"),
    [
        (6, 2, "higher, towards complete pooling"),
        (60, 59, "lower, towards complete pooling"),
        (11, 9, "lower, past complete pooling"),  # a mean is drawn to one half, too
        (5, 4, "lower, away from complete pooling"),
    ],
)
def test_sentences_say_which_way(page, n, s, words):
    text = page.evaluate(SENTENCES, [n, s, 40])
    assert words in text
    estimate = exact(n, s, 1.5, float(re.search(r"sigma ([\d.]+)", text)[1]))
    moved = abs(round(estimate, 3) - round(s / n, 3))
    assert f"the estimate is {estimate:.3f}, {moved:.3f} " in text


@pytest.mark.parametrize("phi", [-3, -0.5, 0, 1.2, 3])
def test_histograms_are_those_of_the_ordered_logit(page, phi):
    found = page.eval_on_selector(".cutpoint-explorer", "(root, phi) => root.shares(phi)", phi)
    expected = np.diff(special.expit(np.array(KAPPA) - phi), prepend=0, append=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_phi_moves_by_keyboard_and_says_so(page):
    root = page.locator(".cutpoint-explorer")
    slider, sentence = root.get_by_role("slider"), root.locator("[aria-live=polite]")
    assert page.get_by_label("Shift, phi").count() == 1
    places = [root.locator(".moved").nth(2).get_attribute("cy")]
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "phi 0.2"
    places.append(root.locator(".moved").nth(2).get_attribute("cy"))
    assert float(places[1]) > float(places[0]), "a larger phi lowers the cumulative log-odds"
    page.keyboard.press("End")
    shares = np.diff(special.expit(np.array(KAPPA) - 3), prepend=0, append=1)
    assert sentence.inner_text() == (
        f"With phi 3.0 the mean rating is {shares @ np.arange(1, 8):.2f}; the most frequent rating"
        f" is 7, with a probability of {shares[-1]:.2f}."
    )
    assert f"7: {shares[-1]:.2f}." in root.get_by_role("img").get_attribute("aria-label")


def points_page(page):
    return page.locator(".point-explorer")


def test_mouse_touch_and_keyboard_tell_the_same(page):
    root = points_page(page)
    options = root.get_by_role("option")
    line = root.locator("[aria-live=polite]")
    assert options.count() == 48
    row = people().iloc[2]
    expected = (
        "tank 3: "
        + ", ".join(
            f"{COLUMNS[name]} {row[name]:.2f}"
            if isinstance(row[name], float)
            else f"{COLUMNS[name]} {row[name]}"
            for name in list(COLUMNS)[1:]
        )
        + "."
    )

    def middle(k):
        box = options.nth(k).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    page.mouse.move(*middle(2))
    assert line.inner_text() == expected
    assert root.locator(".ring").count() == 1
    ring, mark = root.locator(".ring").bounding_box(), middle(2)
    assert ring["x"] + ring["width"] / 2 == pytest.approx(mark[0], abs=0.6)
    page.mouse.move(*middle(30))
    assert line.inner_text().startswith("tank 31: ")
    across, down = middle(2)
    page.touchscreen.tap(across, down + 9)  # beside the mark, as a finger does
    assert line.inner_text() == expected
    page.mouse.move(*middle(30))

    options.nth(30).focus()
    page.keyboard.press("Home")
    assert line.inner_text().startswith("tank 1: ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert line.inner_text() == expected
    assert options.nth(2).get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowLeft")
    assert line.inner_text().startswith("tank 2: ")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert line.inner_text().startswith("tank 48: ")
    assert root.locator("[aria-selected=true]").count() == 1


def test_points_are_one_stop_of_the_tab_key(page):
    root = points_page(page)
    page.locator(".shrinkage-explorer").get_by_role("slider").last.focus()
    page.keyboard.press("Tab")
    active = "document.activeElement"
    assert page.evaluate(f"{active}.getAttribute('aria-label')") == "tank 1"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{active}.tagName") == "SUMMARY"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(f"{active}.getAttribute('aria-label')") == "tank 2"
    assert root.locator("[tabindex='0'][role=option]").count() == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert root.locator("table").is_visible()


def test_the_table_has_the_same_numbers(page):
    root = points_page(page)
    root.locator("summary").click()
    html = BeautifulSoup(root.locator("table").evaluate("node => node.outerHTML"), "html.parser")
    head, *rows = html.find_all("tr")
    assert [th.text for th in head.find_all("th", scope="col")] == list(COLUMNS.values())
    assert len(rows) == 48
    line = root.locator("[aria-live=polite]")
    options = root.get_by_role("option")
    for k, row in enumerate(rows):
        (name,) = row.find_all("th", scope="row")
        values = [td.text for td in row.find_all("td")]
        options.nth(k).focus()
        told = ", ".join(
            f"{h} {v}" for h, v in zip(list(COLUMNS.values())[1:], values, strict=True)
        )
        assert line.inner_text() == f"tank {name.text}: {told}."


def test_explorers_take_the_place_of_their_stills(page):
    assert page.locator("figure .living").count() == 3
    assert page.locator("img:visible").count() == 0


@pytest.mark.parametrize("width", [360, 900])
def test_nothing_is_wider_than_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("summary").click()
    page.wait_for_timeout(100)  # the figures follow a resize observer
    room = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
    assert page.evaluate(room)
    inside = """root => [...root.querySelectorAll('svg text')].every(text => {
      const box = text.getBoundingClientRect(), room = root.getBoundingClientRect();
      return box.left >= room.left && box.right <= room.right + 0.5;
    })"""
    for root in page.locator(".living").all():
        assert root.evaluate(inside)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_explorers_follow_the_mode_of_the_page(page, mode):
    page.evaluate(f"document.documentElement.dataset.theme = '{mode}'")
    expected = colors(mode)

    def rgb(color):
        return "rgb({}, {}, {})".format(*(round(255 * part) for part in mcolors.to_rgb(color)))

    for root in page.locator(".living").all():
        style = "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]"
        assert root.evaluate(style) == [rgb(expected["ground"]), rgb(expected["text"])]
    marks = page.locator(".mark").first.evaluate("node => getComputedStyle(node).stroke")
    assert marks == rgb(expected["blue"])
