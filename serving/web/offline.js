// The service worker, which keeps the page's own files and takes what other apps share.

const SHARED = "clipdex shared";

/** Begin to keep the page's files. Browsers have no service workers without TLS, but for this machine. */
export function keepPage() {
  navigator.serviceWorker?.register("service-worker.js").catch(() => {});
}

/** Take an image that another app shared; null where there is none. */
export async function takeShared() {
  if (!("caches" in window)) return null;
  const cache = await caches.open(SHARED);
  const place = new URL("shared-image", document.baseURI);
  const found = await cache.match(place);
  await cache.delete(place);
  return found ? found.blob() : null;
}
