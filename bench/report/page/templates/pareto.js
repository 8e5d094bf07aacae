// What robustness costs: two metrics against each other, and the arms that nothing beats.
"use strict";
const COSTS = ["step_time_ratio", "train_seconds", "counted_cost", "peak_memory_ratio", "trainable_share"];
temper.views.pareto = {
  title: "Trade-off",
  draw(root, board, state) {
    const known = Object.keys(board.metrics).filter(name => board.numbers[name].some(Boolean)),
      costs = COSTS.filter(name => known.includes(name));
    const xName = known.includes(state.x) ? state.x : costs[0] || known[0],
      yName = known.includes(state.y) ? state.y : board.score;
    const title = name =>
      `${board.metrics[name].title}${temper.unit(board.metrics[name].unit) ? `,${temper.unit(board.metrics[name].unit)}` : ""}`;
    const [mx, my] = [board.metrics[xName], board.metrics[yName]],
      lowerX = mx.direction !== "higher",
      lowerY = my.direction === "lower";
    const points = board.arms
      .map((arm, place) => ({ arm, x: board.numbers[xName][place], y: board.numbers[yName][place] }))
      .filter(point => point.x && point.y);
    temper.frontier(points, lowerX, lowerY);
    const options = known.map(name => [name, board.metrics[name].title]),
      front = points.filter(point => point.front);
    temper.put(
      root,
      temper.el("h2", {}, "What robustness costs"),
      temper.el(
        "p",
        { class: "lead" },
        "A filled mark on the line: no other arm is both cheaper and better (the Pareto frontier of the estimates; the thin bars are 95 % intervals). Dotted: not eligible, because of masking, of unhealthy runs, or of clean accuracy below the baseline's.",
      ),
      temper.el(
        "div",
        { class: "controls" },
        temper.select(
          "Across",
          [...options].sort((a, b) => costs.includes(b[0]) - costs.includes(a[0])),
          xName,
          x => temper.go({ x }),
        ),
        temper.select("Up", options, yName, y => temper.go({ y })),
      ),
    );
    if (!points.length) return void temper.put(root, temper.el("p", { class: "empty" }, "No arm has both numbers."));
    if (points.every(point => point.arm.seeds < 2))
      temper.put(
        root,
        temper.el("p", { class: "warning" }, "One seed: nothing was judged, so a loss of clean accuracy bars no arm."),
      );
    const holder = temper.el("div", { class: "figure" });
    temper.put(root, holder);
    const draw = () =>
      holder.replaceChildren(
        scatter(points, front, temper.width(holder), title(xName), title(yName), mx.unit, my.unit),
      );
    draw();
    temper.resized = draw;
    temper.put(
      root,
      temper.el("p", { class: "note" }, `On the frontier: ${front.map(point => point.arm.label).join(", ")}.`),
      temper.twin(
        ["mitigation", title(xName), title(yName), "on the frontier"],
        () =>
          points.map(point => [
            point.arm.label,
            temper.printed(point.x[0], mx.unit),
            temper.printed(point.y[0], my.unit),
            point.front ? "yes" : point.arm.out ? `not eligible: ${point.arm.out}` : "",
          ]),
        "Trade-off",
      ),
    );
  },
};
// marks the points that no other point beats in one direction without losing in the other
temper.frontier = (points, lowerX, lowerY) => {
  const sx = lowerX ? 1 : -1,
    sy = lowerY ? 1 : -1;
  for (const point of points)
    point.front =
      !point.arm.out &&
      !points.some(other => {
        if (other.arm.out) return false;
        const dx = sx * (other.x[0] - point.x[0]),
          dy = sy * (other.y[0] - point.y[0]);
        return dx <= 0 && dy <= 0 && (dx < 0 || dy < 0);
      });
  return points;
};
function scatter(points, front, width, xTitle, yTitle, ux, uy) {
  const range = (axis, unit) => {
    const all = points
      .flatMap(point => [point[axis][0], ...(points.length <= 25 ? point[axis].slice(1) : [])])
      .filter(value => value !== null);
    const low = Math.min(...all),
      high = Math.max(...all),
      log = unit !== "share" && low > 0 && high / low > 8,
      pad = 0.08 * (high - low || Math.abs(high) || 1);
    return log ? [low / 1.25, high * 1.25, true] : [low - 0.6 * pad, high + pad, false];
  };
  const height = Math.round(Math.max(340, Math.min(520, width * 0.62)));
  const { svg, x, y, plot, box } = temper.frame({
    width,
    height,
    x: range("x", ux),
    y: range("y", uy),
    xTitle,
    yTitle,
    label: `${yTitle} against ${xTitle}`,
    xText: value => (ux === "share" ? temper.number(100 * value) : temper.number(value)),
    yText: value => (uy === "share" ? temper.number(100 * value) : temper.number(value)),
  });
  const line = [...front].sort((a, b) => a.x[0] - b.x[0] || a.y[0] - b.y[0]);
  plot.append(
    temper.svg("path", {
      class: "front",
      d: temper.path(
        line.map(point => [x(point.x[0]), y(point.y[0])]),
        { step: true },
      ),
    }),
  );
  const taken = points.map(point => [x(point.x[0]) - 7, y(point.y[0]) - 7, x(point.x[0]) + 7, y(point.y[0]) + 7]);
  for (const point of [...points].sort((a, b) => a.front - b.front)) {
    const px = x(point.x[0]),
      py = y(point.y[0]),
      base = point.arm.verdict === "baseline";
    const clip = (value, [a, b]) => Math.max(Math.min(a, b), Math.min(Math.max(a, b), value)),
      spans = points.length <= 25;
    const mark = temper.svg(
      "g",
      {
        class: `point ${point.front ? "on" : point.arm.out ? "out" : "off"}`,
        role: "link",
        "aria-label": `${point.arm.label}: ${xTitle} ${temper.printed(point.x[0], ux)}, ${yTitle} ${temper.printed(point.y[0], uy)}`,
      },
      spans && point.x[1] !== null
        ? temper.svg("line", {
            class: "whisker",
            x1: clip(x(point.x[1]), [box.left, box.right]),
            x2: clip(x(point.x[2]), [box.left, box.right]),
            y1: py,
            y2: py,
          })
        : null,
      spans && point.y[1] !== null
        ? temper.svg("line", {
            class: "whisker",
            x1: px,
            x2: px,
            y1: clip(y(point.y[1]), [box.top, box.bottom]),
            y2: clip(y(point.y[2]), [box.top, box.bottom]),
          })
        : null,
      temper.shape(base ? "baseline" : "dot", px, py),
    );
    plot.append(
      temper.tipped(
        mark,
        [
          point.arm.label,
          `${xTitle}: ${temper.printed(point.x[0], ux)}`,
          `${yTitle}: ${temper.printed(point.y[0], uy)}`,
          point.front ? "on the frontier" : point.arm.out ? `not eligible: ${point.arm.out}` : "",
        ].filter(Boolean),
        () => temper.go({ row: point.arm.label }),
      ),
    );
  }
  for (const point of [...points].sort(
    // from the top down, so that labels of neighbours stand in the order of their marks
    (a, b) =>
      b.front - a.front ||
      (b.arm.verdict === "baseline") - (a.arm.verdict === "baseline") ||
      y(a.y[0]) - y(b.y[0]),
  )) {
    const px = x(point.x[0]),
      py = y(point.y[0]),
      text = point.arm.label.length > 30 ? `${point.arm.label.slice(0, 29)}…` : point.arm.label,
      wide = (point.front ? 7.6 : 6.8) * text.length;
    const spot = [
      [px + 10, py - 8, "start", px + 10],
      [px + 10, py + 4, "start", px + 10],
      [px - 10, py - 8, "end", px - 10 - wide],
      [px + 10, py + 17, "start", px + 10],
      [px - 10, py + 17, "end", px - 10 - wide],
    ].find(
      ([, ty, , from]) =>
        from >= box.left &&
        from + wide <= width &&
        ty > 10 &&
        ty < box.bottom - 2 &&
        !taken.some(([a, b, c, d]) => from < c && from + wide > a && ty - 11 < d && ty + 3 > b),
    );
    if (!spot) continue; // its tip and the table below still name it
    taken.push([spot[3], spot[1] - 11, spot[3] + wide, spot[1] + 3]);
    plot.append(
      temper.svg(
        "text",
        { class: point.front ? "label strong" : "label", x: spot[0], y: spot[1], "text-anchor": spot[2] },
        text,
      ),
    );
  }
  return svg;
}
