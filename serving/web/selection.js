// Images that are selected: by their check marks, by long touches, by keys, and in ranges.

import { $, copied, nameOf, number, plural } from "./elements.js";
import { MOST } from "./state.js";

const LONG_TOUCH = 500;
// A finger that moves this far scrolls.
const STILL = 10;

export class Selection {
  /** @param grid  @param like (hits)  @param unlike (hits)  applied by the page */
  constructor({ grid, like, unlike }) {
    this.grid = grid;
    this.hits = new Map();
    this.anchor = null; // where the last range began
    this.base = new Map(); // what was selected then
    this.ranges = 0;
    this.begun = false; // without an image yet
    this.touchedLong = false;
    grid.isSelected = (id) => this.hits.has(id);
    this.listen();
    this.listenForTouches();
    $("like-selected").addEventListener("click", () => this.ask(like));
    $("unlike-selected").addEventListener("click", () => this.ask(unlike));
    $("copy-paths").addEventListener("click", () => this.copy());
    $("clear-selection").addEventListener("click", () => {
      this.clear();
      $("results").focus({ preventScroll: true });
    });
  }

  get count() {
    return this.hits.size;
  }

  get isOn() {
    return this.begun || this.count > 0;
  }

  get ids() {
    return [...this.hits.keys()];
  }

  listen() {
    // Before the tile's own listener, which opens the image.
    $("grid").addEventListener("click", (event) => this.click(event), true);
    $("grid").addEventListener("keydown", (event) => this.key(event));
    // A button would be pressed when the space bar is let go.
    $("grid").addEventListener("keyup", (event) => event.key === " " && event.target.matches(".tile") && event.preventDefault());
    document.addEventListener("keydown", (event) => {
      const elsewhere = event.target.matches("input, textarea") || document.querySelector("dialog[open]");
      if (event.key !== "Escape" || elsewhere || !this.isOn) return;
      const inBar = $("selection").contains(document.activeElement);
      this.clear();
      if (inBar) $("results").focus({ preventScroll: true });
    });
  }

  listenForTouches() {
    let timer, touched;
    const forget = () => clearTimeout(timer);
    $("grid").addEventListener("pointerdown", (event) => {
      forget();
      this.touchedLong = false;
      touched = event;
      const id = idAt(event.target);
      if (event.pointerType !== "touch" || id === null) return;
      timer = setTimeout(() => {
        this.touchedLong = true;
        this.toggle(id);
        navigator.vibrate?.(20);
      }, LONG_TOUCH);
    });
    $("grid").addEventListener("pointermove", (event) => {
      if (touched && Math.hypot(event.clientX - touched.clientX, event.clientY - touched.clientY) > STILL) forget();
    });
    for (const name of ["pointerup", "pointercancel"]) $("grid").addEventListener(name, forget);
    $("grid").addEventListener("contextmenu", (event) => touched?.pointerType === "touch" && event.preventDefault());
  }

  click(event) {
    const id = idAt(event.target);
    // The click that ends a long touch is no other touch.
    if (this.touchedLong && event.detail) {
      this.touchedLong = false;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (id === null || event.target.closest(".more")) return;
    const checks = event.target.closest(".check");
    // The keyboard's Enter opens an image as ever.
    if (!checks && !event.shiftKey && !(this.isOn && event.detail)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey && this.anchor !== null) this.extend(id);
    else this.toggle(id);
    if (checks) this.grid.focus(id);
  }

  key(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.altKey || event.ctrlKey || event.metaKey) return;
    const id = idAt(tile);
    if (event.key === " " || event.key.toLowerCase() === "x") {
      event.preventDefault();
      if (event.shiftKey && this.anchor !== null) this.extend(id);
      else this.toggle(id);
    } else if (event.shiftKey && event.key.startsWith("Arrow")) {
      event.preventDefault();
      if (this.anchor === null) this.begin(id);
      this.grid.move(event.key, id).then((reached) => reached !== null && this.extend(reached));
    }
  }

  /** Have clicks and touches select from now on. */
  turnOn() {
    this.begun = true;
    this.draw();
    announce("Choose images to select");
  }

  /** Begin a range at an image. */
  begin(id) {
    this.anchor = this.grid.indexOf(id);
    this.base = new Map(this.hits);
  }

  toggle(id) {
    this.ranges++;
    if (this.hits.has(id)) this.hits.delete(id);
    else this.hits.set(id, this.grid.hitOf(id));
    this.begin(id);
    this.draw();
    const name = nameOf(this.grid.hitOf(id)?.path ?? "");
    announce(`${name} ${this.hits.has(id) ? "selected" : "not selected"}, ${number(this.count)} in all`);
  }

  /** Select from the anchor to an image, in place of the range before. */
  async extend(id) {
    const asked = ++this.ranges;
    let range;
    try {
      range = await this.grid.between(this.anchor, this.grid.indexOf(id));
    } catch {
      range = null; // the page has another answer by now, or the server cannot be reached
    }
    if (asked !== this.ranges || this.anchor === null) return;
    if (!range) return announce("That range cannot be selected");
    this.hits = new Map(this.base);
    for (const hit of range) this.hits.set(hit.id, hit);
    this.draw();
    announce(`${number(this.count)} selected`);
  }

  /** Select nothing; @param quietly  whether something else is announced. */
  clear(quietly = false) {
    const any = this.isOn;
    this.begun = false;
    this.ranges++;
    this.hits.clear();
    this.anchor = null;
    if (!any) return;
    this.draw();
    if (!quietly) announce("Nothing is selected");
  }

  draw() {
    $("grid").classList.toggle("selecting", this.isOn);
    this.grid.markSelected();
    $("selection").hidden = !this.isOn;
    document.body.classList.toggle("selecting", this.isOn);
    for (const act of $("selection").querySelectorAll(".acts button")) act.disabled = !this.count && act.id !== "clear-selection";
    const beyond = this.count > MOST ? `, of which a search goes by the last ${MOST}` : "";
    $("selected").textContent = this.count ? `${number(this.count)} selected${beyond}` : "Tap images to select them";
  }

  ask(act) {
    const hits = [...this.hits.values()];
    this.clear(true);
    act(hits.map((hit) => hit.id));
    $("results").focus({ preventScroll: true });
  }

  async copy() {
    const paths = [...this.hits.values()].map((hit) => hit.path);
    const done = await copied(paths.join("\n"));
    const said = done ? `${plural(paths.length, "path")} copied` : "Copying is not allowed here";
    $("selected").textContent = said;
    announce(said);
  }
}

/** Return the images of a query with more of them, each once, as many as it can name. */
export function added(before, more) {
  const all = [...new Set([...before, ...more])];
  return all.slice(-MOST);
}

/** Say something to those who hear the page. */
export function announce(text) {
  $("said").textContent = text;
}

function idAt(element) {
  const id = element.closest("li")?.dataset.id;
  return id === undefined ? null : Number(id);
}
