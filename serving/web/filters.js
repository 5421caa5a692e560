// Conditions: what to leave out, folder, tags, dates, minimum match; and labels that are counted.

import { get, post } from "./api.js";
import { $, debounced, make, number, percent } from "./elements.js";
import { filter } from "./state.js";
import { completeTags } from "./tags.js";

const PROBABILITY = 0.5;
const listed = (text) => [...new Set(text.split(",").map((one) => one.trim()).filter(Boolean))];

export class Filters {
  /** @param change (part of the state)  applied by the page */
  constructor(change) {
    this.change = change;
    this.counting = null;
    this.asked = "";
    this.tags = [];
    const apply = debounced(() => this.change(this.values()), 300);
    for (const id of ["without", "folder", "since", "until"]) $(id).addEventListener("change", apply);
    $("relevance").addEventListener("input", () => {
      this.say();
      apply();
    });
    completeTags("tag");
    // Images may have to have several: each that is entered is one more.
    $("tag").addEventListener("change", () => {
      const tag = $("tag").value.trim();
      $("tag").value = "";
      if (tag) this.change({ tags: [...new Set([...this.tags, tag])] });
    });
    $("labels").addEventListener("change", () => this.change({ counted: listed($("labels").value) }));
    $("clear").addEventListener("click", () =>
      this.change({ without: [], folders: [], tags: [], since: "", until: "", relevance: 0, labels: [], counted: [] }),
    );
    $("show-filters").addEventListener("click", () => this.toggle($("filters").hidden));
  }

  toggle(shown) {
    $("filters").hidden = !shown;
    for (const id of ["show-filters", "bottom-filters"]) $(id).setAttribute("aria-expanded", String(shown));
    if (shown) this.listFolders();
  }

  async listFolders() {
    try {
      const { folders } = await get("v1/folders");
      $("folders").replaceChildren(
        ...folders.slice(0, 2000).map((one) => make("option", { value: one.path, label: `${one.path} (${number(one.images)})` })),
      );
    } catch {
      // The field takes any name without a list, too.
    }
  }

  values() {
    return {
      without: listed($("without").value),
      folders: $("folder").value.trim() ? [$("folder").value.trim()] : [],
      since: $("since").value,
      until: $("until").value,
      relevance: Number($("relevance").value),
    };
  }

  /** Show the conditions of a state. */
  show(state) {
    const active = document.activeElement;
    const set = (id, value) => active !== $(id) && ($(id).value = value);
    set("without", state.without.join(", "));
    set("folder", state.folders[0] ?? "");
    set("since", state.since);
    set("until", state.until);
    set("relevance", state.relevance);
    set("labels", state.counted.join(", "));
    this.tags = state.tags;
    this.say();
    this.count(state);
  }

  say() {
    const minimum = Number($("relevance").value);
    $("relevance-shown").textContent = minimum ? `at least ${percent(minimum / 100)}` : "any";
  }

  async count(state) {
    const words = [...new Set([...state.counted, ...state.labels.map((one) => one.split(">")[0])])];
    if (!words.length) {
      this.asked = "";
      $("counts").replaceChildren();
      return;
    }
    const conditions = { ...filter(state), labels: [], min_relevance: 0 };
    const asked = JSON.stringify([words, conditions]);
    if (asked !== this.asked) {
      this.asked = asked;
      this.counting?.abort();
      this.counting = new AbortController();
      try {
        const answer = await post(
          "v1/labels/count",
          { labels: words, min_probability: PROBABILITY, filter: conditions },
          this.counting.signal,
        );
        this.counts = answer.counts;
      } catch (problem) {
        if (problem.name !== "AbortError") $("counts").replaceChildren(make("span", { role: "alert" }, problem.message));
        return;
      }
    }
    this.draw(state);
  }

  draw(state) {
    $("counts").replaceChildren(
      ...(this.counts ?? []).map(({ label, count }) => {
        const written = `${label}>${PROBABILITY}`;
        const pressed = state.labels.includes(written);
        const button = make("button", { type: "button", "aria-pressed": String(pressed) }, `${label} `, make("b", {}, number(count)));
        button.addEventListener("click", () =>
          this.change({
            labels: pressed ? state.labels.filter((one) => one !== written) : [...state.labels, written],
          }),
        );
        return button;
      }),
    );
  }
}
