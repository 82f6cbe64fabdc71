// One moment of the wall: poster, chip, file, time, similarity and three small buttons.
import { frameUrl } from "./api.js";
import { basename, clock, el, iconButton, span } from "./dom.js";
import { startPreview, stopPreview } from "./preview.js";
import { colorOf, fileName, key, labelsOf, nameOf, state } from "./state.js";

/** A colored dot and a name; dashed if it is a guess. */
export function chip(label, probability) {
  const dot = el("i", { class: "dot" });
  dot.style.background = colorOf(label);
  const text = probability === undefined ? nameOf(label) : `${nameOf(label)} ${Math.round(100 * probability)} %`;
  return el("span", { class: probability === undefined ? "chip" : "chip guess" }, dot, el("b", {}, text));
}

function poster(moment) {
  const image = el("img", { alt: "", src: frameUrl(moment), decoding: "async", draggable: false });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "no-picture" }, "no picture")));
  return image;
}

/** Folder and file; a narrow card cuts the folder first. */
export function shortName(moment) {
  const name = fileName(moment);
  const file = basename(name);
  const folder = name.slice(0, -file.length);
  return el("span", { class: "name" }, folder ? el("span", { class: "folder" }, folder) : null, el("span", { class: "file" }, file));
}

function describe(moment, label) {
  const parts = [fileName(moment), `${clock(moment.start)} to ${clock(moment.end)}`];
  if (label) parts.push(`labeled ${nameOf(label)}`);
  else if (moment.prediction) parts.push(`predicted ${nameOf(moment.prediction.label)}`);
  if (typeof moment.similarity === "number") parts.push(`similarity ${moment.similarity.toFixed(2)}`);
  if (moment.reason) parts.push(moment.reason);
  return parts.join(", ");
}

function similarityBar(similarity) {
  const fill = el("i");
  fill.style.width = `${100 * Math.min(1, Math.max(0, similarity))}%`;
  return [
    el("span", { class: "bar", title: "similarity (cosine)" }, fill),
    el("span", { class: "number" }, similarity.toFixed(similarity > 0.98 ? 3 : 2)),
  ];
}

/** Chip and marks of a card, which change while it stays. */
export function updateCard(card) {
  const { moment } = card;
  const label = labelsOf(moment)[0]?.label;
  const chosen = state.selected.has(key(moment));
  const guess = label ? null : moment.prediction;
  card.chips.replaceChildren(...(label ? [chip(label)] : guess ? [chip(guess.label, guess.probability)] : []));
  card.main.setAttribute("aria-label", describe(moment, label));
  card.node.classList.toggle("selected", chosen);
  card.node.classList.toggle("aimed", state.aim?.kind === "moment" && key(state.aim.moment) === key(moment));
  card.select.setAttribute("aria-pressed", chosen);
}

/**
 * @param moment what the card shows
 * @param actions {find(moment), unlike(moment), open(moment), select(moment), focus(index)}
 */
export function makeCard(moment, index, total, actions) {
  const picture = el("span", { class: "picture" }, poster(moment));
  const chips = el("span", { class: "chips" });
  const below = el("span", { class: "below" }, el("span", { class: "time" }, span(moment)));
  if (typeof moment.similarity === "number") below.append(...similarityBar(moment.similarity));
  const main = el(
    "button",
    {
      type: "button", class: "card-main", tabIndex: -1, title: fileName(moment),
      onclick: (event) => {
        if (event.shiftKey) actions.unlike(moment);
        else if (event.ctrlKey || event.metaKey) actions.select(moment);
        else actions.find(moment);
      },
      onfocus: () => { actions.focus(index); startPreview(picture, moment); },
      onblur: () => stopPreview(picture),
    },
    picture, chips,
    shortName(moment),
    below,
    moment.reason ? el("span", { class: "reason" }, moment.reason) : null,
  );
  const select = iconButton("check", "Select", "X", () => actions.select(moment));
  const opens = iconButton("open", "Play in its video", "P", () => actions.open(moment));
  opens.classList.add("opens"); // where there is no pointer, a tap on the moment opens it anyway
  const tools = el(
    "div", { class: "card-tools" }, select,
    opens,
    iconButton("unlike", "Not like this", "Shift+Enter", () => actions.unlike(moment)),
  );
  for (const button of tools.children) button.tabIndex = -1; // by keys: X, P, Shift+Enter
  const node = el(
    "div",
    {
      class: "card", role: "listitem", "aria-setsize": total, "aria-posinset": index + 1,
      onpointerenter: (event) => { if (event.pointerType !== "touch") startPreview(picture, moment); },
      onpointerleave: () => stopPreview(picture),
    },
    main, tools,
  );
  const card = { node, main, chips, select, picture, moment, index };
  updateCard(card);
  return card;
}

/** A card whose moment has not arrived yet. */
export function makeBlank(index) {
  const node = el("div", { class: "card blank", "aria-hidden": "true" }, el("span", { class: "picture" }));
  return { node, index, blank: true };
}
