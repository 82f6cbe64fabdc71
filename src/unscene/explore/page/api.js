// Talks to the server: one function for each address of its API.

/** What the server answered instead of what was asked; its message is a sentence for people. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The server did not answer at all. */
export class ServerGone extends Error {}

const listeners = new Set();
/** Call `listener(true | false)` whenever the server answers or does not. */
export const onConnection = (listener) => listeners.add(listener);
const report = (connected) => listeners.forEach((listener) => listener(connected));

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    report(false);
    throw new ServerGone("The server does not answer.");
  }
  report(true);
  let body = null;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!answer.ok) {
    const sentence = body?.error ?? `The server answered ${answer.status} to ${path.split("?")[0]}.`;
    throw new ServerError(sentence, answer.status);
  }
  return body;
}

const send = (method, path, body, options = {}) =>
  ask(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
    ...options,
  });

function query(fields) {
  const given = Object.entries(fields).filter(([, v]) => v !== null && v !== undefined && v !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export const getIndex = () => ask("/api/index");
export const getMoments = (fields, signal) => ask(`/api/moments${query(fields)}`, { signal });
export const search = (body, signal) => send("POST", "/api/search", body, { signal });
export const getLabels = () => ask("/api/labels");
export const addLabel = (label) => send("POST", "/api/labels", label);
export const addLabels = (labels) => send("POST", "/api/labels", { labels });
export const changeLabel = (id, label) => send("PUT", `/api/labels/${encodeURIComponent(id)}`, label);
export const removeLabels = (ids) =>
  ids.length === 1
    ? send("DELETE", `/api/labels/${encodeURIComponent(ids[0])}`)
    : send("DELETE", "/api/labels", { ids });
export const undo = () => send("POST", "/api/undo");
export const redo = () => send("POST", "/api/redo");
export const getChanges = (since) => ask(`/api/changes${query({ since })}`);
export const train = () => send("POST", "/api/train");
export const getPredictions = (file) => ask(`/api/predictions${query({ file })}`);
export const getSuggestions = (k) => ask(`/api/suggestions${query({ k })}`);
export const getMap = () => ask("/api/map");
export const getOverlay = (file, start, end, signal) =>
  ask(`/api/overlay${query({ file, start, end })}`, { signal });

/** How a file gets here: "jumps" is false if it is converted while it is watched. */
export const getMediaInfo = (file) => ask(`/media/${file}/info`);

export async function upload(file, signal) {
  const form = new FormData();
  form.append("video", file, file.name);
  return ask("/api/upload", { method: "POST", body: form, signal });
}

const seconds = (time) => Number(time.toFixed(3));
export const videoUrl = (subject, start = 0) =>
  subject.upload
    ? `/media/upload/${encodeURIComponent(subject.upload)}`
    : `/media/${subject.file}${start ? query({ start: seconds(start) }) : ""}`;
export const clipUrl = (moment) =>
  `/media/${moment.file}/clip${query({ start: seconds(moment.start), end: seconds(moment.end) })}`;
export const frameUrl = (moment) =>
  `/media/${moment.file}/frame${query({ at: seconds((moment.start + moment.end) / 2) })}`;

/** Fetch an export; an error becomes a sentence instead of a broken download. */
export async function download(format, what) {
  const path = `/api/export${query({ format, what })}`;
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    report(false);
    throw new ServerGone("The server does not answer.");
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => null);
    throw new ServerError(body?.error ?? `The server answered ${answer.status} to /api/export.`, answer.status);
  }
  const header = answer.headers.get("Content-Disposition") ?? "";
  const name = /filename="?([^";]+)"?/.exec(header)?.[1] ?? `${what}.${format}`;
  return { name, url: URL.createObjectURL(await answer.blob()) };
}
