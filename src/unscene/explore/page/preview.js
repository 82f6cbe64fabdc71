// A moment that plays while the pointer or the focus is on it: one at a time, without sound.
import { clipUrl } from "./api.js";
import { calm, el } from "./dom.js";

const DELAY = 90; // ms: a pointer that only crosses a card starts nothing
let playing = null;
let waiting;

export function stopPreview(place = playing?.place) {
  if (!place || playing?.place !== place) return;
  clearTimeout(waiting);
  playing.video?.removeAttribute("src");
  playing.video?.load(); // frees the connection
  playing.video?.remove();
  place.classList.remove("playing");
  playing = null;
}

/** Play `moment` inside `place`. `asked`: somebody asked for it, so do it also without motion. */
export function startPreview(place, moment, asked = false) {
  if (moment.file === null || (calm() && !asked) || playing?.place === place) return;
  stopPreview();
  playing = { place };
  waiting = setTimeout(() => {
    const video = el("video", {
      muted: true, loop: true, autoplay: true, playsInline: true, src: clipUrl(moment),
      "aria-hidden": "true", tabIndex: -1, disablePictureInPicture: true,
      onplaying: () => place.classList.add("playing"),
    });
    playing.video = video;
    place.append(video);
    video.play().catch(() => {}); // refused or interrupted: the poster stays
  }, DELAY);
}
