// The label or the prediction that is picked on the timeline, and what can be done with it.
import { el, span } from "./dom.js";
import { chip } from "./card.js";
import { classNames } from "./dock.js";
import { accept, editLabel, reject, removeLabels, assign } from "./labels.js";
import { nameOf, NONE } from "./state.js";

const button = (text, title, onclick, kind = "button") =>
  el("button", { type: "button", class: kind, title, onclick }, text);

function classPicker(label, current, onpick) {
  const names = classNames();
  if (!names.includes(current)) names.unshift(current);
  if (!names.includes(NONE)) names.push(NONE);
  const select = el(
    "select", { "aria-label": label, title: label, onchange: () => onpick(select.value) },
    names.map((name) => el("option", { value: name, selected: name === current }, nameOf(name))),
  );
  return select;
}

let drawn = "null"; // what stands there
let drawing = false;

function timeInput(name, value, onchange) {
  const input = el("input", { type: "number", step: "0.1", min: "0", value: value.toFixed(2), "aria-label": name });
  input.addEventListener("change", () => {
    if (drawing) return; // it goes away half typed
    const time = Number(input.value);
    if (input.value !== "" && Number.isFinite(time)) onchange(time);
  });
  return el("label", { class: "field" }, el("span", {}, name), input);
}

function ofLabel(label, now) {
  const move = (changes) => editLabel(label, changes);
  return [
    el("div", { class: "row" }, el("b", {}, "Label"), classPicker("Class of the label", label.label, (name) => move({ label: name })),
      el("span", { class: "space" }), button("Delete", "Delete this label (Delete)", () => removeLabels({ kind: "label", label }), "button danger")),
    el("div", { class: "row" },
      timeInput("Start, s", label.start, (start) => move({ start })), button("= now", "Start at the current time", () => move({ start: now() })),
      timeInput("End, s", label.end, (end) => move({ end })), button("= now", "End at the current time", () => move({ end: now() }))),
  ];
}

function ofPrediction(aim) {
  return [
    el("div", { class: "row" }, el("b", {}, "Prediction"), chip(aim.label, aim.probability), el("span", { class: "time" }, span(aim))),
    el("div", { class: "row" },
      button("Accept", "Make it a label (A)", () => accept(aim), "button strong"),
      classPicker("Change to", aim.label, (name) => assign(name, aim)),
      button("Reject", "It is none of these classes (Shift+A)", () => reject(aim))),
  ];
}

/** Draw what is picked, or nothing. */
export function drawPicked(place, aim, now) {
  const shown = aim?.kind === "label" ? aim.label : aim?.kind === "prediction" ? aim : null;
  const what = JSON.stringify(shown && [shown, classNames()]);
  if (what === drawn) return;
  const { activeElement: focused } = document;
  const typing = place.contains(focused) && focused.matches("input");
  if (typing && shown && JSON.stringify(shown) === JSON.stringify(JSON.parse(drawn)?.[0])) return; // a new class can wait
  drawn = what;
  const fields = () => [...place.querySelectorAll("input, select, button")];
  const at = fields().indexOf(focused);
  const rows = aim?.kind === "label" ? ofLabel(aim.label, now) : aim?.kind === "prediction" ? ofPrediction(aim) : [];
  place.hidden = !rows.length;
  drawing = true;
  place.replaceChildren(...rows);
  drawing = false;
  fields()[at]?.focus({ preventScroll: true });
}
