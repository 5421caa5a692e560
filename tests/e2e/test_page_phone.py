"""The page on a phone: squares, the bar below, installed, without its server, and shared with."""

import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from support.browser import first, needs_chromium, serious_findings, watched_page
from support.proxy import proxied
from support.servers import Served, serving

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium
WEB = Path(__file__).parents[2] / "serving" / "web"
WORKING = "navigator.serviceWorker.ready.then((worker) => worker.scope)"
SHARE = """async ([photo, text]) => {
    const blob = await (await fetch(photo)).blob();
    const data = new DataTransfer();
    data.items.add(new File([blob], "photo.png", { type: blob.type }));
    const form = document.createElement("form");
    Object.assign(form, { method: "post", enctype: "multipart/form-data", action: "share" });
    const image = document.createElement("input");
    Object.assign(image, { type: "file", name: "image" });
    image.files = data.files;
    const words = document.createElement("input");
    Object.assign(words, { name: "text", value: text });
    form.append(words, image);
    document.body.append(form);
    form.submit();
}"""


@contextmanager
def phone(browser: Any, url: str) -> Iterator[Any]:
    with watched_page(browser, url, width=360, has_touch=True, is_mobile=True) as page:
        yield page


@pytest.mark.parametrize("path", ["/", "/?q=a+cat"])
def test_three_columns_of_squares(browser: Any, served: Served, path: str) -> None:
    with phone(browser, served.url) as page:
        page.goto(path)
        playwright.expect(page.locator("#grid .tile").first).to_be_visible()
        boxes = page.eval_on_selector_all(
            "#grid li[data-id]",
            "all => all.map(one => one.getBoundingClientRect()).map(b => [b.x, b.width, b.height])",
        )
        assert all(width == pytest.approx(height, abs=1) for _, width, height in boxes)
        assert len({round(x) for x, _, _ in boxes}) == min(3, len(boxes))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_bar_below(browser: Any, served: Served) -> None:
    with phone(browser, served.url) as page:
        page.goto("/?q=a+cat")
        first(page, "chelsea.png")
        page.tap("#bottom-select")
        playwright.expect(page.locator("#bottom")).to_be_hidden()
        playwright.expect(page.locator("#download-selected")).to_be_disabled()
        page.locator("#grid .tile").nth(1).tap()
        playwright.expect(page.locator("#selected")).to_have_text("1 selected")
        playwright.expect(page.locator("#download-selected")).to_be_enabled()
        page.tap("#clear-selection")
        playwright.expect(page.locator("#selection")).to_be_hidden()
        page.tap("#bottom-filters")
        playwright.expect(page.locator("#filters")).to_be_visible()
        playwright.expect(page.locator("#bottom-filters")).to_have_attribute(
            "aria-expanded", "true"
        )
        page.tap("#bottom-filters")
        playwright.expect(page.locator("#filters")).to_be_hidden()
        page.tap("#bottom-search")
        playwright.expect(page.locator("#text")).to_be_focused()
        page.tap("#bottom-newest")
        playwright.expect(page.locator("#summary")).to_have_text("6 images, newest first")


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, served: Served, width: int, scheme: str) -> None:
    with watched_page(browser, served.url, width=width) as page:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto("/")
        playwright.expect(page.locator("#grid .tile").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.locator("#bottom-filters, #show-filters").locator("visible=true").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(page) == []
        if width == 360:
            page.click("#bottom-select")
            assert serious_findings(page) == []


def test_the_manifest_names_what_there_is(served: Served) -> None:
    link = re.search('rel="manifest" href="([^"]+)"', served.get("/").text)
    assert link is not None
    answer = served.get(f"/{link[1]}")
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest = answer.json()
    for icon in manifest["icons"]:
        file = served.get(f"/static/{icon['src']}")
        assert file.headers["content-type"].startswith(icon["type"])
        assert len(file.content) < 10_000
        if icon["type"] == "image/png":
            with Image.open(io.BytesIO(file.content)) as image:
                assert f"{image.width}x{image.height}" == icon["sizes"]
    policy = served.get("/").headers["content-security-policy"]
    assert "manifest-src 'self'; worker-src 'self'" in policy


def test_the_worker_keeps_all_files_of_the_page(served: Served) -> None:
    worker = served.get("/service-worker.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    named = re.search("const FILES = (.*);", worker.text)
    assert named is not None
    own = {f"static/{file.name}" for file in WEB.iterdir()}
    others = {f"static/{name}" for name in ("index.html", "service-worker.js")}
    documentation = {"static/docs.html", "static/docs.js"}
    assert set(json.loads(named[1])) == (own - others - documentation) | {"./"}


@pytest.mark.parametrize("root", ["", "/my/photos"])
def test_the_page_opens_without_its_server(
    browser: Any, photos_indexed: tuple[Path, Path], tmp_path: Path, root: str
) -> None:
    shutil.copytree(photos_indexed[1], tmp_path / "collection")
    options = ("--root-path", root) if root else ()
    with (
        serving(tmp_path / "collection", *options) as server,
        proxied(server.url, root, strip=True) as url,
    ):
        context = browser.new_context(base_url=url)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{root}/?q=a+cat")
        first(page, "chelsea.png")
        assert page.evaluate(WORKING) == f"{url}{root}/"
        kept = page.evaluate(
            """async () => {
                const names = await caches.keys();
                const opened = await Promise.all(names.map((name) => caches.open(name)));
                const kept = await Promise.all(opened.map((cache) => cache.keys()));
                return kept.flat().map((one) => one.url);
            }"""
        )
        assert f"{url}{root}/static/app.js" in kept
        assert all(one == f"{url}{root}/" or f"{url}{root}/static/" in one for one in kept)
        context.set_offline(True)
        page.reload()
        playwright.expect(page.locator("#message")).to_contain_text("cannot be reached")
        playwright.expect(page.locator("#text")).to_be_visible()
        context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        first(page, "chelsea.png")
        context.close()


def test_what_other_apps_share_is_searched_for(browser: Any, served: Served) -> None:
    with watched_page(browser, served.url) as page:
        page.goto("/")
        playwright.expect(page.locator("#grid .tile")).to_have_count(6)
        page.evaluate(WORKING)
        playwright.expect(page.locator("#grid .tile")).to_have_count(6)
        hits = served.get("/v1/search").json()["hits"]
        cat = next(hit for hit in hits if hit["path"] == "chelsea.png")
        page.evaluate(SHARE, [cat["file"], " a face "])
        page.wait_for_url(f"{served.url}/?image=own&q=a+face")
        playwright.expect(page.locator("#chips")).to_contain_text("your image")
        first(page, "chelsea.png")
        assert page.input_value("#text") == "a face"
        # It is taken once, and stays with the tab.
        assert (
            page.evaluate("caches.open('clipdex shared').then((c) => c.keys()).then(k => k.length)")
            == 0
        )
        page.reload()
        playwright.expect(page.locator("#chips")).to_contain_text("your image")
