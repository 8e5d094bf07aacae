// Elements, data and the address: what every view stands on. Text from records only ever becomes text nodes.
"use strict";
const temper = { views: {}, cache: new Map(), waiting: new Map(), place: document.currentScript.dataset.place };

temper.make = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [type, run] of Object.entries(value)) node.addEventListener(type, run);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3))
    if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
};
temper.el = (tag, attributes, ...children) => temper.make(document.createElement(tag), attributes, children);
temper.put = (node, ...children) => temper.make(node, null, children);
temper.svg = (tag, attributes, ...children) =>
  temper.make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Data files are scripts that call temper.data, because a page opened from disk may not fetch.
const KEPT = 60; // pieces of examples in memory
temper.data = (name, value) => {
  temper.cache.set(name, value);
  const pieces = [...temper.cache.keys()].filter(key => key.includes("-piece-"));
  for (const old of pieces.slice(0, Math.max(0, pieces.length - KEPT))) temper.cache.delete(old);
  temper.waiting.get(name)?.resolve(value);
  temper.waiting.delete(name);
};
temper.load = name => {
  if (temper.cache.has(name)) return Promise.resolve(temper.cache.get(name));
  if (temper.waiting.has(name)) return temper.waiting.get(name).promise;
  const entry = {};
  entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
  temper.waiting.set(name, entry);
  const script = temper.el("script", { src: `${temper.place}/data/${name}.js` });
  script.addEventListener("load", () => script.remove());
  script.addEventListener("error", () => {
    temper.waiting.delete(name);
    script.remove();
    entry.reject(new Error(`'${name}.js' cannot be read. If the report was written again, reload the page.`));
  });
  document.head.append(script);
  return entry.promise;
};

// The address holds the whole state, so every row, chart and example has a link.
temper.read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
temper.link = (changes, from = temper.read()) => {
  const state = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...from, ...changes }))
    if (value !== null && value !== "" && value !== undefined) state.set(key, value);
  return `#${state}`;
};
temper.go = changes => {
  location.hash = temper.link(changes);
};
// changes the address without drawing again: for fields that are being typed into
temper.note = changes => {
  const link = temper.link(changes);
  if (link === location.hash || (link === "#" && !location.hash)) return;
  temper.noted = link;
  location.replace(link);
};
// a link to another view starts fresh but for the board
temper.fresh = changes => temper.link(changes, { board: temper.read().board });

temper.capital = text => text.charAt(0).toUpperCase() + text.slice(1);
temper.plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
temper.number = (value, digits = 3) => {
  if (value === null || value === undefined) return "—";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(digits)));
};
const DIGITS = { share: 1, score: 3, x: 2, gap: 3, tau: 3 };
temper.printed = (value, unit) => {
  if (value === null || value === undefined) return "—";
  const text = (unit === "share" ? 100 * value : value).toFixed(DIGITS[unit] ?? 1);
  return /[1-9]/.test(text) ? text : text.replace("-", "");
};
temper.unit = unit => ({ share: " %", s: " s" })[unit] ?? "";

temper.select = (label, options, value, change) => {
  const list = temper.el(
    "select",
    { on: { change: event => change(event.target.value) } },
    options.map(([key, text]) => temper.el("option", { value: key, selected: key === value }, text)),
  );
  return temper.el("label", { class: "field" }, temper.el("span", {}, label), list);
};
temper.search = (label, value, change) => {
  const box = temper.el("input", {
    type: "search",
    value: value || null,
    placeholder: label,
    "aria-label": label,
    autocomplete: "off",
    spellcheck: "false",
    on: { input: event => change(event.target.value) },
  });
  return temper.el("label", { class: "field search" }, box);
};
temper.pager = (page, pages, go) =>
  pages < 2
    ? null
    : temper.el(
        "nav",
        { class: "pager", "aria-label": "Pages" },
        temper.el("button", { type: "button", disabled: page === 0, on: { click: () => go(page - 1) } }, "← previous"),
        temper.el("span", {}, `page ${page + 1} of ${pages.toLocaleString("en")}`),
        temper.el(
          "button",
          { type: "button", disabled: page >= pages - 1, on: { click: () => go(page + 1) } },
          "next →",
        ),
      );
// a plain table, also the readable twin of a chart
temper.table = (head, rows, caption) =>
  temper.el(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    temper.el(
      "table",
      {},
      temper.el(
        "thead",
        {},
        temper.el(
          "tr",
          {},
          head.map(text => temper.el("th", { scope: "col" }, text)),
        ),
      ),
      temper.el(
        "tbody",
        {},
        rows.map(row =>
          temper.el(
            "tr",
            {},
            row.map((cell, place) => temper.el(place ? "td" : "th", place ? {} : { scope: "row" }, cell)),
          ),
        ),
      ),
    ),
  );
temper.twin = (head, rows, caption) => {
  const box = temper.el("details", { class: "twin" }, temper.el("summary", {}, `${caption} as a table`));
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(temper.table(head, rows(), caption));
  });
  return box;
};
