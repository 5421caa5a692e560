// What the page shows, and its URL: a search can be shared, and undone with the back button.

/**
 * @typedef {object} State
 * @property {string} q  what the image shows
 * @property {string[]} without  what to steer away from
 * @property {string[]} folders
 * @property {string[]} tags
 * @property {string} since
 * @property {string} until
 * @property {number} relevance  the minimum, in percent
 * @property {string[]} labels  each `word>0.5`
 * @property {string[]} counted  words whose images are counted
 * @property {number[]} like  the ids of images to find similar ones to
 * @property {number[]} unlike  the ids of images to steer away from
 * @property {boolean} image  whether the user's own image is part of the search
 * @property {number|null} open  the image in the lightbox
 */

// How many images of each kind a search can go by.
export const MOST = 64;

/** @returns {State} */
export function read(search = location.search) {
  const given = new URLSearchParams(search);
  const number = (name) => (/^\d+$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  return {
    q: given.get("q") ?? "",
    without: given.getAll("not"),
    folders: given.getAll("in"),
    tags: given.getAll("tag"),
    since: given.get("since") ?? "",
    until: given.get("until") ?? "",
    relevance: Math.min(95, number("min_relevance") ?? 0),
    labels: given.getAll("label"),
    counted: (given.get("count") ?? "").split(",").filter(Boolean),
    like: numbers(given.get("like")),
    unlike: numbers(given.get("unlike")),
    image: given.get("image") === "own",
    open: number("open"),
  };
}

const numbers = (text) => [...new Set((text ?? "").split(",").filter((one) => /^[1-9]\d{0,14}$/.test(one)).map(Number))].slice(-MOST);

/** Return the URL of a state, without empty parts. @param {State} state */
export function write(state) {
  const made = new URLSearchParams();
  if (state.q) made.set("q", state.q);
  if (state.like.length) made.set("like", state.like.join(","));
  if (state.unlike.length) made.set("unlike", state.unlike.join(","));
  if (state.image) made.set("image", "own");
  state.without.forEach((text) => made.append("not", text));
  state.folders.forEach((folder) => made.append("in", folder));
  state.tags.forEach((tag) => made.append("tag", tag));
  if (state.since) made.set("since", state.since);
  if (state.until) made.set("until", state.until);
  if (state.relevance) made.set("min_relevance", state.relevance);
  state.labels.forEach((label) => made.append("label", label));
  if (state.counted.length) made.set("count", state.counted.join(","));
  if (state.open) made.set("open", state.open);
  const text = made.toString().replaceAll("%2C", ",");
  return text ? `./?${text}` : "./";
}

/** Return the conditions as the API's filter. @param {State} state */
export function filter(state) {
  const made = { in: state.folders, tags: state.tags, labels: state.labels, min_relevance: state.relevance / 100 };
  if (state.since) made.since = state.since;
  if (state.until) made.until = state.until;
  return made;
}

/** Return which images may be shown at all, as parameters of the API. @param {State} state */
export function conditions(state) {
  const made = new URLSearchParams();
  state.folders.forEach((folder) => made.append("in", folder));
  state.tags.forEach((tag) => made.append("tag", tag));
  if (state.since) made.set("since", state.since);
  if (state.until) made.set("until", state.until);
  state.labels.forEach((label) => made.append("label", label));
  return made;
}

/** Return the search as parameters of the API. @param {State} state */
export function parameters(state, k, offset) {
  const made = conditions(state);
  made.set("k", k);
  made.set("offset", offset);
  if (state.q.trim()) made.set("q", state.q);
  if (state.q.trim()) made.set("names", true);
  state.without.forEach((text) => made.append("not", text));
  if (state.relevance) made.set("min_relevance", state.relevance / 100);
  return made;
}

// Conditions as the server reads them (`search/query_text.py`): a text of nothing else lists images.
const CONDITIONS = /^(\s*-?(name|in|folder|tag|camera|lens|before|after|on):("[^"]*"|\S*))*\s*$/i;

/** Return whether all images are listed, newest first. @param {State} state */
export const lists = (state) => !(asks(state) && !conditional(state)) && !state.without.length;

const conditional = (state) => CONDITIONS.test(state.q) && !state.like.length && !state.image;

/** Return whether anything is searched for, rather than showing the newest images. @param {State} state */
export const asks = (state) => Boolean(state.q.trim() || state.like.length || state.image);

/** Return whether any condition is set. @param {State} state */
export const isFiltered = (state) =>
  Boolean(
    state.without.length || state.folders.length || state.tags.length || state.since || state.until ||
      state.relevance || state.labels.length,
  );
