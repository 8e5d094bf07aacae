// Failures and provenance: what went wrong and where every number comes from.
"use strict";
temper.views.runs = {
  title: "Runs",
  part: "runs",
  draw(root, board, state, data) {
    const bad = data.rows.filter(
      row =>
        row.status !== "ok" ||
        row.problems.some(([, status]) => status === "failed") ||
        row.errors.length ||
        (row.summary.health && row.summary.health !== "healthy"),
    );
    temper.put(root, temper.el("h2", {}, "Failures"));
    temper.put(
      root,
      bad.length
        ? temper.el(
            "ul",
            { class: "failures" },
            bad.map(row =>
              temper.el(
                "li",
                {},
                temper.el("a", { href: temper.link({ row: board.arms[row.arm].label }) }, board.arms[row.arm].label),
                ` seed ${row.seed}`,
                temper.el(
                  "ul",
                  {},
                  [
                    row.status !== "ok" ? `failed: ${row.reason}` : null,
                    row.summary.health && row.summary.health !== "healthy"
                      ? `${row.summary.health}${row.summary.health_reason ? `: ${row.summary.health_reason}` : ""}`
                      : null,
                    ...row.problems
                      .filter(([, status]) => status === "failed")
                      .map(([stage, , reason]) => `${stage}: ${reason}`),
                    ...row.errors.map(
                      ([attack, error, n]) => `${attack}: no verdict on ${temper.plural(n, "text")}: ${error}`,
                    ),
                  ]
                    .filter(Boolean)
                    .map(text => temper.el("li", {}, text)),
                ),
              ),
            ),
          )
        : temper.el(
            "p",
            { class: "good" },
            `None: all ${temper.plural(data.rows.length, "run")} ended and are healthy, and every attack gave a verdict.`,
          ),
    );
    const skipped = new Map();
    for (const row of data.rows)
      for (const [stage, status, reason] of row.problems)
        if (status !== "failed") {
          const key = `${stage}: ${reason}`;
          skipped.set(key, (skipped.get(key) || 0) + 1);
        }
    if (skipped.size)
      temper.put(
        root,
        temper.el("h3", {}, "Not applicable"),
        temper.el(
          "ul",
          { class: "note" },
          [...skipped].map(([text, n]) => temper.el("li", {}, `${text} (${temper.plural(n, "run")})`)),
        ),
      );

    temper.put(
      root,
      temper.el("h2", {}, "Provenance"),
      temper.el(
        "p",
        { class: "lead" },
        "What the records of a board share; a record that differs in any of these stands on another board.",
      ),
      temper.tree(data.fingerprint),
    );
    data.environments.forEach((environment, which) =>
      temper.put(
        root,
        temper.el("h3", {}, data.environments.length > 1 ? `Environment ${which + 1}` : "Environment"),
        temper.el(
          "p",
          { class: "note" },
          temper.plural(data.rows.filter(row => row.environment === which).length, "run"),
        ),
        temper.tree(environment),
      ),
    );
    const holder = temper.el("div", {}),
      size = 100,
      pages = Math.max(1, Math.ceil(data.rows.length / size));
    const draw = page =>
      holder.replaceChildren(
        temper.table(
          ["record", "mitigation", "seed", "status", "health", "seconds", "made (UTC)", "environment"],
          data.rows
            .slice(page * size, (page + 1) * size)
            .map(row => [
              temper.el("code", {}, row.id),
              board.arms[row.arm].label,
              String(row.seed),
              row.status,
              row.summary.health || "—",
              temper.number(row.seconds),
              row.created.replace(/\.\d+/, "").replace("T", " ").replace("+00:00", ""),
              String(row.environment + 1),
            ]),
          "Records",
        ),
        temper.pager(page, pages, draw) || "",
      );
    temper.put(
      root,
      temper.el("h3", {}, "Records"),
      temper.el("p", { class: "note" }, "Each is records/<name>.json in the results folder."),
      holder,
    );
    draw(0);
  },
};
// nested facts as a list of pairs
temper.tree = value =>
  temper.el(
    "dl",
    { class: "facts tree" },
    Object.entries(value).map(([key, one]) =>
      temper.el(
        "div",
        {},
        temper.el("dt", {}, key),
        temper.el(
          "dd",
          {},
          one !== null && typeof one === "object"
            ? Object.entries(one).map(([k, v]) =>
                temper.el(
                  "span",
                  { class: "pair-of" },
                  `${k} `,
                  temper.el("b", {}, typeof v === "object" ? JSON.stringify(v) : String(v)),
                ),
              )
            : String(one),
        ),
      ),
    ),
  );
