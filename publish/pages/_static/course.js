// A formula or a table wider than the page scrolls by itself; only then the keyboard reaches it.
(() => {
  const mark = () => {
    for (const box of document.querySelectorAll(
      "div.math mjx-container, .bd-article table, .cell_output .text_html")) {
      if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  };
  // a page without formulas has no MathJax to wait for
  addEventListener("load", () => Promise.resolve(window.MathJax?.startup?.promise).then(mark));
  addEventListener("resize", mark);
  document.addEventListener("toggle", mark, true); // a fold that opens
})();

// The list of contents marks the section at the reader's eye and keeps it in view. The theme marks
// one only while its heading passes the top, and does not scroll the list.
addEventListener("DOMContentLoaded", () => {
  const toc = document.getElementById("pst-page-toc-nav");
  if (!toc) return;
  toc.id = "course-toc"; // so that the theme leaves it alone
  const links = [...toc.querySelectorAll("a")];
  const place = (link) => document.getElementById(decodeURIComponent(link.hash.slice(1)));
  const places = links.map(place);
  const follow = () => {
    const rest = document.documentElement.scrollHeight - innerHeight - scrollY;
    // At the end of the page, where no heading comes up, the eye goes down.
    const eye = Math.max(0.3 * innerHeight, innerHeight - rest);
    const here = links[places.findLastIndex((one) => one.getBoundingClientRect().top <= eye)];
    for (const link of links) {
      link.classList.toggle("active", link === here);
      if (link === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    for (const entry of toc.querySelectorAll("li"))
      entry.classList.toggle("active", here !== undefined && entry.contains(here));
    const box = toc.closest(".bd-sidebar-secondary"); // on a phone this is a dialog
    const above = here ? here.getBoundingClientRect().top - box.getBoundingClientRect().top : 0;
    if (!here) box.scrollTop = 0;
    else if (above < 40 || above > box.clientHeight - 80)
      box.scrollTop += above - box.clientHeight / 2;
  };
  addEventListener("scroll", follow, {passive: true});
  addEventListener("load", follow);
  document.querySelector(".secondary-toggle").addEventListener("click", () => setTimeout(follow));
});
