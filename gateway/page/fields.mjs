// The fields of an answer, each with what it rests on and with what a person decides about it.

import { button, el } from "./dom.mjs";
import { labelOf } from "./note.mjs";
import { confidenceWord, matchOf } from "./review.mjs";

const MATCHES = { exact: "exact", normalized: "normalised", fuzzy: "fuzzy: look twice", missing: "no evidence in the note" };

/** Fields that come one by one, before there is evidence. */
export function showComing(list, values) {
  list.replaceChildren(...Object.entries(values).map(([name, value], index) => card({ name, value }, index)));
}

/** The fields of a review; `edit` is the field that is being corrected, and `act(what, name, ...)` what a person does. */
export function showFields(list, review, edit, act) {
  const cards = review.entries.map((entry, index) =>
    card(entry, index, facts(entry), entry.name === edit ? editor(entry, act) : decisions(entry, act)),
  );
  list.replaceChildren(...cards);
}

function card({ name, value, description }, index, ...more) {
  const shown = value ?? "not stated";
  return el(
    "li",
    { class: `field c${index % 8}`, "data-field": name, tabindex: -1 },
    el("h3", { title: description || null }, labelOf(name)),
    el("p", { class: value === null ? "value none" : "value", dir: "auto" }, shown),
    ...more,
  );
}

function facts(entry) {
  const match = matchOf(entry);
  const word = confidenceWord(entry.confidence);
  const parts = [];
  if (match) parts.push(el("span", { class: match === "missing" ? match : "" }, `evidence: ${MATCHES[match]}`), " · ");
  parts.push(el("span", { class: word === "low" ? word : "" }, `confidence: ${word}`));
  if (entry.decision) parts.push(" · ", el("span", { class: "decision" }, entry.decision));
  return el("p", { class: "facts" }, ...parts);
}

function decisions({ name, decision, evidence }, act) {
  const label = labelOf(name);
  const toggle = (text, done, what) =>
    button(text, () => act(decision === done ? "reset" : what, name), {
      "aria-pressed": String(decision === done),
      "aria-label": `${text} ${label}`,
      "data-act": what,
    });
  return el(
    "p",
    { class: "bar" },
    toggle("Accept", "accepted", "accept"),
    toggle("Reject", "rejected", "reject"),
    button("Correct", () => act("edit", name), { "aria-label": `Correct ${label}`, "data-act": "edit" }),
    evidence.length ? button("Show", () => act("show", name), { "aria-label": `Show ${label} in the note` }) : null,
  );
}

function editor({ name, value, choices, maxLength }, act) {
  const label = `Correct ${labelOf(name)}: select words in the note, or type`;
  const option = (choice) => el("option", { value: choice, selected: choice === value }, choice || "not stated");
  const input = choices.length
    ? el("select", { "aria-label": label }, ...["", ...choices].map(option))
    : el("input", { value: value ?? "", maxlength: maxLength, "aria-label": label, placeholder: "select words, or type" });
  return el(
    "form",
    {
      submit: (event) => {
        event.preventDefault();
        act("correct", name, input.value.trim());
      },
      keydown: (event) => event.key === "Escape" && act("edit", null),
    },
    input,
    el("button", { class: "primary" }, "Set"),
    button("Cancel", () => act("edit", null)),
  );
}
