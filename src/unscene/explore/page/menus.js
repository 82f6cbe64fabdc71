// Export, training, theme and the help sheet.
import * as api from "./api.js";
import { byId, el, iconButton, say, show } from "./dom.js";
import { go } from "./finding.js";
import { attempt } from "./labels.js";
import { emit, on, state } from "./state.js";

const FORMATS = {
  csv: "CSV table", label_studio: "Label Studio (JSON)", elan: "ELAN (.eaf)", boris: "BORIS", webvtt: "WebVTT subtitles",
};

// ---- export ----

async function save(format, what) {
  show(byId("export-menu"), false);
  byId("export").setAttribute("aria-expanded", "false");
  await attempt(async () => {
    const { name, url } = await api.download(format, what);
    const link = el("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    say(`Saved ${name}`);
  });
}

function drawExport() {
  const column = (title, what, hint) =>
    el("div", { role: "group", "aria-label": title }, el("h3", {}, title), el("p", { class: "faint" }, hint),
      state.index.formats.map((format) =>
        el("button", { type: "button", class: "entry", onclick: () => save(format, what) }, FORMATS[format] ?? format)));
  byId("export-menu").replaceChildren(
    column("Labels", "labels", "what you labeled"),
    column("Predictions", "predictions", "for all files; train first"),
  );
}

export function toggleExport(open = byId("export-menu").hidden) {
  if (!state.index) return; // not open yet
  if (open) drawExport();
  show(byId("export-menu"), open);
  byId("export").setAttribute("aria-expanded", open);
  if (open) byId("export-menu").querySelector("button")?.focus();
}

// ---- training ----

/** A bar of the F1, its confidence interval as a thin line, and chance as a dashed one. */
function drawScore({ f1, interval, chance }) {
  const percent = (value) => `${100 * Math.min(1, Math.max(0, value))}%`;
  const [fill, range, dashed] = [el("i"), el("u"), el("b")];
  fill.style.width = percent(f1);
  dashed.style.left = percent(chance ?? 0);
  show(range, Array.isArray(interval));
  if (Array.isArray(interval)) {
    range.style.left = percent(interval[0]);
    range.style.width = percent(interval[1] - interval[0]);
  }
  const text = `F1 ${f1.toFixed(2)}, chance ${(chance ?? 0).toFixed(2)}`;
  const bar = el("span", { class: "score", role: "img", "aria-label": text }, fill, range, dashed);
  return el("div", { class: "row" }, el("span", {}, `F1 ${f1.toFixed(2)}`), bar, el("span", { class: "faint" }, `chance ${(chance ?? 0).toFixed(2)}`));
}

export async function train() {
  const button = byId("train");
  if (button.disabled) return;
  button.disabled = true;
  button.textContent = "Training…";
  const answer = await attempt(api.train);
  button.disabled = false;
  button.textContent = "Train";
  if (!answer) return;
  state.trained = answer;
  const place = byId("notice");
  const score = [];
  if (typeof answer.f1 === "number") {
    score.push(drawScore(answer));
  }
  place.replaceChildren(
    el("div", {}, el("p", {}, answer.sentence), ...score),
    el("button", { type: "button", class: "button", onclick: () => go({ view: "next", query: null }) }, "What to label next"),
    iconButton("close", "Close this message", "", () => show(place, false)),
  );
  show(place, true);
  button.title = `${answer.sentence} (T trains again)`;
  place.scrollIntoView({ block: "nearest" });
  emit("trained");
}

// ---- theme ----

export function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("unscene-theme", root.dataset.theme);
  } catch {
    // Storage is switched off: the theme holds until the page is closed.
  }
  emit("selected"); // the map draws its colors itself
}

// ---- help ----

const STEPS = [
  ["Find", "Click a moment: its nearest moments come up, and it plays in its video. Shift+click answers that are not meant. To search by a clip of your own, drop it anywhere on this page."],
  ["Mark", "Drag along the timeline under a video, or press I and O while it plays. Then search by this stretch, or label it."],
  ["Label", "Give what the row at the lower edge names a class: click the class, or press its digit. N makes a new class. Labels are saved at once."],
  ["Train", "After a few labels of two classes, Train fits a classifier and says how well it does on files that it was not fitted on. Its predictions then lie under every video: accept, change or reject them. “Label next” shows the moments whose labels would help most."],
];
const KEYS = [
  ["Moments", [
    ["← → ↑ ↓", "go from moment to moment"], ["Enter", "find moments like it"], ["Shift+Enter", "not like this one"],
    ["P", "play it in its video"], ["X", "select it (also Ctrl+click)"], ["Esc", "back: selection, mark, player, search"],
  ]],
  ["Labels", [
    ["1 – 9", "label with this class"], ["0", "none of these"], ["N", "a new class"], ["Delete", "remove the label"],
    ["A", "accept the picked prediction"], ["Shift+A", "reject it"], ["Ctrl+Z", "undo"], ["Shift+Ctrl+Z", "redo"],
  ]],
  ["Video", [
    ["K or Space", "play or pause"], [", and .", "one frame back or on"], ["[ and ]", "one second back or on"], ["I and O", "mark start and end"],
    ["S", "search the marked stretch"], ["R", "repeat the moment"], ["H", "where the encoder looks"], ["+ and −", "zoom the timeline"],
  ]],
  ["Page", [
    ["/", "filter"], ["U", "search by a clip"], ["W", "all moments"], ["L", "what to label next"], ["M", "map"],
    ["T", "train"], ["E", "export"], ["D", "light or dark"], ["?", "this help"],
  ]],
];

export function openHelp() {
  const sheet = byId("sheet");
  sheet.replaceChildren(
    el("div", { class: "row" }, el("h2", { id: "sheet-title" }, "How this page works"), el("span", { class: "space" }), iconButton("close", "Close", "Esc", () => sheet.close())),
    el("dl", { class: "steps" }, STEPS.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)])),
    el("div", { class: "keys" }, KEYS.map(([title, keys]) =>
      el("section", {}, el("h3", {}, title), el("table", {}, el("tbody", {}, keys.map(([name, meaning]) =>
        el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, name)), el("td", {}, meaning)))))))),
    el("p", { class: "faint" }, "Everything stays on this computer: the page loads nothing from outside."),
  );
  sheet.showModal();
}

export function beginMenus() {
  on("place", () => show(byId("notice"), false)); // it stays as the title of the button
  byId("train").addEventListener("click", train);
  byId("theme").addEventListener("click", toggleTheme);
  byId("help").addEventListener("click", openHelp);
  byId("export").addEventListener("click", () => toggleExport());
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".menu")) toggleExport(false);
  });
  byId("export-menu").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    toggleExport(false);
    byId("export").focus();
  });
  byId("sheet").addEventListener("click", (event) => event.target === byId("sheet") && byId("sheet").close());
}

