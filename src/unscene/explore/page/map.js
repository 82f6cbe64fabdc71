// The map: every moment a point, near others that move alike. Lasso or click to select, then label.
import { getMap } from "./api.js";
import { basename, byId, count, el, iconButton, show, span } from "./dom.js";
import { chip, shortName } from "./card.js";
import { findLike } from "./finding.js";
import { aimAt, attempt, clearSelected } from "./labels.js";
import { groupPoints, Points } from "./map_points.js";
import { startPreview, stopPreview } from "./preview.js";
import { colorOf, emit, fileName, key, labelsOf, nameOf, on, state } from "./state.js";

const SHOWN = 14; // groups of the legend
let points = null;
let groups = null;
let layer = null; // all points, drawn; null: to be drawn again
let by = "label";
let moving = false; // a drag moves the map instead of drawing a lasso
let current = -1;
let lasso = null;
let built = null;
let waiting = false;

function build() {
  const canvas = el("canvas", {
    class: "map", tabIndex: 0, role: "application",
    "aria-label": "Map of all moments. Arrow keys go to a neighbor, X selects, Enter finds moments like it.",
  });
  const preview = el("div", { class: "map-preview", hidden: true });
  const legend = el("div", { class: "legend", role: "group", "aria-label": "Groups" });
  const colors = el("select", { "aria-label": "Color by", onchange: () => { by = colors.value; regroup(); } },
    [["label", "Color by label"], ["file", "Color by file"], ["cluster", "Color by cluster"]].map(([value, text]) => el("option", { value }, text)));
  const mode = el("button", { type: "button", class: "button", "aria-pressed": "false", title: "Drag to move the map instead of selecting",
    onclick: () => { moving = !moving; mode.setAttribute("aria-pressed", moving); canvas.classList.toggle("moving", moving); } }, "Move");
  const zoom = (factor) => { points?.zoomAt(factor); redraw(); };
  const row = el("div", { class: "row map-tools" }, colors, mode,
    iconButton("unlike", "Smaller", "−", () => zoom(0.7)), iconButton("plus", "Larger", "+", () => zoom(1.4)),
    el("button", { type: "button", class: "button", onclick: () => { points?.fit(); redraw(); } }, "All"),
    el("p", { class: "hint" }, "Drag around points to select them, then label them all at once. Double-click finds moments like one."));
  const said = el("p", { class: "hidden", "aria-live": "polite" });
  byId("view-map").append(row, el("div", { class: "map-place" }, canvas, preview), legend, said);
  built = { canvas, preview, legend, said };
  listen(canvas);
  new ResizeObserver(() => redraw()).observe(canvas);
}

export function beginMap() {
  build();
  on("labels", () => state.view === "map" && regroup()); // else when it is opened
  on("selected", () => redraw());
}

/** Load the map when it is looked at for the first time. */
export async function openMap() {
  if (!points) {
    byId("status").textContent = "Drawing the map…";
    const map = await attempt(getMap);
    byId("status").textContent = "";
    if (!map) return;
    points = new Points(map);
  }
  regroup();
  if (state.view === "map") byId("status").textContent = `${count(points.length, "moment")}; those that move alike lie close together.`;
}

function regroup() {
  if (!points) return;
  groups = groupPoints(points, by, { files: state.files, colorOf, nameOf, labelsOf });
  const entries = groups.slice(0, SHOWN).map((group) => {
    const dot = el("i", { class: group.color ? "dot" : "dot empty" });
    if (group.color) dot.style.background = group.color;
    return el("button", { type: "button", class: "class", title: `Select all of ${group.name}`, onclick: () => choose(group.members) },
      dot, by === "file" ? basename(group.name) : group.name, el("span", { class: "faint" }, group.members.length.toLocaleString("en")));
  });
  const left = groups.length - entries.length;
  if (left > 0) entries.push(el("span", { class: "faint" }, `and ${left.toLocaleString("en")} more`));
  built.legend.replaceChildren(...entries);
  redraw();
}

function choose(numbers, add = false) {
  if (!add) state.selected.clear();
  for (const n of numbers) state.selected.set(key(points.moment(n)), points.moment(n));
  emit("selected");
  aimAt(state.selected.size ? { kind: "selected" } : null);
}

/** `all`: the points themselves have changed, and not only what is marked among them. */
function redraw(all = true) {
  if (all) layer = null;
  if (waiting || !points || byId("view-map").hidden) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  const { canvas } = built;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !groups) return;
  const scale = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const radius = points.length > 20000 ? 1.5 : points.length > 3000 ? 2.5 : 4;
  layer ??= drawPoints(width, height, scale, radius);
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(layer, 0, 0);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  const ink = getComputedStyle(canvas).getPropertyValue("--ink");
  pen.strokeStyle = ink;
  if (current >= 0) { pen.lineWidth = 2.5; ring(pen, current, radius + 5); }
  if (lasso?.length > 1) drawLasso(pen, ink);
}

/** All points and the rings of those that are selected, on a picture of their own. */
function drawPoints(width, height, scale, radius) {
  const picture = el("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  const pen = picture.getContext("2d");
  pen.scale(scale, scale);
  points.place(width, height);
  const style = getComputedStyle(built.canvas);
  // Groups without a color first, so that labels are drawn over them.
  for (const group of [...groups].reverse()) {
    pen.fillStyle = group.color ?? style.getPropertyValue("--open");
    pen.globalAlpha = group.color ? 0.9 : 0.45;
    pen.beginPath();
    for (const n of group.members) {
      pen.moveTo(points.x[n] + radius, points.y[n]);
      pen.arc(points.x[n], points.y[n], radius, 0, 7);
    }
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = style.getPropertyValue("--ink");
  pen.lineWidth = 1.5;
  for (let n = 0; n < points.length && state.selected.size; n++) {
    if (state.selected.has(key(points.moment(n)))) ring(pen, n, radius + 2);
  }
  return picture;
}

function drawLasso(pen, ink) {
  pen.lineWidth = 2;
  pen.setLineDash([5, 4]);
  pen.beginPath();
  for (const [x, y] of lasso) pen.lineTo(x, y);
  pen.closePath();
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 0.08;
  pen.fillStyle = ink;
  pen.fill();
  pen.globalAlpha = 1;
}

function ring(pen, n, radius) {
  pen.beginPath();
  pen.arc(points.x[n], points.y[n], radius, 0, 7);
  pen.stroke();
}

/** Show what the point is: its moment plays beside it. */
function goTo(n, aimed) {
  if (n === current) return;
  current = n;
  const { preview, said } = built;
  stopPreview();
  show(preview, n >= 0);
  redraw(false);
  if (n < 0) return;
  const moment = points.moment(n);
  const picture = el("span", { class: "picture" });
  const label = labelsOf(moment)[0]?.label;
  preview.replaceChildren(picture, shortName(moment), el("span", { class: "time" }, span(moment)));
  if (label) preview.append(chip(label));
  const left = points.x[n] + 16 + 190 > points.width ? points.x[n] - 16 - 180 : points.x[n] + 16;
  preview.style.left = `${Math.max(0, left)}px`;
  preview.style.top = `${Math.max(0, Math.min(points.y[n] - 60, points.height - 190))}px`;
  startPreview(picture, moment, true);
  if (!aimed) return;
  said.textContent = `${fileName(moment)}, ${span(moment)}${label ? `, labeled ${nameOf(label)}` : ""}`;
  aimAt(state.selected.size ? { kind: "selected" } : { kind: "moment", moment });
}

function toggle(n) {
  const one = key(points.moment(n));
  if (!state.selected.delete(one)) state.selected.set(one, points.moment(n));
  emit("selected");
  aimAt(state.selected.size ? { kind: "selected" } : { kind: "moment", moment: points.moment(n) });
}

const at = (event) => [event.offsetX, event.offsetY];

function listen(canvas) {
  canvas.addEventListener("pointermove", (event) => {
    if (points && !event.buttons) goTo(points.nearest(...at(event)), false);
  });
  canvas.addEventListener("pointerleave", (event) => !event.buttons && goTo(-1, false));
  canvas.addEventListener("blur", () => goTo(-1, false));
  canvas.addEventListener("dblclick", (event) => {
    const n = points?.nearest(...at(event)) ?? -1;
    if (n < 0) return;
    clearSelected();
    findOne(n);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!points) return;
    event.preventDefault();
    points.zoomAt(event.deltaY > 0 ? 0.85 : 1.18, ...at(event));
    redraw();
  }, { passive: false });
  canvas.addEventListener("pointerdown", press);
}

function findOne(n) {
  const moment = points.moment(n);
  emit("open", moment);
  findLike(moment);
}

function press(event) {
  if (!points || event.button !== 0) return;
  const { canvas } = built;
  canvas.setPointerCapture(event.pointerId);
  const from = at(event);
  let last = from;
  let far = false;
  goTo(-1, false);
  lasso = moving ? null : [from];
  const move = (next) => {
    const place = at(next);
    far ||= Math.hypot(place[0] - from[0], place[1] - from[1]) > 5;
    if (moving) points.shift = [points.shift[0] + place[0] - last[0], points.shift[1] + place[1] - last[1]];
    else lasso.push(place);
    last = place;
    redraw(moving);
  };
  const done = (next) => {
    canvas.removeEventListener("pointermove", move);
    canvas.removeEventListener("pointerup", done);
    canvas.removeEventListener("pointercancel", done);
    const line = lasso;
    lasso = null;
    if (!far) {
      const n = points.nearest(...from);
      if (n >= 0) toggle(n);
      else if (state.selected.size) clearSelected();
    } else if (line && next.type === "pointerup") choose(points.inside(line), next.shiftKey || next.ctrlKey);
    redraw();
  };
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", done);
  canvas.addEventListener("pointercancel", done);
}

/** Keys while the map has the focus; true if one was used. */
export function mapKey(event) {
  if (!points?.length || document.activeElement !== built.canvas) return false;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in arrows) {
    const start = points.nearest(points.width / 2, points.height / 2, Infinity);
    const next = current < 0 ? start : points.towards(current, ...arrows[event.key]);
    if (next >= 0) goTo(next, true);
  } else if (current >= 0 && event.key === "Enter") findOne(current);
  else if (current >= 0 && (event.key === "x" || event.key === " ")) toggle(current);
  else if (event.key === "+" || event.key === "-") { points.zoomAt(event.key === "+" ? 1.4 : 0.7); redraw(); }
  else return false;
  return true;
}
