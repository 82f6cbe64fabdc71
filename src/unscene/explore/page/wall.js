// A wall of moments that draws only what is on the screen, and asks for pages as they come up.
import { byId } from "./dom.js";
import { makeBlank, makeCard, updateCard } from "./card.js";

const PAGE = 60;
const GAP = 12;
const CAPTION = 52; // px below a picture: file, and time with similarity
const REASON = 61; // px of three lines
const LEARN = 5; // pictures whose shape decides the shape of all

export class Wall {
  /**
   * @param container element; the page scrolls, not the container
   * @param actions of a card, see card.js
   * @param failed called with an error when a page does not arrive
   */
  constructor(container, actions, failed) {
    Object.assign(this, { container, failed });
    this.actions = { ...actions, focus: (index) => this.#focused(index) };
    this.onfocus = actions.focus;
    this.aspect = 4 / 3;
    this.shapes = [];
    this.#reset();
    const redraw = () => this.#draw();
    addEventListener("scroll", redraw, { passive: true });
    new ResizeObserver(() => this.layout()).observe(container);
    addEventListener("resize", redraw);
  }

  #reset() {
    this.total = 0;
    this.items = [];
    this.pages = new Set();
    this.cards = new Map();
    this.active = 0;
    this.container.replaceChildren();
  }

  /** Show `total` moments, of which `first` are here; `load(offset, limit)` gets the others. */
  show({ total, first, load = null, reasons = false }) {
    this.#reset();
    Object.assign(this, { total, load, reasons });
    first.forEach((moment, index) => (this.items[index] = moment));
    for (let page = 0; (page + 1) * PAGE <= first.length; page++) this.pages.add(page);
    this.layout();
  }

  layout() {
    const width = this.container.clientWidth;
    if (!width) return;
    const narrow = width < 560;
    const least = narrow ? 150 : this.reasons ? 216 : 178;
    this.columns = Math.max(narrow ? 2 : 1, Math.floor((width + GAP) / (least + GAP)));
    this.width = (width - GAP * (this.columns - 1)) / this.columns;
    this.picture = Math.round(this.width / this.aspect);
    this.height = this.picture + CAPTION + (this.reasons ? REASON : 0);
    const rows = Math.ceil(this.total / this.columns);
    this.container.style.height = `${Math.max(0, rows * (this.height + GAP) - GAP)}px`;
    this.container.style.setProperty("--picture", `${this.picture}px`);
    this.#draw(true);
  }

  #visible() {
    const top = -this.container.getBoundingClientRect().top;
    const row = this.height + GAP;
    const first = Math.max(0, Math.floor(top / row) - 1);
    const last = Math.max(1, Math.ceil((top + innerHeight) / row)) + 1; // also while it lies below the screen
    return [Math.min(first * this.columns, this.total), Math.min(this.total, last * this.columns)];
  }

  #draw(moved = false) {
    if (!this.columns || !this.container.clientWidth) return;
    const [from, to] = this.#visible();
    for (const [index, card] of this.cards) {
      const keep = (index >= from && index < to) || card.node.contains(document.activeElement);
      const stale = card.blank && this.items[index];
      if (!keep || stale) {
        card.node.remove();
        this.cards.delete(index);
      } else if (moved) this.#place(card);
    }
    for (let index = from; index < to; index++) {
      if (!this.cards.has(index)) this.#add(index);
      if (!this.items[index]) this.#fetch(Math.floor(index / PAGE));
    }
  }

  #add(index) {
    const moment = this.items[index];
    const card = moment ? makeCard(moment, index, this.total, this.actions) : makeBlank(index);
    this.cards.set(index, card);
    this.#place(card);
    if (card.main) card.main.tabIndex = index === this.active ? 0 : -1;
    // Reading order is the order of the elements.
    const after = this.cards.get(index + 1)?.node ?? null;
    this.container.insertBefore(card.node, after?.parentNode === this.container ? after : null);
    if (index < 20 && card.main) this.#learnAspect(card);
  }

  /** Pictures of the wall have the shape of most videos, so that most need no black edges. */
  #learnAspect(card) {
    const image = card.picture.querySelector("img");
    image?.addEventListener("load", () => {
      if (!image.naturalHeight || this.shapes.length >= LEARN) return;
      this.shapes.push(Math.min(16 / 9, Math.max(0.8, image.naturalWidth / image.naturalHeight)));
      const middle = [...this.shapes].sort((a, b) => a - b)[Math.floor(this.shapes.length / 2)];
      if (this.shapes.length < LEARN && this.shapes.length < this.total) return;
      if (Math.abs(middle - this.aspect) < 0.02) return;
      this.aspect = middle;
      this.layout();
    });
  }

  #place(card) {
    const column = card.index % this.columns;
    const row = Math.floor(card.index / this.columns);
    const { style } = card.node;
    style.width = `${this.width}px`;
    style.height = `${this.height}px`;
    style.transform = `translate(${column * (this.width + GAP)}px, ${row * (this.height + GAP)}px)`;
  }

  async #fetch(page) {
    if (!this.load || this.pages.has(page)) return undefined;
    this.pages.add(page);
    const { load, pages, items } = this;
    try {
      const moments = await load(page * PAGE, PAGE);
      moments.forEach((moment, index) => (items[page * PAGE + index] = moment));
    } catch (error) {
      pages.delete(page);
      return this.failed(error); // drawing again would ask again at once
    }
    if (items === this.items) this.#draw();
    return undefined;
  }

  /** Labels or the selection have changed. */
  update() {
    for (const card of this.cards.values()) if (!card.blank) updateCard(card);
  }

  #focused(index) {
    const before = this.cards.get(this.active);
    if (before?.main) before.main.tabIndex = -1;
    this.active = index;
    const card = this.cards.get(index);
    if (card?.main) card.main.tabIndex = 0;
    if (!this.quiet) this.onfocus(this.items[index]);
  }

  get hasFocus() {
    return this.container.contains(document.activeElement);
  }

  /** Put the focus on the first moment without making it the one that a label goes to. */
  focusFirst() {
    this.quiet = true;
    this.cards.get(0)?.main?.focus({ preventScroll: true });
    this.quiet = false;
  }

  /** Put the focus on a moment, scrolling to it if needed. */
  focus(index) {
    if (!this.total) return;
    index = Math.max(0, Math.min(this.total - 1, index));
    const row = Math.floor(index / this.columns) * (this.height + GAP);
    const top = this.container.getBoundingClientRect().top + row;
    const header = byId("main").getBoundingClientRect().top < 0 ? coveredAbove() : 0;
    const dock = byId("dock").hidden ? 0 : byId("dock").offsetHeight;
    if (top < header + 8) scrollBy({ top: top - header - 8 });
    else if (top + this.height > innerHeight - dock - 8) scrollBy({ top: top + this.height - innerHeight + dock + 8 });
    this.#draw();
    const card = this.cards.get(index);
    if (card?.main) card.main.focus({ preventScroll: true });
    else this.active = index;
  }

  get moment() {
    return this.items[this.active];
  }

  /** Move the focus by an arrow key; false if the key is no such key. */
  move(name) {
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      Home: -this.total, End: this.total,
    };
    if (!(name in steps)) return false;
    const next = this.active + steps[name];
    if (name.startsWith("Arrow") && (next < 0 || next >= this.total)) return true;
    this.focus(next);
    return true;
  }
}

/** Height of what stays at the top of the screen while the page scrolls. */
export function coveredAbove() {
  const top = document.querySelector(".top");
  return getComputedStyle(top).position === "sticky" ? top.offsetHeight : 0;
}
