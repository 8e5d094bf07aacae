// Small SVG charts: scales, axes, tips. Drawn at the width there is, so that text keeps its size on a phone.
"use strict";
// Okabe and Ito's palette, which the common colour-vision deficiencies keep apart; the first one is the page's ink
temper.colours = 8;
temper.dashes = ["", "6 3", "2 3", "8 3 2 3"];
temper.series = place => ({
  class: `line s${place % temper.colours}`,
  "stroke-dasharray": temper.dashes[Math.floor(place / temper.colours) % 4] || null,
});
temper.swatch = place =>
  temper.svg(
    "svg",
    { class: "swatch", width: 22, height: 10, viewBox: "0 0 22 10", "aria-hidden": "true" },
    temper.svg("line", { x1: 1, x2: 21, y1: 5, y2: 5, ...temper.series(place) }),
  );

temper.scale = (low, high, from, to, log = false) => {
  const fit = log ? Math.log : x => x,
    span = fit(high) - fit(low) || 1;
  const scale = value => from + ((fit(value) - fit(low)) / span) * (to - from);
  scale.ticks = count => (log ? logTicks(low, high, count) : linearTicks(low, high, count));
  return Object.assign(scale, { low, high, log });
};
function linearTicks(low, high, count = 5) {
  const rough = (high - low) / count || 1,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(k => k * power).find(size => size >= rough - 1e-12),
    found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
    found.push(Number((k * step).toPrecision(12)));
  return found;
}
function logTicks(low, high, count = 6) {
  const decades = Math.log10(high / low),
    leads = decades > 3 ? [1] : decades > 2 ? [1, 3] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7],
    found = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const lead of leads) {
      const x = Number((lead * 10 ** e).toPrecision(6));
      if (x >= low * 0.999 && x <= high * 1.001) found.push(x);
    }
  const skip = Math.ceil(found.length / (count + 2));
  return found.filter((_, place) => place % skip === 0);
}

// frame({width, height, x: [low, high, log], y: [...], titles, tick formats}) -> {svg, x, y, plot}
temper.frame = ({
  width,
  height,
  x,
  y,
  xTitle,
  yTitle,
  xText = temper.number,
  yText = temper.number,
  label,
  left = 52,
  right = 14,
  top = 12,
  bottom = 44,
  xTicks = null,
}) => {
  const sx = temper.scale(x[0], x[1], left, width - right, x[2]),
    sy = temper.scale(y[0], y[1], height - bottom, top, y[2]);
  const svg = temper.svg("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": label,
  });
  for (const tick of sy.ticks(Math.max(3, Math.round(height / 70))))
    svg.append(
      temper.svg("line", { class: "grid", x1: left, x2: width - right, y1: sy(tick), y2: sy(tick) }),
      temper.svg("text", { class: "tick", x: left - 8, y: sy(tick) + 4, "text-anchor": "end" }, yText(tick)),
    );
  for (const tick of xTicks || sx.ticks(Math.max(2, Math.round(width / 110))))
    svg.append(
      temper.svg("line", { class: "mark", x1: sx(tick), x2: sx(tick), y1: height - bottom, y2: height - bottom + 4 }),
      temper.svg("text", { class: "tick", x: sx(tick), y: height - bottom + 17, "text-anchor": "middle" }, xText(tick)),
    );
  svg.append(
    temper.svg("line", { class: "mark", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
  );
  if (xTitle)
    svg.append(
      temper.svg(
        "text",
        { class: "axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" },
        xTitle,
      ),
    );
  if (yTitle)
    svg.append(
      temper.svg(
        "text",
        {
          class: "axis",
          transform: `translate(13 ${(top + height - bottom) / 2}) rotate(-90)`,
          "text-anchor": "middle",
        },
        yTitle,
      ),
    );
  const plot = temper.svg("g", {});
  svg.append(plot);
  return { svg, x: sx, y: sy, plot, box: { left, right: width - right, top, bottom: height - bottom } };
};
temper.path = (points, { step = false } = {}) => {
  let text = "",
    pen = false;
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) {
      pen = false;
      continue;
    }
    text += !pen
      ? `M${x.toFixed(1)} ${y.toFixed(1)}`
      : step
        ? `H${x.toFixed(1)}V${y.toFixed(1)}`
        : `L${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return text;
};

// a tip beside the pointer or the focused mark
temper.tip = (lines, x, y) => {
  const tip = document.getElementById("tip");
  tip.hidden = !lines;
  if (!lines) return;
  tip.replaceChildren(...lines.map((line, place) => temper.el("div", { class: place ? null : "strong" }, line)));
  const box = tip.getBoundingClientRect(),
    edge = document.documentElement.clientWidth;
  tip.style.setProperty("left", `${Math.max(6, Math.min(x + 14, edge - box.width - 6))}px`);
  tip.style.setProperty("top", `${y + 18 + box.height > innerHeight ? Math.max(6, y - box.height - 12) : y + 18}px`);
};
temper.tipped = (node, lines, open) => {
  const show = event => {
    const box = node.getBoundingClientRect();
    temper.tip(lines, event.clientX || box.right, event.clientY || box.top);
  };
  for (const type of ["pointerenter", "pointermove", "focus"]) node.addEventListener(type, show);
  for (const type of ["pointerleave", "blur"]) node.addEventListener(type, () => temper.tip(null));
  if (open) {
    node.addEventListener("click", open);
    node.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        open();
      }
    });
  }
  node.setAttribute("tabindex", "0");
  return node;
};
temper.width = root => Math.max(260, Math.min(1200, root.clientWidth || 800));

// lines({series: [{name, place, points: [[x, y]], band}], ...frame}) with a read-out of the nearest step
temper.lines = (root, options) => {
  const { svg, x, y, plot, box } = temper.frame(options);
  for (const one of options.series) {
    if (one.band)
      plot.append(
        temper.svg("path", {
          class: `band s${one.place % temper.colours}`,
          d: `${temper.path(one.band.map(([a, , high]) => [x(a), y(high)]))}L${temper.path([...one.band].reverse().map(([a, low]) => [x(a), y(low)])).slice(1)}Z`,
        }),
      );
  }
  for (const one of options.series)
    plot.append(
      temper.svg("path", {
        ...temper.series(one.place),
        d: temper.path(
          one.points.map(([a, b]) => [x(a), b === null ? null : y(b)]),
          options,
        ),
      }),
    );
  const cursor = temper.svg("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", event => {
    const shown = svg.getBoundingClientRect(),
      at = ((event.clientX - shown.left) * options.width) / shown.width;
    if (at < box.left || at > box.right) return temper.tip(null);
    const near = points =>
      points.reduce((best, point) => (Math.abs(x(point[0]) - at) < Math.abs(x(best[0]) - at) ? point : best));
    const found = options.series.filter(one => one.points.length).map(one => [one.name, near(one.points)]);
    if (!found.length) return undefined;
    found.sort((a, b) => (b[1][1] ?? -1) - (a[1][1] ?? -1));
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(found[0][1][0]));
    cursor.setAttribute("x2", x(found[0][1][0]));
    return temper.tip(
      [
        `${options.xName || "at"} ${temper.number(found[0][1][0])}`,
        ...found.map(([name, [, value]]) => `${name}: ${(options.yText || temper.number)(value)}`),
      ],
      event.clientX,
      event.clientY,
    );
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    temper.tip(null);
  });
  return svg;
};
