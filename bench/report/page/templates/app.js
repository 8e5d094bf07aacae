// The frame: which board, which view, light or dark; draws again when the address changes.
"use strict";
temper.views.boards = {
  title: "Boards",
  draw(root, manifest, state) {
    const size = 100,
      holder = temper.el("div", {});
    let { q = "", page = "0" } = state;
    const draw = changes => {
      if (changes) temper.note(changes);
      const words = q.toLowerCase().split(/\s+/),
        found = manifest.boards.filter(board => words.every(word => board.name.toLowerCase().includes(word))),
        pages = Math.max(1, Math.ceil(found.length / size)),
        now = Math.min(Number(page) || 0, pages - 1);
      holder.replaceChildren(
        temper.table(
          ["board", "mitigations", "runs", "best", "value", "better", "worse", "failed runs"],
          found
            .slice(now * size, (now + 1) * size)
            .map(board => [
              temper.el("a", { href: `#${new URLSearchParams({ board: board.key })}` }, board.name),
              String(board.arms),
              String(board.runs),
              board.best || "—",
              board.value ? `${board.score}: ${board.value}` : "—",
              String(board.better),
              String(board.worse),
              String(board.failed),
            ]),
          "Boards",
        ),
        temper.pager(now, pages, next => {
          page = String(next);
          draw({ page: next || null });
        }) || "",
      );
    };
    temper.put(
      root,
      temper.el("h2", {}, "Boards"),
      temper.el(
        "p",
        { class: "lead" },
        "Arms that share data, sizes and attacks stand on one board; what does not share them is never averaged in.",
      ),
    );
    if (manifest.boards.length > 10)
      temper.put(
        root,
        temper.el(
          "div",
          { class: "controls" },
          temper.search("Filter boards", q, value => {
            q = value;
            page = "0";
            draw({ q, page: null });
          }),
        ),
      );
    temper.put(root, holder);
    for (const section of manifest.labels)
      temper.put(
        root,
        temper.el("h3", {}, section.title),
        temper.table(
          section.columns.map(column => column.head),
          section.columns[0].cells.map((_, row) =>
            section.columns.map(column => column.cells[row].slice(0, 2).filter(Boolean).join(" ")),
          ),
          section.title,
        ),
        temper.el("p", { class: "note" }, section.note),
      );
    draw();
  },
};
const ORDER = ["table", "forest", "pareto", "budget", "health", "reliability", "transfer", "history", "examples", "runs"];
const offered = board =>
  ORDER.filter(name => {
    const view = temper.views[name];
    return view.present ? view.present(board) : !view.part || board.parts.includes(view.part);
  });

let turn = 0,
  drawn = "";
temper.draw = async () => {
  const own = ++turn,
    state = temper.read(),
    root = document.getElementById("content"),
    page = temper.el("div", {});
  temper.resized = null;
  temper.tip(null);
  try {
    const manifest = await temper.load("manifest"),
      found = manifest.boards.findIndex(board => board.key === state.board),
      number = found >= 0 ? found : state.board ? -1 : 0;
    if (!manifest.boards.length)
      page.append(
        temper.el(
          "p",
          { class: "empty" },
          "No records yet: ",
          temper.el("code", {}, "temper run --tier smoke"),
          " makes the first ones.",
        ),
      );
    else if (number < 0)
      page.append(
        temper.el("p", { class: "empty" }, "This report has no such board. ", temper.el("a", { href: "#" }, "Start")),
      );
    const several = manifest.boards.length > 1,
      list = several && (state.view === "boards" || (!state.board && !state.view));
    const entry = number >= 0 && !list ? manifest.boards[number] : null,
      file = entry?.file,
      board = entry ? await temper.load(`board-${file}`) : null;
    if (own !== turn) return;
    if (entry?.history && !board.parts.includes("history")) board.parts.push("history");
    const name = list ? "boards" : board && offered(board).includes(state.view) ? state.view : "table",
      key = `${number} ${name}`;
    root.setAttribute("aria-busy", "true");
    chrome(manifest, board, number, name);
    if (list) temper.views.boards.draw(page, manifest, state);
    // charts measure the room they have, so the page is put in before it is filled
    root.replaceChildren(page);
    if (board) {
      const view = temper.views[name],
        data = view.part ? await temper.load(`${view.part}-${file}`) : null;
      if (own !== turn) return;
      document.title = `${view.title} · ${board.name} · TemperBench`;
      await view.draw(page, board, state, data, file);
      if (own === turn && state.row !== undefined) await temper.card(file, board, state.row);
      else if (state.row === undefined) document.querySelector("dialog.card")?.close();
    }
    if (drawn && drawn !== key) {
      root.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    drawn = key;
  } catch (error) {
    page.append(temper.el("p", { class: "warning" }, error.message));
    root.replaceChildren(page);
  }
  root.removeAttribute("aria-busy");
};
function chrome(manifest, board, number, name) {
  const boards = document.getElementById("boards");
  boards.replaceChildren(
    ...(manifest.boards.length > 1
      ? [
          temper.el(
            "a",
            { href: "#view=boards", "aria-current": name === "boards" ? "page" : null },
            temper.plural(manifest.boards.length, "board"),
          ),
          board ? temper.el("span", {}, board.name) : "",
        ]
      : [temper.el("span", {}, board ? board.name : "")]),
  );
  document.getElementById("views").replaceChildren(
    ...(board
      ? offered(board).map(one =>
          temper.el(
            "a",
            {
              href: `#${new URLSearchParams({ board: manifest.boards[number].key, view: one })}`,
              "aria-current": one === name ? "page" : null,
            },
            temper.views[one].title,
          ),
        )
      : []),
  );
  document.querySelector("#views [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
}

// the choice of light or dark is kept where the browser lets a page from disk keep anything
const THEMES = ["auto", "light", "dark"],
  kept = {
    get: () => {
      try {
        return localStorage.getItem("temper-theme");
      } catch {
        return null;
      }
    },
    set: value => {
      try {
        localStorage.setItem("temper-theme", value);
      } catch {
        /* for this visit only */
      }
    },
  };
temper.theme = name => {
  const theme = THEMES.includes(name) ? name : "auto",
    button = document.getElementById("theme");
  document.documentElement.dataset.theme = theme;
  button.textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme];
  button.setAttribute("aria-label", `Theme: ${theme}. Change`);
};
document.getElementById("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % 3];
  kept.set(next);
  temper.theme(next);
});
temper.theme(kept.get());
addEventListener("hashchange", () => {
  if (temper.noted === location.hash) {
    temper.noted = null;
    return;
  }
  if (location.hash === "#content") return;
  temper.noted = null;
  temper.draw();
});
let timer = 0,
  wide = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === wide) return;
  wide = innerWidth;
  clearTimeout(timer);
  timer = setTimeout(() => temper.resized?.(), 120);
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape") temper.tip(null);
});
temper.draw();
