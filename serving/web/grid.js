// Hits as rows of images in their own proportions; more come when the end is near.

import { $, make, nameOf, percent } from "./elements.js";

const ROW_HEIGHT = 220;
const NARROW_ROW_HEIGHT = 130;
const PAGE = 60;
// As in the terminal: hits of LIKELY are matches; where the best is UNLIKELY, nothing matches, and
// where it is not CONFIDENT, that is open. Below HOPELESS nobody looks on, unless asked to.
const LIKELY = 0.5;
export const UNLIKELY = 0.3;
export const CONFIDENT = 0.75;
const HOPELESS = 0.1;

export class Grid {
  /** @param load (k, offset) => answer  @param open (hit)  @param like (hit) */
  constructor({ load, open, like, failed }) {
    Object.assign(this, { load, open, like, failed });
    this.hits = [];
    this.ended = true;
    this.loading = false;
    this.epoch = 0;
    this.insists = false;
    this.isSelected = () => false;
    $("show-rest").addEventListener("click", () => {
      this.insists = true;
      $("rest").hidden = true;
      this.more();
    });
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.more(), {
      rootMargin: "800px",
    }).observe($("sentinel"));
    $("grid").addEventListener("keydown", (event) => this.key(event));
  }

  /** Show the first page of a new answer. */
  show(answer) {
    this.epoch += 1;
    this.hits = [];
    this.loading = this.insists = false;
    $("grid").replaceChildren();
    $("grid").classList.remove("stale");
    this.append(answer);
  }

  /** Mark what is shown as the answer to an earlier search. */
  markStale() {
    $("grid").classList.add("stale");
  }

  clear() {
    this.show({ hits: [], total: 0 });
    $("end").hidden = true;
  }

  async more() {
    if (this.ended || this.loading || this.rests()) return;
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

  /** Load pages until there are so many hits, as far as there are. */
  async fill(count) {
    while (this.hits.length < count && !this.ended && !this.rests()) {
      const before = this.hits.length;
      await this.more();
      if (this.hits.length === before) return;
    }
  }

  append(answer) {
    this.ended = answer.hits.length < PAGE;
    const known = new Set(this.hits.map((hit) => hit.id));
    const fresh = answer.hits.filter((hit) => !known.has(hit.id));
    for (const hit of fresh) {
      const before = this.hits.at(-1);
      this.hits.push(hit);
      if (isLikely(before) && hit.relevance !== null && hit.relevance < LIKELY) {
        $("grid").append(
          make("li", { className: "filler", "aria-hidden": "true" }),
          make("li", { className: "less" }, make("span", {}, "Less likely from here")),
        );
      }
      $("grid").append(this.tile(hit));
    }
    $("end").hidden = !this.ended || this.hits.length < PAGE;
    $("rest").hidden = this.ended || !this.rests();
  }

  /** Whether what follows is so unlikely to match that it is shown only when asked for. */
  rests() {
    const last = this.hits.at(-1)?.relevance ?? 1;
    return last < HOPELESS && !this.insists;
  }

  tile(hit) {
    const name = nameOf(hit.path);
    const match = hit.relevance === null ? "" : `, ${percent(hit.relevance)} match`;
    const image = make("img", {
      alt: "",
      loading: "lazy",
      decoding: "async",
      width: hit.width,
      height: hit.height,
      srcset: `${hit.thumbnail}, ${hit.thumbnail.replace("size=320", "size=640")} 2x`,
      src: hit.thumbnail,
    });
    const shown = make("span", { className: "name" }, name + match);
    const tile = make(
      "button",
      { type: "button", className: "tile", "aria-label": name + match },
      image,
      shown,
    );
    tile.addEventListener("click", () => this.open(hit));
    const more = make(
      "button",
      { type: "button", className: "more", "aria-label": `More like ${name}` },
      make("span", {}, "More like this"),
    );
    more.addEventListener("click", () => this.like(hit));
    const check = make("button", {
      type: "button",
      className: "check",
      role: "checkbox",
      tabIndex: -1, // the keyboard selects on the tile itself
      "aria-label": `Select ${name}`,
    });
    const item = make("li", {}, tile, check, more);
    const ratio = Math.min(4, Math.max(0.4, hit.width / hit.height || 1));
    const height = innerWidth < 720 ? NARROW_ROW_HEIGHT : ROW_HEIGHT;
    item.style.flex = `${ratio} 1 ${Math.round(ratio * height)}px`;
    item.style.aspectRatio = String(ratio);
    item.dataset.id = hit.id;
    this.mark(item);
    return item;
  }

  /** Show on all tiles whether they are selected. */
  markSelected() {
    for (const item of $("grid").querySelectorAll("li[data-id]")) this.mark(item);
  }

  mark(item) {
    const selected = this.isSelected(Number(item.dataset.id));
    item.classList.toggle("selected", selected);
    item.querySelector(".check").setAttribute("aria-checked", String(selected));
    const tile = item.querySelector(".tile");
    const label = tile.getAttribute("aria-label").replace(/, selected$/, "");
    tile.setAttribute("aria-label", selected ? `${label}, selected` : label);
  }

  hitOf(id) {
    return this.hits.find((hit) => hit.id === id);
  }

  /** Return the hits from one image to another, whichever comes first; null where one is gone. */
  between(one, other) {
    const at = [one, other].map((id) => this.hits.findIndex((hit) => hit.id === id));
    return at.includes(-1) ? null : this.hits.slice(Math.min(...at), Math.max(...at) + 1);
  }

  key(event) {
    const here = event.target.closest(".tile");
    if (!here || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    this.move(event.key, Number(here.closest("li").dataset.id));
  }

  /**
   * Move the focus by an arrow key; up and down go to the closest image of the next row.
   * @returns {number|null} the image that has it then; null where there is none in that direction
   */
  move(key, id) {
    const all = [...$("grid").querySelectorAll(".tile")];
    const at = all.findIndex((tile) => tile.closest("li").dataset.id === String(id));
    const found = {
      ArrowLeft: () => all[at - 1],
      ArrowRight: () => all[at + 1],
      ArrowUp: () => closest(all[at], all.slice(0, at).reverse()),
      ArrowDown: () => closest(all[at], all.slice(at + 1)),
    }[key]?.();
    found?.focus();
    return found ? Number(found.closest("li").dataset.id) : null;
  }

  /** Bring an image's tile into view and give it the focus. */
  focus(id) {
    const tile = $("grid").querySelector(`li[data-id="${id}"] .tile`);
    tile?.scrollIntoView({ block: "nearest" });
    tile?.focus({ preventScroll: true });
  }
}

function isLikely(hit) {
  return hit !== undefined && hit.relevance !== null && hit.relevance >= LIKELY;
}

/** Return the horizontally closest tile of the first other row among `tiles`. */
function closest(here, tiles) {
  const middle = (tile) => tile.getBoundingClientRect().left + tile.getBoundingClientRect().width / 2;
  const top = (tile) => Math.round(tile.getBoundingClientRect().top);
  const others = tiles.filter((tile) => top(tile) !== top(here));
  const row = others.filter((tile) => top(tile) === top(others[0]));
  const distance = (tile) => Math.abs(middle(tile) - middle(here));
  return row.sort((a, b) => distance(a) - distance(b))[0];
}

export const FIRST_PAGE = PAGE;
