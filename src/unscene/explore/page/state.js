// What the page knows at the moment, and who wants to hear of a change.

export const state = {
  index: null, // answer of /api/index
  files: new Map(), // id -> file
  colors: new Map(), // class -> color
  labels: [], // all labels of the index
  labelsByFile: new Map(), // file id -> its labels, by start
  version: -1,
  view: "wall", // "wall" | "next" | "map"
  query: null, // null | {like: subject, unlike: [subject]}
  where: "",
  order: "spread",
  file: "",
  label: "",
  still: false,
  trained: null, // answer of /api/train
  selected: new Map(), // key -> moment
  aim: null, // what a label goes to: {kind, ...}, see labels.js
};

const listeners = new Map();
export function on(event, listener) {
  if (!listeners.has(event)) listeners.set(event, []);
  listeners.get(event).push(listener);
}
export function emit(event, detail) {
  for (const listener of listeners.get(event) ?? []) listener(detail);
}

export const key = (moment) => `${moment.file}:${moment.start}:${moment.end}`;
export const fileName = (moment) => moment.name ?? state.files.get(moment.file)?.name ?? "";
/** "None of these": what a rejected prediction becomes. */
export const NONE = "none";
export const nameOf = (label) => (label === NONE ? "none of these" : label);
export const colorOf = (label) => state.colors.get(label) ?? "#8a9199";

export function takeIndex(index) {
  state.index = index;
  state.files = new Map(index.files.map((file) => [file.id, file]));
  state.colors = new Map(index.labels.map((label) => [label.name, label.color]));
  emit("index");
}

export function takeLabels({ labels, version }) {
  state.labels = labels;
  state.version = version;
  state.labelsByFile = new Map();
  for (const label of labels) {
    if (!state.labelsByFile.has(label.file)) state.labelsByFile.set(label.file, []);
    state.labelsByFile.get(label.file).push(label);
  }
  for (const ofFile of state.labelsByFile.values()) ofFile.sort((a, b) => a.start - b.start);
}

const shared = (a, b) => Math.min(a.end, b.end) - Math.max(a.start, b.start);
/** Labels that cover at least half of a moment, or lie half in it; the one that shares most first, of two that share as much the shorter. */
export function labelsOf(moment) {
  return (state.labelsByFile.get(moment.file) ?? [])
    .filter((label) => {
      const least = Math.min(moment.end - moment.start, label.end - label.start) / 2;
      return shared(label, moment) > 0 && shared(label, moment) >= least - 1e-6;
    })
    .sort((a, b) => {
      const more = shared(b, moment) - shared(a, moment);
      return Math.abs(more) > 1e-3 ? more : a.end - a.start - (b.end - b.start); // times are rounded
    });
}

/** Overlapping stretches of one file become one: neighbors on the map share half their frames. */
export function mergeStretches(moments) {
  const merged = [];
  for (const one of [...moments].sort((a, b) => a.file - b.file || a.start - b.start)) {
    const last = merged[merged.length - 1];
    if (last && last.file === one.file && one.start < last.end) last.end = Math.max(last.end, one.end);
    else merged.push({ file: one.file, start: one.start, end: one.end });
  }
  return merged;
}
