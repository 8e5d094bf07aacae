// Whose adversarial texts fool whom, as a heat map.
"use strict";
temper.views.transfer = {
  title: "Transfer",
  part: "transfer",
  draw(root, board, state, data) {
    const recipes = Object.keys(data.recipes),
      recipe = recipes.includes(state.recipe) ? state.recipe : recipes[0],
      rows = data.recipes[recipe];
    temper.put(
      root,
      temper.el("h2", {}, "Transfer"),
      temper.el(
        "p",
        { class: "lead" },
        `${data.entities ? "Strict entity F1" : "Accuracy"} of each victim (row) on the texts that fooled the column's model of another seed. The stronger the colour, the more of them fool this victim too.`,
      ),
      recipes.length > 1
        ? temper.el(
            "div",
            { class: "controls" },
            temper.select(
              "Attack",
              recipes.map(one => [one, one]),
              recipe,
              value => temper.go({ recipe: value }),
            ),
          )
        : null,
    );
    const said = cell =>
      data.entities ? `${cell[0] / 2} entities found` : `${cell[0]} of ${cell[1]} texts`;
    const shade = cell => (cell && cell[1] ? 1 - cell[0] / cell[1] : null);
    temper.put(
      root,
      temper.el(
        "div",
        { class: "wide", tabindex: "0", role: "region", "aria-label": `Transfer of ${recipe}` },
        temper.el(
          "table",
          { class: "heat" },
          temper.el(
            "thead",
            {},
            temper.el(
              "tr",
              {},
              temper.el("th", { scope: "col", class: "name words" }, "victim"),
              data.donors.map(donor => temper.el("th", { scope: "col" }, donor)),
            ),
          ),
          temper.el(
            "tbody",
            {},
            board.arms.map((arm, place) =>
              rows[place]
                ? temper.el(
                    "tr",
                    {},
                    temper.el("th", { scope: "row", class: "name words" }, arm.label),
                    rows[place].map(cell => {
                      const value = shade(cell);
                      return temper.el(
                        "td",
                        {
                          class: value === null ? "unknown" : "cell",
                          style: value === null ? null : { "--heat": `${Math.round(100 * value)}%` },
                          title: cell ? said(cell) : null,
                        },
                        value === null ? "—" : temper.printed(1 - value, "share"),
                      );
                    }),
                  )
                : null,
            ),
          ),
        ),
      ),
      temper.el(
        "p",
        { class: "note" },
        "Percent; hover for the counts. The texts of all seeds together; the hard texts of a column are hard for it alone where the other rows are high.",
      ),
    );
  },
};
