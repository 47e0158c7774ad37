// One note: extract it, see what each value rests on, correct it, take the result away.

import * as api from "./api.mjs";
import { byId, button, download, el, onFile } from "./dom.mjs";
import { csv, curlCommand } from "./exports.mjs";
import { showComing, showFields } from "./fields.mjs";
import { decode } from "./files.mjs";
import { labelOf, selectedSpan, showNote } from "./note.mjs";
import { Review, confidenceWord, matchOf } from "./review.mjs";
import { SAMPLES } from "./samples.mjs";
import { fieldNames, shapes } from "./schema.mjs";
import { Text } from "./text.mjs";

const MOST_TOKENS = 8192;
export const LOSE = "Your decisions about the values have not been saved. Go on without them?";

/** The panel of one note; `app` has the task and says what is wrong. */
export function notePanel(app) {
  let review = null;
  let item = null; // Of a batch, where the note comes from there.
  let edit = null;
  let picked = null;
  let running = null;
  const note = byId("note");
  const view = byId("note-view");
  const list = byId("fields");

  const mayLeave = () => !review?.isUnsaved || item !== null || confirm(LOSE);

  function setNote(text) {
    note.value = text;
    showInput();
  }

  /** Back to the note as text, without an answer. */
  function showInput() {
    running?.abort();
    [review, item, edit] = [null, null, null];
    for (const [id, isShown] of [["note", 1], ["note-label", 1], ["extract", 1], ["note-view", 0], ["edit", 0], ["export", 0]]) {
      byId(id).hidden = !isShown;
    }
    byId("fields-hint").hidden = false;
    byId("progress").textContent = "";
    byId("warnings").replaceChildren();
    list.replaceChildren();
    app.clear();
  }

  function showAnswer() {
    for (const [id, isShown] of [["note", 0], ["note-label", 0], ["extract", 0], ["note-view", 1], ["edit", 1], ["export", 1]]) {
      byId(id).hidden = !isShown;
    }
    byId("fields-hint").hidden = true;
    const warnings = review.answer.warnings ?? [];
    byId("warnings").replaceChildren(
      ...warnings.map(({ field, detail }) => el("li", {}, field ? `${labelOf(field)}: ${detail}` : detail)),
    );
    draw();
  }

  function draw() {
    const names = review.entries.map(({ name }) => name);
    showNote(view, review.text, review.spans, (name) => names.indexOf(name));
    showFields(list, review, edit, act);
    byId("preview").textContent = exported();
  }

  function act(what, name, value) {
    const before = document.activeElement?.closest?.(".field")?.dataset.field;
    if (what === "show") return view.querySelector(`[data-fields~="${name}"]`)?.focus();
    if (what === "edit") [edit, picked] = [name, null];
    else if (what === "correct") {
      review.correct(name, value, picked?.text === value ? picked : null);
      edit = null;
    } else review[what](name);
    draw();
    const target = list.querySelector(`[data-field="${name ?? before}"]`);
    (edit ? target?.querySelector("input, select") : target?.querySelector(`[data-act="${what}"], [data-act]`))?.focus();
  }

  async function extract(choices = {}) {
    const task = app.task;
    note.value = note.value.toWellFormed();
    if (!task || !note.value.trim()) {
      byId("progress").textContent = task ? "Paste a note first." : "";
      return note.focus();
    }
    app.clear();
    running?.abort();
    const own = (running = new AbortController());
    const text = new Text(note.value);
    const coming = {};
    busy(true);
    try {
      const onField = (name, value) => {
        coming[name] = value;
        byId("fields-hint").hidden = true;
        showComing(list, coming);
      };
      const names = fieldNames(shapes(task.json_schema));
      const answer = app.isDefault
        ? await api.extractStream(names, text.string, choices, onField, own.signal)
        : await api.extract(task, text.string, choices, own.signal);
      if (own.signal.aborted) return;
      review = new Review(task, text, answer);
      byId("progress").textContent = `Done: ${review.entries.filter(({ value }) => value !== null).length} values.`;
      showAnswer();
    } catch (error) {
      if (own.signal.aborted) return;
      list.replaceChildren();
      byId("progress").textContent = "";
      const room = Math.min(2 * (choices.max_tokens ?? task.max_tokens), MOST_TOKENS);
      const longer = error.status === 502 && button("Allow a longer answer", () => extract({ max_tokens: room }));
      app.report(error, () => extract(choices), longer);
    } finally {
      if (running === own) busy(false);
    }
  }

  function busy(isBusy) {
    byId("extract").disabled = isBusy;
    byId("stop").hidden = !isBusy;
    if (isBusy) byId("progress").textContent = "Extracting …";
  }

  function exported() {
    const form = byId("form").value;
    if (form === "json") return `${JSON.stringify(review.document, null, 2)}\n`;
    if (form === "jsonl") return review.training;
    if (form === "sh") return curlCommand(location.href.replace(/[?#].*|[^/]*$/gu, ""), api.pathOf(review.task), review.text.string);
    const rows = review.entries.map((entry) => [
      entry.name, entry.value, confidenceWord(entry.confidence), matchOf(entry), entry.decision,
      entry.evidence.map(({ text }) => text).join(" | "),
    ]);
    return csv([["field", "value", "confidence", "evidence", "decision", "words"], ...rows]);
  }

  /** Returns whether the result may leave in its form; a training line has to be whole. */
  function take(words) {
    const lacking = byId("form").value === "jsonl" ? review.lacking : [];
    byId("copied").textContent = lacking.length ? `These fields need a value first: ${lacking.join(", ")}` : words;
    if (!lacking.length && byId("form").value !== "sh") review.isUnsaved = false;
    return !lacking.length;
  }

  function light(element) {
    const names = element.closest("mark")?.dataset.fields.split(" ") ?? [element.closest(".field")?.dataset.field];
    for (const one of view.querySelectorAll("mark")) {
      one.classList.toggle("lit", one.dataset.fields.split(" ").some((name) => names.includes(name)));
    }
    for (const one of list.children) one.classList.toggle("lit", names.includes(one.dataset.field));
  }

  for (const place of [view, list]) {
    for (const event of ["mouseover", "focusin"]) place.addEventListener(event, ({ target }) => light(target));
    for (const event of ["mouseleave", "focusout"]) place.addEventListener(event, () => light(document.body));
  }
  const follow = ({ target }) => {
    const name = target.closest("mark")?.dataset.fields.split(" ")[0];
    if (name && !edit) list.querySelector(`[data-field="${name}"]`)?.focus();
  };
  view.addEventListener("click", (event) => getSelection().isCollapsed && follow(event));
  view.addEventListener("keydown", (event) => event.key === "Enter" && follow(event));
  document.addEventListener("selectionchange", () => {
    const span = edit && selectedSpan(view, review.text);
    const input = span && list.querySelector("form input");
    if (input) [picked, input.value] = [span, span.text];
  });
  byId("extract").addEventListener("click", () => extract());
  byId("stop").addEventListener("click", () => {
    running.abort();
    byId("progress").textContent = "Stopped.";
    list.replaceChildren();
    busy(false);
  });
  byId("edit").addEventListener("click", () => {
    if (!mayLeave()) return;
    setNote(review.text.string);
    note.focus();
  });
  note.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && extract());
  byId("sample").addEventListener("change", ({ target }) => {
    const text = SAMPLES[app.task?.name]?.[target.value]?.[1];
    if (text && mayLeave()) setNote(text);
    target.value = "";
  });
  byId("form").addEventListener("change", () => (byId("preview").textContent = exported()));
  byId("copy").addEventListener("click", async () => {
    if (!take("")) return;
    const isCopied = await navigator.clipboard?.writeText(exported()).then(() => true, () => false);
    if (!isCopied) getSelection().selectAllChildren(byId("preview"));
    byId("copied").textContent = isCopied ? "Copied." : "The browser does not let pages copy here: press Ctrl+C.";
  });
  byId("save").addEventListener("click", () => take("Saved.") && download(`extraction.${byId("form").value}`, exported()));
  onFile(byId("panel-note"), byId("note-file"), (bytes, name) => {
    try {
      const text = decode(bytes, name);
      if (mayLeave()) setNote(text);
    } catch (error) {
      app.report(error);
    }
  });

  return {
    mayLeave,
    isUnsaved: () => Boolean(review?.isUnsaved),
    /** Shows the item of a batch with its answer; what is decided stays with the item. */
    open(opened) {
      if (!mayLeave()) return;
      setNote(opened.text);
      item = opened;
      review = item.review ??= new Review(item.task, new Text(item.text), item.result);
      showAnswer();
    },
    useTask() {
      const samples = SAMPLES[app.task.name] ?? [];
      const options = samples.map(([name], index) => el("option", { value: index }, name));
      byId("sample").replaceChildren(el("option", { value: "" }, samples.length ? "choose …" : "none"), ...options);
      showInput();
    },
  };
}
