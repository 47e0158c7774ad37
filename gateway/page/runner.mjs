// Many notes, a few at a time: with pause, cancel, a second try of what failed, and the time that is left.

/** Runs `work(item, signal)` for each item; an item's `status` is "waiting", "running", "done" or "failed". */
export class Runner {
  #abort = new AbortController();
  #running = 0;
  #active = 0;
  #since = null;
  #finished = 0;
  #resumeAt = null;

  /**
   * `work` gives an item's result or throws. `delayOf(error)` says for how many seconds all are to wait before the item
   * is tried again, or null; `stops(error)` whether no other item could do better now. `changed()` is told of each step.
   */
  constructor(items, { work, delayOf, stops, changed, atOnce = 4, now = () => performance.now() / 1000 }) {
    Object.assign(this, { items, work, delayOf, stops, changed, atOnce, now });
    this.state = "ready";
    this.problem = null;
  }

  start() {
    if (this.state === "running") return;
    this.state = "running";
    this.problem = null;
    this.#since = this.now();
    if (this.#abort.signal.aborted) this.#abort = new AbortController();
    this.#fill();
  }

  /** Begins no other item; those that run are finished. */
  pause(problem = null) {
    if (this.state !== "running") return;
    this.#end("paused");
    this.problem = problem;
    this.changed();
  }

  /** Ends all; what was running waits again. */
  cancel() {
    this.#end("cancelled");
    this.#abort.abort();
    this.changed();
  }

  retryFailed() {
    for (const item of this.items) {
      if (item.status === "failed" && item.text) Object.assign(item, { status: "waiting", error: null });
    }
    this.start();
  }

  /** Items a second while it ran, and the seconds that are left; null while nothing is known. */
  get progress() {
    const total = this.items.length;
    const failed = this.items.filter(({ status }) => status === "failed").length;
    const done = failed + this.items.filter(({ status }) => status === "done").length;
    const seconds = this.#active + (this.#since === null ? 0 : this.now() - this.#since);
    const rate = this.#finished && seconds > 0 ? this.#finished / seconds : null;
    return { total, done, failed, rate, left: rate ? (total - done) / rate : null };
  }

  #end(state) {
    if (this.#since !== null) this.#active += this.now() - this.#since;
    this.#since = null;
    this.state = state;
  }

  #fill() {
    const waiting = this.items.filter(({ status }) => status === "waiting");
    while (this.state === "running" && this.#resumeAt === null && this.#running < this.atOnce && waiting.length) {
      this.#run(waiting.shift());
    }
    if (this.state === "running" && !this.#running && !waiting.length) this.#end("finished");
    this.changed();
  }

  async #run(item) {
    const { signal } = this.#abort;
    item.status = "running";
    this.#running += 1;
    try {
      item.result = await this.work(item, signal);
      item.status = "done";
      this.#finished += 1;
    } catch (error) {
      this.#failed(item, error, signal);
    }
    this.#running -= 1;
    this.#fill();
  }

  #failed(item, error, signal) {
    const delay = this.delayOf(error);
    if (signal.aborted) item.status = "waiting";
    else if (this.stops(error)) {
      item.status = "waiting";
      this.pause(error);
    } else if (delay !== null) {
      item.status = "waiting";
      this.#wait(delay);
    } else {
      Object.assign(item, { status: "failed", error });
      this.#finished += 1;
    }
  }

  /** Lets all wait, as the gateway asks for; the first who is told decides. */
  #wait(seconds) {
    if (this.#resumeAt !== null) return;
    this.#resumeAt = this.now() + seconds;
    setTimeout(() => {
      this.#resumeAt = null;
      this.#fill();
    }, seconds * 1000);
  }
}
