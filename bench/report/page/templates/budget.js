// Accuracy under attack as a function of the query budget.
"use strict";
temper.views.budget = {
  title: "Budget",
  part: "budget",
  draw(root, board, state, data) {
    const recipes = [...new Set(data.attacks.map(attack => attack.recipe))],
      modes = [...new Set(data.attacks.map(attack => attack.mode))],
      mode = modes.includes(state.mode) ? state.mode : modes[0],
      chosen = temper.chosen(board, state);
    temper.put(
      root,
      temper.el("h2", {}, "Accuracy under attack by query budget"),
      temper.el(
        "p",
        { class: "lead" },
        `How many texts are still classified correctly when the attacker may ask at most so many queries per word; the runs granted ${data.budget}. At the left edge stands the accuracy before the attack. Queries are counted by the batch, so a value may be high, never low. Shaded: from the lowest to the highest seed.`,
      ),
      modes.length > 1
        ? temper.el(
            "div",
            { class: "controls" },
            temper.select(
              "Probabilities",
              modes.map(one => [one, one]),
              mode,
              value => temper.go({ mode: value === modes[0] ? null : value }),
            ),
          )
        : null,
      temper.picker(board, chosen),
    );
    const holder = temper.el("div", { class: "panels" });
    temper.put(root, holder);
    const attacks = recipes
      .map(recipe => data.attacks.find(attack => attack.recipe === recipe && attack.mode === mode))
      .filter(Boolean);
    const all = attacks.flatMap(attack =>
        chosen.flatMap(place => attack.arms[place]?.high || attack.arms[place]?.mean || []),
      ),
      top = Math.min(1, Math.max(0.1, ...all) * 1.05);
    const draw = () => {
      const columns = holder.clientWidth > 820 && attacks.length > 1 ? 2 : 1,
        width = Math.min(760, Math.floor((holder.clientWidth - 24 * (columns - 1)) / columns));
      holder.replaceChildren(
        ...attacks.map(attack =>
          temper.el(
            "figure",
            {},
            temper.el("figcaption", {}, attack.recipe),
            temper.lines(holder, {
              width,
              height: Math.round(Math.max(260, width * 0.6)),
              x: [data.grid[0], data.budget, true],
              y: [0, top],
              xTitle: "queries per word",
              yTitle: "correct, %",
              xName: "queries per word",
              yText: value => (value === null || value === undefined ? "—" : temper.number(100 * value)),
              label: `Accuracy under ${attack.recipe} by query budget`,
              series: chosen
                .map((place, series) => ({ place: series, name: board.arms[place].label, line: attack.arms[place] }))
                .filter(one => one.line)
                .map(one => ({
                  ...one,
                  points: data.grid.map((x, k) => [x, one.line.mean[k]]),
                  band:
                    one.line.low && chosen.length <= 4
                      ? data.grid.map((x, k) => [x, one.line.low[k], one.line.high[k]])
                      : null,
                })),
            }),
          ),
        ),
      );
    };
    draw();
    temper.resized = draw;
    for (const attack of attacks)
      temper.put(
        root,
        temper.twin(
          ["mitigation", ...data.grid.filter((_, k) => k % 6 === 3).map(x => `${temper.number(x, 2)} per word`)],
          () =>
            chosen
              .filter(place => attack.arms[place])
              .map(place => [
                board.arms[place].label,
                ...data.grid
                  .map((_, k) => k)
                  .filter(k => k % 6 === 3)
                  .map(k => percent(attack.arms[place].mean[k])),
              ]),
          attack.recipe,
        ),
      );
  },
};
