// One image in large, with its details; the arrow keys step through the hits.

import { get } from "./api.js";
import { $, copied, make, nameOf, percent, size } from "./elements.js";
import { Slideshow } from "./slideshow.js";
import { TagList } from "./tag_list.js";
import { Zoom } from "./zoom.js";

// How much a small image is enlarged at most.
const MAX_ENLARGEMENT = 2.5;

export class Lightbox {
  /**
   * @param grid  the hits to step through  @param tagger  @param moved (id)  @param closed (id)
   * @param like (hit)  @param tagged (tag)  @param inFolder (folder)  called when the images with a
   * tag, or those in a folder, are wanted
   */
  constructor({ grid, tagger, moved, closed, like, tagged, inFolder }) {
    Object.assign(this, { grid, moved, closed, like, inFolder });
    this.hit = null;
    const stage = $("lightbox").querySelector(".stage");
    this.zoom = new Zoom(stage, $("shown"), {
      swiped: (by) => this.step(by),
      outside: () => $("lightbox").close(),
      coarse: () => this.sharpen(),
    });
    this.slideshow = new Slideshow(() => this.step(1));
    this.tags = new TagList(tagger, (tag) => this.leave(() => tagged(tag)));
    $("previous").addEventListener("click", () => this.step(-1));
    $("next").addEventListener("click", () => this.step(1));
    $("close").addEventListener("click", () => $("lightbox").close());
    $("lightbox").addEventListener("close", () => {
      const id = this.hit?.id;
      this.hit = null;
      this.slideshow.stop();
      $("shown").removeAttribute("src");
      if (id) this.closed(id);
    });
    $("lightbox").addEventListener("keydown", (event) => this.key(event));
    $("like-shown").addEventListener("click", () => {
      const hit = this.hit;
      this.leave(() => this.like(hit));
    });
    $("copy-link").addEventListener("click", () => this.copy());
  }

  /** Close it for another search, which does not return to the grid. */
  leave(search) {
    this.hit = null;
    $("lightbox").close();
    search();
  }

  key(event) {
    if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
    const plays = event.key.toLowerCase() === "s";
    if (plays) return this.slideshow.turn();
    // The play button turns itself.
    if (event.target.id !== "play") this.slideshow.stop();
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.step(steps[event.key]);
    else if (!this.zoom.key(event.key)) return;
    event.preventDefault();
  }

  /** Show a hit, or an image that is known by its id only. */
  async show(id) {
    this.hit = this.grid.hitOf(id) ?? { id, path: "", relevance: null };
    this.draw();
    if (!$("lightbox").open) $("lightbox").showModal();
    await this.describe(id);
  }

  /** Show what is known of the image by now. */
  async refresh() {
    if (this.hit) await this.describe(this.hit.id);
  }

  draw() {
    const { id, path, width, height } = this.hit;
    const shown = $("shown");
    this.zoom.reset();
    this.sharp = false;
    this.tags.show(id, null);
    shown.src = `v1/images/${id}/thumbnail?size=1600`;
    shown.alt = nameOf(path);
    if (width) this.place(width, height);
    $("shown-name").textContent = nameOf(path);
    $("open-file").href = `v1/images/${id}/file`;
    const at = this.position();
    const last = at === this.grid.count - 1 && this.grid.ended;
    // Not `disabled`: a disabled button that has the focus swallows the arrow keys.
    $("previous").setAttribute("aria-disabled", String(at <= 0));
    $("next").setAttribute("aria-disabled", String(at < 0 || last));
    for (const neighbour of [this.grid.at(at - 1), this.grid.at(at + 1)]) {
      if (at >= 0 && neighbour) new Image().src = `v1/images/${neighbour.id}/thumbnail?size=1600`;
    }
  }

  /** Show the file itself, once it is here, instead of the smaller image that is shown at first. */
  async sharpen() {
    if (this.sharp) return;
    this.sharp = true;
    const { id } = this.hit;
    const src = `v1/images/${id}/file`;
    const file = make("img", { src });
    try {
      await file.decode();
    } catch {
      return; // the smaller one is what there is
    }
    if (this.hit?.id === id && this.sharp) $("shown").src = src;
  }

  async describe(id) {
    let details;
    try {
      details = await get(`v1/images/${id}`);
    } catch (problem) {
      details = null;
      if (this.hit?.id === id) $("details").replaceChildren(make("dd", {}, problem.message));
    }
    if (!details || this.hit?.id !== id) return;
    const { relevance } = this.hit;
    this.hit = { ...details, relevance };
    this.tags.show(id, details.tags);
    $("shown-name").textContent = $("shown").alt = nameOf(details.path);
    this.place(details.width, details.height);
    const { camera, lens, exposure, place } = details.facts ?? {};
    const rows = [
      ["Match", relevance === null || relevance === undefined ? null : percent(relevance)],
      ["Folder", this.folder(details.path)],
      [details.dated_by === "file" ? "File date" : "Taken", details.taken_at?.replace("T", " ").replace(/[+-]\d\d:\d\d$/, "").replace(" 00:00:00", "")],
      ["Size", `${details.width} × ${details.height}`],
      ["File", `${details.format}, ${size(details.size_bytes)}`],
      ["Camera", camera],
      ["Lens", lens],
      ["Exposure", exposure],
      ["Place", place],
      ["Path", details.path],
      ["Also at", details.paths.slice(1).join(", ") || null],
    ];
    $("details").replaceChildren(
      ...rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    );
  }

  /** Return a link to all images in the folder of a path. */
  folder(path) {
    const folder = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (!folder) return null;
    const link = make("a", { href: `./?${new URLSearchParams({ in: folder })}`, title: "Show all images in this folder" }, folder);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in another tab
      event.preventDefault();
      this.leave(() => this.inFolder(folder));
    });
    return link;
  }

  /** Small images are enlarged a little, large ones fit. */
  place(width, height) {
    Object.assign($("shown"), { width, height });
    $("shown").style.width = `${MAX_ENLARGEMENT * width}px`;
  }

  position() {
    return this.grid.indexOf(this.hit?.id);
  }

  /** Show another image; return whether there was one. */
  async step(by) {
    const at = this.position();
    if (at < 0) return false;
    if (at + by >= this.grid.count) await this.grid.more();
    const to = Math.max(0, Math.min(this.grid.count - 1, at + by));
    const hit = to === at ? null : await this.grid.reach(to);
    if (!hit || this.position() !== at) return false; // or another key was faster
    this.moved(hit.id);
    await this.show(hit.id);
    return true;
  }

  async copy() {
    const said = $("copy-link").textContent;
    $("copy-link").textContent = (await copied(location.href)) ? "Copied" : "Not allowed here";
    setTimeout(() => ($("copy-link").textContent = said), 1500);
  }

  hide() {
    this.hit = null;
    if ($("lightbox").open) $("lightbox").close();
  }
}
