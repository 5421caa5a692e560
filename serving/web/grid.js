// The images of an answer. Only tiles near what can be seen are in the document, and of a timeline
// only the pages near it are loaded, so that a collection may be of any size.

import { $, make, nameOf, percent } from "./elements.js";
import { Rows, Timeline } from "./layout.js";

const PAGE = 60;
// As in the terminal: hits of LIKELY are matches; where the best is UNLIKELY, nothing matches, and
// where it is not CONFIDENT, that is open. Below HOPELESS nobody looks on, unless asked to.
const LIKELY = 0.5;
export const UNLIKELY = 0.3;
export const CONFIDENT = 0.75;
const HOPELESS = 0.1;
// How far around what can be seen there are tiles, in parts of the window's height.
const AROUND = 0.6;
// How near its end a list goes on.
const NEAR_END = 800;
// A page that is not seen any more when this has passed is not asked for.
const RESTED = 90;
// Pages of a timeline that are kept.
const KEPT = 40;
// Images that may be selected by one range, and how many of them come at a time.
const LONGEST = 5000;
const CHUNK = 500;

export class Grid {
  /**
   * @param load (k, offset, signal) => answer  @param open (hit)  @param like (hit)
   * @param failed (problem)  @param outdated ()  called when the collection was changed meanwhile
   */
  constructor({ load, open, like, failed, outdated }) {
    Object.assign(this, { load, open, like, failed, outdated });
    this.isSelected = () => false;
    this.arranging = () => {}; // called before everything is placed, with the months
    this.drawn = () => {}; // called with each drawing
    this.tiles = new Map();
    this.current = null; // the image that had the focus last
    this.tabbable = null;
    this.width = 0;
    this.scrolled = 0;
    this.layout = new Rows([], 0, -1);
    this.reset([], null);
    $("show-rest").addEventListener("click", () => {
      this.insists = true;
      $("rest").hidden = true;
      this.more();
    });
    $("grid").addEventListener("keydown", (event) => this.key(event));
    $("grid").addEventListener("focusin", (event) => {
      this.current = event.target.closest("li")?.dataset.id ?? this.current;
      this.rove();
    });
    addEventListener("scroll", () => this.drawSoon(), { passive: true });
    new ResizeObserver(() => this.resized()).observe($("grid"));
    addEventListener("resize", () => this.drawSoon());
  }

  reset(hits, months) {
    this.months = months;
    this.hits = new Map(hits.map((hit, at) => [at, hit]));
    this.places = new Map(hits.map((hit, at) => [hit.id, at]));
    this.list = hits;
    for (const asked of this.asked?.values() ?? []) asked.abort.abort();
    this.asked = new Map();
    this.epoch = (this.epoch ?? 0) + 1;
    this.ended = true;
    this.loading = this.insists = this.stale = false;
  }

  /** Show the first page of a new answer; with the months, where all images are listed. */
  show(answer, months = null) {
    const focused = document.activeElement?.closest?.("#grid li")?.dataset.id;
    this.reset(answer.hits, months);
    this.total = answer.total;
    $("grid").classList.remove("stale");
    for (const item of this.tiles.values()) item.remove();
    this.tiles.clear();
    this.ended = months !== null || answer.hits.length < PAGE;
    this.arrange();
    if (focused) this.keepFocus(Number(focused));
  }

  /** Give the focus back to an image whose tile was made anew, if it is still there. */
  keepFocus(id) {
    const tile = this.tiles.get(this.indexOf(id))?.querySelector(".tile");
    (tile ?? $("results")).focus({ preventScroll: true });
  }

  /** Mark what is shown as the answer to an earlier search, of which nothing more is loaded. */
  markStale() {
    this.stale = true;
    $("grid").classList.add("stale");
  }

  clear() {
    this.show({ hits: [], total: 0 });
  }

  /** How many images can be stepped through. */
  get count() {
    return this.layout.count;
  }

  /** Return where an image stands; -1 where it is not known to. */
  indexOf(id) {
    return this.places.get(id) ?? -1;
  }

  at(index) {
    return this.hits.get(index);
  }

  hitOf(id) {
    return this.hits.get(this.indexOf(id));
  }

  // Loading.

  /** Load the next page of a list. */
  async more() {
    if (this.ended || this.loading || this.stale || this.rests()) return;
    await this.append(PAGE);
  }

  async append(count) {
    this.loading = true;
    const { epoch } = this;
    try {
      const answer = await this.load(count, this.list.length);
      if (epoch !== this.epoch) return;
      this.ended = answer.hits.length < count;
      for (const hit of answer.hits) {
        if (this.places.has(hit.id)) continue;
        this.places.set(hit.id, this.list.length);
        this.hits.set(this.list.length, hit);
        this.list.push(hit);
      }
      this.loading = false;
      this.arrange();
    } catch (problem) {
      if (epoch !== this.epoch || problem.name === "AbortError") return;
      this.ended = true;
      this.failed(problem);
    } finally {
      if (epoch === this.epoch) this.loading = false;
    }
  }

  /** Load a list until there are so many hits, as far as there are. */
  async fill(count) {
    if (this.months) return;
    while (this.list.length < count && !this.ended && !this.rests()) {
      const before = this.list.length;
      await this.append(Math.min(CHUNK, Math.max(PAGE, count - before)));
      if (this.list.length === before) return;
    }
  }

  /** Return the hit at a place, loaded if need be; undefined where there is none. */
  async reach(index) {
    if (this.months && !this.hits.has(index)) await this.loadPage(Math.floor(index / PAGE));
    return this.hits.get(index);
  }

  /** Load what a timeline shows now, and wait for it. */
  async settled() {
    if (!this.months) return;
    const { from, to } = this.window(0);
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) await this.reach(page * PAGE);
  }

  /** Load the pages of a timeline that can be seen, and no others that were asked for. */
  loadSeen() {
    if (!this.months || !this.count || this.stale) return;
    const { from, to } = this.window(AROUND);
    const first = Math.floor(from / PAGE);
    const last = Math.floor(Math.max(from, to - 1) / PAGE);
    for (const [page, asked] of this.asked) if (page < first || page > last) asked.abort.abort();
    for (let page = first; page <= last; page++) this.loadPage(page);
    this.forget((first + last) / 2);
  }

  loadPage(page) {
    const size = Math.min(PAGE, this.count - page * PAGE);
    let whole = true;
    for (let at = 0; at < size && whole; at++) whole = this.hits.has(page * PAGE + at);
    if (whole || size <= 0) return Promise.resolve();
    const before = this.asked.get(page);
    if (before && !before.abort.signal.aborted) return before.done;
    const asked = { abort: new AbortController() };
    asked.done = this.fetchPage(page, asked);
    this.asked.set(page, asked);
    return asked.done;
  }

  async fetchPage(page, asked) {
    const { epoch } = this;
    try {
      const answer = await this.load(PAGE, page * PAGE, asked.abort.signal);
      if (epoch !== this.epoch) return;
      if (answer.total !== this.total) return void this.outdated();
      answer.hits.forEach((hit, at) => {
        this.hits.set(page * PAGE + at, hit);
        this.places.set(hit.id, page * PAGE + at);
      });
      this.drawSoon();
    } catch (problem) {
      if (epoch === this.epoch && problem.name !== "AbortError") this.failed(problem);
    } finally {
      if (this.asked.get(page) === asked) this.asked.delete(page);
    }
  }

  /** Forget the pages of a timeline that are furthest from one. */
  forget(page) {
    const pages = [...new Set([...this.hits.keys()].map((at) => Math.floor(at / PAGE)))];
    pages.sort((a, b) => Math.abs(a - page) - Math.abs(b - page));
    for (const far of pages.slice(KEPT)) {
      for (let at = far * PAGE; at < (far + 1) * PAGE; at++) this.hits.delete(at);
    }
  }

  /** Return the hits from one place to another, whichever comes first; null where they are too many. */
  async between(one, other) {
    const from = Math.min(one, other);
    const to = Math.max(one, other) + 1;
    if (from < 0 || to - from > LONGEST) return null;
    const found = [];
    for (let at = from; at < to; ) {
      if (this.hits.has(at)) found.push(this.hits.get(at++));
      else {
        const { hits } = await this.load(Math.min(CHUNK, to - at), at);
        if (!hits.length) return null;
        found.push(...hits);
        at += hits.length;
      }
    }
    return found;
  }

  /** Whether what follows is so unlikely to match that it is shown only when asked for. */
  rests() {
    const last = this.list.at(-1);
    return Boolean(last) && !last.found_by?.length && (last.relevance ?? 1) < HOPELESS && !this.insists;
  }

  // Drawing.

  /** Compute where everything stands, and draw it. */
  arrange() {
    this.arranging(this.months ?? []); // what else needs room
    this.width = $("grid").clientWidth;
    const less = this.list.findIndex((hit, at) => at > 0 && isLikely(this.list[at - 1]) && hit.relevance !== null && !isLikely(hit));
    this.layout = this.months ? new Timeline(this.months, this.width) : new Rows(this.list, this.width, less);
    $("grid").style.height = `${this.layout.height}px`;
    $("end").hidden = !this.ended || this.count < PAGE;
    $("rest").hidden = this.ended || !this.rests();
    for (const item of this.tiles.values()) item.placed = false;
    this.draw();
  }

  /** Arrange all of it for another width, and stay at what is seen. */
  resized() {
    if ($("grid").clientWidth === this.width) return;
    const place = this.place();
    this.arrange();
    this.return(place);
  }

  /** Return where the page is scrolled to, also in terms of what is seen there. */
  place() {
    const top = this.top();
    const place = { scroll: scrollY, width: this.width, hits: this.list.length };
    const { from, to } = this.layout.visible(header() - top, innerHeight - top);
    if (from < to) Object.assign(place, { first: from, shift: header() - top - this.layout.place(from).top });
    return place;
  }

  /** Scroll to where the page once was. */
  return({ scroll, width, first, shift }) {
    const box = first === undefined || width === this.width || !scroll ? null : this.layout.place(first);
    scrollTo(0, box ? this.top() + scrollY + box.top + shift - header() : scroll);
    this.draw();
  }

  /** Return where the grid begins, from the top of the window. */
  top() {
    return $("grid").getBoundingClientRect().top;
  }

  window(around) {
    const top = this.top();
    return this.layout.visible(-top - around * innerHeight, innerHeight * (1 + around) - top);
  }

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const { from, to, headings } = this.window(AROUND);
    const places = new Set();
    for (let at = from; at < to; at++) places.add(at);
    // What has the focus stays, wherever it is.
    const focused = document.activeElement?.closest?.("#grid li[data-at]");
    if (focused && Number(focused.dataset.at) < this.count) places.add(Number(focused.dataset.at));
    const wanted = [
      ...headings.map((one) => ({ key: one.key, top: one.top, heading: one })),
      ...[...places].map((at) => ({ key: at, top: this.layout.place(at).top, at })),
    ].sort((a, b) => a.top - b.top || (a.at ?? -1) - (b.at ?? -1));
    this.put(wanted);
    this.drawn();
    const moved = Math.abs(scrollY - this.scrolled);
    this.scrolled = scrollY;
    clearTimeout(this.resting);
    if (moved < innerHeight) this.loadSeen();
    else this.resting = setTimeout(() => this.loadSeen(), RESTED);
    if (!this.months && this.layout.height + this.top() - innerHeight < NEAR_END) this.more();
  }

  /** Have just these in the document, in this order; what is there already is not moved. */
  put(wanted) {
    const keys = new Set(wanted.map((one) => one.key));
    for (const [key, item] of this.tiles) {
      if (keys.has(key) && (item.dataset.id || !this.hits.has(key))) continue;
      item.remove();
      this.tiles.delete(key);
    }
    let next = $("grid").firstChild;
    for (const { key, at, heading } of wanted) {
      let item = this.tiles.get(key);
      if (!item) {
        item = heading ? title(heading) : this.hits.has(at) ? this.tile(this.hits.get(at), at) : empty(at);
        this.tiles.set(key, item);
      }
      if (item === next) next = next.nextSibling;
      else $("grid").insertBefore(item, next);
      if (item.placed) continue;
      const box = heading ?? this.layout.place(at);
      Object.assign(item.style, { top: `${box.top}px`, left: `${box.left ?? 0}px`, height: `${box.height}px` });
      item.style.width = box.width ? `${box.width}px` : "100%";
      item.placed = true;
    }
    this.rove();
  }

  /** Let the Tab key reach one tile only, so that what follows all of them is near. */
  rove() {
    const items = [...this.tiles.values()];
    let item = items.find((one) => one.dataset.id && one.dataset.id === this.current);
    item ??= this.tiles.get(this.window(0).from);
    if (item === this.tabbable) return;
    for (const [one, index] of [[this.tabbable, -1], [item, 0]]) {
      for (const button of one?.querySelectorAll(".tile, .more") ?? []) button.tabIndex = index;
    }
    this.tabbable = item;
  }

  tile(hit, at) {
    const name = nameOf(hit.path);
    const named = hit.found_by?.length ? `, by its ${hit.found_by.join(" and ")}` : "";
    const match = (hit.relevance === null ? "" : `, ${percent(hit.relevance)} match`) + named;
    const image = make("img", {
      alt: "",
      decoding: "async",
      width: hit.width,
      height: hit.height,
      srcset: `${hit.thumbnail}, ${hit.thumbnail.replace("size=320", "size=640")} 2x`,
      src: hit.thumbnail,
    });
    image.addEventListener("error", () => (image.hidden = true)); // its file is away
    const shown = make("span", { className: "name" }, name + match);
    const tile = make(
      "button",
      { type: "button", className: "tile", tabIndex: -1, "aria-label": name + match },
      image,
      shown,
    );
    tile.addEventListener("click", () => this.open(hit));
    const more = make(
      "button",
      { type: "button", className: "more", tabIndex: -1, "aria-label": `More like ${name}` },
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
    item.dataset.id = hit.id;
    item.dataset.at = at;
    if (this.months) {
      item.setAttribute("aria-posinset", at + 1);
      item.setAttribute("aria-setsize", this.count);
    }
    this.mark(item);
    return item;
  }

  /** Show on all tiles whether they are selected. */
  markSelected() {
    for (const item of this.tiles.values()) if (item.dataset.id) this.mark(item);
  }

  mark(item) {
    const selected = this.isSelected(Number(item.dataset.id));
    item.classList.toggle("selected", selected);
    item.querySelector(".check").setAttribute("aria-checked", String(selected));
    const tile = item.querySelector(".tile");
    const label = tile.getAttribute("aria-label").replace(/, selected$/, "");
    tile.setAttribute("aria-label", selected ? `${label}, selected` : label);
  }

  // The keyboard.

  key(event) {
    const here = event.target.closest(".tile");
    if (!here || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    this.move(event.key, Number(here.closest("li").dataset.id));
  }

  /**
   * Move the focus by an arrow key; up and down go to the closest image of the next row.
   * @returns {Promise<number|null>} the image that has it then; null where there is none that way
   */
  async move(key, id) {
    const at = this.indexOf(id);
    const to = {
      ArrowLeft: () => at - 1,
      ArrowRight: () => at + 1,
      ArrowUp: () => this.closest(at, this.layout.row(at, -1)),
      ArrowDown: () => this.closest(at, this.layout.row(at, 1)),
    }[key]();
    if (at < 0 || to < 0 || to >= this.count) return null;
    const hit = await this.reach(to);
    if (!hit) return null;
    this.focus(hit.id);
    return hit.id;
  }

  /** Return the tile of a row that is closest, across, to another one; -1 where there is no row. */
  closest(at, row) {
    if (!row) return -1;
    const middle = (index) => this.layout.place(index).left + this.layout.place(index).width / 2;
    let best = row.from;
    for (let index = row.from + 1; index < row.to; index++) {
      if (Math.abs(middle(index) - middle(at)) < Math.abs(middle(best) - middle(at))) best = index;
    }
    return best;
  }

  /** Give the focus to the first tile that can be seen. */
  enter() {
    const hit = this.at(this.window(0).from);
    if (hit) this.focus(hit.id);
  }

  /** Bring an image's tile into view and give it the focus. */
  focus(id) {
    const at = this.indexOf(id);
    if (!this.hits.has(at)) return;
    const box = this.layout.place(at);
    const top = this.top() + box.top;
    const below = innerHeight - Math.max($("selection").offsetHeight, $("bottom").offsetHeight);
    if (top < header()) scrollBy(0, top - header() - 8);
    else if (top + box.height > below) scrollBy(0, Math.min(top - header() - 8, top + box.height - below + 8));
    this.draw();
    this.tiles.get(at)?.querySelector(".tile")?.focus({ preventScroll: true });
  }
}

function isLikely(hit) {
  return hit.found_by?.length > 0 || (hit.relevance !== null && hit.relevance >= LIKELY);
}

function title({ level, text }) {
  const shown = level === "less" ? make("span", {}, text) : make(level === "month" ? "h3" : "h4", {}, text);
  return make("li", { className: level }, shown);
}

/** Return what stands for an image that is not loaded yet. */
function empty(at) {
  const item = make("li", { className: "empty", "aria-hidden": "true" });
  item.dataset.at = at;
  return item;
}

const header = () => document.querySelector("header").offsetHeight;

export const FIRST_PAGE = PAGE;
