// A task's JSON Schema, as /api/v1/tasks publishes it: an object of strings and nulls, or one of several such objects.

/** The shapes that an answer may have; the first field's `choice` decides where there are several. */
export function shapes(schema) {
  return (schema.oneOf ?? [schema]).map((shape) => {
    const fields = shape.required.map((name) => field(name, shape.properties[name]));
    return { choice: shape.properties[shape.required[0]].const ?? null, fields };
  });
}

function field(name, { type = "string", description = "", enum: values, const: only, maxLength = null, minLength = 0 }) {
  const nullable = [type].flat().includes("null");
  const choices = only === undefined ? (values ?? []).filter((value) => value !== null) : [only];
  return { name, description, nullable, choices, maxLength, minLength };
}

/** The shape of an answer whose first field has this value. */
export function shapeFor(all, firstValue) {
  return all.find(({ choice }) => choice !== null && choice === firstValue) ?? all[0];
}

/** The names of all fields, in order. */
export function fieldNames(all) {
  return [...new Set(all.flatMap(({ fields }) => fields.map(({ name }) => name)))];
}

/** The values that a field may have, over all shapes; empty where it is free text. */
export function choicesOf(all, name) {
  const fields = all.flatMap((shape) => shape.fields.filter((one) => one.name === name));
  return [...new Set(fields.flatMap(({ choices }) => choices))];
}

/**
 * Reads an answer as `python -m gateway evaluate` does.
 * Gives its fields, or null where none can be scored, and the code of what makes it invalid, or null.
 */
export function readAnswer(all, answer) {
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) return unreadable("not_an_object");
  const { fields } = shapeFor(all, answer[all[0].fields[0].name]);
  if (fields.some(({ name }) => !(name in answer))) return unreadable("missing_key");
  if (Object.keys(answer).some((key) => !fields.some(({ name }) => name === key))) return unreadable("extra_key");
  if (fields.some(({ name }) => answer[name] !== null && typeof answer[name] !== "string")) return unreadable("wrong_type");
  return { fields: answer, error: fields.map((one) => breach(one, answer[one.name])).find(Boolean) ?? null };
}

function unreadable(error) {
  return { fields: null, error };
}

function breach({ nullable, choices, maxLength, minLength }, value) {
  if (value === null) return nullable ? null : "null_value";
  if (choices.length) return choices.includes(value) ? null : "wrong_choice";
  const { length } = [...value];
  if (length < minLength) return "empty_value";
  return maxLength !== null && length > maxLength ? "too_long" : null;
}
