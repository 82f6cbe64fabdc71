// The timeline under the video: labels, predictions with their probabilities, the marked stretch.
import { clock, el, span } from "./dom.js";
import { colorOf, labelsOf, nameOf } from "./state.js";

const LEAST = 1; // seconds that the timeline shows at least
const CLICK = 4; // px: a pointer that moved less has clicked
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

export class Timeline {
  /** @param hooks {seek(time), mark(start, end), pick(kind, item), edit(label, start, end)} */
  constructor(hooks) {
    this.hooks = hooks;
    this.ticks = el("div", { class: "ticks", "aria-hidden": "true" });
    this.labelLane = el("div", { class: "lane", role: "group", "aria-label": "Labels" });
    this.curves = el("canvas", { class: "curves", role: "img", "aria-label": "Probability of each class over time" });
    this.predictionLane = el("div", { class: "lane", role: "group", "aria-label": "Predictions" });
    this.found = el("div", { class: "found", title: "the moment that was opened" });
    this.marked = el("div", { class: "marked" });
    this.head = el("div", { class: "head" });
    this.lanes = el(
      "div", { class: "lanes" }, this.ticks, this.found,
      el("span", { class: "lane-name" }, "Labels"), this.labelLane,
      (this.predictedName = el("span", { class: "lane-name" }, "Predictions")), this.curves, this.predictionLane,
      this.marked, this.head,
    );
    this.node = el("div", { class: "timeline" }, this.lanes);
    Object.assign(this, { duration: 1, start: 0, end: 1, labels: [], intervals: [], track: null, mark: null, moment: null, picked: null });
    this.#listen();
    new ResizeObserver(() => this.#drawCurves()).observe(this.lanes);
  }

  /** Another file: `moment` is in view, all of the file if it is short. */
  open(duration, moment) {
    Object.assign(this, { duration: Math.max(duration, 0.1), labels: [], intervals: [], track: null, mark: null, picked: null });
    this.moment = moment;
    this.fit(duration > 90 ? { start: moment.start - 20, end: moment.end + 20 } : { start: 0, end: duration });
  }

  fit({ start, end }) {
    const length = Math.min(this.duration, Math.max(LEAST, end - start));
    this.start = Math.max(0, Math.min(start, this.duration - length));
    this.end = this.start + length;
    this.draw();
  }

  /** Zoom by a factor around a time. */
  zoom(factor, around = (this.start + this.end) / 2) {
    this.fit({ start: around - (around - this.start) * factor, end: around + (this.end - around) * factor });
  }

  setTime(time, follow) {
    if (follow && (time < this.start || time > this.end)) {
      const length = this.end - this.start;
      this.fit({ start: time - length * 0.1, end: time + length * 0.9 });
    }
    this.head.style.left = this.#left(time);
    this.head.hidden = time < this.start - 1e-6 || time > this.end + 1e-6;
  }

  draw() {
    this.#drawTicks();
    this.#stretch(this.found, this.moment);
    this.#stretch(this.marked, this.mark);
    this.#drawStretches(this.labelLane, this.labels, "label");
    this.#drawStretches(this.predictionLane, this.intervals, "prediction");
    const predicted = Boolean(this.track?.times?.length);
    for (const node of [this.predictedName, this.curves, this.predictionLane]) node.hidden = !predicted;
    this.#drawCurves();
  }

  #share(time) {
    return (time - this.start) / (this.end - this.start);
  }

  #left(time) {
    return `${100 * this.#share(time)}%`;
  }

  #stretch(node, part) {
    node.hidden = !part || part.end < this.start || part.start > this.end;
    if (node.hidden) return;
    const from = Math.max(part.start, this.start);
    const to = Math.min(part.end, this.end);
    node.style.left = this.#left(from);
    node.style.width = `${100 * (this.#share(to) - this.#share(from))}%`;
  }

  #drawTicks() {
    const wanted = (this.end - this.start) / Math.max(3, this.lanes.clientWidth / 90);
    const step = STEPS.find((one) => one >= wanted) ?? 7200;
    const ticks = [];
    for (let n = Math.ceil(this.start / step); n * step <= this.end && ticks.length < 60; n++) {
      const tick = el("span", {}, clock(n * step, step < 1 ? 1 : 0));
      tick.style.left = this.#left(n * step);
      ticks.push(tick);
    }
    this.ticks.replaceChildren(...ticks);
  }

  #drawStretches(lane, parts, kind) {
    const focused = lane.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const nodes = parts.filter((part) => part.end > this.start && part.start < this.end);
    lane.replaceChildren(...nodes.map((part) => this.#makeStretch(part, kind)));
    if (focused) lane.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #makeStretch(part, kind) {
    const picked = this.picked === (part.id ?? part);
    const percent = part.probability === undefined ? "" : ` ${Math.round(100 * part.probability)} %`;
    // A prediction that somebody has accepted, changed or rejected steps back.
    const answered = kind === "prediction" && labelsOf(part).length > 0;
    const node = el(
      "button",
      {
        type: "button", class: `stretch ${kind}${answered ? " answered" : ""}`, "aria-pressed": picked,
        "data-key": part.id ?? `${part.start}`,
        title: `${nameOf(part.label)}${percent}, ${span(part)}`,
        "aria-label": `${kind}: ${nameOf(part.label)}${percent}, ${span(part)}`,
        onclick: () => this.hooks.pick(kind, part),
      },
      el("span", {}, nameOf(part.label) + percent),
    );
    node.style.setProperty("--tint", colorOf(part.label));
    this.#stretch(node, part);
    if (kind === "label" && picked) node.append(el("i", { class: "grip left" }), el("i", { class: "grip right" }));
    return node;
  }

  #drawCurves() {
    const { track, curves } = this;
    if (!track?.times?.length || curves.hidden) return;
    const width = curves.clientWidth;
    const height = curves.clientHeight;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    curves.width = width * scale;
    curves.height = height * scale;
    const pen = curves.getContext("2d");
    pen.scale(scale, scale);
    pen.lineWidth = 1.8;
    pen.lineJoin = "round";
    track.classes.forEach((name, column) => {
      pen.strokeStyle = colorOf(name);
      pen.beginPath();
      track.times.forEach((time, row) => {
        const y = 3 + (1 - track.probabilities[row][column]) * (height - 6);
        pen.lineTo(this.#share(time) * width, y);
      });
      pen.stroke();
    });
  }

  #time(event) {
    const box = this.lanes.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.max(0, Math.min(this.duration, this.start + share * (this.end - this.start)));
  }

  #listen() {
    this.lanes.addEventListener("pointerdown", (event) => this.#press(event));
    this.lanes.addEventListener(
      "wheel",
      (event) => {
        if (this.duration <= LEAST) return;
        if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#time(event));
        else if (event.deltaX || event.shiftKey) {
          const shift = ((event.deltaX || event.deltaY) / this.lanes.clientWidth) * (this.end - this.start);
          this.fit({ start: this.start + shift, end: this.end + shift });
        } else return;
        event.preventDefault();
      },
      { passive: false },
    );
  }

  /** Press on a grip: move a label's end; on a stretch: pick it; on the ticks: scrub; else: mark. */
  #press(event) {
    if (event.button !== 0) return;
    const grip = event.target.closest(".grip");
    if (event.target.closest(".stretch") && !grip) return;
    event.preventDefault();
    const from = this.#time(event);
    const x = event.clientX;
    const scrubs = event.target.closest(".ticks");
    const label = grip && this.labels.find((one) => one.id === this.picked);
    const ends = label ? { start: label.start, end: label.end } : null;
    let moved = false;
    this.lanes.setPointerCapture(event.pointerId);
    const move = (next) => {
      const time = this.#time(next);
      moved ||= Math.abs(next.clientX - x) >= CLICK;
      if (!moved) return;
      if (label) {
        if (grip.classList.contains("left")) ends.start = Math.min(time, ends.end - 0.05);
        else ends.end = Math.max(time, ends.start + 0.05);
        this.#stretch(this.labelLane.querySelector('[aria-pressed="true"]') ?? grip, ends);
        this.hooks.seek(time);
      } else if (scrubs) this.hooks.seek(time);
      else this.hooks.mark(Math.min(from, time), Math.max(from, time));
    };
    const done = () => {
      this.lanes.removeEventListener("pointermove", move);
      this.lanes.removeEventListener("pointerup", done);
      this.lanes.removeEventListener("pointercancel", done);
      if (label) {
        if (moved) this.hooks.edit(label, ends.start, ends.end);
      } else if (!moved) this.hooks.seek(from);
    };
    this.lanes.addEventListener("pointermove", move);
    this.lanes.addEventListener("pointerup", done);
    this.lanes.addEventListener("pointercancel", done);
  }
}
