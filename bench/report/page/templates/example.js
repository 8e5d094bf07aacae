// One text: what each attack made of it on each mitigation, the changed words marked, with attributions where stored.
"use strict";
const LONGEST = 1e6; // cells of the comparison; of longer texts only the common start and end are found
const PIECES = /[\p{L}\p{N}'’_-]+\s*|[^\p{L}\p{N}\s]\s*|\s+/gu; // words and signs, each with the space behind it
// [[kind, text], ...] that turn one text into the other: "same", "del" or "ins", neighbours of a kind joined
temper.marked = (before, after) => {
  const [a, b] = [before, after].map(text => text.match(PIECES) || []),
    same = (i, j) => a[i].trim() === b[j].trim();
  const found = [];
  const add = (kind, text) => {
    const last = found.at(-1);
    if (last && last[0] === kind) last[1] += text;
    else found.push([kind, text]);
  };
  let start = 0,
    end = 0;
  while (start < a.length && start < b.length && same(start, start)) start++;
  while (end < a.length - start && end < b.length - start && same(a.length - 1 - end, b.length - 1 - end)) end++;
  const n = a.length - start - end,
    m = b.length - start - end,
    known = n * m <= LONGEST;
  const best = known ? Array.from({ length: n + 1 }, () => new Uint16Array(m + 1)) : null;
  for (let i = n - 1; known && i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      best[i][j] = same(start + i, start + j) ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  for (let k = 0; k < start; k++) add("same", b[k]);
  let i = 0,
    j = 0;
  while (i < n || j < m) {
    if (known && i < n && j < m && same(start + i, start + j)) {
      add("same", b[start + j]);
      i++;
      j++;
    } else if (i < n && (j >= m || !known || best[i + 1][j] >= best[i][j + 1])) add("del", a[start + i++]);
    else add("ins", b[start + j++]);
  }
  for (let k = b.length - end; k < b.length; k++) add("same", b[k]);
  return found;
};
const shown = marked =>
  marked.map(([kind, text]) => {
    const bare = text.trimEnd();
    return kind === "same" ? text : [temper.el(kind, {}, bare), text.slice(bare.length) || (kind === "del" ? " " : "")];
  });

// rows [arm, seed, attack or explainer, cell, ...] of a text's columns, by seed and name as their records have them
const rowsOf = (runs, blocks, names) =>
  blocks
    .flatMap(([block, ...columns]) => {
      const [arms, seeds, which] = runs[block];
      return arms.map((arm, k) => [
        arm,
        seeds[k],
        which[k],
        ...columns.map(column => (Array.isArray(column) ? column[k] : column)),
      ]);
    })
    .sort(([, s, a], [, t, b]) => s - t || (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : 0));
// a number to so many digits, a whole one as it is; what is none is unknown
const rounded = (value, digits) =>
  typeof value !== "number" ? null : Number.isInteger(value) ? value : Number(value.toPrecision(digits));

temper.example = async (root, board, state, file, index) => {
  const cut = board.examples,
    place = index.places.get(state.id),
    back = temper.link({ id: null });
  if (place === undefined) {
    temper.put(
      root,
      temper.el("p", { class: "empty" }, "This board has no such text. ", temper.el("a", { href: back }, "All texts")),
    );
    return;
  }
  const piece = await temper.load(`examples-${file}-piece-${Math.floor(place / cut.per_piece)}`),
    example = piece.texts[place % cut.per_piece];
  const attack = cut.attacks.includes(state.attack) ? state.attack : cut.attacks[0],
    which = cut.attacks.indexOf(attack);
  const step = (to, text) =>
    to >= 0 && to < index.rows.length
      ? temper.el("a", { href: temper.link({ id: index.rows[to][0], page: null }) }, text)
      : temper.el("span", { class: "unknown" }, text);
  temper.put(
    root,
    temper.el(
      "nav",
      { class: "trail", "aria-label": "Examples" },
      temper.el("a", { href: back }, "↑ all texts"),
      step(place - 1, "← previous"),
      step(place + 1, "next →"),
      temper.el(
        "span",
        { class: "note" },
        `${(place + 1).toLocaleString("en")} of ${index.rows.length.toLocaleString("en")} · label ${example.label ?? "—"} · `,
        temper.el("code", {}, example.id),
      ),
    ),
    temper.el("h2", { class: "visually-hidden" }, `Text ${place + 1}`),
    temper.el("blockquote", { class: "original" }, example.text),
    temper.el(
      "div",
      { class: "groups", role: "group", "aria-label": "Attack" },
      cut.attacks.map(one =>
        temper.el(
          "button",
          {
            type: "button",
            "aria-pressed": String(one === attack),
            on: { click: () => temper.go({ attack: one, page: null }) },
          },
          one.replace(":", ", "),
        ),
      ),
    ),
  );
  // one letter a run
  const letters = example.o.map(([block, line, ...columns]) => [block, [...line], ...columns]),
    rows = rowsOf(piece.runs, letters, cut.attacks).filter(row => row[2] === which),
    explained = [example.x, example.a].map(blocks => rowsOf(piece.runs, blocks, cut.explainers)),
    arms = board.arms.map((_, arm) => arm).filter(arm => rows.some(row => row[0] === arm));
  const size = 25,
    pages = Math.max(1, Math.ceil(arms.length / size)),
    now = Math.min(Number(state.page) || 0, pages - 1);
  const fooled = arms.filter(arm => rows.some(row => row[0] === arm && row[3] === "s")).length;
  temper.put(
    root,
    temper.el(
      "p",
      { class: "count" },
      `${fooled} of ${temper.plural(arms.length, "mitigation")} fooled with at least one seed`,
    ),
    arms.slice(now * size, (now + 1) * size).map(arm =>
      temper.el(
        "section",
        { class: state.arm === board.arms[arm].label ? "victim named" : "victim" },
        temper.el(
          "h3",
          {},
          temper.el(
            "a",
            { href: temper.link({ view: null, id: null, attack: null, row: board.arms[arm].label }) },
            board.arms[arm].label,
          ),
        ),
        outcomes(
          example,
          rows.filter(row => row[0] === arm),
        ),
        explanations(cut, example, explained, arm),
      ),
    ),
    temper.pager(now, pages, next => temper.go({ page: next || null })) || "",
  );
};
// seeds that ended at the same adversarial text are shown once
function outcomes(example, rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = `${row[3]}|${row[4]}`;
    groups.set(key, [...(groups.get(key) || []), row]);
  }
  return [...groups.values()].map(same => {
    const [, , , letter, version, , , , , , error] = same[0],
      perturbed = version === null ? null : example.versions[version];
    const cost = row => {
      const [before, after, queries, words, changed] = row.slice(5, 10).map(value => rounded(value, 4));
      return `seed ${row[1]}: p(label) ${temper.number(before, 2)}${after === null ? "" : ` → ${temper.number(after, 2)}`}, ${queries === null ? "— queries" : temper.plural(queries, "query", "queries")}${changed === null ? "" : `, ${changed} of ${temper.plural(words, "word")} changed`}`;
    };
    return temper.el(
      "div",
      { class: `outcome ${letter}` },
      temper.el(
        "p",
        { class: "state" },
        temper.el("span", { class: "badge" }, temper.letters[letter]),
        temper.el("span", { class: "meta" }, same.map(cost).join(" · ")),
      ),
      perturbed === null ? null : temper.el("p", { class: "changed" }, shown(temper.marked(example.text, perturbed))),
      error ? temper.el("p", { class: "note" }, error) : null,
    );
  });
}
function explanations(cut, example, explained, arm) {
  const [scores, strips] = explained.map(rows => rows.filter(row => row[0] === arm));
  if (!scores.length && !strips.length) return null;
  const lines = cut.explainers
    .map((name, which) => [name, scores.filter(row => row[2] === which)])
    .filter(([, found]) => found.length);
  return temper.el(
    "details",
    { class: "twin", open: strips.length > 0 },
    temper.el("summary", {}, strips.length ? "Attributions" : "Faithfulness of the explanations"),
    strips.map(([, seed, which, version, words, values]) =>
      strip(
        `${cut.explainers[which]}, seed ${seed}${version === "clean" ? "" : `, ${version}`}`,
        example.words[words],
        values.map(value => rounded(value, 3)),
      ),
    ),
    lines.length
      ? temper.table(
          ["explainer", "dNAOPC by seed", "drift tau-b by seed"],
          lines.map(([name, found]) => [
            name,
            found.map(row => temper.number(row[3])).join(", "),
            found.map(row => temper.number(row[4])).join(", "),
          ]),
          "Explanation scores",
        )
      : null,
  );
}
// blue supports the explained class, orange speaks against it; the bar's side says the same without colour
function strip(name, tokens, values) {
  const most = Math.max(...values.map(value => Math.abs(value ?? 0)), 1e-12);
  return temper.el(
    "p",
    { class: "strip" },
    temper.el("span", { class: "meta" }, name, " "),
    tokens.map((token, k) => [
      temper.el(
        "span",
        {
          class: (values[k] ?? 0) >= 0 ? "token up" : "token down",
          style: { "--share": Math.abs(values[k] ?? 0) / most },
          title: temper.number(values[k]),
        },
        token,
      ),
      " ",
    ]),
  );
}
