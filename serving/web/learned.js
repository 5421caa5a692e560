// What the collection has learnt: words of the user's own, made of selected images, and labels that
// are learnt from tags. They are listed, used and removed.

import { get, post, remove } from "./api.js";
import { $, make, number, percent, plural } from "./elements.js";
import { toast } from "./toast.js";

const POLL = 500;
const PROBABILITY = 0.5;
const RUNNING = ["queued", "running"];
const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,63}$/u;
const NAMES = "A name has letters, digits, - and _, up to 64 of them";

export class Learned {
  /**
   * @param selection
   * @param used (part of the state)  called to search by what was learnt
   */
  constructor(selection, used) {
    Object.assign(this, { selection, used });
    $("show-learned").addEventListener("click", () => this.open());
    $("learned").querySelector(".close").addEventListener("click", () => $("learned").close());
    $("learn-head").addEventListener("submit", (event) => this.learn(event));
    $("word-selected").addEventListener("click", () => this.askForWord());
    $("naming").querySelector(".close").addEventListener("click", () => $("naming").close());
    $("naming-form").addEventListener("submit", (event) => this.name(event));
  }

  async open() {
    if (!$("learned").open) $("learned").showModal();
    await this.list();
  }

  async list() {
    try {
      const { learned } = await get("v1/learned");
      const shown = learned.filter((one) => one.kind !== "text");
      $("learned-list").replaceChildren(...shown.map((one) => this.item(one)));
      $("learned-about").textContent = shown.length
        ? "Words work in every search, and labels as conditions."
        : "Nothing yet. Select images that show something and choose “Make a word”, or tag a few images of two things or more and learn labels from them.";
    } catch (problem) {
      $("learned-about").textContent = problem.message;
    }
  }

  item(one) {
    const about = one.kind === "concept" ? `a word of ${plural(one.images, "image")}` : `${plural(one.classes.length, "label")}${one.accuracy === null ? "" : `, ${percent(one.accuracy)} right on held-out images`}`;
    const uses =
      one.kind === "concept"
        ? [this.use(`Search @${one.name}`, { q: `@${one.name}` })]
        : one.classes.map((label) => this.use(label, { labels: [`${label}>${PROBABILITY}`] }));
    const gone = make("button", { type: "button", className: "writes", "aria-label": `Remove ${one.name}` }, "Remove");
    gone.addEventListener("click", () => this.remove(one, gone));
    return make("li", {}, make("strong", {}, one.name), make("span", {}, about), make("div", { className: "actions" }, ...uses, gone));
  }

  use(text, part) {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      $("learned").close();
      this.used(part);
    });
    return button;
  }

  /** Remove what was learnt, once its button is pressed a second time: it cannot be had back. */
  async remove(one, button) {
    if (!button.dataset.sure) {
      button.dataset.sure = "yes";
      button.textContent = "Really remove?";
      return;
    }
    try {
      await remove(`v1/learned/${encodeURIComponent(one.name)}`);
    } catch (problem) {
      toast(problem.message);
    }
    await this.list();
  }

  /** Learn labels from the tags, and wait for that. */
  async learn(event) {
    event.preventDefault();
    const name = $("head-name").value.trim();
    if (!NAME.test(name)) return void ($("learn-state").textContent = NAMES);
    $("learn-start").disabled = true;
    try {
      let job = await post("v1/heads", { name });
      while (RUNNING.includes(job.state)) {
        $("learn-state").textContent = job.stage === "train" ? "Learning…" : "Reading the tagged images…";
        await new Promise((done) => setTimeout(done, POLL));
        job = await get(`v1/jobs/${job.id}`);
      }
      $("learn-state").textContent = job.error ?? `Learnt ${plural(job.report.classes, "label")} from ${plural(job.report.images, "image")}`;
      await this.list();
    } catch (problem) {
      $("learn-state").textContent = problem.message;
    } finally {
      $("learn-start").disabled = false;
    }
  }

  askForWord() {
    $("naming-title").textContent = `A word for what ${plural(this.selection.count, "image")} ${this.selection.count === 1 ? "shows" : "show"}`;
    $("naming-name").value = $("naming-problem").textContent = "";
    $("naming").showModal();
  }

  async name(event) {
    event.preventDefault();
    const name = $("naming-name").value.trim();
    if (!NAME.test(name)) return void ($("naming-problem").textContent = NAMES);
    try {
      const made = await post("v1/concepts", { name, image_ids: this.selection.ids });
      $("naming").close();
      toast(`@${made.name} is a word now, of ${number(made.images)} ${made.images === 1 ? "image" : "images"}`);
      this.used({ q: `@${made.name}` });
    } catch (problem) {
      $("naming-problem").textContent = problem.message;
    }
  }
}
