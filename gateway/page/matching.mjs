// When a value counts as right: the rules of `python -m gateway evaluate` (gateway/evaluation/matching.py), step by step.
// A test gives both the same values.

export const RULES = ["exact", "normalised", "items"];

// Python's white space, which is not JavaScript's.
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const SPACES = new RegExp(`${SPACE}+`, "gu");
const JOINER = new RegExp(
  `(?:${SPACE}*(?:;|,(?!\\p{Nd}))${SPACE}*|${SPACE}+(?:and|plus|&|\\+)${SPACE}+)` +
    `(?:(?:and|plus|&|\\+)${SPACE}+|[;,]${SPACE}*)*`,
  "gu",
);
const SEQUENCE = new RegExp(`(?:^|${SPACE}+)(?:then|followed by)${SPACE}+`, "gu");
const DASH_WITHIN = /(?<=[\p{L}\p{N}_])-(?=[\p{L}\p{N}_])/gu;
const CLOSING = new Map([[")", "("], ["]", "["], ["}", "{"], ["”", "“"], ["»", "«"]]);
const OPENING = new Set(CLOSING.values());

/** A value as the rule `normalised` compares it. */
export function normalise(value) {
  let plain = value.normalize("NFKC").replace(/[‘’‚‛′`´]/gu, "'").replace(/[“”„‟″]/gu, '"');
  plain = plain.replace(/[\p{Pd}\u2212]/gu, "-");
  // Case folding can undo the composition, so it is made again.
  plain = stripped(fold(plain).normalize("NFKC").replace(SPACES, " "));
  plain = stripped(plain.replace(DASH_WITHIN, " ").replace(/\.+$/u, ""));
  const parts = cut(plain, JOINER).map(stripped).filter(Boolean);
  return parts.join("; ") || plain;
}

/** The items of a value, normalised; a value that is nothing but separators is one item. */
export function items(value) {
  const whole = normalise(value);
  const parts = whole.split("; ").flatMap((item) => cut(item, SEQUENCE)).map(stripped).filter(Boolean);
  return new Set(parts.length ? parts : [whole]);
}

function stripped(text) {
  return text.replace(new RegExp(`^${SPACE}+|${SPACE}+$`, "gu"), "");
}

/** Unicode's full case folding, which JavaScript lacks, made of what it has. */
function fold(text) {
  let folded = "";
  for (const character of text) {
    if (/[\u13a0-\u13fd\uab70-\uabbf]/u.test(character)) folded += character.toUpperCase(); // Cherokee folds upwards.
    else if (character === "ı") folded += character;
    else folded += [...character.toLowerCase().toUpperCase()].map((one) => one.toLowerCase()).join("");
  }
  return folded;
}

/** The parts of a value between separators that stand in no brackets and no quotes. */
function cut(value, separator) {
  const inside = insideBrackets(value);
  const parts = [];
  let start = 0;
  for (const match of value.matchAll(separator)) {
    if (!inside[match.index]) {
      parts.push(value.slice(start, match.index));
      start = match.index + match[0].length;
    }
  }
  return [...parts, value.slice(start)];
}

function insideBrackets(value) {
  const pairs = [];
  const opened = new Map();
  const open = (kind) => opened.get(kind) ?? opened.set(kind, []).get(kind);
  for (let at = 0; at < value.length; at += 1) {
    const character = value[at];
    const opening = CLOSING.get(character);
    if (OPENING.has(character)) open(character).push(at);
    else if (opening && open(opening).length) pairs.push([open(opening).pop(), at]);
    else if (character === '"') open('"').push(at);
  }
  const quotes = open('"');
  for (let at = 0; at + 1 < quotes.length; at += 2) pairs.push([quotes[at], quotes[at + 1]]);
  const inside = new Array(value.length + 1).fill(false);
  for (const [start, end] of pairs) inside.fill(true, start + 1, end);
  return inside;
}
