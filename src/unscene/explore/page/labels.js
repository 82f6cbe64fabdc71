// Writing labels: what a label would go to, adding, changing, removing, undoing.
import * as api from "./api.js";
import { count, say, span } from "./dom.js";
import { emit, key, labelsOf, mergeStretches, nameOf, NONE, state, takeIndex, takeLabels } from "./state.js";

// state.aim is one of
//   {kind: "moment", moment}            the card in focus, or the moment that plays
//   {kind: "selected"}                  all of state.selected
//   {kind: "mark", file, start, end}    a stretch marked on the timeline
//   {kind: "label", label}              a label picked on the timeline
//   {kind: "prediction", file, start, end, label, probability}

export function aimAt(aim) {
  state.aim = aim;
  emit("aim");
}

export function aimAtMoment(moment) {
  aimAt(state.selected.size ? { kind: "selected" } : { kind: "moment", moment });
}

export function toggleSelected(moment) {
  if (!state.selected.delete(key(moment))) state.selected.set(key(moment), moment);
  emit("selected");
  aimAtMoment(moment);
}

export function clearSelected(next = null) {
  state.selected.clear();
  emit("selected");
  aimAt(next ? { kind: "moment", moment: next } : null);
}

/** What a label would go to, in words. */
export function describeAim(aim = state.aim) {
  if (!aim) return "";
  if (aim.kind === "selected") return count(state.selected.size, "selected moment");
  if (aim.kind === "mark") return `marked ${span(aim)}`;
  if (aim.kind === "label") return `label “${nameOf(aim.label.label)}” ${span(aim.label)}`;
  if (aim.kind === "prediction") return `prediction “${nameOf(aim.label)}” ${span(aim)}`;
  return `moment ${span(aim.moment)}`;
}

function stretchesOf(aim) {
  if (aim.kind === "selected") return mergeStretches(state.selected.values());
  const one = aim.kind === "moment" ? aim.moment : aim;
  return [{ file: one.file, start: one.start, end: one.end }];
}

/** The labels that removing would remove. */
function labelsAt(aim) {
  if (!aim) return [];
  if (aim.kind === "label") return [aim.label];
  const moments = aim.kind === "selected" ? [...state.selected.values()] : [aim.moment ?? aim];
  return [...new Map(moments.flatMap(labelsOf).map((label) => [label.id, label])).values()];
}

/** Run something that asks the server; say what went wrong. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError" || error instanceof api.ServerGone) return undefined;
    say(error.message, "wrong");
    if (!(error instanceof api.ServerError)) throw error;
    return undefined;
  }
}

/** Read index and labels again: after a change here, or in another tab. */
export async function refresh() {
  const [index, labels, changes] = await Promise.all([
    api.getIndex(), api.getLabels(), api.getChanges(state.version),
  ]);
  takeLabels(labels);
  takeIndex(index);
  emit("undoable", changes);
  emit("labels");
}

// Changes are sent one after another: two quick keys must not overtake each other.
let last = Promise.resolve();
function change(work) {
  last = last.then(() =>
    attempt(async () => {
      const answer = await work().catch(notSaved);
      await refresh();
      return answer;
    }),
  );
  return last;
}

function notSaved(error) {
  if (error instanceof api.ServerGone) {
    say("Not saved: the server does not answer. Do it again when it is back.", "wrong");
  }
  throw error;
}

/** Give `name` to what is aimed at. */
export async function assign(name, aim = state.aim) {
  if (!aim) return say("Click a moment first, or mark a stretch of the video.");
  name = name.trim();
  if (!name) return undefined;
  if (aim.file === null || aim.moment?.file === null) {
    return say("An uploaded clip is a query only: it is no file of the index, so it has no labels.");
  }
  if (aim.kind === "label") return editLabel(aim.label, { label: name });
  const stretches = stretchesOf(aim).map((one) => ({ ...one, label: name }));
  const what = describeAim(aim);
  const sent = change(() =>
    stretches.length === 1 ? api.addLabel(stretches[0]) : api.addLabels(stretches),
  );
  const single = aim.kind === "moment";
  if (single) emit("labeled", aim); // at once: the next key is meant for the next moment
  const answer = await sent;
  if (answer) {
    say(`${nameOf(name)}: ${what}`);
    if (!single) emit("labeled", aim);
  }
  return answer;
}

export async function editLabel(label, changes) {
  const changed = { file: label.file, start: label.start, end: label.end, label: label.label, ...changes };
  const answer = await change(() => api.changeLabel(label.id, changed));
  if (answer && state.aim?.kind === "label" && state.aim.label.id === label.id) {
    aimAt({ kind: "label", label: answer.label });
  }
  return answer;
}

export async function removeLabels(aim = state.aim) {
  const labels = labelsAt(aim);
  if (!labels.length) return say("There is no label to remove here.");
  const answer = await change(() => api.removeLabels(labels.map((label) => label.id)));
  if (answer) {
    say(`Removed ${count(labels.length, "label")}`);
    if (aim.kind === "label") aimAt(null);
  }
  return answer;
}

export const accept = (prediction) => assign(prediction.label, prediction);
export const reject = (prediction) => assign(NONE, prediction);

export async function undo() {
  const answer = await change(api.undo);
  if (answer) say(answer.done ?? "There is nothing to undo.");
}

export async function redo() {
  const answer = await change(api.redo);
  if (answer) say(answer.done ?? "There is nothing to redo.");
}
