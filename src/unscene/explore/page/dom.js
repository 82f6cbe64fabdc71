// Builds elements. Text of the data goes through textContent only, never through HTML.

/** An element: properties, "data-x"/"aria-x"/role as attributes, on<event> as listeners. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.flat().filter((one) => one !== null && one !== undefined));
  return node;
}

/** An icon of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A button that shows an icon and says what it does. */
export function iconButton(name, label, key, onclick) {
  const title = key ? `${label} (${key})` : label;
  return el("button", { type: "button", class: "icon", title, "aria-label": label, onclick }, icon(name));
}

export const byId = (id) => document.getElementById(id);

/** Show or hide. */
export function show(node, visible) {
  node.hidden = !visible;
}

/** Seconds as 1:02.3, hours if there are any. */
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const rounded = Math.round(Math.max(0, seconds) * scale) / scale;
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const rest = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export const span = (moment) => `${clock(moment.start)} – ${clock(moment.end)}`;

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** Last part of a path. */
export const basename = (name) => name.split("/").pop();

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Is somebody typing text, so that letters are no commands? */
export function isTyping(target) {
  return target.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select") ?? false;
}

let hiding;
/** A short sentence at the lower edge, which goes by itself. */
export function say(text, kind = "") {
  const toast = byId("toast");
  toast.textContent = text;
  toast.className = `toast ${kind}`;
  toast.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (toast.hidden = true), kind === "wrong" ? 9000 : 3500);
}
