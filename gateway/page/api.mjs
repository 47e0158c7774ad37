// The calls of the gateway. The key lives in this module's memory and goes nowhere but into the calls' header.

import { EventParser } from "./sse.mjs";
import { CallError } from "./states.mjs";

let key = "";

export function setKey(value) {
  key = value.trim();
}

export function hasKey() {
  return key !== "";
}

/** Whether the engine produces tokens now; null where the gateway cannot be reached. */
export async function isHealthy() {
  try {
    return (await fetch("health", { cache: "no-store" })).ok;
  } catch {
    return null;
  }
}

/** The tasks with their schemas, and the name of the default one. */
export async function tasks() {
  return (await send("api/v1/tasks", { method: "GET" })).json();
}

/** The path that extracts with a task. */
export function pathOf(task) {
  return `api/v1/tasks/${task.name}/extract`;
}

/** Extracts with any task; `choices` are members of the request beside the text. */
export async function extract(task, text, choices, signal) {
  const response = await send(pathOf(task), { body: { text, ...choices }, signal });
  try {
    return await response.json();
  } catch (error) {
    throw brokenOff(error, signal);
  }
}

/** Extracts with the default task; `onField(name, value)` is told of each field as it comes. */
export async function extractStream(names, text, choices, onField, signal) {
  const response = await send("api/v1/extract/stream", { body: { text, ...choices }, signal });
  try {
    for await (const { name, data } of events(response)) {
      if (name === "field") onField(data.field, data.value);
      if (name === "error") throw new CallError(data.status, { detail: data.detail });
      if (name === "result") return nested(names, data);
    }
  } catch (error) {
    throw error instanceof CallError ? error : brokenOff(error, signal);
  }
  throw new CallError(-1);
}

/** The answer with its fields in an object of their own, as other tasks' answers are. */
function nested(names, answer) {
  const rest = { ...answer };
  const fields = {};
  for (const name of names) {
    fields[name] = answer[name];
    delete rest[name];
  }
  return { fields, ...rest };
}

async function* events(response) {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    yield* parser.push(decoder.decode(value, { stream: true }));
  }
}

function brokenOff(error, signal) {
  return signal?.aborted ? error : new CallError(-1);
}

async function send(path, { method = "POST", body, signal }) {
  if (/[^\x21-\x7e]/u.test(key)) throw new CallError(401, { detail: "a key has letters, digits and signs of ASCII only" });
  const headers = { ...(key && { "X-API-Key": key }), ...(body && { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new CallError(0);
  }
  if (!response.ok) throw await asError(response);
  return response;
}

async function asError(response) {
  const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const problem = await response.json().catch(() => ({}));
  const invalid = (problem.errors ?? []).map(({ loc, msg }) => `${loc.join(".")}: ${msg}`);
  const detail = [problem.detail ?? "", ...invalid].join("\n").trim();
  return new CallError(response.status, { detail, wait: Number.isNaN(wait) ? null : wait });
}
