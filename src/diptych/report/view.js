/* The diptych view: one prompt in two panels, the scores of its heads or neurons at the chosen layer, faded where the chosen
   circuit holds none of them. */
(function () {
  "use strict";

  const ARROWS = { ArrowRight: 1, ArrowLeft: -1 };

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function shown(value) {
    return value === null ? "n/a" : Number(value.toPrecision(3)).toString().replace("-", "−");
  }

  function visible(token) {
    return token.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
  }

  function largest(values) {
    return Math.max(1e-12, ...values.map((value) => Math.abs(value || 0)));
  }

  /* The largest score of a kind of nodes at a layer, in both panels: they share one scale. */
  function highest(pair, kind, layer) {
    return largest(pair.sides.flatMap((side) => side.nodes[kind].scores[layer]));
  }

  function bestLayer(pair, kind, layers) {
    const highs = layers.map((_, layer) => highest(pair, kind, layer));
    return highs.indexOf(Math.max(...highs));
  }

  function open(root) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const layer = root.querySelector(".layer");
    const size = root.querySelector(".size");
    const kinds = Array.from(root.querySelectorAll(".kinds input"));
    const panels = root.querySelector(".diptych");
    let place = 0;
    let spots = []; // one per token or patch: its button, side and position

    function kind() {
      return kinds.findIndex((one) => one.checked);
    }

    function word() {
      return kinds[kind()].value;
    }

    function details(side, position) {
      const nodes = side.nodes[kind()];
      const named = nodes.named[+layer.value][position];
      const told = named.map(([node, score, first]) => `${word()} ${node}: ${shown(score)} (${first <= +size.value ? "in" : "not in"} the circuit)`);
      const head = `${visible(side.panel.tokens[position])}, position ${position}, ${side.panel.segments[position]}`;
      const none = `No ${word()} here has a twentieth of the layer's highest score`;
      return `${head}: ${shown(nodes.scores[+layer.value][position])} at layer ${data.layers[+layer.value]}. ${told.join("; ") || none}.`;
    }

    function tell(spot) {
      const detail = spot.panel.querySelector(".detail");
      detail.textContent = details(spot.side, spot.position);
      detail.spot = spot;
    }

    /* One stop for the Tab key in each panel; arrows go on from there. */
    function move(event, spot) {
      const step = ARROWS[event.key];
      if (!step) return;
      const row = spots.filter((other) => other.side === spot.side);
      const next = row[row.indexOf(spot) + step];
      if (!next) return;
      event.preventDefault();
      spot.button.tabIndex = -1;
      next.button.tabIndex = 0;
      next.button.focus();
    }

    function button(panel, side, position, className, text) {
      const made = element("button", className, text);
      const spot = { button: made, panel, side, position };
      made.type = "button";
      made.tabIndex = spots.some((other) => other.side === side) ? -1 : 0;
      for (const event of ["focus", "mouseenter", "click"]) made.addEventListener(event, () => tell(spot));
      made.addEventListener("keydown", (event) => move(event, spot));
      spots.push(spot);
      return made;
    }

    function picture(panel, side) {
      const box = element("div", "painted");
      const image = element("img");
      image.src = side.panel.picture;
      image.alt = "The picture that the model sees";
      box.append(image);
      if (side.cells.length) {
        const cells = element("div", "cells");
        cells.style.setProperty("--columns", side.columns);
        side.cells.forEach((position, index) => {
          const cell = button(panel, side, position, "node", "");
          cell.setAttribute("aria-label", `Picture, row ${1 + Math.floor(index / side.columns)}, column ${1 + (index % side.columns)}`);
          cells.append(cell);
        });
        box.append(cells);
      }
      return box;
    }

    function tokens(panel, side) {
      const inside = new Set(side.cells);
      const list = element("p", "tokens");
      side.panel.tokens.forEach((token, position) => {
        if (inside.has(position)) return;
        const made = button(panel, side, position, "node token", "");
        made.append(element("bdi", "", visible(token)));
        list.append(made, " ");
      });
      return list;
    }

    function panelOf(side, pair) {
      const panel = element("section", `panel ${side.panel.picture ? "image" : "text"}`);
      panel.setAttribute("aria-label", `${side.panel.modality} panel`);
      const right = side.panel.predicted.trim() === pair.answer.trim() ? "right" : "wrong";
      const verdict = element("p", `verdict ${right}`);
      verdict.append(element("span", "", "answers"), " ", element("strong", "", side.panel.predicted), " ", element("em", "", right));
      panel.append(element("h4", "", side.panel.modality === "image" ? "Image" : "Text"));
      if (side.panel.picture) panel.append(picture(panel, side));
      const detail = element("p", "detail", "Point at a token or a patch for its heads or neurons.");
      detail.setAttribute("role", "status");
      panel.append(tokens(panel, side), detail, verdict);
      return panel;
    }

    function fill() {
      const pair = data.pairs[place];
      spots = [];
      panels.replaceChildren(...pair.sides.map((side) => panelOf(side, pair)));
      root.querySelector(".query").textContent = pair.query;
      root.querySelector(".right-answer").textContent = pair.answer;
      root.querySelector(".which").textContent = `${pair.title}, ${place + 1} of ${data.pairs.length}`;
      root.querySelector(".previous").disabled = place === 0;
      root.querySelector(".next").disabled = place === data.pairs.length - 1;
      paint();
    }

    function paint() {
      const high = highest(data.pairs[place], kind(), +layer.value);
      root.querySelector(".high").textContent = shown(high);
      for (const { button: one, side, position } of spots) {
        const nodes = side.nodes[kind()];
        const value = nodes.scores[+layer.value][position] || 0;
        one.style.setProperty("--share", (Math.abs(value) / high).toFixed(3));
        one.classList.toggle("negative", value < 0);
        one.classList.toggle("out", nodes.first[+layer.value][position] > +size.value);
      }
      panels.querySelectorAll(".detail").forEach((one) => one.spot && tell(one.spot));
      const inside = spots.filter(({ button: one }) => !one.classList.contains("out")).length;
      root.querySelector(".layer-said").textContent = data.layers[+layer.value];
      root.querySelector(".size-said").textContent = `${shown(100 * data.sizes[+size.value])}% of all heads, and of all neurons`;
      root.querySelector(".said").textContent = `At this layer the circuit holds ${word()}s at ${inside} of ${spots.length} positions of this prompt; ${data.said[+size.value]}.`;
    }

    function step(by) {
      place += by;
      fill();
    }

    layer.value = bestLayer(data.pairs[0], kind(), data.layers);
    root.querySelector(".previous").addEventListener("click", () => step(-1));
    root.querySelector(".next").addEventListener("click", () => step(1));
    layer.addEventListener("input", paint);
    size.addEventListener("input", paint);
    kinds.forEach((one) => one.addEventListener("change", paint));
    fill();
  }

  document.querySelectorAll(".view").forEach(open);
})();
