/* Draws the figures of the page: each plot's numbers stand in the JSON script after it, its colours in style.css. */
(function () {
  "use strict";

  const CONFIG = { displayModeBar: false, responsive: false, scrollZoom: false, doubleClick: false, showTips: false };
  const PRINTED_WIDTH = 660; // pixels of an A4 page between its margins
  const WIDEST_CELL = 46; // pixels
  const LETTER_WIDTH = 7; // pixels
  const LINE_HEIGHT = 17; // pixels
  const plots = Array.from(document.querySelectorAll(".plot"));
  const figures = new Map(plots.map((plot) => [plot, JSON.parse(plot.nextElementSibling.textContent)]));

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function scale(name) {
    const colours = colour(name).split(",").map((one) => one.trim());
    return colours.map((value, index) => [index / (colours.length - 1), value]);
  }

  function axis(extra) {
    const line = { gridcolor: colour("grid"), zerolinecolor: colour("grid"), linecolor: colour("rule"), tickcolor: colour("rule"), automargin: true };
    return { ...line, fixedrange: true, ticks: "outside", ticklen: 4, title: { standoff: 10, font: { size: 13 } }, ...extra };
  }

  /* The page's look as a plotly template: explicit values of a figure win over it. */
  function template(isMap) {
    const ink = colour("ink");
    const page = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, bargap: 0.28, bargroupgap: 0.08 };
    const font = { family: colour("sans"), size: 13, color: colour("muted") };
    const hover = { bgcolor: colour("ink"), bordercolor: colour("ink"), font: { color: colour("paper"), family: colour("sans") }, align: "left" };
    const shape = { line: { color: colour("muted") } };
    const note = { font: { color: ink, size: 12 }, bgcolor: colour("paper"), bordercolor: colour("rule"), borderpad: 3, arrowcolor: ink, arrowwidth: 1 };
    const axes = { xaxis: axis({ showgrid: false, zeroline: false, automargin: !isMap }), yaxis: axis({ showgrid: !isMap, zeroline: !isMap }) };
    const whiskers = { bar: [{ error_y: { color: ink } }] };
    return { data: whiskers, layout: { ...page, ...axes, font, hoverlabel: hover, shapedefaults: shape, annotationdefaults: note } };
  }

  /* Only the tick labels of a map's axis that leave `gap` pixels between one another on `length` pixels. */
  function thinned(ticks, length, gap) {
    const pixels = length / (ticks.range[1] - ticks.range[0]);
    let last = -Infinity;
    const kept = ticks.tickvals.map((value) => {
      const fits = (value - last) * pixels >= gap;
      if (fits) last = value;
      return fits;
    });
    const keep = (list) => list.filter((_, index) => kept[index]);
    return { ...ticks, tickvals: keep(ticks.tickvals), ticktext: keep(ticks.ticktext) };
  }

  function map(trace) {
    const names = trace.z.map((row, y) => row.map((value, x) => `${trace.meta.y[y]}<br>${trace.meta.x[x]}<br>${trace.meta.z}: ${shown(value)}`));
    return { ...trace, text: names, colorscale: scale(trace.meta.scale), showscale: false };
  }

  function mapLayout(figure, room) {
    const margin = { l: 56, r: 8, t: 14, ...figure.layout.margin };
    const width = Math.min(room, margin.l + margin.r + WIDEST_CELL * figure.data[0].z[0].length);
    const xaxis = thinned(figure.layout.xaxis, width - margin.l - margin.r, figure.layout.xaxis.tickangle ? 14 : 24);
    const yaxis = thinned(figure.layout.yaxis, figure.layout.height - margin.t - margin.b, 14);
    return { ...figure.layout, width, margin, xaxis, yaxis };
  }

  function shown(value) {
    return value === null ? "n/a" : Number(value.toPrecision(3)).toString().replace("-", "−");
  }

  /* A name in at most so many lines: the shortest neighbours are joined. */
  function joined(name, most) {
    const lines = name.split("<br>");
    while (lines.length > most) {
      const lengths = lines.slice(1).map((line, index) => line.length + lines[index].length);
      const at = lengths.indexOf(Math.min(...lengths));
      lines.splice(at, 2, `${lines[at]} ${lines[at + 1]}`);
    }
    return lines.join("<br>");
  }

  function longest(names) {
    return LETTER_WIDTH * Math.max(0, ...names.flatMap((name) => name.split("<br>")).map((line) => line.length));
  }

  /* Names of categories stand upright where they do not fit side by side; aslant, the last would be cut off. */
  function upright(names, room) {
    const each = room / names.length;
    if (longest(names) <= each) return { tickangle: 0 };
    const most = Math.max(1, Math.floor(each / LINE_HEIGHT));
    return { tickangle: -90, ticktext: names.map((name) => joined(name, most)) };
  }

  /* Names that grew longer than they were given make the chart higher, not its bars shorter. */
  function chartLayout(figure, room) {
    const margin = { l: 48, r: 12, t: 12, b: 48 };
    const names = figure.layout.xaxis.ticktext;
    const turned = names ? upright(names, room - margin.l - margin.r) : {};
    const height = figure.layout.height + (turned.ticktext ? longest(turned.ticktext) - longest(names) : 0);
    return { ...figure.layout, showlegend: false, width: room, height, margin, xaxis: { ...figure.layout.xaxis, ...turned } };
  }

  function draw(plot, width) {
    const figure = figures.get(plot);
    const room = width || plot.clientWidth;
    const isMap = figure.data.some((trace) => trace.type === "heatmap");
    const data = isMap ? figure.data.map(map) : figure.data;
    const layout = isMap ? mapLayout(figure, room) : chartLayout(figure, room);
    window.Plotly.react(plot, data, { ...layout, template: template(isMap) }, CONFIG);
    plot.dataset.drawn = String(room);
  }

  const seen = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => drawOnce(entry.target)),
    { rootMargin: "1200px" },
  );
  const sized = new ResizeObserver((entries) => entries.forEach((entry) => redraw(entry.target)));

  function drawOnce(plot) {
    seen.unobserve(plot);
    if (!plot.dataset.drawn) draw(plot);
    sized.observe(plot);
  }

  function redraw(plot) {
    if (plot.clientWidth && plot.dataset.drawn !== String(plot.clientWidth)) draw(plot);
  }

  function drawAll(width) {
    plots.filter((plot) => plot.dataset.drawn || width).forEach((plot) => draw(plot, width));
  }

  plots.forEach((plot) => seen.observe(plot));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    drawAll(PRINTED_WIDTH);
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    drawAll();
  });
})();
