// Hits as rows of pictures in their own proportions; more come when the end is near.

import { $, make, nameOf, percent } from "./elements.js";

const ROW_HEIGHT = 220;
const NARROW_ROW_HEIGHT = 130;
const PAGE = 60;

export class Grid {
  /** @param load (k, offset) => answer  @param open (hit)  @param like (hit) */
  constructor({ load, open, like, failed }) {
    Object.assign(this, { load, open, like, failed });
    this.hits = [];
    this.ended = true;
    this.loading = false;
    this.epoch = 0;
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.more(), {
      rootMargin: "800px",
    }).observe($("sentinel"));
  }

  /** Show a first page in place of what was there. */
  show(answer) {
    this.epoch += 1;
    this.hits = [];
    this.loading = false;
    $("grid").replaceChildren();
    $("grid").classList.remove("stale");
    this.append(answer);
  }

  /** What is there answers an older question. */
  markStale() {
    $("grid").classList.add("stale");
  }

  clear() {
    this.show({ hits: [], total: 0 });
    $("end").hidden = true;
  }

  async more() {
    if (this.ended || this.loading) return;
    this.loading = true;
    const epoch = this.epoch;
    try {
      const answer = await this.load(PAGE, this.hits.length);
      if (epoch === this.epoch) this.append(answer);
    } catch (problem) {
      if (epoch !== this.epoch || problem.name === "AbortError") return;
      this.ended = true;
      this.failed(problem);
    } finally {
      if (epoch === this.epoch) this.loading = false;
    }
  }

  append(answer) {
    this.ended = answer.hits.length < PAGE;
    const known = new Set(this.hits.map((hit) => hit.id));
    const fresh = answer.hits.filter((hit) => !known.has(hit.id));
    this.hits.push(...fresh);
    $("grid").append(...fresh.map((hit) => this.tile(hit)));
    $("end").hidden = !this.ended || this.hits.length < PAGE;
  }

  tile(hit) {
    const name = nameOf(hit.path);
    const match = hit.relevance === null ? "" : `, ${percent(hit.relevance)} match`;
    const picture = make("img", {
      alt: "",
      loading: "lazy",
      decoding: "async",
      width: hit.width,
      height: hit.height,
      srcset: `${hit.thumbnail}, ${hit.thumbnail.replace("320", "640")} 2x`,
      src: hit.thumbnail,
    });
    const shown = make("span", { className: "name" }, name + match);
    const tile = make(
      "button",
      { type: "button", className: "tile", "aria-label": name + match },
      picture,
      shown,
    );
    tile.addEventListener("click", () => this.open(hit));
    const more = make(
      "button",
      { type: "button", className: "more", "aria-label": `More like ${name}` },
      make("span", {}, "More like this"),
    );
    more.addEventListener("click", () => this.like(hit));
    const item = make("li", {}, tile, more);
    const ratio = Math.min(4, Math.max(0.4, hit.width / hit.height || 1));
    const height = innerWidth < 720 ? NARROW_ROW_HEIGHT : ROW_HEIGHT;
    item.style.flex = `${ratio} 1 ${Math.round(ratio * height)}px`;
    item.style.aspectRatio = String(ratio);
    item.dataset.id = hit.id;
    return item;
  }

  /** Bring a picture's tile into view and give it the focus. */
  focus(id) {
    const tile = $("grid").querySelector(`li[data-id="${id}"] .tile`);
    tile?.scrollIntoView({ block: "nearest" });
    tile?.focus({ preventScroll: true });
  }
}

export const FIRST_PAGE = PAGE;
