// Keeps in step with the server: labels of other tabs, and a server that has gone away.
import { getChanges, onConnection, ServerGone } from "./api.js";
import { byId, show } from "./dom.js";
import { attempt, refresh } from "./labels.js";
import { emit, state } from "./state.js";

const EVERY = 1500; // ms; the labels of another tab are here within two seconds
let connected = true;
let waiting;
let looking = false;

async function look() {
  if (looking) return; // a second look would go on for ever beside this one
  looking = true;
  clearTimeout(waiting);
  try {
    const answer = await getChanges(Math.max(0, state.version));
    emit("undoable", answer);
    if (answer.version !== state.version && state.index) await attempt(refresh);
  } catch (error) {
    // ServerGone: the banner is up. Any other answer says nothing about labels: look again.
    if (!(error instanceof ServerGone)) console.warn(error.message);
  }
  looking = false;
  waiting = setTimeout(look, EVERY);
}

/** @param begin what to do again when a server that was gone is back */
export function beginConnection(begin) {
  onConnection((now) => {
    if (now === connected) return;
    connected = now;
    byId("banner-text").textContent = "The server does not answer. Is “unscene explore” still running? Trying again every two seconds. Labels that were saved are safe.";
    show(byId("banner"), !now);
    document.body.classList.toggle("gone", !now);
    if (now) begin();
  });
  byId("banner-retry").addEventListener("click", look);
  waiting = setTimeout(look, EVERY);
}
