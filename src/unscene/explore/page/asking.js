// The row above the wall: clip, filter, order, file, label, still moments; and clips that are dropped.
import { byId, el, say, show } from "./dom.js";
import { findByClip, go, quoted } from "./finding.js";
import { nameOf, on, state } from "./state.js";

/** Conditions that make sense in this index. */
function findExamples() {
  const [label] = state.index.labels;
  const file = state.index.files.find((one) => one.class) ?? state.index.files[0];
  const name = label?.name ?? "wave";
  const part = (file?.name ?? "kitchen").split("/")[0].replace(/\.\w+$/, "");
  return [
    ["motion > 0.2", "strong motion (frame heights per second)"],
    ["label is null", "without a label"],
    [`label = ${quoted(name)} and motion > 0.1`, `labeled “${nameOf(name)}”, and moving`],
    ["start < 10", "in the first ten seconds of a file"],
    [`file like ${quoted(`%${part}%`)}`, `in files whose name contains “${part}”`],
    ...(file?.class ? [[`class = ${quoted(file.class)}`, `in files of the class “${file.class}”`]] : []),
  ];
}

function chooseClip() {
  byId("upload").click();
}

function beginClips() {
  const input = byId("upload");
  byId("choose").addEventListener("click", chooseClip);
  input.addEventListener("change", () => {
    if (input.files.length) findByClip(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
  let depth = 0; // dragenter and dragleave come for every element on the way
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!holdsFile(event)) return;
    depth += 1;
    show(byId("drop"), true);
  });
  addEventListener("dragleave", (event) => {
    if (!holdsFile(event)) return;
    depth = Math.max(0, depth - 1);
    if (!depth) show(byId("drop"), false);
  });
  addEventListener("dragover", (event) => holdsFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    depth = 0;
    show(byId("drop"), false);
    const files = [...event.dataTransfer.files];
    if (files.length > 1) say(`Searching by the first of ${files.length} clips: ${files[0].name}`);
    if (files.length) findByClip(files[0]);
  });
}

function beginFilter() {
  const box = byId("where");
  const help = byId("where-help");
  const apply = (text) => {
    box.value = text;
    show(help, false);
    go({ where: text.trim() });
  };
  const drawHelp = () => help.replaceChildren(
    el("p", {}, "A condition in SQL over ", el("code", {}, "file, start, end, motion, still, label, class"), ". For example:"),
    ...findExamples().map(([text, meaning]) =>
      el("button", { type: "button", class: "example", onclick: () => apply(text) }, el("code", {}, text), el("span", { class: "faint" }, meaning)),
    ),
  );
  byId("filter").addEventListener("submit", (event) => {
    event.preventDefault();
    apply(box.value);
  });
  box.addEventListener("focus", () => {
    if (!state.index) return; // not open yet
    drawHelp();
    show(help, true);
  });
  box.addEventListener("input", () => show(byId("where-clear"), Boolean(box.value)));
  byId("filter").addEventListener("focusout", (event) => {
    if (!byId("filter").contains(event.relatedTarget)) show(help, false);
  });
  byId("filter").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    show(help, false);
    box.blur();
  });
  byId("where-clear").addEventListener("click", () => apply(""));
}

function options(select, entries, value = "") {
  select.replaceChildren(...entries.map(([val, text]) => el("option", { value: val }, text)));
  select.value = value;
}

/** Show in the controls what `state` says. */
function drawControls() {
  byId("where").value = state.where;
  show(byId("where-clear"), Boolean(state.where));
  byId("order").value = state.order;
  byId("order").disabled = Boolean(state.query);
  byId("still").checked = state.still;
  if (!state.index) return;
  const named = state.index.labels.map(({ name, count }) => [`=${name}`, `${nameOf(name)} (${count})`]);
  if (byId("file").length !== state.index.files.length + 1) {
    options(byId("file"), [["", "All files"], ...state.index.files.map((file) => [String(file.id), file.name])]);
  }
  byId("file").value = state.file;
  options(byId("label"), [["", "All labels"], ["-", "Without a label"], ...named], state.label);
  byId("still").closest("label").lastChild.textContent = ` Still moments (${state.index.still.toLocaleString("en")})`;
}

/** On a narrow screen, filter and pickers open on demand. */
function openMore(open) {
  document.querySelector(".asking").classList.toggle("opened", open);
  byId("more").setAttribute("aria-expanded", open);
}

export function focusFilter() {
  if (state.view !== "wall") go({ view: "wall" });
  openMore(true);
  byId("where").focus();
}

export function beginAsking() {
  byId("more").addEventListener("click", () => openMore(byId("more").getAttribute("aria-expanded") !== "true"));
  beginClips();
  beginFilter();
  for (const name of ["order", "file", "label"]) {
    byId(name).addEventListener("change", () => go({ [name]: byId(name).value }));
  }
  byId("still").addEventListener("change", () => go({ still: byId("still").checked }));
  on("index", drawControls);
  on("place", drawControls);
}

export { chooseClip };
