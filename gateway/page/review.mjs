// What a person decides about each value of an answer. It lives in this page alone.

import { trainingLine } from "./exports.mjs";
import { choicesOf, shapeFor, shapes } from "./schema.mjs";

/** An answer under review: `decision` of a field is null, "accepted", "rejected" or "corrected". */
export class Review {
  #entries = new Map();

  /** `task` is as /api/v1/tasks lists it, `text` a Text, `answer` what the gateway gave, with its `fields`. */
  constructor(task, text, answer) {
    this.task = task;
    this.text = text;
    this.answer = answer;
    this.shapes = shapes(task.json_schema);
    /** Whether there are decisions that have not left the page yet. */
    this.isUnsaved = false;
    for (const [name, value] of Object.entries(answer.fields)) this.#add(name, value);
  }

  /** The fields in the task's order; which there are may depend on the first one's value. */
  get entries() {
    const first = this.shapes[0].fields[0].name;
    const { fields } = shapeFor(this.shapes, this.#entry(first).value);
    return fields.map((field) => {
      const entry = this.#entry(field.name);
      return { ...field, ...entry, choices: field.name === first ? choicesOf(this.shapes, first) : field.choices };
    });
  }

  /** The values as they stand after the review. */
  get values() {
    return Object.fromEntries(this.entries.map(({ name, value }) => [name, value]));
  }

  /** The fields that may not be null and are. */
  get lacking() {
    return this.entries.filter(({ nullable, value }) => !nullable && value === null).map(({ name }) => name);
  }

  get isChanged() {
    return this.entries.some(({ decision }) => decision !== null);
  }

  accept(name) {
    const entry = this.#entry(name);
    this.#decide(name, { value: entry.given, evidence: this.#evidence(name), decision: "accepted" });
  }

  reject(name) {
    this.#decide(name, { value: null, evidence: [], decision: "rejected" });
  }

  /** Takes back the decision about a field. */
  reset(name) {
    this.#decide(name, { value: this.#entry(name).given, evidence: this.#evidence(name), decision: null });
  }

  /** Sets a value; `span` is where the person picked it in the text. An empty one is null. */
  correct(name, value, span = null) {
    const found = span ?? this.text.find(value);
    this.#decide(name, {
      value: value || null,
      evidence: found ? [{ ...found, match: "exact" }] : [],
      decision: "corrected",
    });
  }

  /** The evidence of all values, as spans with their fields. */
  get spans() {
    return this.entries.flatMap(({ name, evidence }) => evidence.map((span) => ({ ...span, field: name })));
  }

  /** The result as a document: the gateway's, with the values as they stand and the decisions beside them. */
  get document() {
    const { fields, evidence, confidence, ...rest } = this.answer;
    const reviewed = Object.fromEntries(
      this.entries.filter(({ decision }) => decision).map(({ name, decision, given }) => [name, { decision, given }]),
    );
    return {
      fields: this.values,
      evidence: Object.fromEntries(this.entries.map((entry) => [entry.name, entry.evidence])),
      confidence: Object.fromEntries(this.entries.map((entry) => [entry.name, entry.confidence])),
      ...rest,
      review: reviewed,
    };
  }

  get training() {
    return trainingLine(this.task, this.text.string, this.values);
  }

  #decide(name, changes) {
    this.#entries.set(name, { ...this.#entry(name), ...changes });
    this.isUnsaved = true;
  }

  #entry(name) {
    return this.#entries.get(name) ?? this.#add(name, null);
  }

  #add(name, value) {
    const confidence = this.answer.confidence?.[name] ?? null;
    const entry = { given: value, value, evidence: this.#evidence(name), confidence, decision: null };
    this.#entries.set(name, entry);
    return entry;
  }

  #evidence(name) {
    return this.answer.evidence?.[name] ?? [];
  }
}

/** A confidence in words: how sure the model was of the words that it wrote. */
export function confidenceWord(confidence) {
  if (confidence === null || confidence === undefined) return "not given";
  if (confidence >= 0.9) return "high";
  return confidence >= 0.6 ? "medium" : "low";
}

/** The worst match of a value's evidence: "exact", "normalized", "fuzzy" or "missing"; null where there is no value. */
export function matchOf({ value, evidence }) {
  if (value === null) return null;
  if (!evidence.length) return "missing";
  return ["fuzzy", "normalized"].find((kind) => evidence.some(({ match }) => match === kind)) ?? "exact";
}
