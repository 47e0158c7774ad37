// What can be wrong, in words that say what to do.

/** An answer that is none; `status` is the HTTP status, 0 where the gateway was not reached, -1 where its answer broke off. */
export class CallError extends Error {
  constructor(status, { detail = "", wait = null, errors = [] } = {}) {
    super(detail);
    Object.assign(this, { name: "CallError", status, wait, errors });
  }
}

const STATES = new Map([
  [-1, ["cut", "The answer was cut off", "The connection ended before the answer was whole. Ask again."]],
  [0, ["offline", "The gateway cannot be reached", "Check the network, or whether the gateway runs. Then ask again."]],
  [401, ["key", "The gateway asks for a key", "Enter an API key that this gateway knows."]],
  [404, ["unknown", "The gateway does not know this", "Reload the page: the tasks or the models may have changed."]],
  [408, ["late", "The note came too slowly", "Check the network, then ask again."]],
  [413, ["too-long", "The note is too long", "Shorten it, or send its parts one by one."]],
  [422, ["refused", "The gateway refused the note", "Look at the note, then ask again."]],
  [429, ["rate", "Too many requests", "This key is over its rate."]],
  [502, ["unusable", "The answer could not be used", "Allow a longer answer, or shorten the note; or ask again."]],
  [503, ["overloaded", "The gateway is overloaded", "All places are taken."]],
  [504, ["late", "The engine took too long", "Ask again; if it happens often, shorten the note."]],
]);
const LOADING = ["loading", "The engine is loading or down", "The page asks again as soon as the engine answers."];
const UNEXPECTED = ["failed", "The gateway failed", "Ask again. If it happens again, tell its operator."];

/** The state to show for a CallError: `kind`, `title`, `advice`, the gateway's own `detail`, and the `wait` in seconds. */
export function stateOf(error, { isHealthy = true, hadKey = false } = {}) {
  const known = error.status === 503 && !isHealthy ? LOADING : STATES.get(error.status);
  let [kind, title, advice] = known ?? UNEXPECTED;
  if (error.status === 401 && hadKey) [kind, title] = ["wrong-key", "The gateway does not accept this key"];
  const wait = kind === "overloaded" || kind === "rate" ? (error.wait ?? 5) : null;
  return { kind, title, advice, detail: error.message, wait };
}
