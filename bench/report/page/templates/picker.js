// The arms that a chart shows: a few of them, chosen by the reader, each with its own line.
"use strict";
const MOST = 8;
temper.chosen = (board, state) => {
  const asked = (state.arms || "")
    .split("|")
    .map(label => board.arms.findIndex(arm => arm.label === label))
    .filter(place => place >= 0);
  if (asked.length) return [...new Set(asked)].slice(0, MOST);
  const base = board.arms.findIndex(arm => arm.verdict === "baseline");
  return [...new Set([base, ...board.arms.keys()])]
    .filter(place => place >= 0)
    .slice(0, Math.min(6, board.arms.length));
};
// the colour of an arm is its place among the chosen ones; the baseline comes first and is drawn in the page's ink
temper.picker = (board, chosen, coloured = true) => {
  const go = places => temper.go({ arms: places.map(place => board.arms[place].label).join("|") });
  const rest = board.arms
    .map((arm, place) => [String(place), arm.label])
    .filter(([place]) => !chosen.includes(Number(place)));
  return temper.el(
    "div",
    { class: "picker", role: "group", "aria-label": "Arms shown" },
    chosen.map((place, series) =>
      temper.el(
        "span",
        { class: "chip" },
        coloured ? temper.swatch(series) : null,
        board.arms[place].label,
        chosen.length > 1
          ? temper.el(
              "button",
              {
                type: "button",
                "aria-label": `Hide ${board.arms[place].label}`,
                on: { click: () => go(chosen.filter(one => one !== place)) },
              },
              "✕",
            )
          : null,
      ),
    ),
    rest.length && chosen.length < MOST
      ? temper.select(
          "Add",
          [["", "choose an arm…"], ...rest.sort((a, b) => a[1].localeCompare(b[1]))],
          "",
          value => value && go([...chosen, Number(value)]),
        )
      : null,
  );
};
const percent = value => (value === null || value === undefined ? "—" : `${temper.number(100 * value)} %`);
