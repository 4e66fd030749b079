  const make = (name, attributes, text) => {
    const node = document.createElement(name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const draw = (parent, name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };

  // The still figure: in Jupyter an earlier output of the same cell, on the page the cell before.
  const findStill = root => {
    const area = root.closest(".jp-OutputArea");
    const place = area || root.closest("div.cell")?.previousElementSibling;
    return [...(place ? place.querySelectorAll("img") : [])].filter(
      image => image.compareDocumentPosition(root) & Node.DOCUMENT_POSITION_FOLLOWING).pop();
  };
  // JupyterLab may draw the outputs of a cell in any order.
  const takePlaceOfStill = (root, tries) => {
    const still = findStill(root);
    if (still) {
      still.parentElement.querySelectorAll(".living").forEach(old => old.remove());
      still.style.setProperty("display", "none", "important");
      still.after(root);
    } else if (tries) {
      setTimeout(takePlaceOfStill, 200, root, tries - 1);
    }
  };
  // Shows the figure, and draws it for the width there is: its text keeps its size on a phone.
  const present = (root, svg, redraw) => {
    let width = 0;
    const fit = () => {
      const room = Math.round(svg.getBoundingClientRect().width);
      if (!room || room === width) return;
      width = room;
      redraw(width);
    };
    // Else JupyterLab takes the keys for its own commands.
    root.querySelectorAll("input, svg, summary, .scroll").forEach(
      node => node.setAttribute("data-lm-suppress-shortcuts", "true"));
    root.hidden = false;
    takePlaceOfStill(root, 50);
    redraw(640);
    fit();
    new ResizeObserver(fit).observe(root);
  };
