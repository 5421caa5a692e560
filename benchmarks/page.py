"""Measure the page over a large collection in a real browser: first view, jumps, frames, memory.

usage: python benchmarks/page.py [--images 100000] [--rounds 5]

Makes a collection of random vectors whose photos were taken evenly over 20 years, and starts
`clipdex serve` with it. The photos are not there, so thumbnails are not found; all else is as ever.
Chromium's window has 1440 x 900 pixels. Needs `pip install playwright`, and Chromium.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from indexer.load import BUILT_IN, find_bundle
from measure import COMMAND, report, spread
from random_collection import make_collection, random_vectors

BEGIN, END = 1_104_537_600, 1_735_603_200  # 2005 to 2024
# Shares of the scale of years that are jumped to.
JUMPS = (0.97, 0.5, 0.75, 0.25, 0.9)
SCROLL_SECONDS = 3
# In each frame while scrolling, in pixels: 60 times a second, four windows a second.
STEP = 60

WATCH_FIRST = """
new MutationObserver((_, watching) => {
  const tile = document.querySelector("#grid .tile");
  if (!tile) return;
  watching.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => (window.firstView = performance.now())));
}).observe(document, { childList: true, subtree: true });
"""
# Resolves once all tiles in the window are those of images, with the milliseconds since `began`.
ARRIVED = """
(began) => new Promise((resolve) => {
  const look = () => {
    const seen = [...document.querySelectorAll("#grid li[data-at]")].filter((one) => {
      const { top, bottom } = one.getBoundingClientRect();
      return bottom > 80 && top < innerHeight;
    });
    const loaded = seen.length && seen.every((one) => one.dataset.id);
    if (scrollY !== window.scrolledBefore && loaded) resolve(performance.now() - began);
    else requestAnimationFrame(look);
  };
  look();
})
"""
SCROLL = """
([seconds, step]) => new Promise((resolve) => {
  const frames = [];
  let nodes = 0;
  const began = performance.now();
  let last = began;
  const next = (now) => {
    frames.push(now - last);
    last = now;
    nodes = Math.max(nodes, document.querySelectorAll("*").length);
    scrollBy(0, step);
    if (now - began < 1000 * seconds) requestAnimationFrame(next);
    else resolve({ frames: frames.slice(1), nodes });
  };
  requestAnimationFrame(next);
})
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    bundle = find_bundle(BUILT_IN)
    taken = np.linspace(BEGIN, END, asked.images).astype(int).tolist()
    with tempfile.TemporaryDirectory() as scratch:
        vectors = random_vectors(asked.images, bundle.dim)
        collection = make_collection(Path(scratch) / "collection", bundle, vectors, taken=taken)
        with _server(collection) as url, sync_playwright() as running:
            routes = _routes(url, asked.images, asked.rounds)
            browser = running.chromium.launch(
                executable_path=asked.chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            rounds = [_visit(browser, url) for _ in range(asked.rounds)]
            browser.close()
    report(
        "page_routes",
        f"What the page asks for, of {asked.images:,} images",
        routes,
        notes=[f"Medians of {asked.rounds} requests."],
    )
    rows = [
        {"what": what, f"median (range) of {asked.rounds}": spread([one[what] for one in rounds])}
        for what in rounds[0]
    ]
    report(
        "page",
        f"The page over {asked.images:,} images, newest first",
        rows,
        notes=[
            f"Jumps by a click on the scale of years, {len(JUMPS)} a round; what is seen then is "
            f"loaded. Scrolled by {STEP} pixels a frame for {SCROLL_SECONDS} s. The heap is what "
            "is left after a collection, when all of this is done.",
        ],
    )


@contextmanager
def _server(collection: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [COMMAND, "serve", "--collection", collection, "--port", "0", "--no-access-log"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = re.search(r"http://\S+", process.stderr.readline())
    assert found
    try:
        httpx.get(f"{found[0]}/readyz", timeout=60).raise_for_status()
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def _routes(url: str, images: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for path in (
            "/v1/timeline",
            "/v1/search?k=60",
            f"/v1/search?k=60&offset={images // 2}",
            f"/v1/search?k=60&offset={images - 100}",
            f"/v1/search?k=60&offset={images // 4}&until=2020",
            "/v1/timeline?until=2020",
        ):
            times = []
            for _ in range(rounds + 1):
                began = time.perf_counter()
                answer = client.get(path).raise_for_status()
                times.append(1000 * (time.perf_counter() - began))
            rows.append(
                {
                    "request": f"`{path}`",
                    "first, ms": f"{times[0]:.0f}",
                    "then, ms": f"{statistics.median(times[1:]):.1f}",
                    "bytes": f"{len(answer.content):,}",
                }
            )
    return rows


def _visit(browser: Any, url: str) -> dict[str, float]:
    """Return the figures of one visit, by what they are of."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH_FIRST)
    page.goto(url)
    first = None
    while first is None:
        first = page.evaluate("window.firstView ?? null")
        time.sleep(0.02)
    page.wait_for_selector("#scrubber")
    page.wait_for_load_state("networkidle")
    scale = page.locator("#scrubber-years").bounding_box()
    jumps = []
    for share in JUMPS:
        began = page.evaluate("(window.scrolledBefore = scrollY, performance.now())")
        page.mouse.click(scale["x"] + scale["width"] - 8, scale["y"] + share * scale["height"])
        jumps.append(page.evaluate(ARRIVED, began))
    page.mouse.move(600, 400)
    page.wait_for_load_state("networkidle")
    scrolled = page.evaluate(SCROLL, [SCROLL_SECONDS, STEP])
    frames = sorted(scrolled["frames"])
    developer = context.new_cdp_session(page)
    developer.send("HeapProfiler.collectGarbage")
    developer.send("Performance.enable")
    metrics = developer.send("Performance.getMetrics")["metrics"]
    heap = next(one["value"] for one in metrics if one["name"] == "JSHeapUsedSize")
    figures = {
        "first view, ms": first,
        "a jump, ms": statistics.median(jumps),
        "the slowest jump, ms": max(jumps),
        "elements in the document, at most": scrolled["nodes"],
        "tiles": page.locator("#grid li[data-at]").count(),
        "JavaScript's heap, MB": heap / 1e6,
        "frames a second while scrolling": len(frames) / sum(frames) * 1000,
        "95th percentile of a frame, ms": frames[int(0.95 * len(frames))],
    }
    context.close()
    return figures


if __name__ == "__main__":
    main()
