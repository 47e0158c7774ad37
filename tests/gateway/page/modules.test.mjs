// The page's modules that need no browser. `test_modules.py` runs this; by hand: node --test tests/gateway/page/

import assert from "node:assert/strict";
import { test } from "node:test";

import { csv, curlCommand, trainingLine } from "../../../gateway/page/exports.mjs";
import { FileProblem, decode, parseCsv, readNotes, refuseProblems } from "../../../gateway/page/files.mjs";
import { Review, confidenceWord, matchOf } from "../../../gateway/page/review.mjs";
import { Runner } from "../../../gateway/page/runner.mjs";
import { SAMPLES } from "../../../gateway/page/samples.mjs";
import { EventParser } from "../../../gateway/page/sse.mjs";
import { CallError, stateOf } from "../../../gateway/page/states.mjs";
import { Text, segments } from "../../../gateway/page/text.mjs";

const TASK = {
  name: "t",
  instruction: "Extract.",
  json_schema: {
    type: "object",
    required: ["stage", "site"],
    properties: {
      stage: { type: ["string", "null"], minLength: 1, maxLength: 9 },
      site: { type: ["string", "null"], minLength: 1, maxLength: 9 },
    },
  },
};
const INTENT = {
  name: "i",
  instruction: "",
  json_schema: {
    oneOf: [
      { required: ["intent", "place"], properties: { intent: { const: "weather" }, place: { type: "string" } } },
      { required: ["intent", "to"], properties: { intent: { const: "mail" }, to: { type: ["string", "null"] } } },
    ],
  },
};

test("a text is counted and cut in code points", () => {
  const text = new Text("a👩🏽‍⚕️é e\u0301 דנה");
  assert.equal(text.length, [..."a👩🏽‍⚕️é e\u0301 דנה"].length);
  assert.equal(text.slice(1, 2), "👩");
  assert.equal(text.slice(text.length - 3, text.length), "דנה");
  assert.deepEqual(text.find("é"), { text: "é", start: 6, end: 7 });
  assert.equal(text.codePoint(1), 1);
  assert.equal(text.codePoint(2), 1, "half a character belongs to it");
  assert.equal(text.codePoint(99), text.length);
  assert.equal(text.find(""), null);
  assert.equal(text.find("zzz"), null);
});

test("segments cover the whole text once, and spans that are not in it are left out", () => {
  const spans = [
    { start: 1, end: 4, field: "a" },
    { start: 3, end: 6, field: "b" },
    { start: 3, end: 3, field: "empty" },
    { start: 8, end: 11, field: "outside" },
  ];
  const parts = segments(10, spans).map(({ start, end, spans: over }) => [start, end, over.map(({ field }) => field).join()]);
  assert.deepEqual(parts, [[0, 1, ""], [1, 3, "a"], [3, 4, "a,b"], [4, 6, "b"], [6, 10, ""]]);
  assert.deepEqual(segments(0, []), []);
});

test("events are the same however the text is cut", () => {
  const stream = ': hello\r\nevent: field\r\ndata: {"field": "a",\r\ndata: "value": "x: y"}\r\n\r\nevent: result\ndata: {}\n\ndata: 1\n\n';
  const whole = new EventParser().push(stream);
  assert.deepEqual(whole, [
    { name: "field", data: { field: "a", value: "x: y" } },
    { name: "result", data: {} },
    { name: "message", data: 1 },
  ]);
  for (let size = 1; size < stream.length; size += 1) {
    const parser = new EventParser();
    const parts = [];
    for (let at = 0; at < stream.length; at += size) parts.push(...parser.push(stream.slice(at, at + size)));
    assert.deepEqual(parts, whole, `in parts of ${size}`);
  }
});

test("CSV with quotation marks, line ends of all kinds, and other separators", () => {
  const rows = parseCsv('id,text\r\n1,"a ""b"", c\nd"\r\n\r\n2,e\r3,f');
  assert.deepEqual(rows.map(({ line, cells }) => [line, ...cells]), [
    [1, "id", "text"], [2, "1", 'a "b", c\nd'], [5, "2", "e"], [6, "3", "f"],
  ]);
  assert.deepEqual(parseCsv("a;text\n1;x, y")[1].cells, ["1", "x, y"]);
  assert.deepEqual(parseCsv("a\ttext\n1\tx")[1].cells, ["1", "x"]);
  assert.throws(() => parseCsv('text\n"never closed'), FileProblem);
});

test("what is written as CSV is read as the same, and computes nothing", () => {
  const cells = ["a", 'b "c", d', "e\nf", ""];
  assert.deepEqual(parseCsv(csv([cells]))[0].cells, cells);
  assert.equal(csv([["=1+1", "+x", "-12", "@y", null]]), "'=1+1,'+x,-12,'@y,\r\n");
});

test("notes come from JSON Lines and CSV, and a line that is none has its own problem", () => {
  const rows = readNotes('{"id": 1, "text": "a"}\n\n{"input": "b", "output": {"x": null}}\nnope\n{"text": " "}\n[1]\n', "n.jsonl");
  assert.deepEqual(rows.map(({ line, id, text, expected, problem }) => [line, id, text, expected, Boolean(problem)]), [
    [1, 1, "a", null, false], [3, null, "b", { x: null }, false], [4, undefined, undefined, undefined, true],
    [5, null, undefined, undefined, true], [6, undefined, undefined, undefined, true],
  ]);
  assert.throws(() => refuseProblems(rows, "n.jsonl"), /line 4: is not JSON\nline 5/u);
  assert.deepEqual(readNotes('Text,id\n"x",7', "n.CSV").map(({ text, id }) => [text, id]), [["x", "7"]]);
  assert.throws(() => readNotes("a,b\n1,2", "n.csv"), /a column `text`/u);
  assert.throws(() => readNotes("\n", "n.jsonl"), /holds no note/u);
});

test("a file is UTF-8, without its mark", () => {
  assert.equal(decode(new TextEncoder().encode("\ufeffé"), "n"), "é");
  assert.throws(() => decode(new Uint8Array([0xe9]), "n.txt"), /n\.txt is not UTF-8/u);
});

test("a command survives the shell, and has no key", () => {
  const command = curlCommand("http://h/", "api/v1/tasks/t/extract", "it's $HOME `x` \\ \"q\"\n");
  assert.match(command, /'\\''/u);
  assert.match(command, /X-API-Key: \$GATEWAY_API_KEY/u);
});

test("a training line has the task's instruction and its fields in order", () => {
  assert.equal(trainingLine(TASK, "n", { stage: "IV", site: null }), '{"instruction":"Extract.","input":"n","output":{"stage":"IV","site":null}}\n');
});

test("decisions about values", () => {
  const answer = {
    fields: { stage: "IV", site: "liver" },
    evidence: { stage: [{ text: "IV", start: 6, end: 8, match: "exact" }], site: [] },
    confidence: { stage: 0.95, site: 0.5 },
    model: "m",
  };
  const review = new Review(TASK, new Text("stage IV, brain"), answer);
  assert.deepEqual(review.entries.map(matchOf), ["exact", "missing"]);
  assert.equal(review.isUnsaved, false);
  review.correct("site", "brain");
  assert.deepEqual(review.spans.at(-1), { text: "brain", start: 10, end: 15, match: "exact", field: "site" });
  review.accept("stage");
  assert.equal(review.isUnsaved, true);
  assert.deepEqual(review.document.review, {
    stage: { decision: "accepted", given: "IV" }, site: { decision: "corrected", given: "liver" },
  });
  assert.equal(review.document.model, "m");
  review.reject("stage");
  assert.deepEqual(review.values, { stage: null, site: "brain" });
  review.reset("stage");
  assert.deepEqual(review.values, { stage: "IV", site: "brain" });
  review.correct("site", "");
  assert.equal(review.values.site, null);
});

test("the first field decides which others there are", () => {
  const review = new Review(INTENT, new Text("x"), { fields: { intent: "weather", place: "Bergen" } });
  assert.deepEqual(review.entries[0].choices, ["weather", "mail"]);
  assert.deepEqual(review.entries.map(({ name }) => name), ["intent", "place"]);
  review.reject("place");
  assert.deepEqual(review.lacking, ["place"]);
  review.correct("intent", "mail");
  assert.deepEqual(review.values, { intent: "mail", to: null });
  assert.deepEqual(review.lacking, []);
});

test("confidence and match in words", () => {
  assert.deepEqual([1, 0.9, 0.89, 0.6, 0.59, 0, null, undefined].map(confidenceWord), [
    "high", "high", "medium", "medium", "low", "low", "not given", "not given",
  ]);
  const of = (...matches) => matchOf({ value: "x", evidence: matches.map((match) => ({ match })) });
  assert.deepEqual([of("exact"), of("exact", "normalized"), of("normalized", "fuzzy"), of()], ["exact", "normalized", "fuzzy", "missing"]);
  assert.equal(matchOf({ value: null, evidence: [] }), null);
});

test("states say what to do, and how long to wait", () => {
  const kind = (status, context) => stateOf(new CallError(status, { wait: 7 }), context).kind;
  assert.equal(kind(503, { isHealthy: true }), "overloaded");
  assert.equal(kind(503, { isHealthy: false }), "loading");
  assert.equal(kind(401, { hadKey: false }), "key");
  assert.equal(kind(401, { hadKey: true }), "wrong-key");
  assert.deepEqual([0, -1, 413, 429, 502, 504, 500].map((status) => kind(status)), [
    "offline", "cut", "too-long", "rate", "unusable", "late", "failed",
  ]);
  assert.equal(stateOf(new CallError(429, { wait: 7 })).wait, 7);
  assert.equal(stateOf(new CallError(503)).wait, 5);
  assert.equal(stateOf(new CallError(502)).wait, null);
});

/** A run over `count` notes whose work is done by hand: `ends` has a function for each that is running. */
function run(count, { atOnce = 2 } = {}) {
  const items = Array.from({ length: count }, (_, index) => ({ index, text: "x", status: "waiting" }));
  const ends = [];
  const clock = { now: 0 };
  const runner = new Runner(items, {
    atOnce,
    work: (item, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")));
        ends.push({ item, resolve, reject });
      }),
    delayOf: ({ status, wait }) => (status === 503 ? wait : null),
    stops: ({ status }) => status === 401,
    changed: () => {},
    now: () => clock.now,
  });
  const states = () => items.map(({ status }) => status[0]).join("");
  return { runner, ends, clock, states };
}
const settled = () => new Promise((resolve) => setTimeout(resolve));

test("a run keeps a few at once, and knows its rate and what is left", async () => {
  const { runner, ends, clock, states } = run(4);
  runner.start();
  assert.equal(states(), "rrww");
  clock.now = 2;
  ends[0].resolve({});
  ends[1].reject(new CallError(502));
  await settled();
  assert.equal(states(), "dfrr");
  assert.deepEqual(runner.progress, { total: 4, done: 2, failed: 1, rate: 1, left: 2 });
  ends[2].resolve({});
  ends[3].resolve({});
  await settled();
  assert.equal(runner.state, "finished");
  runner.retryFailed();
  assert.equal(states(), "drdd");
});

test("a pause begins no other, and its time does not count", async () => {
  const { runner, ends, clock, states } = run(3);
  runner.start();
  runner.pause();
  clock.now = 100;
  ends[0].resolve({});
  ends[1].resolve({});
  await settled();
  assert.equal(states(), "ddw");
  clock.now = 1000;
  runner.start();
  clock.now = 1002;
  assert.equal(states(), "ddr");
  assert.equal(runner.progress.rate, 1);
});

test("cancel ends what runs, and it can go on", async () => {
  const { runner, states } = run(3);
  runner.start();
  runner.cancel();
  await settled();
  assert.equal(states(), "www");
  assert.equal(runner.state, "cancelled");
  runner.start();
  assert.equal(states(), "rrw");
});

test("an overloaded gateway lets all wait, and a wrong key stops them", async () => {
  const { runner, ends, states } = run(3);
  runner.start();
  ends[0].reject(new CallError(503, { wait: 0.01 }));
  await settled();
  assert.equal(states(), "wrw");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(states(), "rrw");
  ends[1].reject(new CallError(401));
  await settled();
  assert.equal(runner.state, "paused");
  assert.equal(runner.problem.status, 401);
  assert.equal(states(), "rww");
});

test("samples are notes of their kinds", () => {
  const names = SAMPLES.medical_ie.map(([name]) => name).join(" ");
  for (const kind of ["No cancer", "denies", "pages", "right-to-left"]) assert.match(names, new RegExp(kind, "u"));
  for (const [, text] of Object.values(SAMPLES).flat()) assert.ok(text.isWellFormed());
});
