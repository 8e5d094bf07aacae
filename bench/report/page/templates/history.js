// How the arms moved over the releases: a chart per metric, intervals as bars, what is not comparable hollow.
"use strict";
temper.views.history = {
  title: "History",
  part: "history",
  draw(root, board, state, data) {
    const only = new Set(data.metrics.flatMap(metric => Object.keys(metric.arms).map(Number))),
      chosen = temper.chosen(board, state).filter(place => only.has(place)),
      apart = data.metrics.some(metric => chosen.some(place => (metric.arms[place] || []).some(point => point[4])));
    temper.put(
      root,
      temper.el("h2", {}, "History over releases"),
      temper.el(
        "p",
        { class: "lead" },
        "Each arm at each release, today's records last; the bars are 95 % intervals. A point without a bar has one seed.",
      ),
      apart
        ? temper.el(
            "p",
            { class: "warning" },
            "Hollow points are not comparable with today's: their data, sizes or attacks were others, so a step there says nothing about the models.",
          )
        : null,
      temper.picker(board, chosen),
    );
    if (!chosen.length)
      return void temper.put(root, temper.el("p", { class: "empty" }, "The arms chosen have no history."));
    const holder = temper.el("div", { class: "panels" });
    temper.put(root, holder);
    const draw = () => {
      const columns = holder.clientWidth > 820 && data.metrics.length > 1 ? 2 : 1,
        width = Math.min(760, Math.floor((holder.clientWidth - 24 * (columns - 1)) / columns));
      holder.replaceChildren(...data.metrics.map(metric => temper.releases(metric, data.releases, board, chosen, width)));
    };
    draw();
    temper.resized = draw;
    const printed = (value, unit) => temper.printed(value, unit);
    temper.put(
      root,
      temper.twin(
        ["mitigation", "metric", "release", "value", "95 % interval", "not comparable in"],
        () =>
          chosen.flatMap(place =>
            data.metrics.flatMap(({ title, unit, arms }) =>
              (arms[place] || []).map(([at, value, low, high, differs]) => [
                board.arms[place].label,
                title,
                data.releases[at],
                printed(value, unit),
                low === null ? "—" : `[${printed(low, unit)}, ${printed(high, unit)}]`,
                differs || "",
              ]),
            ),
          ),
        "History",
      ),
    );
    return undefined;
  },
};
temper.releases = (metric, releases, board, chosen, width) => {
  const shown = chosen
      .map((place, order) => ({ label: board.arms[place].label, order, points: metric.arms[place] || [] }))
      .filter(one => one.points.length),
    size = metric.unit === "share" ? 100 : 1,
    edges = shown.flatMap(one => one.points.flatMap(([, ...ends]) => ends.slice(0, 3))).filter(one => one !== null),
    low = size * Math.min(...edges),
    high = size * Math.max(...edges),
    pad = 0.08 * (high - low) || 0.5;
  if (!shown.length) return "";
  // names that do not fit beside each other leave every second one, third one, ... out, but never today's
  const room = (width - 66) / releases.length,
    longest = 7 * Math.max(...releases.map(name => Math.min(name.length, 14))) + 12,
    every = Math.max(1, Math.ceil(longest / room)),
    last = releases.length - 1;
  const { svg, x, y, plot } = temper.frame({
    width,
    height: Math.round(Math.max(260, width * 0.5)),
    x: [-0.5, last + 0.5],
    y: [metric.unit === "share" ? Math.max(0, low - pad) : low - pad, high + pad],
    xTicks: releases.map((_, at) => at).filter(at => (last - at) % every === 0),
    xText: at => (releases[at].length > 14 ? `${releases[at].slice(0, 13)}…` : releases[at]),
    xTitle: "release",
    label: `${metric.title} over the releases`,
  });
  // arms stand beside each other, so that their intervals can be told apart
  const step = Math.min(9, (0.5 * (x(1) - x(0))) / shown.length);
  shown.forEach(({ label, order, points }, row) => {
    const at = place => x(place) + step * (row - (shown.length - 1) / 2);
    plot.append(
      temper.svg("path", {
        ...temper.series(order),
        d: temper.path(points.map(([place, value]) => [at(place), y(size * value)])),
      }),
    );
    for (const [place, value, from, to, differs] of points) {
      const text = from === null ? "" : ` [${temper.printed(from, metric.unit)}, ${temper.printed(to, metric.unit)}]`;
      plot.append(
        temper.tipped(
          temper.svg(
            "g",
            { class: `release s${order % temper.colours}${differs ? " apart" : ""}`, role: "img", "aria-label": label },
            from === null
              ? null
              : temper.svg("line", { x1: at(place), x2: at(place), y1: y(size * from), y2: y(size * to) }),
            temper.svg("circle", { cx: at(place), cy: y(size * value), r: 4.5 }),
          ),
          [
            `${label}, ${releases[place]}`,
            `${temper.printed(value, metric.unit)}${text}`,
            differs ? `not comparable: another ${differs}` : "",
          ].filter(Boolean),
        ),
      );
    }
  });
  return temper.el("figure", {}, temper.el("figcaption", {}, metric.title), svg);
};
