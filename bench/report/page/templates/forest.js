// Paired differences to the baseline, with intervals and the band that does not matter.
"use strict";
temper.views.forest = {
  title: "Differences",
  draw(root, board) {
    const metric = board.metrics[board.score],
      arms = board.arms.filter(arm => arm.difference).sort((a, b) => b.difference[0] - a.difference[0]);
    temper.put(
      root,
      temper.el("h2", {}, "Paired differences to the baseline"),
      temper.el(
        "p",
        { class: "lead" },
        `${temper.capital(metric.title)}, in points, on the same texts and seeds; bars are 95 % intervals. Inside the grey band a difference is too small to matter. A filled mark: the difference is real after Holm's correction and large enough.`,
      ),
    );
    if (!arms.length)
      return void temper.put(
        root,
        temper.el(
          "p",
          { class: "empty" },
          "No arm can be compared: there is no baseline on this board, or nothing else.",
        ),
      );
    const single = arms.filter(arm => arm.difference[1] === null || arm.seeds_compared < 2).length;
    if (single)
      temper.put(
        root,
        temper.el(
          "p",
          { class: "warning" },
          `${single} of ${temper.plural(arms.length, "arm")} ${single === 1 ? "was" : "were"} compared on one seed: hollow, without an interval, not judged.`,
        ),
      );
    const holder = temper.el("div", { class: "figure" });
    temper.put(root, holder);
    const draw = () => holder.replaceChildren(forest(arms, temper.width(holder), 100 * (metric.smallest || 0), metric));
    draw();
    temper.resized = draw;
    temper.put(
      root,
      temper.twin(
        ["mitigation", "difference, points", "p (Holm)", "verdict"],
        () => arms.map(arm => [arm.label, arm.difference_text, arm.p ?? "—", arm.verdict]),
        "Paired differences",
      ),
    );
  },
};
function forest(arms, width, smallest, metric) {
  const narrow = width < 620,
    line = narrow ? 44 : 28,
    names = narrow ? 6 : Math.min(300, 30 + 7.2 * Math.max(...arms.map(arm => arm.label.length)));
  const side = narrow ? 6 : 170,
    top = 26,
    height = top + line * arms.length + 40,
    edges = arms
      .flatMap(arm => (arm.seeds_compared > 1 ? arm.difference : [arm.difference[0]]))
      .filter(value => value !== null)
      .map(value => 100 * value);
  const low = Math.min(-1.4 * smallest, ...edges),
    high = Math.max(1.4 * smallest, ...edges),
    pad = 0.05 * (high - low);
  const x = temper.scale(low - pad, high + pad, names, width - side),
    base = height - 34;
  const svg = temper.svg("svg", {
    class: "chart forest",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "group",
    "aria-label": "Paired differences to the baseline",
  });
  if (smallest)
    svg.append(
      temper.svg("rect", {
        class: "zone",
        x: x(-smallest),
        y: top - 8,
        width: x(smallest) - x(-smallest),
        height: base - top + 8,
      }),
    );
  for (const tick of x.ticks(width < 620 ? 4 : 7))
    svg.append(
      temper.svg("line", { class: tick ? "grid" : "zero", x1: x(tick), x2: x(tick), y1: top - 8, y2: base }),
      temper.svg(
        "text",
        { class: "tick", x: x(tick), y: base + 17, "text-anchor": "middle" },
        tick > 0 ? `+${tick}` : String(tick).replace("-", "−"),
      ),
    );
  const [left, right] = metric.direction === "lower" ? ["← better", "worse →"] : ["← worse", "better →"];
  svg.append(
    temper.svg("text", { class: "axis", x: x(0) - 10, y: 12, "text-anchor": "end" }, left),
    temper.svg("text", { class: "axis", x: x(0) + 10, y: 12 }, right),
  );
  arms.forEach((arm, row) => {
    const y = top + line * row + (narrow ? 30 : line / 2),
      [value, from, to] = arm.difference.map(one => (one === null ? null : 100 * one));
    const kind =
      arm.verdict === "better" || arm.verdict === "worse" ? arm.verdict : arm.seeds_compared > 1 ? "even" : "single";
    const mark = temper.svg(
      "g",
      {
        class: `arm ${kind}`,
        role: "link",
        "aria-label": `${arm.label}: ${arm.difference_text} points, ${arm.verdict}`,
      },
      temper.svg("rect", { class: "hit", x: 0, y: top + line * row, width, height: line }),
      temper.svg(
        "text",
        {
          class: "label",
          x: narrow ? names : names - 12,
          y: narrow ? y - 13 : y + 4,
          "text-anchor": narrow ? "start" : "end",
        },
        arm.label.length > 38 ? `${arm.label.slice(0, 37)}…` : arm.label,
      ),
      from !== null && to !== null && arm.seeds_compared > 1
        ? temper.svg("line", { class: "whisker", x1: x(from), x2: x(to), y1: y, y2: y })
        : null,
      temper.shape(kind, x(value), y),
      temper.svg(
        "text",
        { class: "value", x: width - (narrow ? 6 : 0), y: narrow ? y - 13 : y + 4, "text-anchor": "end" },
        arm.difference_text,
      ),
    );
    svg.append(
      temper.tipped(
        mark,
        [
          arm.label,
          `${arm.difference_text} points`,
          arm.p && arm.seeds_compared > 1 ? `p (Holm) ${arm.p}` : temper.plural(arm.seeds_compared, "seed"),
          arm.verdict || "",
        ],
        () => temper.go({ row: arm.label }),
      ),
    );
  });
  return svg;
}
// the shape says the same as the colour
temper.shape = (kind, x, y, r = 5) => {
  if (kind === "better")
    return temper.svg("path", { class: "dot", d: `M${x} ${y - r - 1}L${x + r + 1} ${y + r - 1}H${x - r - 1}Z` });
  if (kind === "worse")
    return temper.svg("path", { class: "dot", d: `M${x} ${y + r + 1}L${x + r + 1} ${y - r + 1}H${x - r - 1}Z` });
  if (kind === "baseline")
    return temper.svg("path", {
      class: "dot",
      d: `M${x} ${y - r - 2}L${x + r + 2} ${y}L${x} ${y + r + 2}L${x - r - 2} ${y}Z`,
    });
  return temper.svg("circle", { class: "dot", cx: x, cy: y, r });
};
