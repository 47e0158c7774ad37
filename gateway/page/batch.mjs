// Many notes at once: sorted, filtered, opened one by one, downloaded.

import { button, byId, download, el } from "./dom.mjs";
import { csv } from "./exports.mjs";
import { readNotes } from "./files.mjs";
import { LOSE } from "./extraction.mjs";
import { runControls } from "./many.mjs";
import { Review, confidenceWord, matchOf } from "./review.mjs";
import { fieldNames, shapes } from "./schema.mjs";
import { Text } from "./text.mjs";

const SHOWN = 200;
const FILTERS = {
  all: () => true,
  failed: ({ status }) => status === "failed",
  "low confidence": (item) => confidenceWord(lowest(item)) === "low",
  "missing evidence": (item) => missing(item) > 0,
  reviewed: (item) => Boolean(item.review?.isChanged),
};
const SORTS = {
  "the file": () => 0,
  confidence: (a, b) => (lowest(a) ?? 2) - (lowest(b) ?? 2),
  "missing evidence": (a, b) => missing(b) - missing(a),
  status: (a, b) => b.status.localeCompare(a.status),
};

const entries = (item) => reviewOf(item)?.entries ?? [];
const missing = (item) => entries(item).filter((entry) => matchOf(entry) === "missing").length;

function reviewOf(item) {
  if (!item.result) return null;
  return (item.review ??= new Review(item.task, new Text(item.text), item.result));
}

function lowest(item) {
  const known = entries(item).filter(({ value, confidence }) => value !== null && confidence !== null);
  return known.length ? Math.min(...known.map(({ confidence }) => confidence)) : null;
}

/** The panel of many notes. */
export function batchPanel(app) {
  const panel = byId("panel-batch");
  let items = [];
  const run = runControls(app, panel, {
    title: "Many notes",
    hint: "Drop a file: JSON Lines with `text` and perhaps `id` on each line, or CSV with a column `text`.",
    read: (content, name) => {
      if (!mayLeave()) return null;
      return readNotes(content, name).map((row, index) => ({
        index, id: row.id ?? null, text: row.text ?? "", result: null,
        status: row.problem ? "failed" : "waiting",
        error: row.problem ? { status: 422, message: `line ${row.line} ${row.problem}` } : null,
      }));
    },
    changed: (now) => {
      items = now;
      draw();
    },
  });
  const choose = (label, options) => {
    const select = el("select", { change: () => draw() }, ...Object.keys(options).map((name) => el("option", {}, name)));
    return [select, el("label", {}, `${label} `, select)];
  };
  const [filter, filterLabel] = choose("Show", FILTERS);
  const [sort, sortLabel] = choose("Sort by", SORTS);
  const body = el("tbody");
  const head = ["note", "status", "lowest confidence", "missing evidence", "values", ""];
  const more = el("p", {});
  const results = el(
    "div",
    { hidden: true },
    el("p", { class: "bar" }, filterLabel, sortLabel,
      button("Download JSONL", () => save("results.jsonl", jsonLines)), button("Download CSV", () => save("results.csv", table)),
      button("Download the reviewed notes for training", () => save("training.jsonl", training))),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Results" },
      el("table", {}, el("caption", {}, "Results"), el("thead", {}, el("tr", {}, ...head.map((name) => el(name ? "th" : "td", name ? { scope: "col" } : {}, name)))), body)),
    more,
  );
  panel.append(results);

  const isUnsaved = () => items.some(({ review }) => review?.isUnsaved);
  const mayLeave = () => !isUnsaved() || confirm(LOSE);

  function save(name, content) {
    download(name, content());
    for (const { review } of items) if (review) review.isUnsaved = false;
  }

  function jsonLines() {
    return items
      .filter(({ status }) => status === "done" || status === "failed")
      .map(({ index, id, result, review, error }) => {
        const outcome = result ? { status: 200, result: review?.document ?? result } : { status: error.status, error: { detail: error.message } };
        return `${JSON.stringify({ index, id, ...outcome })}\n`;
      })
      .join("");
  }

  function table() {
    const names = items.length ? fieldNames(shapes(items[0].task.json_schema)) : [];
    const rows = items.map((item) => {
      const values = reviewOf(item)?.values ?? {};
      return [item.id ?? item.index, item.status, confidenceWord(lowest(item)), missing(item), item.error?.message, ...names.map((name) => values[name])];
    });
    return csv([["id", "status", "lowest confidence", "missing evidence", "error", ...names], ...rows]);
  }

  function training() {
    const whole = items.filter(({ review }) => review?.isChanged && !review.lacking.length);
    return whole.map(({ review }) => review.training).join("");
  }

  function draw() {
    results.hidden = !items.length;
    const shown = items.filter(FILTERS[filter.value]).sort(SORTS[sort.value]);
    body.replaceChildren(...shown.slice(0, SHOWN).map(row));
    more.textContent = shown.length > SHOWN ? `The first ${SHOWN} of ${shown.length} are shown; the downloads have all.` : "";
  }

  function row(item) {
    const values = entries(item).filter(({ value }) => value !== null).map(({ value }) => value).join(" · ");
    const name = String(item.id ?? `note ${item.index + 1}`);
    const open = item.result ? button("Open", () => app.open(item), { "aria-label": `Open ${name}` }) : "";
    const cells = [item.status, item.result ? confidenceWord(lowest(item)) : "", item.result ? missing(item) : "", item.error?.message ?? values, open];
    return el("tr", { "data-status": item.status }, el("th", { scope: "row" }, name), ...cells.map((cell) => el("td", {}, cell)));
  }

  return {
    isUnsaved,
    mayLeave,
    useTask() {
      run.end();
      if (items.length) run.load([]);
    },
  };
}
