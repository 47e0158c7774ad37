// A run over notes with expected answers: scores, disagreements, and two runs side by side.

import { button, byId, el } from "./dom.mjs";
import { readNotes, refuseProblems } from "./files.mjs";
import { runControls } from "./many.mjs";
import { RULES } from "./matching.mjs";
import { labelOf, showNote } from "./note.mjs";
import { fieldNames, readAnswer, shapeFor, shapes } from "./schema.mjs";
import { disagreements, expectedProblem, score } from "./scores.mjs";
import { Text } from "./text.mjs";

const SHOWN = 50;
const shown = (value) => (value === null ? "–" : value.toFixed(3));
const select = (options, change) => el("select", { change }, ...options.map((name) => el("option", {}, name)));

/** The panel of evaluations. */
export function evaluationPanel(app) {
  const panel = byId("panel-evaluation");
  const runs = []; // Each with its name, fields, notes and digest of what was asked.
  let current = null;
  const model = el("input", { size: 16, placeholder: "the task’s own" });
  const grounding = select(["report", "strict", "off"]);
  const run = runControls(app, panel, {
    title: "Evaluation",
    hint: "Drop a JSON Lines file: the note in `input` or `text`, the expected answer in `output` or `expected`. The scores are those of `python -m gateway evaluate`.",
    read,
    changed,
    choices: ({ choices }) => choices,
  });
  panel.append(el("p", { class: "bar" }, el("label", {}, "Model ", model), el("label", {}, "Grounding ", grounding), "for the next file"));
  const rule = select(RULES, draw);
  const first = select([], draw);
  const second = select([], draw);
  const output = el("div");
  const results = el("div", { hidden: true },
    el("p", { class: "bar" }, el("label", {}, "Rule ", rule), el("label", {}, "Run ", second), el("label", {}, "compared with ", first)), output);
  panel.append(results);

  function read(content, name) {
    const all = shapes(app.task.json_schema);
    const rows = readNotes(content, name).map((row) => {
      if (row.problem) return row;
      const start = row.expected?.[all[0].fields[0].name];
      const problem = expectedProblem(shapeFor(all, start).fields.map((field) => field.name), row.expected);
      return problem ? { line: row.line, problem } : row;
    });
    refuseProblems(rows, name);
    const choices = { grounding: grounding.value, ...(model.value.trim() && { model: model.value.trim() }) };
    current = { name: `${runs.length + 1}: ${name}, ${model.value.trim() || "task’s model"}, ${grounding.value}`, all, fields: fieldNames(all), items: [] };
    return rows.map(({ line, text, expected }, index) => ({ index, line, text, expected, choices, status: "waiting", result: null, error: null }));
  }

  function changed(items, { state }) {
    if (state !== "finished" || !current || runs.at(-1)?.items === items) {
      if (state === "finished") draw();
      return;
    }
    current.items = items;
    runs.push(current);
    for (const list of [first, second]) list.append(el("option", { value: runs.length - 1 }, current.name));
    if (!first.querySelector('[value=""]')) first.prepend(el("option", { value: "" }, "no other run"));
    first.value = runs.length > 1 ? runs.length - 2 : "";
    second.value = runs.length - 1;
    results.hidden = false;
    draw();
  }

  /** The notes of a run as `score` takes them. */
  function notesOf({ all, items }) {
    return items.map((item) => {
      const { fields: given, error } = item.result ? readAnswer(all, item.result.fields) : { fields: null, error: "failed" };
      return { item, expected: item.expected, given, isValid: error === null };
    });
  }

  function draw() {
    const [one, other] = [runs[second.value], runs[first.value]];
    if (!one) return;
    const notes = notesOf(one);
    const before = other && other !== one && same(one, other) ? notesOf(other) : null;
    output.replaceChildren(
      scoreTable(score(one.fields, notes), before && score(one.fields, before), one.fields),
      ...(other && other !== one && !before ? [el("p", {}, "These runs are over other notes, so they are not compared.")] : []),
      ...differing(one.fields, notes, before),
    );
  }

  function same(one, other) {
    const key = ({ items }) => JSON.stringify(items.map(({ text, expected }) => [text, expected]));
    return one.fields.join() === other.fields.join() && key(one) === key(other);
  }

  function scoreTable(after, before, fields) {
    const { [rule.value]: now } = after.rules;
    const then = before?.rules[rule.value];
    const lines = [...fields.map((name) => [labelOf(name), now.fields[name], then?.fields[name]]), ["micro", now.micro, then?.micro], ["macro", now.macro, then?.macro]];
    const heads = ["field", "precision", "recall", "F1", ...(then ? ["F1 before", "difference"] : [])];
    const change = (a, b) => (a === null || b === null ? "–" : `${a - b > 0 ? "+" : ""}${(a - b).toFixed(3)}`);
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores" },
      el("table", { id: "scores" },
        el("caption", {}, `${after.notes} notes, ${after.valid} valid answers, by the rule ${rule.value}`),
        el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...lines.map(([name, { precision, recall, f1 }, old]) => {
          const cells = [precision, recall, f1].map(shown);
          if (old) cells.push(shown(old.f1), change(f1, old.f1));
          return el("tr", {}, el("th", { scope: "row" }, name), ...cells.map((cell) => el("td", { class: "number" }, cell)));
        }))),
      el("p", {}, then ? "Whether a difference is more than the choice of notes: `python -m gateway compare`." : ""));
  }

  function differing(fields, notes, before) {
    const wrong = notes.map((note, index) => ({ note, index, list: disagreements(fields, note) }))
      .filter(({ list, index, note }) => list.length || (before && changedSince(fields, note, before[index])));
    const more = wrong.length > SHOWN ? [el("p", {}, `The first ${SHOWN} of ${wrong.length} are shown.`)] : [];
    return [el("h3", {}, `Disagreements in ${wrong.length} notes`), ...wrong.slice(0, SHOWN).map((one) => disagreement(fields, one, before?.[one.index])), ...more];
  }

  function changedSince(fields, note, old) {
    return fields.some((name) => (note.given?.[name] ?? null) !== (old.given?.[name] ?? null));
  }

  function disagreement(fields, { note, list, index }, old) {
    const { item } = note;
    const text = new Text(item.text);
    const view = el("p", { dir: "auto" });
    const spans = list.flatMap(({ field, expected }) => [
      ...(item.result?.evidence?.[field] ?? []).map((span) => ({ ...span, field })),
      ...(text.find(expected) ? [{ ...text.find(expected), field, match: "exact" }] : []),
    ]);
    showNote(view, text, spans, (name) => fields.indexOf(name));
    const heads = ["field", "kind", "expected", "given", ...(old ? ["given before"] : [])];
    const names = old ? fields.filter((name) => list.some(({ field }) => field === name) || changedSince([name], note, old)) : list.map(({ field }) => field);
    const rows = names.map((name) => {
      const found = list.find(({ field }) => field === name);
      const values = [note.expected[name], note.given?.[name], ...(old ? [old.given?.[name]] : [])];
      return el("tr", {}, el("th", { scope: "row", class: `c${fields.indexOf(name) % 8}` }, labelOf(name)), el("td", {}, found?.kind ?? "right"), ...values.map((value) => el("td", { dir: "auto" }, value ?? "null")));
    });
    return el("details", { class: "disagreement", open: index < 3 },
      el("summary", {}, `Line ${item.line}: ${item.error ? item.error.message || "no answer" : names.map(labelOf).join(", ")}`),
      view,
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Line ${item.line}` },
        el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows))),
      item.result ? button("Open", () => app.open(item), { "aria-label": `Open line ${item.line}` }) : null);
  }

  return {
    isUnsaved: () => runs.some(({ items }) => items.some(({ review }) => review?.isUnsaved)),
    mayLeave: () => true,
    useTask() {
      run.end();
    },
  };
}
