// One mitigation in full: every metric with its interval, its settings and its runs.
"use strict";
temper.card = async (file, board, label) => {
  const place = board.arms.findIndex(arm => arm.label === label);
  if (place < 0) return;
  const arm = board.arms[place],
    runs = await temper.load(`runs-${file}`),
    close = () => temper.go({ row: null });
  const settings = runs.specs[place] || {},
    own = runs.rows.filter(row => row.arm === place);
  const facts = board.sections.slice(1).map(section => {
    const known = section.columns.filter(column => column.head !== "mitigation");
    return known.length
      ? temper.el(
          "section",
          {},
          temper.el("h3", {}, section.title),
          temper.el(
            "dl",
            { class: "facts" },
            known.map(column => {
              const [main, rest] = column.cells[place];
              return temper.el(
                "div",
                {},
                temper.el("dt", {}, column.head),
                temper.el("dd", {}, main, rest ? temper.el("span", { class: "rest" }, ` ${rest}`) : null),
              );
            }),
          ),
        )
      : null;
  });
  const dialog = temper.el(
    "dialog",
    { class: "card", "aria-labelledby": "card-title" },
    temper.el(
      "div",
      { class: "card-head" },
      temper.el(
        "div",
        {},
        temper.el("h2", { id: "card-title", tabindex: "-1", autofocus: true }, arm.label),
        temper.el("p", { class: "note" }, [arm.family, board.name].filter(Boolean).join(" · ")),
      ),
      temper.el(
        "button",
        { type: "button", class: "quiet", "aria-label": "Close", on: { click: () => dialog.close() } },
        "✕",
      ),
    ),
    temper.el("p", { class: "headline" }, sentence(board, arm, place)),
    arm.no_rank ? temper.el("p", { class: "note" }, `No rank: ${arm.no_rank}.`) : null,
    arm.flags.length
      ? temper.el(
          "p",
          {},
          arm.flags.map(flag => temper.el("span", { class: "flag" }, flag)),
        )
      : null,
    arm.failures.length
      ? temper.el(
          "ul",
          { class: "note" },
          arm.failures.map(text => temper.el("li", {}, text)),
        )
      : null,
    temper.el(
      "p",
      { class: "links" },
      board.parts.includes("budget")
        ? temper.el("a", { href: temper.fresh({ view: "budget", arms: with_baseline(board, place) }) }, "budget curve")
        : null,
      board.parts.includes("health")
        ? temper.el("a", { href: temper.fresh({ view: "health", arms: with_baseline(board, place) }) }, "gradients")
        : null,
      board.parts.includes("reliability")
        ? temper.el(
            "a",
            { href: temper.fresh({ view: "reliability", arms: with_baseline(board, place) }) },
            "reliability",
          )
        : null,
      board.examples ? temper.el("a", { href: temper.fresh({ view: "examples", arm: arm.label }) }, "examples") : null,
    ),
    facts,
    temper.el("section", {}, temper.el("h3", {}, "Settings"), temper.el("pre", { tabindex: "0" }, pretty(settings))),
    temper.el(
      "section",
      {},
      temper.el("h3", {}, temper.plural(own.length, "run")),
      temper.el(
        "ul",
        { class: "note runs" },
        own.map(row =>
          temper.el("li", {}, temper.el("code", {}, row.id), ` ${row.status}${row.reason ? `: ${row.reason}` : ""}`),
        ),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (temper.read().row === label) close();
  });
  dialog.addEventListener("click", event => {
    if (event.target === dialog) dialog.close();
  });
  document.querySelector("dialog.card")?.remove();
  document.body.append(dialog);
  dialog.showModal();
};
const with_baseline = (board, place) =>
  [...new Set([board.arms.findIndex(arm => arm.verdict === "baseline"), place])]
    .filter(one => one >= 0)
    .map(one => board.arms[one].label)
    .join("|");
function sentence(board, arm, place) {
  const title = board.metrics[board.score].title,
    [main, rest] = board.sections[0].columns.find(column => column.head.startsWith(headOf(board)))?.cells[place] || [
      "—",
    ];
  const parts = [`${temper.capital(title)}: ${main}${rest ? ` ${rest}` : ""}`];
  if (arm.difference)
    parts.push(
      `${arm.difference_text} points against the baseline${arm.seeds_compared > 1 && arm.p ? `, p ${arm.p.startsWith("<") ? arm.p : `= ${arm.p}`} after Holm` : ""}`,
    );
  if (arm.verdict) parts.push(arm.verdict);
  return `${parts.join("; ")}.`;
}
const headOf = board => board.sections[0].columns[3].head;
const pretty = value => JSON.stringify(value, null, 1).replace(/\n\s+(?=[\d"][^:\n]*,?\n)/g, " ");
