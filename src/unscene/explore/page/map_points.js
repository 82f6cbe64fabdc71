// Points of the map: places on the screen, colors, nearest point, points inside a lasso.

/** Colors that neighbors in a list do not share: hues by the golden angle. */
export const hue = (n) => `hsl(${Math.round((n * 137.508 + 210) % 360)} 58% 54%)`;

export class Points {
  /** @param map answer of /api/map */
  constructor(map) {
    this.map = map;
    this.length = map.id.length;
    const [left, right] = extent(map.x);
    const [top, bottom] = extent(map.y);
    this.center = [(left + right) / 2, (top + bottom) / 2];
    // Both directions fill the picture; a long thin map is stretched by at most three.
    const [wide, high] = [Math.max(right - left, 1e-9), Math.max(bottom - top, 1e-9)];
    this.size = [Math.max(wide, high / 3), Math.max(high, wide / 3)];
    this.x = new Float32Array(this.length); // on the screen, px
    this.y = new Float32Array(this.length);
    this.zoom = 1;
    this.shift = [0, 0]; // px
  }

  moment(n) {
    const { id, file, start, end } = this.map;
    return { id: id[n], file: file[n], start: start[n], end: end[n] };
  }

  /** Compute the places for a picture of this size. */
  place(width, height) {
    const right = (this.zoom * width * 0.92) / this.size[0];
    const down = (this.zoom * height * 0.92) / this.size[1];
    for (let n = 0; n < this.length; n++) {
      this.x[n] = width / 2 + this.shift[0] + (this.map.x[n] - this.center[0]) * right;
      this.y[n] = height / 2 + this.shift[1] + (this.map.y[n] - this.center[1]) * down;
    }
    Object.assign(this, { width, height });
  }

  /** Zoom by a factor so that what is at (x, y) stays there. */
  zoomAt(factor, x = this.width / 2, y = this.height / 2) {
    const next = Math.min(60, Math.max(0.5, this.zoom * factor));
    const real = next / this.zoom;
    this.zoom = next;
    this.shift = [
      x - this.width / 2 - (x - this.width / 2 - this.shift[0]) * real,
      y - this.height / 2 - (y - this.height / 2 - this.shift[1]) * real,
    ];
  }

  fit() {
    this.zoom = 1;
    this.shift = [0, 0];
  }

  /** The nearest point at most `reach` px away, or -1. */
  nearest(x, y, reach = 14) {
    let best = -1;
    let least = reach * reach;
    for (let n = 0; n < this.length; n++) {
      const distance = (this.x[n] - x) ** 2 + (this.y[n] - y) ** 2;
      if (distance <= least) [best, least] = [n, distance];
    }
    return best;
  }

  /** The nearest point in the direction of an arrow key, or -1. */
  towards(from, dx, dy) {
    let best = -1;
    let least = Infinity;
    for (let n = 0; n < this.length; n++) {
      const x = this.x[n] - this.x[from];
      const y = this.y[n] - this.y[from];
      const ahead = x * dx + y * dy;
      const aside = Math.abs(x * dy - y * dx);
      if (n === from || ahead <= 0.5 || aside > ahead) continue;
      if (ahead + 2 * aside < least) [best, least] = [n, ahead + 2 * aside];
    }
    return best;
  }

  /** Points inside a closed line [[x, y], ...]: a ray to the right crosses it an odd number of times. */
  inside(line) {
    const found = [];
    for (let n = 0; n < this.length; n++) {
      let odd = false;
      for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
        const [ax, ay] = line[i];
        const [bx, by] = line[j];
        if (ay > this.y[n] !== by > this.y[n]) {
          if (this.x[n] < ax + ((this.y[n] - ay) / (by - ay)) * (bx - ax)) odd = !odd;
        }
      }
      if (odd) found.push(n);
    }
    return found;
  }
}

function extent(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return values.length ? [least, most] : [0, 1];
}

/** Groups with their names, colors and members; the largest first, what has no color last. */
export function groupPoints(points, by, { files, colorOf, nameOf, labelsOf }) {
  const { map } = points;
  const groups = new Map();
  for (let n = 0; n < points.length; n++) {
    const id = by === "file" ? map.file[n] : by === "cluster" ? map.cluster[n] : labelsOf(points.moment(n))[0]?.label ?? null;
    if (!groups.has(id)) groups.set(id, { id, members: [] });
    groups.get(id).members.push(n);
  }
  const order = by === "file" ? [...files.keys()] : [];
  const places = new Map(order.map((id, n) => [id, n]));
  for (const group of groups.values()) {
    if (by === "file") Object.assign(group, { name: files.get(group.id)?.name ?? "?", color: hue(places.get(group.id) ?? 0) });
    else if (by === "cluster") Object.assign(group, group.id < 0 ? { name: "outliers", color: null } : { name: `cluster ${group.id + 1}`, color: hue(group.id) });
    else Object.assign(group, group.id === null ? { name: "without a label", color: null } : { name: nameOf(group.id), color: colorOf(group.id) });
  }
  return [...groups.values()].sort((a, b) => (a.color === null) - (b.color === null) || b.members.length - a.members.length);
}
