// Scores of a run, by the rules of `python -m gateway evaluate` (gateway/evaluation/scores.py). A test compares the two.

import { RULES, items, normalise } from "./matching.mjs";

/** Counts one field of one note: values, or items, that are right, wrong or invented, and missed. */
export function count(rule, expected, given) {
  if (rule === "items") {
    const wanted = expected === null ? new Set() : items(expected);
    const got = given === null ? new Set() : items(given);
    const right = [...wanted].filter((item) => got.has(item)).length;
    return { right, false_positive: got.size - right, false_negative: wanted.size - right };
  }
  if (expected === null || given === null) {
    return { right: 0, false_positive: Number(given !== null), false_negative: Number(expected !== null) };
  }
  const right = expected === given || (rule === "normalised" && normalise(expected) === normalise(given));
  return { right: Number(right), false_positive: Number(!right), false_negative: Number(!right) };
}

/**
 * Scores a run: `notes` have `expected` and `given` (an object, or null where there is no answer) and `isValid`.
 * A measure that has nothing to count is null.
 */
export function score(fields, notes) {
  const rules = Object.fromEntries(RULES.map((rule) => [rule, scoreRule(rule, fields, notes)]));
  const valid = notes.filter(({ isValid }) => isValid).length;
  return { rules, notes: notes.length, valid, validity: ratio(valid, notes.length) };
}

function scoreRule(rule, fields, notes) {
  const byField = {};
  const total = nothing();
  for (const field of fields) {
    const sum = nothing();
    for (const { expected, given } of notes) {
      add(sum, count(rule, expected[field] ?? null, given?.[field] ?? null));
    }
    add(total, sum);
    byField[field] = { ...measures(sum), ...sum };
  }
  return { fields: byField, micro: { ...measures(total), ...total }, macro: mean(Object.values(byField)) };
}

function nothing() {
  return { right: 0, false_positive: 0, false_negative: 0 };
}

function add(sum, more) {
  for (const outcome of Object.keys(sum)) sum[outcome] += more[outcome];
}

function measures({ right, false_positive: wrong, false_negative: missed }) {
  return {
    precision: ratio(right, right + wrong),
    recall: ratio(right, right + missed),
    f1: ratio(2 * right, 2 * right + wrong + missed),
  };
}

function mean(entries) {
  const of = (metric) => {
    const defined = entries.map((entry) => entry[metric]).filter((value) => value !== null);
    return ratio(defined.reduce((sum, value) => sum + value, 0), defined.length);
  };
  return { precision: of("precision"), recall: of("recall"), f1: of("f1") };
}

function ratio(part, whole) {
  return whole ? part / whole : null;
}

/** What kind of disagreement two different values are, in the words of `python -m gateway evaluate`. */
export function kindOf(expected, given) {
  if (expected === null) return "invented";
  if (given === null) return "missed";
  const shared = count("items", expected, given);
  if (!shared.false_positive && !shared.false_negative) return "wording";
  return shared.right ? "partly" : "wrong";
}

/** The fields of a note that are not exactly right. */
export function disagreements(fields, { expected, given }) {
  return fields
    .map((field) => ({ field, expected: expected[field] ?? null, given: given?.[field] ?? null }))
    .filter((one) => one.expected !== one.given)
    .map((one) => ({ ...one, kind: kindOf(one.expected, one.given) }));
}

/** The problem of an expected answer, or null; what `python -m gateway evaluate` refuses too. */
export function expectedProblem(fields, expected) {
  if (typeof expected !== "object" || expected === null || Array.isArray(expected)) {
    return "needs the expected answer, an object in `output` or `expected`";
  }
  const missing = fields.filter((name) => !(name in expected));
  if (missing.length) return `the expected answer lacks ${missing.join(", ")}`;
  const unknown = Object.keys(expected).filter((name) => !fields.includes(name));
  if (unknown.length) return `the expected answer has fields that the task does not have: ${unknown.join(", ")}`;
  const wrong = fields.filter((name) => expected[name] !== null && (typeof expected[name] !== "string" || !expected[name]));
  return wrong.length ? `must be a string that is not empty, or null: ${wrong.join(", ")}` : null;
}
