// The forms in which a result leaves the page: by copy or download, and by no other way.

/** One line of the training format, in the order of the task's fields. */
export function trainingLine(task, text, values) {
  return `${JSON.stringify({ instruction: task.instruction, input: text, output: values })}\n`;
}

/** The command that asks for the same; the key stays in the shell's own variable. */
export function curlCommand(origin, path, text) {
  const body = JSON.stringify({ text }).replaceAll("'", "'\\''");
  return [
    `curl --fail-with-body ${origin}${path} \\`,
    '  -H "X-API-Key: $GATEWAY_API_KEY" -H "Content-Type: application/json" \\',
    `  --data-raw '${body}'\n`,
  ].join("\n");
}

/** CSV (RFC 4180) of rows; a cell that a spreadsheet would compute gets an apostrophe before it. */
export function csv(rows) {
  return rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
}

function csvCell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = /^[=+\-@\t\r]/u.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/u.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
