// Confidence against accuracy, a small diagram per arm.
"use strict";
temper.views.reliability = {
  title: "Reliability",
  part: "reliability",
  draw(root, board, state, data) {
    const chosen = temper.chosen(board, state),
      ece = mode => place => {
        const cell = board.numbers[`ece_${mode}`]?.[place];
        return cell ? temper.printed(cell[0], "share") : "—";
      };
    temper.put(
      root,
      temper.el("h2", {}, "Reliability"),
      temper.el(
        "p",
        { class: "lead" },
        "How often the victim is right (up) when it is so sure (across): 15 bins with equally many clean texts, all seeds together. On the diagonal its confidence is honest; below it the victim is too sure. Filled: after temperature calibration; hollow: raw.",
      ),
      temper.picker(board, chosen, false),
    );
    const bins = chosen.flatMap(place => Object.values(data.modes).flatMap(arms => arms[place] || [])),
      low = Math.floor(10 * Math.min(0.9, ...bins.map(([sure, right]) => Math.min(sure, right)))) / 10;
    temper.put(
      root,
      temper.el(
        "div",
        { class: "panels small" },
        chosen.map(place => {
          const { svg, x, y, plot } = temper.frame({
            width: 300,
            height: 270,
            x: [low, 1],
            y: [low, 1],
            xTitle: "confidence, %",
            yTitle: "right, %",
            xText: v => temper.number(100 * v),
            yText: v => temper.number(100 * v),
            label: `Reliability of ${board.arms[place].label}`,
          });
          plot.append(temper.svg("line", { class: "diagonal", x1: x(low), y1: y(low), x2: x(1), y2: y(1) }));
          for (const mode of ["raw", "calibrated"]) {
            const bins = data.modes[mode]?.[place] || [];
            plot.append(
              temper.svg("path", { class: `calibration ${mode}`, d: temper.path(bins.map(([a, b]) => [x(a), y(b)])) }),
            );
            for (const [sure, right, n] of bins)
              plot.append(
                temper.tipped(
                  temper.svg("circle", {
                    class: `calibration ${mode}`,
                    cx: x(sure),
                    cy: y(right),
                    r: 3.5,
                    role: "img",
                    "aria-label": `${mode}: sure ${percent(sure)}, right ${percent(right)}`,
                  }),
                  [
                    `${board.arms[place].label}, ${mode}`,
                    `sure ${percent(sure)}, right ${percent(right)}`,
                    temper.plural(n, "text"),
                  ],
                ),
              );
          }
          return temper.el(
            "figure",
            {},
            temper.el("figcaption", {}, board.arms[place].label),
            svg,
            temper.el(
              "p",
              { class: "note" },
              `ECE ${ece("calibrated")(place)} % calibrated, ${ece("raw")(place)} % raw`,
            ),
          );
        }),
      ),
    );
  },
};
