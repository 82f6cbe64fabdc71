// The row at the lower edge: what a label would go to, and the classes with their keys.
import { byId, el, icon, iconButton, show } from "./dom.js";
import { aimAt, assign, clearSelected, describeAim, removeLabels } from "./labels.js";
import { colorOf, nameOf, NONE, on, state } from "./state.js";

// Classes in the order of their keys. It only grows: a key must not change its meaning.
const classes = [];
let naming = false;

export const classNames = () => [...classes];
export const classOfKey = (digit) => (digit === 0 ? NONE : classes[digit - 1]);

const place = () => `unscene-classes:${state.index.name}`;

/** Add classes that are new; at the start, in the order of the last visit. */
function takeClasses() {
  const there = state.index.labels.map(({ name }) => name).filter((name) => name !== NONE);
  try {
    const last = classes.length ? [] : JSON.parse(localStorage.getItem(place()) ?? "[]");
    classes.push(...last.filter((name) => there.includes(name)));
    classes.push(...there.filter((name) => !classes.includes(name)));
    localStorage.setItem(place(), JSON.stringify(classes));
  } catch {
    // Storage is switched off: the order holds until the page is closed.
    classes.push(...there.filter((name) => !classes.includes(name)));
  }
}

function dot(name) {
  const node = el("i", { class: "dot" });
  node.style.background = colorOf(name);
  return node;
}

function classButton(name, key) {
  const found = state.index.labels.find((label) => label.name === name);
  return el(
    "button",
    {
      type: "button", class: "class", onclick: () => assign(name),
      title: key === undefined ? `Label: ${nameOf(name)}` : `Label: ${nameOf(name)} (${key})`,
    },
    key === undefined ? null : el("kbd", {}, String(key)), dot(name), nameOf(name),
    el("span", { class: "faint" }, String(found?.count ?? 0)),
  );
}

function newClass() {
  if (!naming) {
    return el("button", { type: "button", class: "class new", title: "A new class (N)", onclick: nameClass }, el("kbd", {}, "N"), icon("plus"), "New class");
  }
  const input = el("input", {
    type: "text", placeholder: "Name of the class", "aria-label": "Name of the new class", maxLength: 80,
    onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      stopNaming();
    },
    onblur: () => !input.value && stopNaming(),
  });
  const submit = async (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return;
    naming = false;
    if (!classes.includes(name) && name !== NONE) classes.push(name);
    draw();
    giveFocusBack();
    await assign(name);
  };
  return el("form", { class: "naming", onsubmit: submit }, input, el("button", { class: "button strong" }, "Add"));
}

let before = null; // what had the focus
export function nameClass() {
  if (byId("dock").hidden) return;
  before = document.activeElement;
  naming = true;
  draw();
  byId("dock").querySelector("input").focus();
}

function stopNaming() {
  if (!naming) return;
  naming = false;
  draw();
  giveFocusBack();
}

/** A card that gets the focus back would be aimed at: what was aimed at stays. */
function giveFocusBack() {
  const { aim } = state;
  if (before?.isConnected) before.focus({ preventScroll: true });
  aimAt(aim);
}

function draw() {
  const dock = byId("dock");
  if (!state.index) return;
  takeClasses();
  show(dock, state.index.windows > 0);
  const typed = dock.querySelector("input")?.value ?? "";
  const scrolled = dock.querySelector(".classes")?.scrollLeft ?? 0;
  const focused = dock.contains(document.activeElement) ? [...dock.querySelectorAll("button, input")].indexOf(document.activeElement) : -1;
  const aim = describeAim();
  const row = el(
    "div", { class: "classes" },
    classes.map((name, n) => classButton(name, n < 9 ? n + 1 : undefined)),
    newClass(),
    classes.length ? classButton(NONE, 0) : null,
  );
  dock.replaceChildren(
    el("p", { class: "aim" }, aim ? (state.aim.kind === "label" ? "Change " : "Label ") : "", aim ? el("b", {}, aim) : "Pick a moment to label it"),
    state.aim?.kind === "selected" ? iconButton("close", "Clear the selection", "Esc", () => clearSelected()) : "",
    row,
    iconButton("trash", "Remove its label", "Delete", () => removeLabels()),
  );
  row.scrollLeft = scrolled;
  if (naming) dock.querySelector("input").value = typed;
  if (focused >= 0) dock.querySelectorAll("button, input")[focused]?.focus({ preventScroll: true });
}

export function beginDock() {
  for (const event of ["index", "aim", "selected"]) on(event, draw);
}
