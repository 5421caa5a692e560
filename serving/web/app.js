// The page: it shows a state, and searches for each new one; only the last answer counts.

import { Acts } from "./acts.js";
import { get, post, postImage } from "./api.js";
import { $, base64, debounced, make, marked, number, percent, plural } from "./elements.js";
import { Duplicates } from "./duplicates.js";
import { Filters } from "./filters.js";
import { CONFIDENT, FIRST_PAGE, Grid, UNLIKELY } from "./grid.js";
import { JobsPanel } from "./jobs.js";
import { Learned } from "./learned.js";
import { Lightbox } from "./lightbox.js";
import { OwnImage } from "./image.js";
import { keepPage } from "./offline.js";
import { Scrubber } from "./scrubber.js";
import { Selection, added } from "./selection.js";
import { Suggestions } from "./suggestions.js";
import { watchSession } from "./session.js";
import { HIDDEN, Tagger } from "./tags.js";
import { asks, conditions, filter, isFiltered, lists, parameters, read, write } from "./state.js";

const TYPING = 150;
const SCROLLING = 200;
const TOP = { scroll: 0, hits: 0 };
// How long a collection that is being changed has time to settle, before the page asks again.
const CHANGING = 1000;
// The browser's own restoration comes before there are images to scroll to.
history.scrollRestoration = "manual";

let state = read();
let current = new AbortController();
let typing = false;
let opened = false;
// Whether the images shown are others by now, since their tags were changed.
let outdated = false;
// How to get a better model, while the built-in one answers.
let better = null;

const grid = new Grid({
  load: (k, offset, signal) => ask(k, offset, signal ?? current.signal),
  open: (hit) => openImage(hit.id),
  like: (hit) => change({ like: [hit.id], unlike: [], image: false }),
  failed: (problem) => fail(problem),
  outdated: debounced(() => search(), CHANGING),
});
new Scrubber(grid);
const tagger = new Tagger((tags, undone) => {
  lightbox.refresh();
  if (undone) duplicates.refresh();
  outdated ||= [HIDDEN, ...state.tags].some((tag) => tags.includes(tag));
  if (outdated && !state.open) showAgain();
});
const lightbox = new Lightbox({
  grid,
  tagger,
  moved: (id) => go({ ...state, open: id }, "replace"),
  closed: (id) => closeImage(id),
  like: (hit) => change({ like: [hit.id], unlike: [], image: false, open: null }),
  tagged: (tag) => change({ ...read(""), tags: [tag] }),
  inFolder: (folder) => change({ ...read(""), folders: [folder] }),
});
// What was wanted is not what is not wanted now, and the other way round.
const selection = new Selection({
  grid,
  like: (ids) => change({ like: added(state.like, ids), unlike: without(state.unlike, ids) }),
  unlike: (ids) => change({ unlike: added(state.unlike, ids), like: without(state.like, ids) }),
});
new Acts(selection, tagger);
const duplicates = new Duplicates(tagger);
new Learned(selection, (part) => change({ ...read(""), ...part }));
const image = new OwnImage(() => change({ image: true, like: [], unlike: [] }), () => draw());
const filters = new Filters((part) => change(part));
const jobs = new JobsPanel(() => search());

/** Change to another state, in the URL too. */
function go(next, how = "push") {
  if (how === "push") keepPlace();
  state = next;
  if (how === "push") history.pushState(null, "", write(state));
  else if (how === "replace") history.replaceState(history.state, "", write(state));
}

/** Keep how far the page is scrolled, for when it is come back to. */
function keepPlace() {
  history.replaceState(grid.place(), "");
}

/** Change a part of the search. */
function change(part, how = "push") {
  go({ ...state, ...part }, how);
  if (!state.image) image.forget();
  search(TOP);
}

const without = (all, taken) => all.filter((one) => !taken.includes(one));

async function ask(k, offset, signal) {
  const given = parameters(state, k, offset);
  const own = state.image ? image.blob : null;
  const examples = state.like.length || state.unlike.length;
  if (own && !examples) return postImage(`v1/search/image?${given}`, own, signal);
  if (!examples || !asks(state)) return get(`v1/search?${given}`, signal);
  const body = { image_ids: state.like, unlike_ids: state.unlike, not: state.without, k, offset, filter: filter(state) };
  if (state.q.trim()) Object.assign(body, { text: state.q, names: true });
  if (own) body.image = await base64(own);
  return post("v1/search", body, signal);
}

/** Return what a timeline of all that is listed is asked for by. */
function timelineOf(state) {
  const given = conditions(state);
  if (state.q.trim()) given.set("q", state.q);
  return given;
}

/** Search, and scroll to a place of the answer; where none is named, stay. */
async function search(place = null) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  draw();
  if (place) selection.clear(true);
  grid.markStale();
  try {
    const [answer, spread] = await Promise.all([
      ask(FIRST_PAGE, 0, signal),
      lists(state) ? get(`v1/timeline?${timelineOf(state)}`, signal) : null,
    ]);
    if (signal.aborted) return;
    $("message").hidden = true;
    grid.show(answer, spread?.months);
    if (place) {
      await grid.fill(place.hits);
      if (signal.aborted) return;
      grid.return(place);
    }
    if (state.open) await grid.settled();
    if (signal.aborted) return;
    await summarise(answer, signal);
    offerToday(signal).catch(() => {}); // nothing waits for it
    if (state.open && lightbox.hit?.id !== state.open) await lightbox.show(state.open);
  } catch (problem) {
    if (problem.name !== "AbortError" && !signal.aborted) fail(problem);
  }
}

/** Show the same search again, at the same place. */
function showAgain() {
  outdated = false;
  search(grid.place());
}

/** Draw everything but the images. */
function draw() {
  if (document.activeElement !== $("text")) $("text").value = state.q;
  filters.show(state);
  const wide = innerWidth >= 720;
  if (wide && (isFiltered(state) || state.counted.length)) filters.toggle(true);
  const chips = state.without.map((text) =>
    chip(`not ${text}`, () => change({ without: state.without.filter((one) => one !== text) })),
  );
  chips.unshift(...examples("like", "like"), ...examples("unlike", "not like"));
  chips.unshift(...state.tags.map((tag) => chip(`tag: ${tag}`, () => change({ tags: without(state.tags, [tag]) }))));
  if (state.image) chips.unshift(chip("your image", () => change({ image: false }), image.url));
  $("chips").replaceChildren(...chips);
  document.title = state.q ? `${state.q} · clipdex` : "clipdex";
}

function chip(text, removed, source) {
  const parts = [make("span", {}, text), remover(text, removed)];
  if (source) parts.unshift(make("img", { src: source, alt: "" }));
  return make("span", { className: "chip" }, ...parts);
}

/** Return the images that the search goes by, as one chip with a picture for each. */
function examples(kind, said) {
  const ids = state[kind];
  if (!ids.length) return [];
  const pictures = ids.map((id, at) => {
    const name = ids.length === 1 ? `${said} this` : `${said} this (${at + 1} of ${ids.length})`;
    const shown = make("img", { src: `v1/images/${id}/thumbnail?size=160`, alt: "" });
    return make("span", { className: "example" }, shown, remover(name, () => change({ [kind]: without(state[kind], [id]) })));
  });
  const text = make("span", {}, `${said} ${ids.length === 1 ? "this" : "these"}`);
  return [make("span", { className: `chip examples ${kind}` }, text, ...pictures)];
}

/** Return a button that takes a part out of the search; the focus goes to the next one. */
function remover(text, removed) {
  const close = make("button", { type: "button", "aria-label": `Remove: ${text}` }, "×");
  close.addEventListener("click", () => {
    const at = [...$("chips").querySelectorAll("button")].indexOf(close);
    removed();
    const left = $("chips").querySelectorAll("button");
    (left[Math.min(at, left.length - 1)] ?? $("results")).focus({ preventScroll: true });
  });
  return close;
}

/** Offer what was taken on this day of other years, too, where all images are shown. */
async function offerToday(signal) {
  $("today").hidden = true;
  if (state.q || !lists(state) || isFiltered(state)) return;
  const { total } = await get("v1/timeline?q=on:today", signal);
  $("today").textContent = `On this day: ${plural(total, "image")}`;
  $("today").hidden = !total;
}

async function summarise(answer, signal) {
  const aimless = state.unlike.length && !asks(state);
  if (aimless) hint("Type what you look for, or choose “More like these” too: then “not like” counts.");
  else hint(answer.notice ?? (asks(state) || isFiltered(state) ? null : better));
  const named = answer.total_named ?? 0;
  // What the words name comes among the best, whatever it shows.
  const best = answer.hits.reduce((most, hit) => Math.max(most ?? 0, hit.relevance ?? most), answer.hits[0]?.relevance ?? null);
  const unsure = asks(state) && best !== null && best < CONFIDENT && !named;
  $("summary").classList.toggle("unsure", unsure);
  const count = `${number(answer.total)} ${answer.total === 1 ? "image" : "images"}`;
  if (state.image && !image.blob) {
    say("This search was made with somebody's own image, which a link cannot carry", "Drop or choose an image to search by it.");
    return;
  }
  if (!answer.hits.length) return nothing(signal);
  if (!answer.hits.some((hit) => hit.score !== null)) $("summary").textContent = `${count}, newest first`;
  else if (best === null) $("summary").textContent = count;
  else if (named) $("summary").textContent = `${plural(named, "image")} named so; ${number(answer.total_matches)} of ${count} ${answer.total_matches === 1 ? "matches" : "match"}`;
  else if (best < UNLIKELY) $("summary").textContent = `Nothing here matches. These come closest, of ${count}.`;
  else if (unsure) $("summary").textContent = `No confident match among ${count}: ${percent(best)} at best`;
  else $("summary").textContent = `${number(answer.total_matches)} of ${count} ${answer.total_matches === 1 ? "matches" : "match"}`;
}

async function nothing(signal) {
  $("summary").textContent = "";
  const status = await get("v1/status", signal);
  if (status.images) {
    const clear = isFiltered(state) ? button("Clear filters", () => $("clear").click()) : null;
    say("Nothing here matches", isFiltered(state) ? "No image passes all filters." : "Try other words.", clear);
    $("summary").textContent = "Nothing here matches";
    return;
  }
  const how = make("p", {}, "Run ", make("code", {}, "clipdex index FOLDER"), " in a terminal, or index from here.");
  say("No images yet", how, button("Index images", () => jobs.open()));
}

function hint(text) {
  $("hint").replaceChildren(...marked(text ?? ""));
  $("hint").hidden = !text;
}

async function start() {
  await search(history.state);
  adviseOnModel(); // nothing waits for it
}

/** Learn what there is to say of the model; the page works without. */
async function adviseOnModel() {
  better = (await get("v1/status").catch(() => ({}))).hint ?? null;
  const hinted = asks(state) || isFiltered(state) || state.unlike.length;
  if (!hinted && $("message").hidden) hint(better);
}

function fail(problem) {
  grid.clear();
  hint(null);
  $("summary").textContent = "";
  const title = problem.status === 0 ? "No answer" : problem.status === 401 ? "Sign in" : "That did not work";
  say(title, problem.message, button("Try again", () => search()));
  $("message").classList.add("bad");
}

function say(title, text, action) {
  const parts = [make("h2", {}, title), typeof text === "string" ? make("p", {}, text) : text];
  if (action) parts.push(action);
  $("message").replaceChildren(...parts);
  $("message").classList.remove("bad");
  $("message").hidden = false;
}

function button(text, pressed) {
  const made = make("button", { type: "button" }, text);
  made.addEventListener("click", pressed);
  return made;
}

function openImage(id) {
  opened = true;
  go({ ...state, open: id });
  lightbox.show(id);
}

function closeImage(id) {
  if (opened) history.back();
  else go({ ...state, open: null }, "replace");
  opened = false;
  grid.focus(id);
  if (outdated) showAgain();
}

const typed = debounced(() => search(TOP), TYPING);
addEventListener("scroll", debounced(keepPlace, SCROLLING), { passive: true });
const type = () => {
  go({ ...state, q: $("text").value }, typing ? "replace" : "push");
  typing = true;
  typed();
};
$("text").addEventListener("input", type);
new Suggestions(type);
$("text").addEventListener("change", () => (typing = false));
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  typing = false;
  typed.cancel(); // or it would search again, and clear what is selected by then
  search(TOP);
});
$("today").addEventListener("click", () => change({ q: "on:today" }));
$("home").addEventListener("click", (event) => {
  event.preventDefault();
  go(read(""));
  image.forget();
  search(TOP);
});
$("bottom-search").addEventListener("click", () => $("text").select());
$("bottom-newest").addEventListener("click", () => $("home").click());
$("bottom-filters").addEventListener("click", () => {
  filters.toggle($("filters").hidden);
  scrollTo(0, 0);
});
$("bottom-select").addEventListener("click", () => selection.turnOn());
document.addEventListener("keydown", (event) => {
  const writes = event.target.matches("input, textarea");
  if (event.key === "/" && !writes && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("text").select();
  }
  // As far as the text box has no use for it.
  if (event.key === "ArrowDown" && event.target === $("text") && !event.defaultPrevented) {
    event.preventDefault();
    grid.enter();
  }
});
addEventListener("popstate", async ({ state: place }) => {
  const before = write({ ...state, open: null });
  state = read();
  typing = opened = false;
  if (!state.open) lightbox.hide();
  if (state.image) await image.restore();
  if (write({ ...state, open: null }) !== before) await search(place ?? TOP);
  else if (state.open) await lightbox.show(state.open);
});

if (state.image) await image.restore();
draw();
try {
  if (await watchSession(() => start())) await start();
} catch (problem) {
  fail(problem);
}
// It fetches all files of the page, so the first images come before.
keepPage();
// Not on touch screens, where a keyboard would cover the images.
if (!state.q && !state.open && matchMedia("(hover: hover)").matches) $("text").focus();
