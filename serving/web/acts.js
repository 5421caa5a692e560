// What is done with the selected images: they are downloaded, and get tags.

import { $, make, plural } from "./elements.js";
import { completeTags, FAVOURITE, HIDDEN } from "./tags.js";
import { toast } from "./toast.js";

// What a download takes, and a URL: the rest would have to be held by the browser.
const MOST_DOWNLOADED = 2000;
const LONGEST = 16_000;

export class Acts {
  /** @param selection  @param tagger */
  constructor(selection, tagger) {
    this.selection = selection;
    this.tagger = tagger;
    $("download-selected").addEventListener("click", () => this.download());
    $("favour-selected").addEventListener("click", () => this.tag([FAVOURITE], (images) => `${images} added to the favourites`));
    $("hide-selected").addEventListener("click", () => this.hide());
    $("tag-selected").addEventListener("click", () => this.askForTag());
    $("tagging").querySelector(".close").addEventListener("click", () => $("tagging").close());
    $("tagging-form").addEventListener("submit", (event) => this.tagged(event));
    completeTags("tagging-tag");
  }

  download() {
    const { ids } = this.selection;
    const listed = ids.join(",");
    if (ids.length > MOST_DOWNLOADED || listed.length > LONGEST) {
      toast("Those are too many for one download: select up to 2,000 images");
      return;
    }
    make("a", { href: `v1/download?ids=${listed}`, download: "images.zip" }).click();
    toast(`${plural(ids.length, "image")} on the way, as one zip`);
  }

  tag(add, said) {
    return this.tagger.change(this.selection.ids, { add }, said);
  }

  async hide() {
    if (!(await this.tag([HIDDEN], (images) => `${images} hidden`))) return;
    this.selection.clear(true);
    $("results").focus({ preventScroll: true });
  }

  askForTag() {
    $("tagging-title").textContent = `Tag ${plural(this.selection.count, "image")}`;
    $("tagging-tag").value = "";
    $("tagging").showModal();
  }

  /** Add or take off the tag that was typed, by the button that was pressed. */
  tagged(event) {
    event.preventDefault();
    const tag = $("tagging-tag").value.trim();
    const removes = event.submitter === $("untag");
    $("tagging").close();
    if (removes) this.tagger.change(this.selection.ids, { remove: [tag] }, (images) => `“${tag}” taken from ${images}`);
    else this.tag([tag], (images) => `“${tag}” given to ${images}`);
  }
}
