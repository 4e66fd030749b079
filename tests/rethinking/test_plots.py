"""Plot helpers: what they draw, what they leave alone, what they refuse; the style sheet."""

import itertools
import pickle
import random

import matplotlib as mpl
import matplotlib.colors as mcolors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, PathCollection
from PIL import Image

import utils

mpl.use("Agg")

X = np.array([1.0, 2.0, 3.0, 4.0])
Y = np.array([0.2, 0.9, 0.4, 0.5])
LOWER, UPPER = Y - 0.1, Y + 0.05


def random_states():
    """The global states of both generators, which no helper may move."""
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch):
    """Every test: helpers touch no setting and no random state, and never call show."""
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("a helper called plt.show"))
    settings, states = dict(mpl.rcParams), random_states()
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == settings
    assert random_states() == states


@pytest.fixture(scope="module")
def frogs():
    return utils.load_data("reedfrogs")


@pytest.fixture(scope="module")
def fitted(frogs):
    share = (frogs["surv"] / frogs["density"]).to_numpy()
    mean = 0.7 + 0.8 * (share - 0.7)
    return {"mean": mean, "lower": np.clip(mean - 0.1, 0, 1), "upper": np.clip(mean + 0.1, 0, 1)}


def every_helper(frogs, fitted):
    return [
        (utils.plot_scatter, (X, Y), {}),
        (utils.plot_line, (X, Y), {}),
        (utils.plot_errorbar, (X, Y, LOWER, UPPER), {}),
        (utils.plot_survival, (frogs,), fitted),
    ]


# --- all helpers


@pytest.mark.parametrize("which", range(4))
def test_without_ax_a_new_figure_is_made(frogs, fitted, which):
    plot, args, options = every_helper(frogs, fitted)[which]
    _, current = plt.subplots()
    ax = plot(*args, **options)
    assert ax is not current
    assert ax.figure is not current.figure
    assert not current.has_data()


@pytest.mark.parametrize("which", range(4))
def test_given_ax_is_used_and_returned(frogs, fitted, which):
    plot, args, options = every_helper(frogs, fitted)[which]
    _, (first, second) = plt.subplots(1, 2)
    plt.sca(second)
    assert plot(*args, **options, ax=first) is first
    assert first.has_data()
    assert not second.has_data()
    assert plt.gca() is second
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("which", range(4))
def test_arguments_are_not_changed(frogs, fitted, which):
    plot, args, options = every_helper(frogs, fitted)[which]
    copies = [arg.copy() for arg in args], {key: value.copy() for key, value in options.items()}
    plot(*args, **options)
    for arg, before in zip(args, copies[0], strict=True):
        assert arg.equals(before) if isinstance(arg, pd.DataFrame) else np.array_equal(arg, before)
    for key, before in copies[1].items():
        assert np.array_equal(options[key], before)


@pytest.mark.parametrize("which", range(4))
def test_options_are_keyword_only(frogs, fitted, which):
    plot, args, options = every_helper(frogs, fitted)[which]
    _, ax = plt.subplots()
    with pytest.raises(TypeError, match="positional"):
        plot(*args, ax, **options)


@pytest.mark.parametrize("kind", [list, tuple, pd.Series, xr.DataArray, np.asarray])
def test_any_sequence_of_numbers_is_taken(kind):
    ax = utils.plot_errorbar(kind(X), kind(Y), kind(LOWER), kind(UPPER))
    utils.plot_line(kind(X), kind(Y), ax=ax)


@pytest.mark.parametrize("plot", [utils.plot_scatter, utils.plot_line])
def test_lengths_that_differ(plot):
    with pytest.raises(ValueError, match=r"Lengths differ: x has 4, y has 3\. Give one value for"):
        plot(X, Y[:3])
    assert not plt.get_fignums()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_points_that_cannot_be_drawn(bad):
    y = np.array([0.1, bad, 0.3, bad])
    with pytest.raises(ValueError, match=rf"y\[1\] is {bad:g}, which cannot be drawn"):
        utils.plot_scatter(X, y)
    with pytest.raises(ValueError, match=rf"upper\[1\] is {bad:g}"):
        utils.plot_errorbar(X, Y, LOWER, y)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (["a"] * 4, "x holds something that is not a number"),
        (np.ones((2, 2)), r"shape \(2, 2\)"),
    ],
)
def test_what_is_no_row_of_numbers(x, says):
    with pytest.raises(ValueError, match=says):
        utils.plot_scatter(x, Y)


# --- points


def test_scatter_is_open_circles():
    (points,) = utils.plot_scatter(X, Y, size=6, label="data").collections
    assert isinstance(points, PathCollection)
    assert points.get_facecolors().size == 0
    assert points.get_sizes().tolist() == [36]
    assert points.get_label() == "data"
    assert np.array_equal(points.get_offsets(), np.column_stack([X, Y]))


def test_scatter_colors_per_point_and_filled():
    colors = ["C0", "C1", "k", (0.1, 0.2, 0.3)]
    (points,) = utils.plot_scatter(X, Y, color=colors, fill="white").collections
    assert np.allclose(points.get_edgecolors(), mcolors.to_rgba_array(colors))
    assert np.allclose(points.get_facecolors(), mcolors.to_rgba("white"))


@pytest.mark.parametrize(
    ("color", "says"),
    [
        (["r", "b"], "Lengths differ: there are 4 points, color has 2"),
        (["r", "b", "reddish", "k"], r"value color\[2\] = 'reddish' is no color\."),
        ("reddish", "argument color = 'reddish' is no color"),
    ],
)
def test_wrong_colors(color, says):
    with pytest.raises(ValueError, match=says):
        utils.plot_scatter(X, Y, color=color)
    with pytest.raises(ValueError, match=says):
        utils.plot_errorbar(X, Y, LOWER, UPPER, color=color)


# --- lines


def test_line_has_a_border_beneath():
    (line,) = utils.plot_line(X, Y, linewidth=2, border="black", border_width=1.5).lines
    stroke, normal = line.get_path_effects()
    assert stroke._gc == {"linewidth": 5, "foreground": "black"}
    assert type(normal).__name__ == "Normal"
    assert np.array_equal(line.get_xydata(), np.column_stack([X, Y]))


def test_line_without_border_and_with_a_gap():
    y = np.where(X == 2, np.nan, Y)
    (line,) = utils.plot_line(X, y, border=None, linestyle="--").lines
    assert line.get_path_effects() == []
    assert line.get_linestyle() == "--"
    with pytest.raises(ValueError, match=r"y\[1\] is inf"):
        utils.plot_line(X, np.where(X == 2, np.inf, Y))


# --- intervals


@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
def test_bars_are_one_collection_from_end_to_end(orientation):
    args = (X, Y, LOWER, UPPER) if orientation == "vertical" else (Y, X, LOWER, UPPER)
    ax = utils.plot_errorbar(*args, orientation=orientation, marker=None, label="interval")
    (bars,) = ax.get_children()[:1]
    assert [type(each) for each in ax.collections] == [LineCollection]
    assert not ax.lines
    segments = np.array(bars.get_segments())
    flip = slice(None) if orientation == "vertical" else slice(None, None, -1)
    assert np.array_equal(segments[:, 0, flip], np.column_stack([X, LOWER]))
    assert np.array_equal(segments[:, 1, flip], np.column_stack([X, UPPER]))
    assert bars.get_capstyle() == "round"
    assert bars.get_alpha() < 1
    assert bars.get_label() == "interval"
    low, high = ax.get_ylim() if orientation == "vertical" else ax.get_xlim()
    assert low <= LOWER.min()
    assert high >= UPPER.max()


def test_intervals_have_points_and_colors_of_their_own():
    colors = ["C0", "C1", "C2", "C3"]
    bars, points = utils.plot_errorbar(X, Y, LOWER, UPPER, color=colors, alpha=0.4).collections
    assert np.allclose(bars.get_colors(), mcolors.to_rgba_array(colors, alpha=0.4))
    assert np.allclose(points.get_edgecolors(), mcolors.to_rgba_array(colors))
    assert points.get_zorder() > bars.get_zorder()


def test_a_point_may_lie_outside_its_interval():
    bars, points = utils.plot_errorbar([1], [5], [1], [2]).collections
    assert bars.get_segments()[0].tolist() == [[1, 1], [1, 2]]
    assert points.get_offsets().tolist() == [[1, 5]]


def test_ends_given_upside_down():
    with pytest.raises(ValueError, match=r"Interval 2 is upside down: lower\[2\] = 0.9 is above"):
        utils.plot_errorbar(X, Y, [0, 0, 0.9, 0], [1, 1, 0.5, 1])


def test_intervals_with_other_mistakes():
    with pytest.raises(ValueError, match="x has 4, y has 4, lower has 2, upper has 4"):
        utils.plot_errorbar(X, Y, LOWER[:2], UPPER)
    with pytest.raises(ValueError, match="The orientation is 'up'; use \"vertical\" or"):
        utils.plot_errorbar(X, Y, LOWER, UPPER, orientation="up")


# --- survival by tank


def texts_of(ax):
    return {text.get_text(): text for text in ax.texts}


def test_survival_dividers_stand_between_the_densities(frogs):
    ax = utils.plot_survival(frogs)
    assert [line.get_xdata()[0] for line in ax.lines] == [16.5, 32.5]
    assert list(texts_of(ax)) == ["small tanks (10)", "medium tanks (25)", "large tanks (35)"]
    middles = [text.xy[0] for text in ax.texts]
    assert middles == [8.5, 24.5, 40.5]
    assert ax.get_xlabel() == "tank"
    assert ax.get_ylabel() == "share that survived"


def test_survival_observed_and_estimated(frogs, fitted):
    ax = utils.plot_survival(frogs, **fitted, population=0.8, interval="89% ETI")
    bars, observed, means = ax.collections
    share = frogs["surv"] / frogs["density"]
    assert np.allclose(observed.get_offsets(), np.column_stack([np.arange(1, 49), share]))
    assert observed.get_facecolors().size > 0
    assert np.allclose(means.get_offsets()[:, 1], fitted["mean"])
    assert means.get_facecolors().size == 0
    assert np.allclose(np.array(bars.get_segments())[:, :, 1].T, [fitted["lower"], fitted["upper"]])
    assert "population\n0.80" in texts_of(ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["observed", "posterior mean", "89% ETI"]


def test_survival_by_group_has_a_second_sign(frogs, fitted):
    colors = np.where(frogs["pred"] == "pred", utils.RED, utils.BLUE)
    ax = utils.plot_survival(
        frogs,
        **fitted,
        colors=colors,
        legend={"no predators": utils.BLUE, "predators": utils.RED},
        population={"no predators": 0.9, "predators": 0.5},
    )
    bars, *points = ax.collections
    assert np.allclose(bars.get_colors()[:, :3], mcolors.to_rgba_array(colors)[:, :3])
    assert len(points) == 4  # observed and estimated, for each of two shapes
    shapes = {len(each.get_paths()[0].vertices) for each in points}
    assert len(shapes) == 2
    lines = [line for line in ax.lines if len(set(line.get_ydata())) == 1]
    assert [mcolors.to_hex(line.get_color()) for line in lines] == [utils.BLUE, utils.RED]
    assert len({line.get_linestyle() for line in lines}) == 2
    handles = ax.get_legend().legend_handles
    assert handles[0].get_marker() != handles[1].get_marker()


def test_survival_labels_of_close_lines_do_not_overlap(frogs):
    ax = utils.plot_survival(frogs, population={"typical": 0.80, "mean of a new tank": 0.79})
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for name, text in texts_of(ax).items() if "tanks" not in name]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_survival_texts_lie_inside_the_figure(frogs, fitted):
    with plt.style.context(utils.STYLE_PATH):
        ax = utils.plot_survival(frogs, **fitted, population={"mean of a new tank": 0.7})
        ax.figure.canvas.draw()
    whole = ax.figure.bbox
    for text in [*ax.texts, *ax.get_legend().get_texts(), ax.xaxis.label, ax.yaxis.label]:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_survival_of_some_tanks(frogs):
    ax = utils.plot_survival(frogs[frogs["pred"] == "pred"], colors="k", markers="^", legend=False)
    assert [line.get_xdata()[0] for line in ax.lines] == [8.5, 16.5]
    assert ax.get_legend() is None
    ax = utils.plot_survival(frogs.head(5))
    assert list(texts_of(ax)) == ["density 10"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mean": [0.5] * 47}, "Lengths differ: frogs has 48, mean has 47"),
        ({"mean": [2.5] * 48}, "mean holds 2.5, which is no probability. Turn log-odds"),
        ({"population": 1.4}, "holds 1.4, which is no probability"),
        ({"mean": [0.5] * 48, "lower": [0.4] * 48}, "mean, lower and upper go together"),
        ({"lower": [0.4] * 48, "upper": [0.4] * 48}, "mean, lower and upper go together"),
        ({"colors": ["r", "b"]}, "Lengths differ: there are 48 points, color has 2"),
        ({"markers": ["o"]}, "Lengths differ: frogs has 48, markers has 1"),
        ({"colors": "r", "legend": {"a": "b"}}, "The legend explains '#0000ff', but colors holds"),
        ({"legend": {"a": "b"}}, "but colors holds none. Give each color one entry"),
        ({"colors": [f"#00000{i}" for i in range(8)] * 6}, "8 colors need shapes of their own"),
    ],
)
def test_survival_mistakes(frogs, options, says):
    with pytest.raises(ValueError, match=says):
        utils.plot_survival(frogs, **options)
    assert not plt.get_fignums()


def test_survival_of_another_table(frogs):
    with pytest.raises(ValueError, match=r"no column 'density'\. Load it with load_data"):
        utils.plot_survival(frogs.drop(columns="density"))


# --- the style sheet

# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(color):
    rgb = np.array(mcolors.to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE Lab of linear RGB under D65."""
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast_with_white(color):
    return 1.05 / (TO_XYZ[1] @ linear(color) + 0.05)


@pytest.fixture(scope="module")
def style():
    return mpl.rc_params_from_file(utils.STYLE_PATH, use_default_template=False)


@pytest.fixture(scope="module")
def cycle(style):
    return [mcolors.to_hex(color) for color in style["axes.prop_cycle"].by_key()["color"]]


def test_style_starts_with_the_red_and_blue_of_the_helpers(cycle):
    assert cycle[:2] == [utils.RED, utils.BLUE]
    red, blue = mcolors.to_rgb(utils.RED), mcolors.to_rgb(utils.BLUE)
    assert red[0] > 2 * max(red[1:])
    assert blue[2] > 1.5 * max(blue[:2])


@pytest.mark.parametrize("vision", VISION)
def test_any_two_colors_are_apart_for_everyone(cycle, vision):
    seen = [lab(VISION[vision] @ linear(color)) for color in cycle]
    assert np.linalg.norm(seen[0] - seen[1]) > 60
    for (i, a), (j, b) in itertools.combinations(enumerate(seen), 2):
        # 2.3 is just noticeable side by side; thin lines need ten times as much
        assert np.linalg.norm(a - b) > 23, (cycle[i], cycle[j])


def test_contrast_on_white(style, cycle):
    assert all(contrast_with_white(color) >= 3 for color in cycle)
    assert all(contrast_with_white(color) >= 4.5 for color in (utils.RED, utils.BLUE))
    texts = ["text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"]
    assert all(contrast_with_white(style[key]) >= 4.5 for key in texts)
    assert contrast_with_white(style["axes.edgecolor"]) >= 3


def test_style_settings(style):
    assert list(style["figure.figsize"]) == [7, 5]
    assert style["figure.constrained_layout.use"]
    assert style["axes.grid"]
    for key in ("figure.facecolor", "axes.facecolor", "savefig.facecolor"):
        assert style[key] == "white"
    assert not style["savefig.transparent"]
    assert style["font.sans-serif"] == ["DejaVu Sans"]  # comes with matplotlib
    sizes = ["axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"]
    assert all(style[size] >= 12 for size in sizes)


def test_style_gives_small_opaque_pictures(tmp_path):
    with plt.style.context(utils.STYLE_PATH):
        rng = np.random.default_rng(1)
        x = rng.normal(size=60)
        ax = utils.plot_scatter(x, x + rng.normal(size=60))
        utils.plot_line([-2, 2], [-2, 2], ax=ax, color="C1")
        ax.figure.savefig(tmp_path / "simple chart.png")
    picture = Image.open(tmp_path / "simple chart.png").convert("RGBA")
    assert picture.size == (910, 650)
    assert picture.getchannel("A").getextrema() == (255, 255)
    assert picture.getpixel((0, 0)) == (255, 255, 255, 255)
    assert (tmp_path / "simple chart.png").stat().st_size < 100_000
