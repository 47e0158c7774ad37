// Server-sent events of a response to POST, which the browser's EventSource cannot read.

/** Takes text as it comes, and gives the events that are whole. */
export class EventParser {
  #rest = "";
  #name = "message";
  #data = [];

  push(text) {
    this.#rest += text;
    const events = [];
    // A carriage return at the end may be half of a line end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#take(line, events);
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data.length) events.push({ name: this.#name, data: JSON.parse(this.#data.join("\n")) });
      this.#name = "message";
      this.#data = [];
      return;
    }
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/su.exec(line);
    if (field === "event") this.#name = value;
    if (field === "data") this.#data.push(value);
  }
}
