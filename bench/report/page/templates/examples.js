// The list of attacked texts: search, filters by outcome, pages. Indexes and outcomes are loaded when they are needed.
"use strict";
const OUTCOMES = [
  ["", "any outcome"],
  ["s", "fooled"],
  ["f", "survived"],
  ["k", "wrong before"],
  ["e", "error"],
];
temper.letters = { s: "fooled", f: "survived", k: "wrong before", e: "error" };
temper.index = async (file, cut) => {
  const name = `all-${file}`;
  if (!temper.cache.has(name)) {
    const parts = [];
    for (let k = 0; k < cut.indexes; k++) parts.push(await temper.load(`examples-${file}-index-${k}`));
    const rows = parts.flat();
    temper.cache.set(name, { rows, places: new Map(rows.map((row, place) => [row[0], place])) });
    for (let k = 0; k < cut.indexes; k++) temper.cache.delete(`examples-${file}-index-${k}`);
  }
  return temper.cache.get(name);
};
temper.views.examples = {
  title: "Examples",
  present: board => Boolean(board.examples),
  async draw(root, board, state, _, file) {
    const cut = board.examples,
      index = await temper.index(file, cut);
    if (state.id !== undefined) return temper.example(root, board, state, file, index);
    const size = 50,
      list = temper.el("ol", { class: "examples" }),
      count = temper.el("p", { class: "count", role: "status" }),
      foot = temper.el("div", {});
    let { q = "", attack = "", arm = "", outcome = "", arm2 = "", outcome2 = "", page = "0" } = state,
      turn = 0;
    const arms = [["", "every mitigation"], ...board.arms.map(one => [one.label, one.label])],
      attacks = [["", "every attack"], ...cut.attacks.map(one => [one, one])];

    // place -> whether the text had this outcome on this arm, with any seed, under the chosen attack
    async function had(label, wanted) {
      const place = board.arms.findIndex(one => one.label === label);
      if (place < 0 || !wanted) return null;
      const part = cut.letters.filter(first => first <= place).length - 1,
        letters = await temper.load(`examples-${file}-letters-${part}`),
        number_of = attack ? String(cut.attacks.indexOf(attack)) : null;
      const lines = Object.entries(letters[place] || {})
        .filter(([key]) => number_of === null || key.split("|")[0] === number_of)
        .map(([, line]) => line);
      return at => lines.some(line => line[at] === wanted);
    }
    async function redraw(changes) {
      if (changes) temper.note(changes);
      const own = ++turn,
        tests = (await Promise.all([had(arm, outcome), had(arm2, outcome2)])).filter(Boolean),
        words = q.toLowerCase().split(/\s+/).filter(Boolean);
      if (own !== turn) return;
      const found = [];
      index.rows.forEach((row, at) => {
        if (!tests.every(test => test(at))) return;
        const text = words.length ? `${row[0]} ${row[2]}`.toLowerCase() : "";
        if (words.every(word => text.includes(word))) found.push(at);
      });
      const pages = Math.max(1, Math.ceil(found.length / size)),
        now = Math.min(Number(page) || 0, pages - 1);
      count.textContent =
        found.length === index.rows.length
          ? temper.plural(found.length, "text")
          : `${found.length.toLocaleString("en")} of ${temper.plural(index.rows.length, "text")}`;
      list.replaceChildren(
        ...found.slice(now * size, (now + 1) * size).map(at => {
          const [id, label, text, fooled, all] = index.rows[at],
            share = all ? fooled / all : 0;
          return temper.el(
            "li",
            {},
            temper.el(
              "a",
              { href: temper.link({ id, page: null }) },
              temper.el("span", { class: "text" }, text),
              temper.el(
                "span",
                { class: "meter", title: `fooled in ${fooled} of ${all} attacks` },
                temper.el("span", { class: "bar", style: { width: `${Math.round(100 * share)}%` } }),
              ),
              temper.el("span", { class: "meta" }, `${Math.round(100 * share)} % fooled · label ${label ?? "—"}`),
            ),
          );
        }),
      );
      if (!found.length) list.append(temper.el("li", { class: "empty" }, "No text matches. Loosen a filter."));
      foot.replaceChildren(
        temper.pager(now, pages, next => {
          page = String(next);
          redraw({ page: next || null });
          scrollTo(0, 0);
        }) || "",
      );
    }
    const pick = (key, set) => value => {
      set(value);
      page = "0";
      redraw({ [key]: value, page: null });
    };
    temper.put(
      root,
      temper.el("h2", {}, "Attacked texts"),
      temper.el(
        "p",
        { class: "lead" },
        "Every mitigation is attacked on the same texts. The bar: in how many of all attacks (mitigations, seeds, recipes) the text was changed until the victim was wrong.",
      ),
      temper.el(
        "div",
        { class: "controls" },
        temper.search(
          "Search texts and ids",
          q,
          pick("q", value => {
            q = value;
          }),
        ),
        temper.select(
          "Attack",
          attacks,
          attack,
          pick("attack", value => {
            attack = value;
          }),
        ),
        temper.select(
          "Where",
          arms,
          arm,
          pick("arm", value => {
            arm = value;
          }),
        ),
        temper.select(
          "was",
          OUTCOMES,
          outcome,
          pick("outcome", value => {
            outcome = value;
          }),
        ),
        temper.select(
          "and",
          arms,
          arm2,
          pick("arm2", value => {
            arm2 = value;
          }),
        ),
        temper.select(
          "was",
          OUTCOMES,
          outcome2,
          pick("outcome2", value => {
            outcome2 = value;
          }),
        ),
        count,
      ),
      list,
      foot,
    );
    return redraw();
  },
};
