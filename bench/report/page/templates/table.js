// The board as a table: groups of columns, sorting, filters, pages; all of it in the address.
"use strict";
temper.views.table = {
  title: "Table",
  draw(root, board, state) {
    const groups = board.sections.map(section => section.title),
      rows = 100;
    const wanted = groups.includes(state.group) || state.group === "All" ? state.group : groups[0];
    const note = temper.el("p", { class: "note" }),
      holder = temper.el("div", {}),
      count = temper.el("p", { class: "count", role: "status" });
    let { q = "", family = "", verdict = "", sort = "", page = "0" } = state;
    const families = [...new Set(board.arms.map(arm => arm.family).filter(Boolean))].sort();
    const verdicts = [...new Set(board.arms.map(arm => arm.verdict).filter(Boolean))].sort();
    const first = board.sections[0].columns,
      rank = first.find(c => c.head === "rank"),
      name = first.find(c => c.head === "mitigation");
    const own = column => column !== rank && column.head !== "mitigation";
    const shown = wanted === "All" ? board.sections : board.sections.filter(section => section.title === wanted);
    const columns = [rank, name, ...shown.flatMap(section => section.columns.filter(own))].filter(Boolean);

    function matching() {
      const words = q.toLowerCase().split(/\s+/).filter(Boolean);
      return board.arms
        .map((_, place) => place)
        .filter(place => {
          const arm = board.arms[place],
            text = `${arm.label} ${arm.family || ""} ${arm.verdict || ""} ${arm.flags.join(" ")}`.toLowerCase();
          return (
            words.every(word => text.includes(word)) &&
            (!family || arm.family === family) &&
            (!verdict || arm.verdict === verdict)
          );
        });
    }
    function sorted(places) {
      const descending = sort.startsWith("-"),
        column = columns.find(one => one.head === sort.replace(/^-/, "")),
        sign = descending ? -1 : 1;
      if (!column) return places;
      return [...places].sort((a, b) => {
        const [x, y] = [column.cells[a], column.cells[b]],
          [m, n] = [x[2] ?? null, y[2] ?? null];
        if (m !== null && n !== null) return sign * (m - n) || a - b;
        if (m !== null || n !== null) return m === null ? 1 : -1; // unknown stays last either way
        return sign * x[0].localeCompare(y[0]) || a - b;
      });
    }
    function redraw(changes) {
      if (changes) temper.note(changes);
      const places = sorted(matching()),
        pages = Math.max(1, Math.ceil(places.length / rows)),
        at = Math.min(Number(page) || 0, pages - 1);
      count.textContent =
        places.length === board.arms.length
          ? temper.plural(places.length, "mitigation")
          : `${places.length} of ${temper.plural(board.arms.length, "mitigation")}`;
      holder.replaceChildren(
        table(places.slice(at * rows, (at + 1) * rows)),
        temper.pager(at, pages, next => {
          page = String(next);
          redraw({ page: next || null });
        }) || "",
      );
    }
    function head(column) {
      const descending = sort === `-${column.head}`,
        ascending = sort === column.head;
      const turn = () => {
        const number = column.cells.some(cell => (cell[2] ?? null) !== null) && column !== rank;
        sort = (number ? !descending : ascending) ? `-${column.head}` : column.head;
        page = "0";
        redraw({ sort, page: null });
        [...holder.querySelectorAll("thead button")].find(button => button.dataset.head === column.head)?.focus();
      };
      const text = column.head.replace(/, %/g, ",\u00a0%").replace(/ ([↑↓])/g, "\u00a0$1");
      return temper.el(
        "th",
        { scope: "col", class: kind(column), "aria-sort": ascending ? "ascending" : descending ? "descending" : null },
        temper.el("button", { type: "button", "data-head": column.head, on: { click: turn } }, text),
      );
    }
    const kind = column =>
      [column === rank && "rank", column === name && "name", column.words && "words"].filter(Boolean).join(" ") || null;
    function cell(column, place) {
      const [main, rest, value, hint] = column.cells[place],
        arm = board.arms[place];
      if (column === name)
        return temper.el(
          "th",
          { scope: "row", class: "name words" },
          temper.el("a", { href: temper.link({ row: main }), "data-row": main }, main),
        );
      if (column.head === "verdict") return temper.el("td", { class: "words" }, temper.verdict(arm));
      if (column.head === "flags")
        return temper.el(
          "td",
          { class: "words flags" },
          arm.flags.length ? arm.flags.map(flag => temper.el("span", { class: "flag" }, flag)) : "—",
        );
      const unknown = (value ?? null) === null && !column.words;
      return temper.el(
        "td",
        { class: [kind(column), unknown && "unknown"].filter(Boolean).join(" ") || null, title: hint },
        temper.el("span", { class: "main" }, main),
        rest ? temper.el("span", { class: "rest" }, ` ${rest}`) : null,
      );
    }
    const table = places =>
      temper.el(
        "div",
        { class: "wide board", tabindex: "0", role: "region", "aria-label": `${wanted}: ${board.name}` },
        temper.el(
          "table",
          {},
          temper.el("thead", {}, temper.el("tr", {}, columns.map(head))),
          temper.el(
            "tbody",
            {},
            places.length
              ? places.map(place =>
                  temper.el(
                    "tr",
                    { class: board.arms[place].verdict === "baseline" ? "baseline" : null },
                    columns.map(column => cell(column, place)),
                  ),
                )
              : temper.el(
                  "tr",
                  {},
                  temper.el(
                    "td",
                    { colspan: columns.length, class: "words unknown" },
                    "No mitigation matches these filters.",
                  ),
                ),
          ),
        ),
      );

    note.textContent = shown
      .map(section => section.note)
      .filter(Boolean)
      .join(" ");
    temper.put(
      root,
      temper.el("p", { class: "lead" }, board.caption),
      temper.el(
        "div",
        { class: "groups", role: "group", "aria-label": "Columns" },
        [...groups, "All"].map(title =>
          temper.el(
            "button",
            {
              type: "button",
              "aria-pressed": String(title === wanted),
              on: { click: () => temper.go({ group: title === groups[0] ? null : title, sort: null }) },
            },
            title,
          ),
        ),
      ),
      temper.el(
        "div",
        { class: "controls" },
        temper.search("Filter mitigations", q, value => {
          q = value;
          page = "0";
          redraw({ q, page: null });
        }),
        families.length > 1 &&
          temper.select("Family", [["", "all"], ...families.map(one => [one, one])], family, value => {
            family = value;
            page = "0";
            redraw({ family, page: null });
          }),
        verdicts.length > 1 &&
          temper.select("Verdict", [["", "all"], ...verdicts.map(one => [one, one])], verdict, value => {
            verdict = value;
            page = "0";
            redraw({ verdict, page: null });
          }),
        count,
      ),
      holder,
      note,
      temper.el(
        "ul",
        { class: "note" },
        [...board.legend, ...board.remarks].map(remark => temper.el("li", {}, remark)),
      ),
    );
    redraw();
  },
};
const SIGNS = { better: "▲", worse: "▼", "not distinguishable": "≈", baseline: "◆" };
temper.verdict = arm =>
  arm.verdict
    ? temper.el(
        "span",
        { class: `verdict ${["better", "worse", "baseline"].includes(arm.verdict) ? arm.verdict : "even"}` },
        temper.el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[arm.verdict] || "·"),
        arm.verdict,
      )
    : "—";
