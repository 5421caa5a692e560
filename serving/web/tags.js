// Tags of images: changed, taken back, and completed while somebody types.

import { get, post } from "./api.js";
import { $, debounced, make, number, plural } from "./elements.js";
import { toast } from "./toast.js";

export const FAVOURITE = "favourite";
export const HIDDEN = "hidden";
// How many images the server changes at once.
const AT_ONCE = 500;
const COMPLETIONS = 20;
const TYPING = 150;

/** Changes tags and says so, with a way back. */
export class Tagger {
  /** @param changed (tags, undone)  called when images have got or lost these */
  constructor(changed) {
    this.changed = changed;
  }

  /**
   * Add tags to images, or take them from them.
   * @param {number[]} ids  @param {{add?: string[], remove?: string[]}} wanted
   * @param {(images: string) => string} said  what was done to so many images
   * @returns {Promise<boolean>} whether it was done
   */
  async change(ids, wanted, said) {
    const tags = [...(wanted.add ?? []), ...(wanted.remove ?? [])];
    const done = [];
    try {
      for (let at = 0; at < ids.length; at += AT_ONCE) {
        const body = { image_ids: ids.slice(at, at + AT_ONCE), ...wanted };
        done.push(...(await post("v1/images/tags", body)).changes);
      }
    } catch (problem) {
      // Some of many images may be changed: that can be undone, too.
      toast(problem.message, done.length ? () => this.undo(done, tags) : null);
      return false;
    }
    const images = done.reduce((count, one) => count + one.image_ids.length, 0);
    if (images) toast(said(plural(images, "image")), () => this.undo(done, tags));
    else toast(wanted.add?.length ? "All of them had it before" : "None of them had it");
    this.changed(tags);
    return true;
  }

  async undo(changes, tags) {
    try {
      for (const { image_ids, added, removed } of changes) {
        await post("v1/images/tags", { image_ids, add: removed, remove: added });
      }
      toast("Undone");
    } catch (problem) {
      toast(problem.message);
    }
    this.changed(tags, true);
  }
}

/** Complete what is typed into a field by the tags that there are. @param {string} id  the field's */
export function completeTags(id) {
  const list = $(`${id}-known`);
  const complete = async () => {
    const prefix = $(id).value.trim();
    try {
      const { tags } = await get(`v1/tags?${new URLSearchParams({ prefix, k: COMPLETIONS })}`);
      list.replaceChildren(...tags.map(({ tag, count }) => make("option", { value: tag, label: `${tag} (${number(count)})` })));
    } catch {
      // The field takes any tag without a list, too.
    }
  };
  $(id).addEventListener("focus", complete);
  $(id).addEventListener("input", debounced(complete, TYPING));
}
