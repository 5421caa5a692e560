// Groups of images that look alike: one chooses which to keep, and the others get a tag. Nothing is
// deleted.

import { get } from "./api.js";
import { $, copied, make, nameOf, number, percent, plural, size } from "./elements.js";
import { toast } from "./toast.js";

const DUPLICATE = "duplicate";
const PAGE = 20;

export class Duplicates {
  /** @param tagger */
  constructor(tagger) {
    this.tagger = tagger;
    this.shown = this.total = 0;
    $("show-duplicates").addEventListener("click", () => this.open());
    $("duplicates").querySelector(".close").addEventListener("click", () => $("duplicates").close());
    $("more-groups").addEventListener("click", () => this.load());
  }

  async open() {
    $("groups").replaceChildren();
    this.shown = 0;
    if (!$("duplicates").open) $("duplicates").showModal();
    $("groups-about").textContent = "Comparing the images…";
    await this.load();
  }

  /** Show the next groups; those that were dealt with are no longer among them. */
  async load() {
    $("more-groups").hidden = true;
    try {
      const { total, groups } = await get(`v1/duplicates?offset=${this.shown}&k=${PAGE}`);
      $("groups").append(...groups.map(({ images }) => this.group(images)));
      this.shown += groups.length;
      this.total = total;
      this.say();
    } catch (problem) {
      $("groups-about").textContent = problem.message;
    }
  }

  say() {
    const { total } = this;
    $("more-groups").hidden = this.shown >= total;
    $("groups-about").textContent = total ? `${plural(total, "group")} of images that look alike. Choose which to keep: the others get the tag “${DUPLICATE}”. Nothing is deleted.` : "No two images look alike.";
  }

  group(images) {
    const boxes = images.map((image, at) => make("input", { type: "checkbox", checked: at === 0, value: image.id }));
    const others = () => images.filter((_, at) => !boxes[at].checked);
    const tag = make("button", { type: "button", className: "writes" });
    const copy = make("button", { type: "button" }, "Copy their paths");
    const item = make("li", {}, make("ul", { className: "copies" }, ...images.map((image, at) => card(image, boxes[at]))));
    const count = () => {
      tag.textContent = `Tag ${plural(others().length, "other")} “${DUPLICATE}”`;
      tag.disabled = copy.disabled = !others().length || others().length === images.length;
    };
    tag.addEventListener("click", () => this.tag(item, others()));
    copy.addEventListener("click", async () => {
      const done = await copied(others().map((one) => one.path).join("\n"));
      toast(done ? `${plural(others().length, "path")} copied` : "Copying is not allowed here");
    });
    item.addEventListener("change", count);
    count();
    item.append(make("div", { className: "actions" }, tag, copy));
    return item;
  }

  async tag(item, images) {
    const ids = images.map((one) => one.id);
    const done = await this.tagger.change(ids, { add: [DUPLICATE] }, (some) => `${some} tagged “${DUPLICATE}”`);
    if (!done) return;
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    this.shown--;
    this.total--;
    this.say();
    (next?.querySelector("input") ?? $("duplicates").querySelector(".close")).focus();
  }

  /** Show anew what there is after an undone change. */
  refresh() {
    if ($("duplicates").open) this.open();
  }
}

function card(image, box) {
  const shown = make("img", { src: image.thumbnail, alt: "", loading: "lazy" });
  const facts = `${number(image.width)} × ${number(image.height)}, ${size(image.size_bytes)}`;
  const alike = image.similarity < 1 ? `, ${percent(image.similarity)} alike` : "";
  const label = make("label", {}, shown, make("span", {}, box, ` Keep ${nameOf(image.path)}`), make("small", { title: image.path }, facts + alike));
  return make("li", {}, label);
}
