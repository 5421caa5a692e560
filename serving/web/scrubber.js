// A scale of years at the right edge of a timeline: dragged, or moved by keys, it scrolls there.

import { $, make } from "./elements.js";

// It is shown for what spans so many months.
const LEAST_MONTHS = 13;
// Years whose names would stand closer are left out.
const APART = 14;
const SHOWN = 1200;

export class Scrubber {
  constructor(grid) {
    this.grid = grid;
    this.months = null;
    this.chosen = null;
    grid.arranging = (months) => this.offer(months);
    grid.drawn = () => this.show();
    $("scrubber").addEventListener("pointerdown", (event) => this.grab(event));
    $("scrubber").addEventListener("pointermove", (event) => this.dragged && this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      $("scrubber").addEventListener(name, () => this.release());
    }
    $("scrubber").addEventListener("keydown", (event) => this.key(event));
    addEventListener("scroll", () => this.flash(), { passive: true });
  }

  /** Have a place on the page where there are so many months. */
  offer(months) {
    const needed = spanned(months) >= LEAST_MONTHS;
    $("scrubber").hidden = !needed;
    document.body.classList.toggle("scrubbed", needed);
  }

  /** Show where the page is, and the years if they are others. */
  show() {
    const { months } = this.grid.layout;
    if ($("scrubber").hidden || !months) return;
    const height = this.track();
    if (this.months !== months || this.height !== height) this.mark(months, height);
    if (this.chosen && Math.abs(this.chosen.scroll - scrollY) > 2) this.chosen = null;
    const share = this.share();
    const at = this.chosen?.month ?? this.grid.layout.monthAt(this.topAt(share));
    $("scrubber-thumb").style.top = `${share * height}px`;
    $("scrubber-month").textContent = months[at].text;
    $("scrubber").setAttribute("aria-valuenow", at);
    $("scrubber").setAttribute("aria-valuetext", months[at].text);
  }

  /** Put the years where they begin. */
  mark(months, height) {
    Object.assign(this, { months, height });
    $("scrubber").setAttribute("aria-valuemax", months.length - 1);
    const years = [];
    let last = -APART;
    for (const [at, { month, top }] of months.entries()) {
      const year = yearOf(month);
      const y = ((this.grid.top() + scrollY + top) / document.documentElement.scrollHeight) * height;
      if ((at && yearOf(months[at - 1].month) === year) || y - last < APART) continue;
      last = y;
      const shown = make("span", {}, String(Number(year)));
      shown.style.top = `${y}px`;
      years.push(shown);
    }
    $("scrubber-years").replaceChildren(...years);
  }

  track() {
    return $("scrubber-years").clientHeight;
  }

  /** Return how far down the page is scrolled, from 0 to 1. */
  share() {
    return Math.min(1, scrollY / Math.max(1, furthest()));
  }

  /**
   * Return the height in the grid that a share of the scale stands for: it goes from the top of the
   * window to its bottom on the way, so that the last month is reached.
   */
  topAt(share) {
    return share * document.documentElement.scrollHeight - (this.grid.top() + scrollY);
  }

  grab(event) {
    if (event.button) return;
    $("scrubber").setPointerCapture(event.pointerId);
    $("scrubber").classList.add("dragged");
    this.dragged = true;
    this.drag(event);
  }

  drag(event) {
    const { top } = $("scrubber-years").getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientY - top) / this.track()));
    this.chosen = null;
    scrollTo(0, share * furthest());
  }

  release() {
    this.dragged = false;
    $("scrubber").classList.remove("dragged");
  }

  key(event) {
    const at = Number($("scrubber").getAttribute("aria-valuenow"));
    const last = this.months.length - 1;
    const year = yearOf(this.months[at].month);
    const others = (step) => {
      let to = at;
      while (to + step >= 0 && to + step <= last && yearOf(this.months[to].month) === year) to += step;
      return to;
    };
    const to = {
      ArrowDown: at + 1,
      ArrowRight: at + 1,
      ArrowUp: at - 1,
      ArrowLeft: at - 1,
      PageDown: others(1),
      PageUp: others(-1),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.go(Math.min(last, Math.max(0, to)));
  }

  /** Scroll to a month. */
  go(month) {
    const head = document.querySelector("header").offsetHeight;
    const top = month ? this.grid.top() + scrollY + this.months[month].top - head : 0;
    scrollTo(0, top);
    // The last months cannot be brought to the top.
    this.chosen = { month, scroll: scrollY };
    this.show();
  }

  /** Show the month for a while. */
  flash() {
    $("scrubber").classList.add("scrolled");
    clearTimeout(this.flashing);
    this.flashing = setTimeout(() => $("scrubber").classList.remove("scrolled"), SHOWN);
  }
}

const furthest = () => document.documentElement.scrollHeight - innerHeight;

const yearOf = (month) => month.slice(0, month.lastIndexOf("-"));

function spanned(months) {
  if (!months.length) return 0;
  const [newest, oldest] = [months[0], months.at(-1)].map(({ month }) => Number(yearOf(month)) * 12 + Number(month.slice(-2)));
  return newest - oldest + 1;
}
