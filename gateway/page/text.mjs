// Texts in code points, as the gateway counts them; JavaScript's strings count UTF-16 units.

/** A text with the place of each of its code points. */
export class Text {
  #starts = [];

  constructor(string) {
    this.string = string;
    let at = 0;
    for (const character of string) {
      this.#starts.push(at);
      at += character.length;
    }
    this.#starts.push(at);
  }

  /** The number of code points. */
  get length() {
    return this.#starts.length - 1;
  }

  /** The part between two code points. */
  slice(start, end) {
    return this.string.slice(this.#unit(start), this.#unit(end));
  }

  /** The code point that a UTF-16 unit belongs to, or begins at. */
  codePoint(unit) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle] <= unit) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Where a value stands in the text as it is, or null. */
  find(value) {
    const unit = value ? this.string.indexOf(value) : -1;
    if (unit < 0) return null;
    const start = this.codePoint(unit);
    return { text: value, start, end: this.codePoint(unit + value.length) };
  }

  #unit(codePoint) {
    return this.#starts[Math.min(Math.max(codePoint, 0), this.length)];
  }
}

/**
 * Cuts a text of `length` code points wherever a span starts or ends.
 * Gives parts in order, each with the spans that cover it.
 */
export function segments(length, spans) {
  const inside = spans.filter(({ start, end }) => start >= 0 && start < end && end <= length);
  const edges = new Set([0, length]);
  for (const { start, end } of inside) edges.add(start).add(end);
  const sorted = [...edges].sort((a, b) => a - b);
  return sorted.slice(1).map((end, index) => {
    const start = sorted[index];
    return { start, end, spans: inside.filter((span) => span.start <= start && end <= span.end) };
  });
}
