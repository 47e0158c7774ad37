// Elements, without a string that becomes markup.

export const byId = (id) => document.getElementById(id);

/** Makes an element; attributes that are functions are listeners, and those that are true stand without a value. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function button(label, click, attributes = {}) {
  return el("button", { type: "button", click, ...attributes }, label);
}

/** Takes files that are dropped on an element, or chosen; `read(bytes, name)` gets each. */
export function onFile(area, input, read) {
  const take = async (file) => file && read(new Uint8Array(await file.arrayBuffer()), file.name);
  const over = (event, isOver) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    area.classList.toggle("over", isOver);
  };
  area.addEventListener("dragover", (event) => over(event, true));
  area.addEventListener("dragleave", (event) => over(event, false));
  area.addEventListener("drop", (event) => {
    over(event, false);
    take(event.dataTransfer.files[0]);
  });
  input.addEventListener("change", async () => {
    await take(input.files[0]);
    input.value = ""; // The same file can be chosen again.
  });
}

export function download(name, content) {
  const address = URL.createObjectURL(new Blob([content], { type: "text/plain;charset=utf-8" }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
