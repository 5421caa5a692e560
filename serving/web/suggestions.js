// What the text may go on with, below the box: a list as of a combobox, worked by arrows and Enter.

import { get } from "./api.js";
import { $, debounced, make, number } from "./elements.js";

const WAIT = 120;
const KINDS = { in: "folder", tag: "tag", camera: "camera" };

export class Suggestions {
  /** @param changed ()  called when a suggestion has become part of the text */
  constructor(changed) {
    this.changed = changed;
    this.current = new AbortController();
    this.chosen = -1;
    this.list = [];
    this.settled = null; // what was searched for by Enter
    const ask = debounced(() => this.ask(), WAIT);
    $("text").addEventListener("input", ask);
    $("text").addEventListener("keydown", (event) => this.key(event));
    $("text").addEventListener("blur", () => this.hide());
    $("search").addEventListener("submit", () => {
      this.settled = $("text").value;
      this.hide();
    });
    // The box keeps the focus, so that typing goes on.
    $("suggestions").addEventListener("mousedown", (event) => event.preventDefault());
  }

  async ask() {
    this.current.abort();
    const { signal } = (this.current = new AbortController());
    const text = $("text").value;
    if (text === this.settled) return;
    this.settled = null;
    if (document.activeElement !== $("text") || $("text").selectionEnd < text.length) return this.hide();
    try {
      const { suggestions } = await get(`v1/suggestions?${new URLSearchParams({ q: text })}`, signal);
      if (!signal.aborted && $("text").value === text && text !== this.settled) this.show(suggestions);
    } catch {
      this.hide(); // the text can be typed without them
    }
  }

  show(list) {
    this.list = list;
    this.choose(-1);
    $("suggestions").replaceChildren(
      ...list.map((one, at) => {
        const about = one.images === null ? (one.shown.endsWith(":") ? "" : KINDS[one.key]) : `${KINDS[one.key]}, ${number(one.images)}`;
        const item = make("li", { id: `suggestion-${at}`, role: "option", "aria-selected": "false" },
          make("span", {}, one.shown), make("small", {}, about));
        item.addEventListener("click", () => this.take(one));
        return item;
      }),
    );
    $("suggestions").hidden = !list.length;
    $("text").setAttribute("aria-expanded", String(Boolean(list.length)));
  }

  hide() {
    this.current.abort();
    if (this.list.length) this.show([]);
  }

  choose(at) {
    this.chosen = at;
    [...$("suggestions").children].forEach((item, place) => item.setAttribute("aria-selected", String(place === at)));
    if (at < 0) $("text").removeAttribute("aria-activedescendant");
    else $("text").setAttribute("aria-activedescendant", `suggestion-${at}`);
  }

  key(event) {
    if (!this.list.length) return;
    const count = this.list.length;
    if (event.key === "ArrowDown") this.choose((this.chosen + 1) % count);
    else if (event.key === "ArrowUp") this.choose((this.chosen - 1 + count) % count);
    else if (event.key === "Escape") this.hide();
    else if (event.key === "Tab" && !event.shiftKey && this.chosen >= 0) this.take(this.list[this.chosen]);
    else if (event.key === "Enter") {
      if (this.chosen < 0) return this.hide();
      this.take(this.list[this.chosen]);
    } else return;
    event.preventDefault();
  }

  /** Make a suggestion part of the text. */
  take(one) {
    $("text").value = one.text;
    this.hide();
    if (one.text.endsWith(":")) this.ask();
    this.changed();
  }
}
