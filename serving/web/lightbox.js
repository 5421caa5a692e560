// One image in large, with its details; the arrow keys step through the hits.

import { get } from "./api.js";
import { $, copied, make, nameOf, percent, size } from "./elements.js";

// How much a small image is enlarged at most.
const MAX_ENLARGEMENT = 2.5;

export class Lightbox {
  /** @param grid  the hits to step through  @param moved (id)  @param closed (id)  @param like (hit) */
  constructor({ grid, moved, closed, like }) {
    Object.assign(this, { grid, moved, closed, like });
    this.hit = null;
    $("previous").addEventListener("click", () => this.step(-1));
    $("next").addEventListener("click", () => this.step(1));
    $("close").addEventListener("click", () => $("lightbox").close());
    $("lightbox").addEventListener("close", () => {
      const id = this.hit?.id;
      this.hit = null;
      $("shown").removeAttribute("src");
      if (id) this.closed(id);
    });
    $("lightbox").addEventListener("keydown", (event) => this.key(event));
    $("like-shown").addEventListener("click", () => {
      const hit = this.hit;
      this.hit = null; // a new search closes it, which does not return to the grid
      $("lightbox").close();
      this.like(hit);
    });
    $("copy-link").addEventListener("click", () => this.copy());
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key in steps && !event.altKey && !event.metaKey) {
      event.preventDefault();
      this.step(steps[event.key]);
    }
  }

  /** Show a hit, or an image that is known by its id only. */
  async show(id) {
    this.hit = this.grid.hitOf(id) ?? { id, path: "", relevance: null };
    this.draw();
    if (!$("lightbox").open) $("lightbox").showModal();
    await this.describe(id);
  }

  draw() {
    const { id, path, width, height } = this.hit;
    const shown = $("shown");
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
    $("shown-name").textContent = $("shown").alt = nameOf(details.path);
    this.place(details.width, details.height);
    const rows = [
      ["Match", relevance === null || relevance === undefined ? null : percent(relevance)],
      ["Folder", details.path.includes("/") ? details.path.slice(0, details.path.lastIndexOf("/")) : null],
      [details.dated_by === "file" ? "File date" : "Taken", details.taken_at?.replace("T", " ").replace(/[+-]\d\d:\d\d$/, "")],
      ["Size", `${details.width} × ${details.height}`],
      ["File", `${details.format}, ${size(details.size_bytes)}`],
      ["Also at", details.paths.slice(1).join(", ") || null],
    ];
    $("details").replaceChildren(
      ...rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    );
  }

  /** Small images are enlarged a little, large ones fit. */
  place(width, height) {
    Object.assign($("shown"), { width, height });
    $("shown").style.width = `${MAX_ENLARGEMENT * width}px`;
  }

  position() {
    return this.grid.indexOf(this.hit?.id);
  }

  async step(by) {
    const at = this.position();
    if (at < 0) return;
    if (at + by >= this.grid.count) await this.grid.more();
    const to = Math.max(0, Math.min(this.grid.count - 1, at + by));
    const hit = to === at ? null : await this.grid.reach(to);
    if (!hit || this.position() !== at) return; // or another key was faster
    this.moved(hit.id);
    await this.show(hit.id);
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
