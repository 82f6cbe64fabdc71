// Where the encoder looks: a glow over the video, brightest where its features are strongest.
import { getOverlay } from "./api.js";
import { attempt } from "./labels.js";

const AHEAD = 4; // seconds that are fetched at once

export class Overlay {
  /** @param now the time of the video in its file */
  constructor(video, canvas, now) {
    Object.assign(this, { video, canvas, now, on: false, pieces: [], file: null });
    this.small = document.createElement("canvas");
  }

  open(file, duration) {
    this.running?.abort();
    Object.assign(this, { file, duration, pieces: [], running: null });
    this.draw();
  }

  toggle(on = !this.on) {
    this.on = on;
    this.draw();
    return on;
  }

  async #fetch(time) {
    if (this.running) return;
    const start = Math.max(0, Math.floor(time / AHEAD) * AHEAD);
    const end = Math.min(this.duration, start + AHEAD);
    this.running = new AbortController();
    const { file, running } = this;
    const piece = await attempt(() => getOverlay(file, start, end, running.signal));
    if (file !== this.file || running !== this.running) return;
    this.running = null;
    if (!piece) return void this.toggle(false);
    // An empty piece is kept as well, or it would be asked for again and again.
    this.pieces.push({ ...piece, start, end });
    this.draw();
  }

  draw() {
    const { canvas, video } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!this.on || this.file === null || !video.videoWidth) return;
    const time = this.now();
    const piece = this.pieces.find((one) => time >= one.start && time < one.end + 0.01);
    if (!piece) return void this.#fetch(time);
    if (!piece.times.length) return;
    let nearest = 0;
    piece.times.forEach((one, n) => {
      if (Math.abs(one - time) < Math.abs(piece.times[nearest] - time)) nearest = n;
    });
    this.#paint(pen, piece, piece.values[nearest]);
  }

  /** Values 0 to 1 as orange light, scaled smoothly onto the picture inside the video's box. */
  #paint(pen, { rows, columns }, values) {
    const { small, video, canvas } = this;
    Object.assign(small, { width: columns, height: rows });
    const image = new ImageData(columns, rows);
    values.forEach((value, n) => image.data.set([255, 120 + 110 * value, 20, 215 * value ** 1.5], 4 * n));
    small.getContext("2d").putImageData(image, 0, 0);
    const scale = Math.min(canvas.width / video.videoWidth, canvas.height / video.videoHeight);
    const width = video.videoWidth * scale;
    const height = video.videoHeight * scale;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  }
}
