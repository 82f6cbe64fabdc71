// The video of the player, in times of the file. What a browser cannot play is converted by the
// server while it is watched: then the video starts at `offset`, and a jump starts another one.
import { getMediaInfo, videoUrl } from "./api.js";
import { attempt } from "./labels.js";

export class Screen {
  constructor(video) {
    Object.assign(this, { video, subject: null, wanted: 0, opening: false, offset: 0, jumps: true });
  }

  /** Open a file or an uploaded clip at a time, and play it if `play`. */
  async open(subject, time, play) {
    Object.assign(this, { subject, wanted: time, opening: true });
    this.video.pause();
    const info = subject.upload ? null : await attempt(() => getMediaInfo(subject.file));
    if (this.subject !== subject) return; // another one was opened meanwhile
    this.jumps = info?.jumps ?? true;
    this.opening = false;
    this.#load(this.wanted);
    if (play) this.play();
  }

  close() {
    Object.assign(this, { subject: null, opening: false });
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load(); // frees the connection
  }

  #load(time) {
    const { video } = this;
    const rate = video.playbackRate;
    this.offset = this.jumps ? 0 : time;
    video.src = videoUrl(this.subject, this.offset);
    video.currentTime = time - this.offset;
    video.playbackRate = rate;
  }

  get time() {
    return this.opening ? this.wanted : this.video.currentTime + this.offset;
  }

  seek(time) {
    this.wanted = time;
    if (this.opening) return; // it will start there
    if (this.jumps || this.#holds(time - this.offset)) {
      this.video.currentTime = time - this.offset;
      return;
    }
    const plays = !this.video.paused;
    this.#load(time);
    if (plays) this.play();
  }

  #holds(time) {
    const { seekable } = this.video;
    for (let n = 0; n < seekable.length; n++) {
      if (time >= seekable.start(n) && time <= seekable.end(n) && seekable.end(n) > 0) return true;
    }
    return false;
  }

  /** Play; a browser that does not allow it leaves the first picture. */
  play() {
    this.video.play().catch(() => {});
  }
}
