"""The pages of the stored notebooks: whole, and opened in a browser as a reader opens them.

Each page is loaded as a file with the network refused, in light and dark, wide and 360 px wide.
What is looked for: requests, console, formulas, axe-core's rules, sideways scroll, weight,
keyboard.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from publish.files import ROOT, role_of, sources
from publish.pages.address import project_address
from publish.pages.build import build

pytestmark = pytest.mark.browser

WIDE, PHONE = 1280, 360
HEAVIEST = 3_000_000  # bytes of a page with all it loads
SLOWEST = 1000  # ms until something is seen, in the fastest of the visits to a page
AXE_OLDEST = (4, 10)
# axe leaves the rules of WCAG 2.2 out unless they are asked for. Its preload fetches the style
# sheets again, which a file may not; only a rule that is experimental, and not run, reads them.
AXE_RUN = """() => axe.run(document, {
  preload: false,
  resultTypes: ["violations"],
  rules: Object.fromEntries(axe.getRules(["wcag22aa"]).map(r => [r.ruleId, {enabled: true}])),
}).then(found => found.violations.map(v =>
  `${v.id}: ${v.nodes.length} times, first in ${v.nodes[0].html.slice(0, 200)}`))"""
FORMULAS = """() => {
  const bare = [...document.querySelectorAll(".math")].filter(m => !m.querySelector("mjx-math"));
  const wrong = document.querySelectorAll("mjx-merror, [data-mjx-error]");
  return [...bare.map(m => `formula not set: ${m.textContent.trim().slice(0, 80)}`),
          ...[...wrong].map(m => `formula with an error: ${m.textContent.trim().slice(0, 80)}`)];
}"""
# A page without formulas is loaded before it is painted.
PAINTED = """() => Promise.race([
  new Promise(done => new PerformanceObserver(list => {
    const first = list.getEntriesByName("first-contentful-paint")[0];
    if (first) done(first.startTime);
  }).observe({type: "paint", buffered: true})),
  new Promise(done => setTimeout(() => done(Infinity), 5000)),
])"""
# Folds are opened: what is in a closed one has no size.
CODE = """() => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const cut = [...document.querySelectorAll("article pre")]
    .filter(p => p.scrollWidth > p.clientWidth);
  const bad = [...document.querySelectorAll(".copybtn")].filter(button => {
    if (getComputedStyle(button).opacity < 1 || !button.checkVisibility()) return true;
    const box = button.getBoundingClientRect(), code = document.createRange();
    const words = document.createTreeWalker(button.previousElementSibling, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
      code.selectNode(words.currentNode);
      for (const r of code.getClientRects()) {
        if (r.top > box.bottom) return false;
        if (r.width && r.right > box.left && r.left < box.right && r.bottom > box.top) return true;
      }
    }
    return false;
  });
  return [...cut.map(p => `code is cut: ${p.textContent.trim().slice(0, 80)}`),
    ...bad.map(b => `copy button hidden or on code: ${b.dataset.clipboardTarget}`)];
}"""
# Whether the list of contents shows the section at a third of the window as the reader's.
FOLLOWS = """() => {
  const box = document.querySelector(".bd-sidebar-secondary").getBoundingClientRect();
  const links = [...document.querySelectorAll(".bd-sidebar-secondary nav a")];
  const marked = links.findIndex(link => link.hasAttribute("aria-current"));
  if (marked < 0) return false;
  const place = links[marked].getBoundingClientRect();
  const top = index => document.getElementById(decodeURIComponent(links[index].hash.slice(1)))
    .getBoundingClientRect().top / innerHeight;
  return place.top >= box.top && place.bottom <= Math.min(box.bottom, innerHeight)
    && top(marked) < 0.35 && top(marked + 1) > 0.25;
}"""
BROKEN_LINKS = """() => [...document.querySelectorAll("a[href^='#']")].filter(a => {
  const name = decodeURIComponent(a.getAttribute("href").slice(1));
  return name && !document.getElementById(name);
}).map(a => `broken link: ${a.getAttribute("href")}`)"""


@pytest.fixture(scope="module")
def axe(browser):
    import axe_playwright_python as package

    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class Visit:
    """What was seen of a page."""

    problems: list[str] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    painted: float = 0.0  # ms


def visit(browser, path: Path, mode: str, width: int, axe: str | None = None) -> Visit:
    """Open a page and list what is wrong with it; with `axe`, by its rules too."""
    seen = Visit()
    size = {"width": width, "height": 900}
    context = browser.new_context(offline=True, color_scheme=mode, viewport=size)

    def refuse(route):
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            seen.problems.append(f"request to a network: {route.request.url}")
            route.abort()

    def note(request):
        parts = urlsplit(request.url)
        if parts.scheme == "file" and Path(unquote(parts.path)).is_file():
            seen.files.add(Path(unquote(parts.path)))

    context.route("**/*", refuse)
    page = context.new_page()
    page.on("request", note)
    page.on("requestfailed", lambda r: seen.problems.append(f"failed request: {r.url}"))
    page.on("pageerror", lambda e: seen.problems.append(f"error of a script: {e}"))
    page.on("console", lambda m: m.type == "error" and seen.problems.append(f"console: {m.text}"))
    try:
        page.goto(path.as_uri(), wait_until="load")
        # The promise stays open where MathJax lacks a part of itself.
        page.evaluate("""() => window.MathJax && Promise.race(
            [MathJax.startup.promise, new Promise(done => setTimeout(done, 20000))])""")
        seen.painted = page.evaluate(PAINTED)
        seen.problems += page.evaluate(FORMULAS) + page.evaluate(BROKEN_LINKS)
        if page.evaluate("document.documentElement.dataset.theme") != mode:
            seen.problems.append(f"the page is not {mode}")
        # The theme lets the article scroll by itself, which is no better on a phone.
        room = """Math.max(...[document.scrollingElement, ...document.querySelectorAll(
            "main, .bd-content, .bd-article-container, article")].map(
            box => box.scrollWidth - box.clientWidth))"""
        if (over := page.evaluate(room)) > 0:
            seen.problems.append(f"scrolls sideways by {over} px")
        if axe:
            page.evaluate(axe)
            version = page.evaluate("axe.version")
            assert tuple(map(int, version.split(".")[:2])) >= AXE_OLDEST, f"axe-core {version}"
            seen.problems += page.evaluate(AXE_RUN)
        seen.problems += page.evaluate(CODE)
    finally:
        context.close()
    return seen


@pytest.fixture(scope="module")
def out(browser, tmp_path_factory):
    """The built pages; made only if there is a browser to open them with."""
    folder = tmp_path_factory.mktemp("the pages") / "html"
    build(ROOT / "notebooks", folder)
    return folder


@pytest.fixture(scope="module")
def pages(out):
    return {
        path.name: BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in sorted(out.glob("*.html"))
    }


def test_links_inside_the_site_lead_somewhere(out, pages):
    broken = []
    for name, page in pages.items():
        for link in page.find_all("a", href=True):
            parts = urlsplit(link["href"])
            file, place = unquote(parts.path) or name, unquote(parts.fragment)
            found = pages[file].find(id=place) if place and file in pages else (out / file).exists()
            if not parts.scheme and not found:
                broken.append(f"{name}: {link['href']}")
    assert not broken


def test_each_page_has_one_title_and_all_its_images_an_alt_text(pages):
    for name, page in pages.items():
        assert len(page.find_all("h1")) == 1, name
        for image in page.find_all("img"):
            assert len(image["alt"].split()) >= 3, f"{name}: {image}"


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.stem)
def test_the_notebook_gives_a_figure_the_same_number(pages, source):
    page = pages[f"{source.stem}.html"]
    numbers = [tag.text.split()[1] for tag in page.find_all(class_="caption-number")]
    assert numbers == [
        re.search(r"\*\*Figure ([\da-z.]+\.)\*\*", output.data["text/markdown"])[1]
        for cell in nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells
        for output in cell.get("outputs", [])
        if role_of(output) == "figure-text"
    ]


def test_previous_and_next_lead_through_all_pages(pages):
    index = (ROOT / "publish/pages/index.md").read_text("utf-8")
    others = re.search(r":caption: About\n(?::.*\n)*\n((?:\w+\n)+)", index)[1].split()
    names = [source.stem for source in sources()]
    names.sort(key=lambda name: (re.match(r"\d+[a-z]-", name) is not None, name))
    order, seen = ["index", *names, *others], ["index"]
    while link := pages[f"{seen[-1]}.html"].find("a", class_="right-next"):
        seen.append(Path(link["href"]).stem)
    assert seen == order


@pytest.mark.skipif(project_address(ROOT) is not None, reason="the project has an address")
def test_without_an_address_nothing_leads_to_a_machine_of_others(pages):
    for name, page in pages.items():
        assert not re.search("mybinder|colab.research|in a browser", str(page.article)), name


def test_the_first_page_shows_a_figure_of_the_course(pages):
    figure = pages["index.html"].article.figure
    page, _, name = figure.find("a", class_="internal")["href"].partition("#")
    assert figure.img["alt"] == pages[page].find(id=name).img["alt"]
    assert not figure.find(class_="caption-number"), "numbered, it would seem a lecture's figure"


def test_every_helper_is_there_under_the_name_that_students_use(pages):
    tree = ast.parse((ROOT / "utils.py").read_text("utf-8"))
    names = [alias.name for node in ast.walk(tree) for alias in getattr(node, "names", [])]
    page = pages["helpers.html"]
    for name in names:
        if not name.isupper():
            (entry,) = page.find_all("dt", id=f"utils.{name}")
            assert f"utils.{name}" in entry.get_text()
    assert page.select(".doctest") and page.select(".field-list")


def test_every_page(browser, out, axe):
    wrong = []
    for path in sorted(out.glob("*.html")):
        fastest = float("inf")
        for mode in ("light", "dark"):
            for width in (WIDE, PHONE):
                # Narrow and dark has the layout of the one and the colours of the other.
                rules = None if (mode, width) == ("dark", PHONE) else axe
                seen = visit(browser, path, mode, width, rules)
                where = f"{path.name}, {mode}, {width} px"
                wrong += [f"{where}: {problem}" for problem in seen.problems]
                if (weight := sum(path.stat().st_size for path in seen.files)) > HEAVIEST:
                    wrong.append(f"{where}: weighs {weight / 1e6:.2f} MB")
                fastest = min(fastest, seen.painted)
        if fastest > SLOWEST:
            wrong.append(f"{path.name}: nothing to see for {fastest:.0f} ms")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_changed_lines_of_formulas_can_be_read(browser, out, mode):
    """Axe does not look into formulas, whose signs are drawn by the style sheet."""
    page = browser.new_page(color_scheme=mode)
    paths = [path for path in out.glob("*.html") if r"\class{changed}" in path.read_text("utf-8")]
    page.goto(paths[0].as_uri())
    page.locator("mjx-container .changed").first.wait_for(state="attached")
    text, ground = page.evaluate("""() => [document.querySelector("mjx-container .changed"),
        document.body].map(e => getComputedStyle(e)).map((s, i) => i ? s.backgroundColor : s.color)
        .map(color => color.match(/\\d+/g).map(Number))""")
    darker, lighter = sorted([luminance(text), luminance(ground)])
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    page.close()


def luminance(color):
    """Return the relative luminance of red, green and blue from 0 to 255, by WCAG 2."""
    parts = [value / 255 for value in color]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


SEARCHED = [
    "shrinkage",
    "partial pooling",
    "leave-one-out",
    "LKJ",
    "non-centred",
    "check_convergence",
]


def first_found(page, out, words):
    """Search on the page, opened from disk; return the best result's link and excerpt."""
    page.goto(f"{(out / 'search.html').as_uri()}?q={words}")
    found = page.locator("#search-results li").first
    return found.locator("a").get_attribute("href"), found.locator("p")


def test_search_leads_to_the_section_of_a_lecture(browser, out, pages):
    context = browser.new_context(offline=True)
    page = context.new_page()
    for words in SEARCHED:
        link, excerpt = first_found(page, out, words)
        file, _, anchor = link.partition("#")
        assert file[0].isdigit(), f"{words}: {link}"
        assert pages[file].find(id=anchor), f"{words}: {link}"
        marked = excerpt.locator("mark").all_inner_texts()
        assert marked, f"{words}: {excerpt.inner_text()}"
        assert words[:3].lower() in [word[:3].lower() for word in marked], f"{words}: {marked}"
    # American spelling
    assert first_found(page, out, "non-centered")[0] == first_found(page, out, "non-centred")[0]
    page.goto((out / "search.html").as_uri() + "?q=xyzzyplugh")
    assert "xyzzyplugh" in page.locator("#search-status").inner_text()
    assert page.locator("#search-results li").count() == 0
    # Had lectures the weight of other pages, and these theirs, the helper's entry would be first.
    index = (out / "sections.js").read_text("utf-8")
    index = re.sub(r'\[([02]),"', lambda rank: f'[{2 - int(rank[1])},"', index)
    page.route("**/sections.js", lambda route: route.fulfill(body=index))
    assert first_found(page, out, "check_convergence")[0].startswith("helpers.html#")
    context.close()


def test_the_list_of_contents_follows_the_reader(browser, out):
    page = browser.new_page(viewport={"width": WIDE, "height": 900})
    scroll = "part => scrollTo(0, part * document.documentElement.scrollHeight)"
    page.goto((out / "helpers.html").as_uri())
    for part in (0.1, 0.5, 0.9, 0.49):
        page.evaluate(scroll, part)
        page.wait_for_function(FOLLOWS, timeout=5000)
    # The theme's own mark stays where a heading last passed, and out of sight.
    page.route("**/course.js*", lambda route: route.abort())
    page.reload()
    page.evaluate(scroll, 0.5)
    page.wait_for_timeout(300)
    assert not page.evaluate(FOLLOWS)
    page.close()


def test_the_menu_of_a_phone_lists_the_lectures(browser, out):
    page = browser.new_page(viewport={"width": PHONE, "height": 800})
    here = sources()[-1].stem
    page.goto((out / f"{here}.html").as_uri())
    menu = page.locator(".bd-sidebar-primary nav a")
    assert not any(link.is_visible() for link in menu.all()), "the menu is open"
    page.locator(".primary-toggle").click()
    menu.first.wait_for()
    names = menu.evaluate_all("all => all.map(a => a.pathname.split('/').pop())")
    assert {f"{source.stem}.html" for source in sources()} < set(names)
    current = page.locator(".bd-sidebar-primary nav a[aria-current=page]")
    assert current.evaluate_all("all => all.map(a => a.pathname.split('/').pop())") == [
        f"{here}.html"
    ]
    page.close()


def test_checks_and_folds_do_not_interrupt(pages):
    checks = 0
    for name, page in pages.items():
        checks += len(page.select("p.check"))
        for said in page.select(".cell_output p:not(.check), .cell_output pre"):
            assert not re.match(r"✓|\w+ converged: ", said.get_text()), f"{name}: {said}"
        for summary in page.select("article summary"):
            assert not summary.get("aria-label"), f"{name}: folds that are read aloud alike"
    assert checks


def test_what_is_folded_opens_by_keyboard(browser, out):
    opened = 0
    for path in sorted(out.glob("*.html")):
        page = browser.new_page()
        page.goto(path.as_uri())
        folded = page.locator("article details > summary")
        reached = "all => all.every(s => s.tabIndex === 0 && s.checkVisibility())"
        assert folded.evaluate_all(reached), f"{path.name}: not reached by Tab"
        # They are alike: the first, the last and one between.
        for index in sorted({0, folded.count() // 2, folded.count() - 1} if folded.count() else ()):
            summary = folded.nth(index)
            summary.focus()
            assert summary.evaluate("s => s === document.activeElement"), path.name
            state = "s => s.parentElement.open"
            before = summary.evaluate(state)
            page.keyboard.press("Enter")
            assert summary.evaluate(state) is not before, f"{path.name}: Enter does nothing"
            page.keyboard.press("Space")
            assert summary.evaluate(state) is before, f"{path.name}: Space does nothing"
            page.keyboard.press("Tab")
            assert summary.evaluate("s => s !== document.activeElement"), f"{path.name}: a trap"
            page.keyboard.press("Shift+Tab")
            assert summary.evaluate("s => s === document.activeElement"), path.name
            opened += 1
        page.close()
    assert opened


CELL = f"<div class='highlight'><pre>{'code' * 99}</pre></div>"


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("<img src='_static/file.png'>", "image-alt"),
        ("<a href='#no-such-place'>there</a>", "broken link: #no-such-place"),
        ("<img src='_images/none.png' alt='A picture of it.'>", "failed request"),
        ("<span class='math'>\\(\\nosuch{1}\\)</span>", "formula with an error"),
        ("<span class='math'>x_1</span>", "formula not set: x_1"),
        ("<img src='https://example.org/a.png' alt='A picture of it.'>", "request to a network"),
        ("<script>nowhere()</script>", "error of a script"),
        ("<script>console.error('so')</script>", "console: so"),
        ("<div style='width: 2000px'>wide</div>", "scrolls sideways"),
        ("<p style='color: #999; background: #aaa'>pale</p>", "color-contrast"),
        (f"<pre style='white-space: pre; overflow: auto'>{'long ' * 99}</pre>", "code is cut"),
        ("<style>.copybtn { opacity: 0 !important }</style>" + CELL, "copy button hidden"),
        ("<style>pre::before { content: none !important }</style>" + CELL, "copy button hidden"),
    ],
)
def test_what_is_planted_is_found(browser, out, axe, planted, message):
    # A page has MathJax only if it has a formula.
    path = out / (f"{sources()[-1].stem}.html" if "math" in planted else "data.html")
    with_axe = axe if message in ("image-alt", "color-contrast") else None
    before = visit(browser, path, "light", WIDE, with_axe).problems
    assert not any(message in problem for problem in before)
    html = path.read_text(encoding="utf-8")
    assert html.count("</article>") == 1
    # In a folder: the other tests look at the pages beside each other.
    changed = out / "_static" / "changed.html"
    base = f'<head><base href="{path.as_uri()}">'
    html = html.replace("<head>", base, 1).replace("</article>", planted + "</article>")
    changed.write_text(html, encoding="utf-8")
    problems = visit(browser, changed, "light", WIDE, with_axe).problems
    assert any(message in problem for problem in problems), problems
