// The tags of the image that is shown in large: listed, added, and taken off.

import { $, make } from "./elements.js";
import { completeTags, FAVOURITE, HIDDEN } from "./tags.js";

export class TagList {
  /** @param tagger  @param wanted (tag)  called when all images with a tag are asked for */
  constructor(tagger, wanted) {
    Object.assign(this, { tagger, wanted });
    this.id = null;
    this.known = null;
    $("favour-shown").addEventListener("click", () => this.turn(FAVOURITE));
    $("hide-shown").addEventListener("click", () => this.turn(HIDDEN));
    $("add-tag").addEventListener("submit", (event) => {
      event.preventDefault();
      const tag = $("new-tag").value.trim();
      $("new-tag").value = "";
      if (tag) this.change(tag, true);
    });
    completeTags("new-tag");
  }

  /** Show an image's tags; null while they are not known yet. */
  show(id, known) {
    const tags = known ?? [];
    Object.assign(this, { id, known });
    $("tags").replaceChildren(...tags.map((tag) => this.item(tag)));
    for (const [button, tag] of [["favour-shown", FAVOURITE], ["hide-shown", HIDDEN]]) {
      $(button).setAttribute("aria-pressed", String(tags.includes(tag)));
      // Not `disabled`, which would swallow the arrow keys.
      $(button).setAttribute("aria-disabled", String(known === null));
    }
  }

  item(tag) {
    const search = make("button", { type: "button", className: "name", title: "Show all images with this tag" }, tag);
    search.addEventListener("click", () => this.wanted(tag));
    const close = make("button", { type: "button", className: "writes", "aria-label": `Take off: ${tag}` }, "×");
    close.addEventListener("click", () => {
      $("new-tag").focus();
      this.change(tag, false);
    });
    return make("li", { className: "chip" }, search, close);
  }

  /** Add a tag, or take it off where the image has it. */
  turn(tag) {
    if (this.known) this.change(tag, !this.known.includes(tag));
  }

  change(tag, added) {
    const said = added ? `“${tag}” added` : `“${tag}” taken off`;
    return this.tagger.change([this.id], added ? { add: [tag] } : { remove: [tag] }, () => said);
  }
}
