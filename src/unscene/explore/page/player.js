// The player: video, controls, timeline, the marked stretch, and what is picked on the timeline.
import { getPredictions } from "./api.js";
import { byId, calm, clock, el, icon, iconButton, say, show, span } from "./dom.js";
import { findLike } from "./finding.js";
import { aimAt, attempt, editLabel } from "./labels.js";
import { Overlay } from "./overlay.js";
import { drawPicked } from "./picked.js";
import { Screen } from "./screen.js";
import { emit, fileName, on, state } from "./state.js";
import { Timeline } from "./timeline.js";

let subject = null; // moment or upload that is open
let predictedFor = null; // the file whose predictions are on the timeline
const video = el("video", { playsInline: true, preload: "auto", tabIndex: -1 });
const canvas = el("canvas", { class: "glow", "aria-hidden": "true" });
const screen = new Screen(video);
const overlay = new Overlay(video, canvas, () => screen.time);
const timeline = new Timeline({ seek: seekByHand, mark: setMark, pick, edit });
const parts = {};
let looping = true;

const within = (time) => Math.max(0, Math.min(time, timeline.duration));
export const isOpen = () => subject !== null;

function build() {
  parts.name = el("h2", { class: "name" });
  parts.play = iconButton("play", "Play", "K", togglePlay);
  parts.time = el("span", { class: "time" });
  parts.loop = iconButton("loop", "Repeat the moment", "R", () => setLoop(!looping));
  parts.eye = iconButton("eye", "Where the encoder looks", "H", toggleOverlay);
  parts.speed = el(
    "select", { title: "Speed", "aria-label": "Speed", onchange: () => (video.playbackRate = Number(parts.speed.value)) },
    ["0.25", "0.5", "1", "2", "4"].map((speed) => el("option", { value: speed, selected: speed === "1" }, `${speed}×`)),
  );
  parts.mark = el("div", { class: "row mark" });
  parts.picked = el("div", { class: "picked", hidden: true });
  parts.trouble = el("p", { class: "wrong", role: "alert", hidden: true });
  const stage = el("div", { class: "stage", onclick: togglePlay }, video, canvas);
  const controls = el(
    "div", { class: "row controls" },
    iconButton("back", "One frame back", ",", () => step(-1)), parts.play,
    iconButton("next", "One frame on", ".", () => step(1)), parts.time, el("span", { class: "space" }),
    parts.speed, parts.loop, parts.eye,
  );
  const below = el(
    "div", { class: "row below-timeline" }, parts.mark,
    iconButton("unlike", "Show more of the video", "−", () => timeline.zoom(2)),
    iconButton("plus", "Show less, larger", "+", () => timeline.zoom(0.5, screen.time)),
  );
  byId("player").append(
    el("div", { class: "row" }, parts.name, el("span", { class: "space" }), iconButton("close", "Close the player", "Esc", close)),
    stage, parts.trouble, controls, timeline.node, below, parts.picked,
  );
}

export function beginPlayer() {
  build();
  video.addEventListener("play", () => { drawPlay(); requestAnimationFrame(tick); });
  video.addEventListener("pause", drawPlay);
  video.addEventListener("ended", () => {
    if (!looping || !subject) return;
    screen.seek((timeline.mark ?? subject).start);
    screen.play();
  });
  for (const event of ["seeked", "timeupdate", "loadeddata"]) video.addEventListener(event, drawTime);
  video.addEventListener("loadedmetadata", () => {
    if (subject?.upload && Number.isFinite(video.duration)) timeline.duration = Math.max(timeline.duration, video.duration);
  });
  video.addEventListener("error", () => subject && trouble("The browser cannot play this video. Searching and labeling still work."));
  new ResizeObserver(() => overlay.draw()).observe(video);
  on("open", open);
  on("labels", drawLabels);
  on("trained", () => { predictedFor = null; loadPredictions(); });
  on("aim", drawAim);
}

function trouble(text) {
  parts.trouble.textContent = text;
  show(parts.trouble, Boolean(text));
}

/** Open a moment (or an uploaded clip) and play it. */
export function open(moment) {
  const same = subject && subject.file === moment.file && subject.upload === moment.upload;
  subject = moment;
  show(byId("player"), true);
  document.body.classList.add("has-player");
  const file = state.files.get(moment.file);
  parts.name.textContent = fileName(moment);
  parts.name.title = fileName(moment);
  show(parts.eye, !moment.upload);
  trouble("");
  timeline.open(file?.duration ?? moment.duration ?? moment.end, moment);
  if (!same) {
    video.muted = true; // moments are about motion, and a page must not shout
    screen.open(moment, moment.start, !calm());
    overlay.open(moment.upload ? null : moment.file, timeline.duration);
  } else {
    screen.seek(moment.start);
    if (!calm()) screen.play();
  }
  setLoop(true);
  timeline.setTime(moment.start, false);
  drawLabels();
  predictedFor = null; // the timeline has forgotten them
  loadPredictions();
  drawMark();
  aimAt(moment.upload ? null : { kind: "moment", moment });
  emit("opened");
}

export function close() {
  subject = null;
  screen.close();
  show(byId("player"), false);
  document.body.classList.remove("has-player");
  if (["mark", "label", "prediction"].includes(state.aim?.kind)) aimAt(null);
  emit("opened");
}

export function togglePlay() {
  if (!subject) return;
  if (video.paused) video.play().catch(() => trouble("The browser could not start the video."));
  else video.pause();
}

export function step(frames) {
  video.pause();
  seekByHand(screen.time + frames / (state.files.get(subject?.file)?.fps || 25));
}

export const zoom = (factor) => subject && timeline.zoom(factor, screen.time);
export const skip = (seconds) => seekByHand(screen.time + seconds);

/** A person goes elsewhere: do not jump back to the moment. */
function seekByHand(time) {
  const range = timeline.mark ?? subject;
  if (range && (time < range.start - 0.05 || time > range.end + 0.05)) setLoop(false);
  screen.seek(within(time));
  timeline.setTime(within(time), true);
}

export function setLoop(on) {
  looping = on;
  parts.loop.setAttribute("aria-pressed", on);
}
export const toggleLoop = () => setLoop(!looping);

export function toggleOverlay() {
  if (!subject || subject.upload) return;
  parts.eye.setAttribute("aria-pressed", overlay.toggle());
}

function tick() {
  if (video.paused || !subject) return;
  const range = timeline.mark ?? subject;
  if (looping && range.end > range.start && screen.time >= range.end - 0.02) screen.seek(range.start);
  drawTime();
  requestAnimationFrame(tick);
}

function drawPlay() {
  parts.play.replaceChildren(icon(video.paused ? "play" : "pause"));
  parts.play.setAttribute("aria-label", video.paused ? "Play" : "Pause");
}

function drawTime() {
  if (!subject) return;
  parts.time.replaceChildren(clock(screen.time), el("span", { class: "whole" }, ` / ${clock(timeline.duration)}`));
  timeline.setTime(screen.time, !video.paused);
  overlay.draw();
}

function drawLabels() {
  if (!subject) return;
  timeline.labels = subject.upload ? [] : state.labelsByFile.get(subject.file) ?? [];
  if (state.aim?.kind === "label") {
    const still = timeline.labels.find((label) => label.id === state.aim.label.id);
    if (!still && state.aim.label.file === subject.file) aimAt(null); // removed, perhaps by another tab
    else if (still && still !== state.aim.label) aimAt({ kind: "label", label: still });
  }
  timeline.draw();
}

function noModelYet(error) {
  if (error.status === 404) return null; // nothing was trained: no predictions, and nothing wrong
  throw error;
}

async function loadPredictions() {
  if (!subject || subject.upload) return;
  const { file } = subject;
  if (predictedFor === file) return;
  predictedFor = file;
  const answer = await attempt(() => getPredictions(file).catch(noModelYet));
  if (!answer || subject?.file !== file) return;
  timeline.intervals = answer.intervals.map((one) => ({ ...one, file }));
  timeline.track = answer.track;
  timeline.draw();
}

// ---- marking ----

function setMark(start, end) {
  start = within(start);
  end = within(end);
  timeline.mark = end - start > 0.01 ? { start, end } : null;
  timeline.draw();
  drawMark();
  setLoop(true);
  if (timeline.mark) aimAt(subject.upload ? null : { kind: "mark", file: subject.file, start, end });
}

export function markStart() {
  if (!subject) return;
  const now = screen.time;
  const end = timeline.mark && timeline.mark.end > now ? timeline.mark.end : Math.min(timeline.duration, now + state.index.length);
  setMark(now, end);
}

export function markEnd() {
  if (!subject) return;
  const now = screen.time;
  const start = timeline.mark && timeline.mark.start < now ? timeline.mark.start : now - state.index.length;
  setMark(start, now);
}

/** True if there was a mark to take away. */
export function clearMark() {
  if (!timeline.mark) return false;
  timeline.mark = null;
  timeline.draw();
  drawMark();
  if (state.aim?.kind === "mark") aimAt(null);
  return true;
}

export function searchMark() {
  if (!subject) return undefined;
  const range = timeline.mark;
  if (!range) return say("Mark a stretch first: drag along the timeline, or press I and O while it plays.");
  const { file, upload, name } = subject;
  return findLike({ file, upload, name, part: true, ...range });
}

function drawMark() {
  const { mark } = timeline;
  const button = (text, title, onclick, kind = "button") => el("button", { type: "button", class: kind, title, onclick }, text);
  parts.mark.replaceChildren(
    button("Start here", "Mark from the current time on (I)", markStart),
    button("End here", "Mark up to the current time (O)", markEnd),
    ...(mark
      ? [
          iconButton("close", "Remove the mark", "Esc", clearMark),
          button(`Search ${span(mark)}`, "Moments like the marked stretch (S)", searchMark, "button strong"),
        ]
      : [el("span", { class: "hint" }, "or drag along the timeline")]),
  );
}

// ---- labels and predictions on the timeline ----

function pick(kind, item) {
  const same = state.aim?.kind === kind && timeline.picked === (item.id ?? item);
  if (same) return aimAt({ kind: "moment", moment: subject });
  aimAt(kind === "label" ? { kind, label: item } : { kind, ...item, item });
  const away = screen.time < item.start || screen.time > item.end;
  if (away) seekByHand(item.start);
}

function edit(label, start, end) {
  editLabel(label, { start, end });
}

/** When nothing else is aimed at: the marked stretch, or the moment that is open. */
function aimAtOpened() {
  const { mark } = timeline;
  aimAt(mark ? { kind: "mark", file: subject.file, ...mark } : { kind: "moment", moment: subject });
}

function drawAim() {
  if (!subject) return;
  const { aim } = state;
  if (!aim && !subject.upload) return aimAtOpened();
  const picked = aim?.kind === "label" ? aim.label.id : aim?.kind === "prediction" ? aim.item : null;
  if (picked !== timeline.picked) {
    timeline.picked = picked;
    timeline.draw();
  }
  drawPicked(parts.picked, aim, () => screen.time);
  if (!parts.picked.hidden) parts.picked.scrollIntoView({ block: "nearest" });
}
