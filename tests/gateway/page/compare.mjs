// Runs the page's rules of evaluation over what standard input has, for `test_rules.py` to compare with the gateway's.

import { text } from "node:stream/consumers";

import { items, normalise } from "../../../gateway/page/matching.mjs";
import { readAnswer, shapes } from "../../../gateway/page/schema.mjs";
import { disagreements, score } from "../../../gateway/page/scores.mjs";

const { values = [], schema, fields = [], notes = [] } = JSON.parse(await text(process.stdin));
const all = schema && shapes(schema);
const read = notes.map(({ expected, answer }) => {
  const { fields: given, error } = answer === null ? { fields: null, error: "refused" } : readAnswer(all, answer);
  return { expected, given, isValid: error === null, error };
});
process.stdout.write(
  JSON.stringify({
    normalised: values.map(normalise),
    items: values.map((value) => [...items(value)].sort()),
    errors: read.map(({ error }) => error),
    score: score(fields, read),
    disagreements: read.map((note) => disagreements(fields, note).map(({ field, kind }) => [field, kind])),
  }),
);
