// Requests to the server: problems become errors, and a busy server is asked again.

/** A problem document (RFC 9457), or a server that cannot be reached (status 0). */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const RETRIED = [429, 503];
const MAX_TRIES = 4;

const handlers = { signIn: () => {} };

/** Set what happens when a key is needed. */
export function onSignInNeeded(handler) {
  handlers.signIn = handler;
}

async function request(path, options = {}, read = (response) => response.json()) {
  for (let tries = 1; ; tries++) {
    let response;
    try {
      response = await fetch(path, { credentials: "same-origin", ...options });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The server cannot be reached. Is clipdex still running?");
    }
    if (response.ok) return response.status === 204 ? null : read(response);
    if (RETRIED.includes(response.status) && tries < MAX_TRIES) {
      await wait(1000 * (Number(response.headers.get("Retry-After")) || 1), options.signal);
      continue;
    }
    const problem = await response.json().catch(() => ({}));
    if (response.status === 401) handlers.signIn();
    throw new Problem(response.status, problem.detail || response.statusText);
  }
}

function wait(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

export const get = (path, signal) => request(path, { signal });

export const remove = (path) => request(path, { method: "DELETE" });

export const post = (path, body, signal) =>
  request(path, {
    method: "POST",
    signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

/** Upload one image, with the parameters of a search beside it. */
export function postImage(path, image, signal, read) {
  const form = new FormData();
  form.append("file", image, "image");
  return request(path, { method: "POST", signal, body: form }, read);
}

/** Return a small image that every browser shows of one in whatever format. @returns {Promise<Blob>} */
export const shownByAll = (image) => postImage("v1/thumbnail?size=640", image, undefined, (response) => response.blob());
