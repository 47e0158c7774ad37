// Reading what people drop: UTF-8 texts, and JSON Lines or CSV of many notes. Nothing of it leaves the browser by itself.

/** What cannot be read, with what to do. */
export class FileProblem extends Error {
  name = "FileProblem";
}

/** Decodes UTF-8, without a byte order mark. */
export function decode(bytes, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new FileProblem(`${name} is not UTF-8 text. Save it as UTF-8, then open it again.`);
  }
}

/**
 * Reads many notes: a `.csv` or `.tsv` as CSV with a header, all else as JSON Lines.
 * Gives `{line, id, text, expected}`, or `{line, problem}` for what is no note. The text stands in `text`, `input` or
 * `note`, what is expected in `output` or `expected`.
 */
export function readNotes(content, name) {
  const rows = /\.(csv|tsv)$/iu.test(name) ? fromCsv(content) : fromJsonLines(content);
  if (!rows.length) throw new FileProblem(`${name} holds no note.`);
  if (rows.every(({ problem }) => problem)) refuseProblems(rows, name);
  return rows;
}

/** Refuses the whole file where a line has a problem, with a list of them. */
export function refuseProblems(rows, name) {
  const problems = rows.filter(({ problem }) => problem).map(({ line, problem }) => `line ${line}: ${problem}`);
  if (!problems.length) return;
  const more = problems.length > 8 ? [`and ${problems.length - 8} more`] : [];
  throw new FileProblem([`${name} cannot be used:`, ...problems.slice(0, 8), ...more].join("\n"));
}

function fromJsonLines(content) {
  const rows = [];
  for (const [index, text] of content.split("\n").entries()) {
    if (text.trim()) rows.push(fromRecord(index + 1, parsed(text)));
  }
  return rows;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fromRecord(line, record) {
  if (record === undefined) return { line, problem: "is not JSON" };
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    return { line, problem: "is not a JSON object" };
  }
  const { id = null } = record;
  const text = one(record, ["text", "input", "note"]);
  if (typeof text !== "string" || !text.trim()) {
    return { line, id, problem: "needs a text that is not empty, in `text` or `input`" };
  }
  return { line, id, text, expected: one(record, ["output", "expected"]) };
}

function one(record, names) {
  return names.map((name) => record[name]).find((value) => value !== undefined && value !== null) ?? null;
}

function fromCsv(content) {
  const [header, ...lines] = parseCsv(content);
  if (!header) return [];
  const names = header.cells.map((cell) => cell.trim().toLowerCase());
  if (!names.some((name) => ["text", "input", "note"].includes(name))) {
    return [{ line: 1, problem: "needs a header with a column `text`, `input` or `note`" }];
  }
  return lines.map(({ line, cells }) => {
    const record = Object.fromEntries(names.map((name, index) => [name, cells[index] ?? null]));
    if (typeof record.expected === "string") record.expected = parsed(record.expected) ?? null;
    if (typeof record.output === "string") record.output = parsed(record.output) ?? null;
    return fromRecord(line, record);
  });
}

/** Reads CSV (RFC 4180) with commas, semicolons or tabs; gives rows of `{line, cells}` that are not blank. */
export function parseCsv(content) {
  const separator = separatorOf(content);
  const rows = [];
  let cells = [];
  let cell = "";
  let quoted = false;
  let line = 1;
  let first = 1;
  const endRow = () => {
    cells.push(cell);
    if (cells.some((value) => value.trim())) rows.push({ line: first, cells });
    cells = [];
    cell = "";
    first = line + 1;
  };
  for (let at = 0; at < content.length; at += 1) {
    const character = content[at];
    const isLineEnd = character === "\n" || (character === "\r" && content[at + 1] !== "\n");
    if (quoted) {
      if (character !== '"') cell += character;
      else if (content[at + 1] === '"') cell += content[(at += 1)];
      else quoted = false;
    } else if (character === '"' && cell === "") quoted = true;
    else if (character === separator) {
      cells.push(cell);
      cell = "";
    } else if (isLineEnd) endRow();
    else if (character !== "\r") cell += character;
    if (isLineEnd) line += 1;
  }
  if (quoted) throw new FileProblem(`The quotation mark that opens in the row at line ${first} is never closed.`);
  endRow();
  return rows;
}

/** The separator that the header has most of, outside of quotation marks. */
function separatorOf(content) {
  const header = content.split(/[\r\n]/u, 1)[0].replace(/"[^"]*"/gu, "");
  const count = (separator) => header.split(separator).length;
  return [",", ";", "\t"].reduce((best, next) => (count(next) > count(best) ? next : best));
}
