// A formula or a table wider than the page scrolls by itself; then, and only then, the keyboard reaches it.
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
