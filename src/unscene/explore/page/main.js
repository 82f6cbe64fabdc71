// Starts the page: reads the index, wires the parts together, and listens to keys.
import { getIndex, getLabels, ServerError, ServerGone } from "./api.js";
import { beginAsking, chooseClip, focusFilter } from "./asking.js";
import { beginConnection } from "./connection.js";
import { beginDock, classOfKey, nameClass } from "./dock.js";
import { byId, count, isTyping, say, show } from "./dom.js";
import { beginFinding, failed, findLike, findUnlike, go, run, showAll } from "./finding.js";
import { accept, aimAtMoment, assign, clearSelected, redo, reject, removeLabels, toggleSelected, undo } from "./labels.js";
import { beginMap, mapKey, openMap } from "./map.js";
import { beginMenus, openHelp, toggleExport, toggleTheme, train } from "./menus.js";
import * as player from "./player.js";
import { emit, on, state, takeIndex, takeLabels } from "./state.js";
import { Wall } from "./wall.js";

const wall = new Wall(
  byId("wall"),
  {
    find: (moment) => { player.open(moment); findLike(moment); },
    unlike: findUnlike,
    open: player.open,
    select: toggleSelected,
    focus: (moment) => moment && aimAtMoment(moment),
  },
  failed,
);

function drawCounts() {
  const { name, windows, still, files, encoder } = state.index;
  byId("name").textContent = name;
  document.title = `${name} – unscene`;
  byId("counts").textContent = `${count(windows, "moment")} in ${count(files.length, "file")}`;
  byId("counts").title = `encoder ${encoder}; a moment is ${state.index.length} s long, one starts every ${state.index.hop} s; ${count(still, "still moment")} hidden unless asked for`;
}

function drawView() {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.dataset.view === state.view;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  show(byId("view-wall"), state.view !== "map");
  show(byId("view-map"), state.view === "map");
  document.querySelector(".asking").hidden = state.view !== "wall";
  const welcome = state.view === "wall" && !state.query && state.index?.windows;
  const touch = matchMedia("(hover: none)").matches;
  byId("start").textContent = touch ? "Tap a moment to find others that move like it." : "Point at a moment to see it move. Click it to find others that move like it.";
  show(byId("start"), Boolean(welcome));
  byId("view-wall").setAttribute("aria-labelledby", state.view === "next" ? "tab-next" : "tab-wall");
  if (state.view === "map") openMap();
}

function visit(view) {
  if (view === state.view && !(view === "wall" && state.query)) return;
  go(view === "wall" ? { view, query: null } : { view });
}

function beginTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => visit(tab.dataset.view));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.focus();
      visit(next.dataset.view);
    });
  }
}

// ---- keys ----

/** Escape takes one thing back: selection, mark, picked label, player, search. */
function back() {
  if (state.selected.size) clearSelected();
  else if (player.clearMark()) return;
  else if (["label", "prediction"].includes(state.aim?.kind)) emit("aim", (state.aim = null));
  else if (player.isOpen()) player.close();
  else if (state.query || state.view !== "wall") showAll();
}

const onCard = () => document.activeElement?.closest(".card-main") && wall.moment;

const KEYS = {
  "?": openHelp, "/": focusFilter, u: chooseClip, w: () => visit("wall"), l: () => visit("next"), m: () => visit("map"),
  t: train, e: () => toggleExport(true), d: toggleTheme, n: nameClass,
  k: player.togglePlay, ",": () => player.step(-1), ".": () => player.step(1), "[": () => player.skip(-1), "]": () => player.skip(1),
  i: player.markStart, o: player.markEnd, s: player.searchMark, r: player.toggleLoop, h: player.toggleOverlay,
  "+": () => player.zoom(0.5), "-": () => player.zoom(2),
  Escape: back, Delete: () => removeLabels(), Backspace: () => removeLabels(),
  a: () => state.aim?.kind === "prediction" && accept(state.aim),
  A: () => state.aim?.kind === "prediction" && reject(state.aim),
  p: () => onCard() && player.open(wall.moment),
  x: () => onCard() && toggleSelected(wall.moment),
};

function command(event) {
  if (event.ctrlKey || event.metaKey) {
    if (event.key.toLowerCase() === "z") return event.shiftKey ? redo : undo;
    return event.key.toLowerCase() === "y" ? redo : null;
  }
  if (event.altKey) return null;
  if (/^[0-9]$/.test(event.key)) {
    const name = classOfKey(Number(event.key));
    return name ? () => assign(name) : () => say(`There is no class ${event.key} yet. Press N to make one.`);
  }
  if (onCard()) {
    if (event.key === "Enter" && event.shiftKey) return () => findUnlike(wall.moment);
    if (event.key === " ") return () => player.open(wall.moment);
  } else if (event.key === " " && player.isOpen() && document.activeElement === document.body) return player.togglePlay;
  if (event.key.length > 1) return KEYS[event.key] ?? null;
  // Caps Lock is no Shift.
  return KEYS[event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase()] ?? null;
}

function listenToKeys() {
  addEventListener("keydown", (event) => {
    if (!state.index || isTyping(event.target) || byId("sheet").open || event.defaultPrevented) return;
    if (!event.ctrlKey && !event.metaKey && mapKey(event)) return event.preventDefault();
    if (onCard() && !event.altKey && wall.move(event.key)) return event.preventDefault();
    const work = command(event);
    if (!work) return undefined;
    event.preventDefault();
    return work();
  });
}

/** A jump within the page would be a step of the history, which has no search and no filter. */
function beginSkip() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    (state.view === "map" ? document.querySelector("canvas.map") : byId("wall")).focus();
  });
}

/** After a label was given in "Label next", go on to the next moment. */
function goOn(aim) {
  if (aim.kind === "selected") clearSelected();
  if (state.view === "next" && aim.kind === "moment") wall.focus(wall.active + 1);
}

function drawUndoable({ undo: before, redo: after }) {
  // A server that does not say what could be undone leaves both buttons on.
  for (const [id, what, word] of [["undo", before, "Undo"], ["redo", after, "Redo"]]) {
    byId(id).disabled = what === null;
    byId(id).title = `${word}${what ? `: ${what}` : ""} (${id === "undo" ? "Ctrl+Z" : "Shift+Ctrl+Z"})`;
  }
}

async function start() {
  Object.assign(state, history.state ?? {}); // after a reload: as it was
  if (!state.index) wall.show({ total: 24, first: [] }); // blank until the first moments are here
  try {
    const [index, labels] = await Promise.all([getIndex(), getLabels()]);
    takeLabels(labels);
    takeIndex(index);
    emit("labels");
    emit("place");
    await run();
  } catch (error) {
    if (error instanceof ServerGone) return;
    if (!(error instanceof ServerError)) throw error;
    byId("status").textContent = error.message;
  }
}

beginFinding(wall);
beginAsking();
beginTabs();
beginSkip();
player.beginPlayer();
beginDock();
beginMap();
beginMenus();
beginConnection(start);
listenToKeys();
byId("undo").addEventListener("click", undo);
byId("redo").addEventListener("click", redo);
on("index", drawCounts);
on("place", () => {
  // On a narrow screen the player lies above everything else: it makes room for what was asked for.
  if (matchMedia("(max-width: 900px)").matches && (state.view !== "wall" || !state.query)) player.close();
  drawView();
  scrollTo(0, 0);
});
for (const event of ["labels", "selected", "aim"]) on(event, () => wall.update());
on("trained", run);
on("labeled", goOn);
on("undoable", drawUndoable);
on("opened", () => wall.layout());
addEventListener("popstate", (event) => {
  const plain = { view: "wall", query: null, where: "", order: "spread", file: "", label: "", still: false };
  Object.assign(state, plain, event.state ?? {});
  emit("place");
  emit("restored");
});
document.body.classList.add("ready");
start();
