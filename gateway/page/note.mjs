// The note with its evidence: each span in its field's colour.

import { el } from "./dom.mjs";
import { segments } from "./text.mjs";

const STRENGTH = ["exact", "normalized", "fuzzy"];

/** Shows a text with spans of evidence; `indexOf(field)` gives the number of a field's colour. */
export function showNote(container, text, spans, indexOf) {
  container.replaceChildren(
    ...segments(text.length, spans).map((part) => {
      const words = text.slice(part.start, part.end);
      if (!part.spans.length) return words;
      const fields = [...new Set(part.spans.map(({ field }) => field))];
      const match = STRENGTH.findLast((kind) => part.spans.some((span) => span.match === kind));
      const several = fields.length > 1 ? " several" : "";
      return el(
        "mark",
        {
          class: `c${indexOf(fields[0]) % 8} ${match}${several}`,
          "data-fields": fields.join(" "),
          role: "button",
          tabindex: 0,
          "aria-label": `${words}: ${match} evidence for ${fields.map(labelOf).join(" and ")}`,
        },
        words,
      );
    }),
  );
}

/** A field's name as people write it. */
export function labelOf(name) {
  return name.replaceAll("_", " ");
}

/** The span of the text that is selected in the container, or null. */
export function selectedSpan(container, text) {
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  if (!container.contains(range.commonAncestorContainer)) return null;
  const before = document.createRange();
  before.setStart(container, 0);
  before.setEnd(range.startContainer, range.startOffset);
  const from = before.toString().length;
  const picked = range.toString();
  const words = picked.trim();
  if (!words) return null;
  const unit = from + picked.indexOf(words);
  const [start, end] = [text.codePoint(unit), text.codePoint(unit + words.length)];
  return { text: text.slice(start, end), start, end };
}
