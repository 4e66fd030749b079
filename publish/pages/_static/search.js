// The sections that hold all words of a query, best first; publish/pages/search.py makes PAGES.
(() => {
  const query = new URLSearchParams(location.search).get("q")?.trim() ?? "";
  const field = document.querySelector(".bd-search-container input");
  field.value = query;
  const words = query.match(/[\p{L}\p{N}]+/gu);
  if (!words) return field.focus();

  // A word matches what begins with it, without its plural's s, in either spelling of centre.
  const stem = (s) => s.replace(/(?<=...)s$/, "").replace(/cent(er|re)e?/i, "cent(?:ere?|re)");
  const stems = words.map(stem);
  const find = (stem) => new RegExp(`(?<![\\p{L}\\p{N}])${stem}`, "giu");
  const each = stems.map(find);
  const phrase = find(stems.join("[^\\p{L}\\p{N}]+"));
  const whole = new RegExp(`^(utils\\.)?${phrase.source}\\p{L}{0,2}[.:()]*$`, "iu");
  const count = (text) => text.match(phrase)?.length ?? 0;

  const found = [];
  for (const [rank, page, rows] of PAGES) {
    for (const [anchor, title, terms, text, names] of rows) {
      const all = `${title} ${text} ${names}`;
      if (!each.every((word) => all.search(word) >= 0)) continue;
      // A term is explained where it is emphasised, rather than where it occurs.
      const score = 1 + (whole.test(title) ? 40 : count(title) ? 20 : 0)
        + (terms.split("|").some((term) => whole.test(term)) ? 40 : 0)
        + 3 * Math.min(count(text), 5) + Math.min(count(names), 1);
      const weight = [1, 0.6, 0.3][rank];
      found.push({page, anchor, title, text, lecture: rows[0][1], score: score * weight});
    }
  }
  found.sort((a, b) => b.score - a.score);

  const add = (parent, tag) => parent.appendChild(document.createElement(tag));
  const marked = new RegExp(each.map((word) => word.source).join("|"), "giu");
  document.getElementById("search-status").textContent =
    found.length ? `Sections found: ${found.length}` : `No section has all the words: ${query}`;
  for (const {page, anchor, title, text, lecture} of found.slice(0, 40)) {
    const item = add(document.getElementById("search-results"), "li");
    const link = add(item, "a");
    link.href = `${page}.html#${anchor}`;
    link.textContent = title;
    if (title !== lecture) item.append(` · ${lecture}`);
    let at = [phrase, ...each].map((word) => text.search(word)).find((place) => place >= 0) ?? 0;
    at = Math.max(0, text.lastIndexOf(" ", at - 60) + 1);
    const shown = text.slice(at).match(/^.{0,220}\S*/su)[0];
    const excerpt = add(item, "p");
    excerpt.append(at ? "… " : "");
    let last = 0;
    for (const {0: word, index} of shown.matchAll(marked)) {
      excerpt.append(shown.slice(last, index));
      add(excerpt, "mark").textContent = word;
      last = index + word.length;
    }
    excerpt.append(shown.slice(last), at + shown.length < text.length ? " …" : "");
  }
})();
