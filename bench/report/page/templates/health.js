// The loss and the gradient norms of every layer over the steps.
"use strict";
temper.views.health = {
  title: "Gradients",
  part: "health",
  draw(root, board, state, data) {
    const only = board.arms.map((_, place) => place).filter(place => data.arms[place]),
      chosen = temper.chosen(board, state).filter(place => only.includes(place));
    const one = chosen.length === 1 ? chosen[0] : null,
      panels =
        one === null
          ? ["loss", ...data.layers].filter(name => chosen.some(place => data.arms[place][name]))
          : ["loss", "layers"];
    temper.put(
      root,
      temper.el("h2", {}, "Gradient health"),
      temper.el(
        "p",
        { class: "lead" },
        "The training loss, and the gradient norm of each layer before clipping, over the steps; medians over the seeds. With one arm alone, all its layers stand in one chart.",
      ),
      temper.picker(board, chosen),
    );
    const holder = temper.el("div", { class: "panels" });
    temper.put(root, holder);
    const line = (place, name) => {
      const [steps, values] = data.arms[place][name];
      return steps.map((step, k) => [step, values[k]]);
    };
    const series = panel =>
      panel === "layers"
        ? data.layers
            .filter(name => data.arms[one][name])
            .map((name, place) => ({ name, place, points: line(one, name) }))
        : chosen
            .map((place, order) => ({ name: board.arms[place].label, place: order, arm: place }))
            .filter(s => data.arms[s.arm][panel])
            .map(s => ({ ...s, points: line(s.arm, panel) }));
    const draw = () => {
      const columns = holder.clientWidth > 820 ? 2 : 1,
        width = Math.min(760, Math.floor((holder.clientWidth - 24 * (columns - 1)) / columns));
      const norms = chosen
        .flatMap(place => data.layers.flatMap(name => data.arms[place][name]?.[1] || []))
        .filter(value => value > 0);
      holder.replaceChildren(
        ...panels.map(panel => {
          const lines = series(panel),
            values =
              panel === "loss"
                ? lines.flatMap(l => l.points.map(point => point[1])).filter(value => value !== null)
                : norms,
            steps = lines.flatMap(l => l.points.map(point => point[0]));
          if (!values.length) return "";
          const y =
            panel === "loss"
              ? [Math.min(0, ...values), Math.max(...values) * 1.05]
              : [Math.min(...values) / 1.2, Math.max(...values) * 1.2, true];
          const name =
            panel === "loss"
              ? "training loss"
              : panel === "layers"
                ? "gradient norm of every layer"
                : `gradient norm, ${panel}`;
          return temper.el(
            "figure",
            {},
            temper.el("figcaption", {}, name),
            panel === "layers"
              ? temper.el(
                  "p",
                  { class: "picker" },
                  lines.map(l => temper.el("span", { class: "chip" }, temper.swatch(l.place), l.name)),
                )
              : null,
            temper.lines(holder, {
              width,
              height: Math.round(Math.max(220, width * 0.42)),
              x: [Math.min(...steps), Math.max(...steps)],
              y,
              xTitle: "step",
              xName: "step",
              label: name,
              series: lines,
            }),
          );
        }),
      );
    };
    draw();
    temper.resized = draw;
  },
};
