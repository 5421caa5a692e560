// The page without its server: its own files, and nothing else, are kept for when that cannot be
// reached. Answers of the API and images are never kept. And it takes what other apps share.
//
// The server writes VERSION and FILES, which are all files of the page, above this line.

const { scope } = self.registration;
// Several collections may be shown below paths of one host.
const OWN = `clipdex ${scope} `;
const KEPT = OWN + VERSION;
const files = new Set(FILES.map((name) => new URL(name, scope).href));
// Where the page looks for an image that was shared, and takes it away.
const SHARED = "clipdex shared";
const MAX_TEXT = 2000;

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => event.waitUntil(Promise.all([forgetOthers(), self.clients.claim()])));

self.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  const place = origin + pathname;
  if (method === "POST" && place === new URL("share", scope).href) event.respondWith(take(event.request));
  else if (method === "GET" && files.has(place) && (place !== scope || mode === "navigate")) event.respondWith(answer(event.request, place));
});

async function keep() {
  const cache = await caches.open(KEPT);
  // The browser has loaded most of them just now: it only asks whether they are the same.
  await cache.addAll([...files].map((file) => new Request(file, { cache: "no-cache" })));
}

async function forgetOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OWN) && name !== KEPT).map((name) => caches.delete(name)));
}

async function answer(request, place) {
  try {
    return await fetch(request);
  } catch (problem) {
    const kept = await caches.match(place, { cacheName: KEPT });
    if (kept) return kept;
    throw problem;
  }
}

/** Hand an image or a text that another app shares to the page. */
async function take(request) {
  const form = await request.formData();
  const page = new URL(scope);
  const image = form.get("image");
  if (image instanceof File && image.size) {
    await (await caches.open(SHARED)).put(new URL("shared-image", scope), new Response(image));
    page.searchParams.set("image", "own");
  }
  const text = form.get("text") || form.get("title") || "";
  if (typeof text === "string" && text.trim()) page.searchParams.set("q", text.trim().slice(0, MAX_TEXT));
  return Response.redirect(page, 303);
}
