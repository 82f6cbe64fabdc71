// What the wall shows: all moments, those like a query, or those to label next.
import * as api from "./api.js";
import { basename, byId, count, el, iconButton, say, show, span } from "./dom.js";
import { attempt } from "./labels.js";
import { emit, fileName, on, state } from "./state.js";

const FIRST = 60; // moments of the first page, and answers of a search
const SUGGESTED = 24;
let wall;
let running = null; // the request under way: a newer one stops it

/** A subject as the server reads it: a window, a stretch of a file, or an uploaded clip. */
function asQuery(subject) {
  if (subject.upload) {
    const part = subject.part ? { start: subject.start, end: subject.end } : {};
    return { upload: subject.upload, ...part };
  }
  // A moment of several windows is asked for as a stretch: an id names its first window only.
  const single = subject.end - subject.start < state.index.length * 1.01;
  if (single && subject.id !== null && subject.id !== undefined) return { window: subject.id };
  return { file: subject.file, start: subject.start, end: subject.end };
}

/** A text in SQL. */
export const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
/** The filter box and the two pickers as one condition. */
function condition() {
  const parts = [];
  if (state.where) parts.push(`(${state.where})`);
  if (state.file !== "") parts.push(`file = ${quoted(state.files.get(Number(state.file))?.name ?? "")}`);
  if (state.label === "-") parts.push("label is null");
  else if (state.label) parts.push(`label = ${quoted(state.label.slice(1))}`);
  return parts.join(" and ") || null;
}

export function beginFinding(theWall) {
  wall = theWall;
  on("restored", run);
}

function remember() {
  const { view, query, where, order, file, label, still } = state;
  history.pushState({ view, query, where, order, file, label, still }, "");
}

/** Change what is shown, by a step that the browser's Back button takes back. */
export function go(changes) {
  Object.assign(state, changes);
  remember();
  emit("place");
  return run();
}

/** Moments like `subject`. */
export function findLike(subject) {
  return go({ query: { like: subject, unlike: [] }, view: "wall" });
}

/** As before, but not like `subject`. */
export function findUnlike(subject) {
  if (!state.query) {
    return say("First click a moment to find others like it; then Shift+click those that are not meant.");
  }
  return go({ query: { ...state.query, unlike: [...state.query.unlike, subject] }, view: "wall" });
}

export function showAll() {
  return go({ query: null, view: "wall" });
}

export const filtered = () => Boolean(state.where || state.file !== "" || state.label);

/** Ask the server for what `state` says, and show it. */
export async function run() {
  drawQuery();
  if (state.view === "map") return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const slow = setTimeout(() => status("Searching…"), 150);
  try {
    const shown = await (state.view === "next" ? suggest() : state.query ? search(signal) : browse(signal));
    if (signal.aborted) return;
    const hadFocus = wall.hasFocus;
    wall.show(shown);
    if (hadFocus) wall.focusFirst();
    drawNothing(shown.total);
    wrongFilter("");
    status(shown.said);
    emit("shown");
  } catch (error) {
    if (error.name === "AbortError") return;
    status("");
    failed(error);
  } finally {
    clearTimeout(slow);
  }
}

async function browse(signal) {
  const fields = { order: state.order, where: condition(), still: state.still || null };
  const { total, moments } = await api.getMoments({ ...fields, offset: 0, limit: FIRST }, signal);
  const load = async (offset, limit) => {
    const answer = await api.getMoments({ ...fields, offset, limit });
    // Labels have changed what passes the filter: the pages no longer join, so begin again.
    if (answer.total !== total && !signal.aborted) run();
    return answer.moments;
  };
  const orders = { spread: "variety first", motion: "most motion first", rare: "rarest first", time: "by file and time" };
  const said = total ? `${count(total, "moment")}, ${orders[state.order]}` : "";
  return { total, first: moments, load, said };
}

async function search(signal) {
  const { like, unlike } = state.query;
  const body = {
    query: asQuery(like), unlike: unlike.map(asQuery), k: FIRST, where: condition(), still: state.still,
  };
  const { moments, milliseconds } = await api.search(body, signal);
  const said = moments.length
    ? `${count(moments.length, "nearest moment")}, found in ${Math.max(1, Math.round(milliseconds))} ms`
    : "";
  return { total: moments.length, first: moments, said };
}

async function suggest() {
  const { moments } = await api.getSuggestions(SUGGESTED);
  const said = moments.length ? "The labels of these moments would teach the classifier most." : "";
  return { total: moments.length, first: moments, reasons: true, said };
}

function status(text) {
  byId("status").textContent = text;
}

function wrongFilter(text) {
  byId("where-error").textContent = text;
  show(byId("where-error"), Boolean(text));
  byId("where").setAttribute("aria-invalid", Boolean(text));
}

/** Say what went wrong where people look for it: at the filter, or in place of the moments. */
export function failed(error) {
  if (error instanceof api.ServerGone) return; // the banner says so
  if (!(error instanceof api.ServerError)) throw error;
  if (error.status === 400 && filtered()) return wrongFilter(error.message);
  wall.show({ total: 0, first: [] });
  nothing("That did not work", [error.message], [["Try again", run], ["Show all moments", showAll]]);
}

function nothing(title, lines, buttons) {
  const made = buttons.map(([text, onclick]) => el("button", { type: "button", class: "button", onclick }, text));
  byId("nothing").replaceChildren(
    el("h2", {}, title),
    ...lines.map((line) => el("p", {}, line)),
    el("p", { class: "row" }, ...made),
  );
  show(byId("nothing"), true);
}

function drawNothing(total) {
  show(byId("nothing"), false);
  if (total) return;
  if (!state.index.windows) {
    nothing("This index is empty", [
      "Nothing has been indexed yet. Fill it with a folder of videos, then open this page again:",
    ], [["Look again", () => location.reload()]]);
    byId("nothing").querySelector("p").after(el("code", {}, "unscene index FOLDER --out INDEX"));
  } else if (state.view === "next") {
    nothing("Nothing to suggest", ["Label a few moments of at least two classes first."], [["Show all moments", showAll]]);
  } else if (filtered()) {
    nothing("No moment passes the filter", ["Take the filter away, or write it differently."], [
      ["Clear the filter", () => go({ where: "", file: "", label: "" })],
    ]);
  } else if (!state.still && state.index.still) {
    nothing("Nothing moves here", [`All that is left are still moments (${count(state.index.still, "moment")}).`], [
      ["Show still moments", () => go({ still: true })],
    ]);
  } else nothing("No moments", ["The search has no answer."], [["Show all moments", showAll]]);
}

/** The query above its answers: what is searched for, and what is not meant. */
function drawQuery() {
  const place = byId("query");
  const { query } = state;
  show(place, Boolean(query) && state.view === "wall");
  if (!query) return place.replaceChildren();
  return place.replaceChildren(
    pill("Like", query.like, showAll, "Show all moments (Esc)"),
    ...query.unlike.map((subject) =>
      pill("Not like", subject, () => {
        const unlike = state.query.unlike.filter((one) => one !== subject);
        return go({ query: { ...state.query, unlike } });
      }, "Take this away"),
    ),
    query.unlike.length ? "" : el("p", { class: "hint" }, "Shift+click an answer that is not meant."),
  );
}

function pill(kind, subject, remove, title) {
  const picture = subject.upload ? null : el("img", { alt: "", src: api.frameUrl(subject) });
  const text = subject.upload && !subject.part ? "" : ` ${span(subject)}`;
  const button = iconButton("close", title, "", remove);
  return el(
    "div", { class: kind === "Like" ? "pill" : "pill not" },
    picture,
    el("span", {}, el("b", {}, kind), el("span", { class: "name" }, basename(fileName(subject))), text),
    button,
  );
}

/** Search by a file from outside the index. */
export async function findByClip(file) {
  if (!state.index) return say("The index is still being opened: try again in a moment.");
  const limit = state.index.upload_limit;
  if (limit && file.size > limit) {
    const megabytes = Math.round(limit / 2 ** 20);
    return say(`${file.name} is larger than ${megabytes} MB: cut out the part that you look for.`, "wrong");
  }
  status(`Reading ${file.name}…`);
  byId("choose").disabled = true;
  const answer = await attempt(() => api.upload(file));
  byId("choose").disabled = false;
  status("");
  if (!answer) return undefined;
  const subject = {
    upload: answer.upload, name: answer.name, file: null, start: 0, end: answer.duration,
    duration: answer.duration,
  };
  emit("open", subject);
  return findLike(subject);
}
