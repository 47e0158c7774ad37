// What batch and evaluation share: a file of notes, its run, and how far that is.

import * as api from "./api.mjs";
import { button, el, onFile } from "./dom.mjs";
import { FileProblem, decode } from "./files.mjs";
import { Runner } from "./runner.mjs";
import { CallError } from "./states.mjs";

// Of these, no other note could do better now.
const STOPPING = [0, 401, 404];
const BUSY = [429, 503];

/**
 * Puts the controls of a run into a panel. `read(content, name)` gives the items of a file; `changed(items, runner)` is
 * told of each step, and `before(item)` gives members of the request.
 */
export function runControls(app, panel, { title, hint, read, changed, choices = () => ({}) }) {
  let runner = null;
  let drawing = false;
  const input = el("input", { type: "file", accept: ".jsonl,.ndjson,.csv,.tsv,.json,.txt" });
  const start = button("Start", () => runner.start(), { class: "primary", disabled: true });
  const pause = button("Pause", () => runner.pause(), { disabled: true });
  const cancel = button("Cancel", () => runner.cancel(), { disabled: true });
  const retry = button("Retry the failures", () => runner.retryFailed(), { disabled: true });
  const bar = el("progress", { value: 0, max: 1, "aria-label": "Progress" });
  const line = el("span", { role: "status" }, "Nothing is loaded.");
  panel.append(
    el("h2", {}, title),
    el("p", {}, hint),
    el("p", { class: "bar" }, el("label", {}, "File of notes ", input)),
    el("p", { class: "bar" }, start, pause, cancel, retry),
    el("p", { class: "bar" }, bar, line),
  );

  function load(items) {
    runner?.cancel();
    runner = new Runner(items, {
      work: (item, signal) => api.extract(item.task, item.text, choices(item), signal),
      delayOf: (error) => (BUSY.includes(error.status) ? (error.wait ?? 5) : null),
      stops: (error) => !(error instanceof CallError) || STOPPING.includes(error.status),
      changed: soon,
    });
    soon();
  }

  function soon() {
    // Many answers may come in one frame.
    if (!drawing) requestAnimationFrame(draw);
    drawing = true;
  }

  function draw() {
    drawing = false;
    const { state, items, problem } = runner;
    const { total, done, failed, rate, left } = runner.progress;
    start.textContent = state === "paused" || state === "cancelled" ? "Go on" : "Start";
    start.disabled = state === "running" || state === "finished";
    pause.disabled = state !== "running";
    cancel.disabled = state !== "running" && state !== "paused";
    retry.disabled = state === "running" || !items.some((item) => item.status === "failed" && item.text);
    [bar.max, bar.value] = [total || 1, done];
    const speed = rate === null ? "" : `, ${(60 * rate).toFixed(rate < 0.1 ? 1 : 0)} a minute`;
    const time = left === null || done === total ? "" : `, ${duration(left)} left`;
    line.textContent = `${done} of ${total} done, ${failed} failed${speed}${time} (${state})`;
    changed(items, runner);
    if (problem) {
      runner.problem = null;
      app.report(problem, () => runner.start());
    }
  }

  onFile(panel, input, (bytes, name) => {
    try {
      app.clear();
      if (!app.task) throw new FileProblem("The page does not know the gateway's tasks yet. Enter the key first.");
      const items = read(decode(bytes, name), name);
      if (items) load(items.map((item) => Object.assign(item, { task: app.task })));
    } catch (error) {
      app.report(error);
    }
  });
  return { end: () => runner?.cancel(), load };
}

function duration(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}
