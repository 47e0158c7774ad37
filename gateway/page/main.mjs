// The page: its tabs, its task, its key, and what is wrong.

import * as api from "./api.mjs";
import { button, byId, el } from "./dom.mjs";
import { batchPanel } from "./batch.mjs";
import { evaluationPanel } from "./evaluation.mjs";
import { notePanel } from "./extraction.mjs";
import { CallError, stateOf } from "./states.mjs";

const RELOAD_SECONDS = 3;
let listed = { tasks: [], default: "" };
let timer = null;

const app = {
  get task() {
    return listed.tasks.find(({ name }) => name === byId("task").value);
  },
  get isDefault() {
    return byId("task").value === listed.default;
  },
  report,
  clear,
  open(item) {
    select(byId("tab-note"));
    panels[0].open(item);
  },
};
const panels = [notePanel(app), batchPanel(app), evaluationPanel(app)];
const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const one of tabs) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
    byId(one.getAttribute("aria-controls")).hidden = one !== tab;
  }
}

byId("tabs").addEventListener("click", ({ target }) => tabs.includes(target) && select(target));
byId("tabs").addEventListener("keydown", ({ key }) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (!step) return;
  const next = tabs.at((tabs.indexOf(document.activeElement) + step) % tabs.length);
  select(next);
  next.focus();
});

/** Shows what is wrong with what to do; `again()` asks once more, by itself where the gateway says when. */
async function report(error, again, more = null) {
  clear();
  if (!(error instanceof CallError)) {
    show({ kind: "file", title: "This cannot be used", advice: error.message, detail: "" });
    if (error.name === "FileProblem") return;
    throw error;
  }
  const healthy = [0, 503].includes(error.status) ? await checkHealth() : true;
  const state = stateOf(error, { isHealthy: healthy, hadKey: api.hasKey() });
  const retry = again && button("Ask again", () => (clear(), again()));
  show(state, retry, more);
  if (error.status === 401) askForKey(state.title, again);
  else if (state.wait !== null && again) countDown(state.wait, again);
  else if (state.kind === "loading" && again) pollUntilHealthy(again);
}

function show({ kind, title, advice, detail }, ...actions) {
  const box = byId("state");
  box.dataset.kind = kind;
  const bar = el("p", { class: "bar" }, ...actions.filter(Boolean), button("Close", clear));
  box.replaceChildren(el("h2", {}, title), el("p", {}, advice), ...(detail ? [el("p", {}, `“${detail}”`)] : []), bar);
  box.hidden = false;
}

function clear() {
  clearTimeout(timer);
  byId("state").hidden = true;
}

function countDown(seconds, again) {
  const line = el("p", { id: "wait", "aria-live": "off" });
  byId("state").append(line);
  const tick = (left) => {
    line.textContent = `The page asks again in ${left} s.`;
    timer = left > 0 ? setTimeout(tick, 1000, left - 1) : setTimeout(() => (clear(), again()));
  };
  tick(Math.ceil(seconds));
}

function pollUntilHealthy(again) {
  timer = setTimeout(async () => {
    if (await checkHealth()) {
      clear();
      again();
    } else if (!byId("state").hidden) pollUntilHealthy(again);
  }, RELOAD_SECONDS * 1000);
}

async function checkHealth() {
  const healthy = await api.isHealthy();
  byId("health").textContent =
    healthy === null ? "The gateway cannot be reached" : healthy ? "The engine is ready" : "The engine is loading or down";
  return healthy;
}

function askForKey(title, again) {
  const dialog = byId("key-dialog");
  byId("key-title").textContent = title;
  byId("key").value = "";
  dialog.onclose = () => {
    const key = byId("key").value;
    byId("key").value = "";
    byId("change-key").hidden = false;
    if (dialog.returnValue !== "ok" || !key) return;
    api.setKey(key);
    clear();
    again?.();
  };
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}

async function start() {
  checkHealth();
  try {
    listed = await api.tasks();
  } catch (error) {
    report(error, start);
    return;
  }
  const options = listed.tasks.map(({ name, title }) => el("option", { value: name, selected: name === listed.default }, title));
  byId("task").replaceChildren(...options);
  for (const panel of panels) panel.useTask();
}

let chosen = "";
byId("task").addEventListener("focus", () => (chosen = byId("task").value));
byId("task").addEventListener("change", () => {
  if (panels.every((panel) => panel.mayLeave())) for (const panel of panels) panel.useTask();
  else byId("task").value = chosen;
  chosen = byId("task").value;
});
byId("change-key").addEventListener("click", () => askForKey("Change the key", listed.tasks.length ? null : start));
addEventListener("beforeunload", (event) => {
  if (panels.some((panel) => panel.isUnsaved())) event.preventDefault();
});
for (const event of ["dragover", "drop"]) {
  // A file that misses its place must not replace the page.
  addEventListener(event, (one) => one.dataTransfer?.types.includes("Files") && one.preventDefault());
}
addEventListener("online", checkHealth);
addEventListener("offline", checkHealth);
start();
