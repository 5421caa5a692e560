// Small helpers for the document. Text from the server is only ever set as text.

export const $ = (id) => document.getElementById(id);

/** A new element: properties, then children (elements or texts). */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** A text as nodes: what stands between backticks is code. */
export function marked(text) {
  return text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
}

/** The last name of a path. */
export const nameOf = (path) => path.split("/").pop();

export const percent = (share) => `${Math.round(share * 100)} %`;

export const number = (value) => value.toLocaleString("en");

/** Bytes for people. */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Run `work` when `milliseconds` have passed without another call. */
export function debounced(work, milliseconds) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
