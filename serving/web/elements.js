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

/** A number of things: "1 path", "2 paths". */
export const plural = (count, thing) => `${number(count)} ${thing}${count === 1 ? "" : "s"}`;

/** Put a text into the clipboard; return whether that was allowed. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that come without TLS from another machine have no such clipboard.
    const field = make("textarea", { value: text, className: "hidden" });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** The bytes of a blob in base64. */
export function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Bytes for people. */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Run `work` when `milliseconds` have passed without another call; `cancel` keeps it from running. */
export function debounced(work, milliseconds) {
  let timer;
  const call = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}
