// One image after the other, until anything else is done.

import { $ } from "./elements.js";

const EACH = 4000;
const FADE = 600;

export class Slideshow {
  /** @param next () => Promise<boolean>  shows the next image, if there is one */
  constructor(next) {
    this.next = next;
    this.timer = null;
    $("play").addEventListener("click", () => this.turn());
    $("lightbox").addEventListener("pointerdown", (event) => event.target.closest("#play") || this.stop());
    $("lightbox").addEventListener("wheel", () => this.stop(), { passive: true });
  }

  get isPlaying() {
    return this.timer !== null;
  }

  turn() {
    if (this.isPlaying) this.stop();
    else this.wait();
    this.mark();
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.mark();
  }

  wait() {
    clearTimeout(this.timer);
    const timer = setTimeout(async () => {
      const more = await this.next();
      if (more && !matchMedia("(prefers-reduced-motion: reduce)").matches) $("shown").animate({ opacity: [0, 1] }, FADE);
      if (this.timer !== timer) return; // it was stopped meanwhile
      if (more) this.wait();
      else this.stop();
    }, EACH);
    this.timer = timer;
  }

  mark() {
    $("play").setAttribute("aria-pressed", String(this.isPlaying));
  }
}
