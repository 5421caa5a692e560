"""The page in a real browser: Debian's Chromium, through Playwright."""

import base64
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from support.browser import FIRST_TILE, first, ids_shown, needs_chromium, select, serious_findings
from support.proxy import proxied
from support.servers import Served, serving
from support.waiting import wait_until

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium


def test_typing_searches_and_changes_the_url(page: Any, served: Served) -> None:
    page.goto("/")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    page.keyboard.type("a cat")
    first(page, "chelsea.png")
    playwright.expect(page.locator("#summary")).to_have_text("1 of 6 images matches")
    assert page.url == f"{served.url}/?q=a+cat"
    page.goto(page.url)  # as somebody else opens it
    first(page, "chelsea.png")
    assert page.input_value("#text") == "a cat"
    page.fill("#text", "a rocket launch")
    page.keyboard.press("Enter")
    first(page, "rocket.jpg")
    page.go_back()
    first(page, "chelsea.png")
    page.fill("#text", "a football match")
    playwright.expect(page.locator("#summary")).to_contain_text("Nothing here matches")


def test_a_dropped_image_is_searched_for(page: Any, photos_indexed: tuple[Path, Path]) -> None:
    page.goto("/")
    page.set_input_files("#file", photos_indexed[0] / "coffee.png")
    first(page, "coffee.png")
    assert "image=own" in page.url
    page.reload()
    first(page, "coffee.png")
    page.get_by_role("button", name="Remove: your image").click()
    playwright.expect(page.locator("#summary")).to_contain_text("newest first")
    # Dropped, as a file manager does it.
    handle = page.evaluate_handle(
        """async () => {
            const blob = await (await fetch("/v1/images/1/file")).blob();
            const data = new DataTransfer();
            data.items.add(new File([blob], "dropped.png", { type: blob.type }));
            return data;
        }"""
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": handle})
    playwright.expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": handle})
    playwright.expect(page.locator("#drop")).to_be_hidden()
    first(page, "camera.png")


def test_a_format_that_the_browser_does_not_show(
    page: Any, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    with Image.open(photos_indexed[0] / "coffee.png") as image:
        image.convert("RGB").save(tmp_path / "coffee.jp2")
    page.goto("/")
    page.set_input_files("#file", tmp_path / "coffee.jp2")
    first(page, "coffee.png")
    shown = page.locator("#chips .chip img").first
    wait_until(lambda: shown.evaluate("one => one.complete && one.naturalWidth > 0"), seconds=60)
    page.reload()
    first(page, "coffee.png")


def test_filters_and_label_counts(page: Any) -> None:
    page.goto("/?q=animal")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    page.click("#show-filters")
    page.fill("#labels", "cat, zebra")
    page.keyboard.press("Enter")
    cat = page.get_by_role("button", name="cat 1", exact=True)
    cat.click()
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    playwright.expect(cat).to_have_attribute("aria-pressed", "true")
    page.reload()
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    page.click("#clear")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    page.fill("#until", "2010-12-31")
    page.keyboard.press("Tab")
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    page.fill("#until", "1990-12-31")
    page.keyboard.press("Tab")
    playwright.expect(page.locator("#message")).to_contain_text("No image passes all filters")


def test_arrow_keys_move_in_the_grid(page: Any) -> None:
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    playwright.expect(page.locator("#grid li").nth(1)).to_have_text("Less likely from here")
    page.focus(FIRST_TILE)
    page.keyboard.press("ArrowDown")
    playwright.expect(page.locator("#grid .tile").nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    playwright.expect(page.locator("#grid .tile").nth(2)).to_be_focused()
    page.keyboard.press("ArrowUp")
    playwright.expect(page.locator(FIRST_TILE)).to_be_focused()


def test_lightbox_by_keyboard(page: Any) -> None:
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    page.focus(FIRST_TILE)
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#shown-name")).to_have_text("chelsea.png")
    playwright.expect(page.locator("#details")).to_contain_text("451 × 300")
    playwright.expect(page.locator("#details")).to_contain_text("2009-02-09 09:11:30")
    assert "open=" in page.url
    page.keyboard.press("ArrowRight")
    playwright.expect(page.locator("#shown-name")).not_to_have_text("chelsea.png")
    page.keyboard.press("End")
    playwright.expect(page.locator("#next")).to_be_disabled()
    page.keyboard.press("Home")
    playwright.expect(page.locator("#shown-name")).to_have_text("chelsea.png")
    shared = page.url
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    playwright.expect(page.locator(FIRST_TILE)).to_be_focused()
    page.wait_for_url(lambda url: "open=" not in url)
    page.goto(shared)
    playwright.expect(page.locator("#shown-name")).to_have_text("chelsea.png")
    page.get_by_role("button", name="More like this").last.click()
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    playwright.expect(page.locator("#grid .tile")).to_have_count(5)
    assert "like=" in page.url


def test_selected_images_refine_a_search(page: Any, served: Served) -> None:
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    ids = ids_shown(page)
    select(page, 1)
    page.locator("#grid .tile").nth(3).click()  # while images are selected, clicks select
    playwright.expect(page.locator("#selected")).to_have_text("2 selected")
    playwright.expect(page.locator("#said")).to_contain_text("selected, 2 in all")
    page.click("#like-selected")
    playwright.expect(page.locator("#grid .tile")).to_have_count(4)
    playwright.expect(page.locator("#selection")).to_be_hidden()
    assert page.url == f"{served.url}/?q=a+cat&like={ids[1]},{ids[3]}"
    body = {"text": "a cat", "image_ids": [ids[1], ids[3]], "k": 60}
    answer = served.post("/v1/search", json=body).json()
    assert ids_shown(page) == [hit["id"] for hit in answer["hits"]]
    select(page, 3)
    page.click("#unlike-selected")
    playwright.expect(page.locator("#grid .tile")).to_have_count(3)
    unlike = answer["hits"][3]["id"]
    refined = f"{served.url}/?q=a+cat&like={ids[1]},{ids[3]}&unlike={unlike}"
    assert page.url == refined
    playwright.expect(page.locator("#chips .example")).to_have_count(3)
    page.reload()
    playwright.expect(page.locator("#grid .tile")).to_have_count(3)
    page.get_by_role("button", name="Remove: like this (1 of 2)").click()
    playwright.expect(page.locator("#grid .tile")).to_have_count(4)
    assert page.url == f"{served.url}/?q=a+cat&like={ids[3]}&unlike={unlike}"
    playwright.expect(page.get_by_role("button", name="Remove: like this")).to_be_focused()
    page.go_back()
    page.wait_for_url(refined)
    playwright.expect(page.locator("#grid .tile")).to_have_count(3)
    page.go_back()
    page.go_back()
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    playwright.expect(page.locator("#chips .example")).to_have_count(0)


def test_an_image_cannot_be_wanted_and_not_wanted(page: Any, served: Served) -> None:
    page.goto("/?like=1,2&unlike=3")
    playwright.expect(page.locator("#grid .tile")).to_have_count(3)
    page.goto("/?q=a+cat&unlike=3")
    playwright.expect(page.locator("#grid .tile")).to_have_count(5)
    page.goto("/?unlike=3")  # nothing is looked for yet
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    playwright.expect(page.locator("#hint")).to_contain_text("Type what you look for")
    page.locator("#grid li[data-id='3']").hover()
    page.locator("#grid li[data-id='3'] .check").click()
    page.click("#like-selected")
    page.wait_for_url(f"{served.url}/?like=3")
    playwright.expect(page.locator("#grid .tile")).to_have_count(5)


def test_an_own_image_is_refined_too(
    page: Any, served: Served, photos_indexed: tuple[Path, Path]
) -> None:
    page.goto("/")
    page.set_input_files("#file", photos_indexed[0] / "coffee.png")
    first(page, "coffee.png")
    ids = ids_shown(page)
    select(page, 5)
    page.click("#unlike-selected")
    playwright.expect(page.locator("#grid .tile")).to_have_count(5)
    assert page.url == f"{served.url}/?unlike={ids[5]}&image=own"
    image = base64.b64encode((photos_indexed[0] / "coffee.png").read_bytes()).decode()
    answer = served.post("/v1/search", json={"image": image, "unlike_ids": [ids[5]]}).json()
    assert ids_shown(page) == [hit["id"] for hit in answer["hits"]]
    playwright.expect(page.locator("#chips")).to_contain_text("your image")


def test_select_by_keyboard_and_in_ranges(page: Any) -> None:
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    page.focus(FIRST_TILE)
    selected = page.locator("#selected")
    page.keyboard.press("x")
    playwright.expect(selected).to_have_text("1 selected")
    playwright.expect(page.locator(FIRST_TILE)).to_have_attribute(
        "aria-label", re.compile(", selected$")
    )
    page.keyboard.press("Space")
    playwright.expect(page.locator("#selection")).to_be_hidden()
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    playwright.expect(selected).to_have_text("3 selected")
    page.keyboard.press("Shift+ArrowLeft")
    playwright.expect(selected).to_have_text("2 selected")
    playwright.expect(page.locator("#grid .tile").nth(1)).to_be_focused()
    page.keyboard.press("Enter")  # opens it all the same
    playwright.expect(page.locator("#lightbox")).to_be_visible()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    playwright.expect(selected).to_have_text("2 selected")
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#selection")).to_be_hidden()
    playwright.expect(page.locator("#said")).to_have_text("Nothing is selected")
    select(page, 4)
    select(page, 1, "Shift")
    playwright.expect(selected).to_have_text("4 selected")
    select(page, 5, "Shift")  # another end of the same range
    playwright.expect(selected).to_have_text("2 selected")
    page.click("#clear-selection")
    playwright.expect(page.locator("#selection")).to_be_hidden()


def test_paths_of_the_selection_are_copied(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    select(page, 0)
    select(page, 1)
    page.click("#copy-paths")
    playwright.expect(page.locator("#selected")).to_have_text("2 paths copied")
    copied = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert copied[0] == "chelsea.png"
    assert len(copied) == 2


def test_select_by_long_touches(browser: Any, served: Served) -> None:
    context = browser.new_context(
        base_url=served.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    box = page.locator(FIRST_TILE).bounding_box()
    point = [{"x": box["x"] + 40, "y": box["y"] + 40}]
    touch = context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point})
    playwright.expect(page.locator("#selected")).to_have_text("1 selected")
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.locator("#grid .tile").nth(1).tap()
    playwright.expect(page.locator("#selected")).to_have_text("2 selected")
    page.locator("#grid .tile").nth(1).tap()
    playwright.expect(page.locator("#selected")).to_have_text("1 selected")
    page.locator(FIRST_TILE).tap()
    playwright.expect(page.locator("#selection")).to_be_hidden()
    page.locator(FIRST_TILE).tap()
    playwright.expect(page.locator("#lightbox")).to_be_visible()
    context.close()


@pytest.mark.parametrize(
    "path",
    ["/", "/?q=a+cat&count=cat,dog&not=people", "/?q=a+cat&open=1", "/?q=a+cat&like=1,2&unlike=3"],
)
def test_a_narrow_screen_does_not_scroll_sideways(page: Any, path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)
    playwright.expect(page.locator("#grid .tile").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    ["/", "/?q=a+cat&count=cat,dog&not=people", "/?q=a+cat&open=1", "/?q=a+cat&like=1,2&unlike=3"],
)
def test_axe_finds_nothing_serious(page: Any, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(path)
    playwright.expect(page.locator("#grid .tile").first).to_be_attached()
    page.wait_for_load_state("networkidle")
    if "like=" in path:
        select(page, 0)
    assert serious_findings(page) == []


def test_the_first_load_is_small_and_local(page: Any, served: Served) -> None:
    requested: list[str] = []
    page.context.on("request", lambda request: requested.append(request.url))
    before = len(served.log)
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_load_state("networkidle")
    assert all(url.startswith(served.url) for url in requested)
    # As the server sent them, to the service worker as well.
    lines = [json.loads(line) for line in served.log[before:] if line.startswith("{")]
    sent = Counter[str]()
    for line in lines:
        sent[line["path"]] += line["bytes"]
    assert sent["/static/app.js"] > 1000
    assert sum(size for path, size in sent.items() if "/thumbnail" not in path) < 100_000, sent


def test_sign_in_with_a_key(browser: Any, photos_indexed: tuple[Path, Path]) -> None:
    with serving(photos_indexed[1], "--api-key", "open sesame") as server:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        page.goto("/")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#sign-in-problem")).to_contain_text(
            "not a key of this server"
        )
        page.fill("#key", "open sesame")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#grid .tile")).to_have_count(6)
        while not page.evaluate("document.querySelector('.tile img').naturalWidth"):
            page.wait_for_timeout(50)
        page.click("#sign-out")
        playwright.expect(page.locator("#sign-in")).to_be_visible()
        context.close()


def test_the_page_works_below_a_path(browser: Any, photos_indexed: tuple[Path, Path]) -> None:
    with (
        serving(photos_indexed[1], "--root-path", "/my/photos", "--api-key", "secret") as server,
        proxied(server.url, "/my/photos", strip=True) as url,
    ):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(60_000)
        failed: list[str] = []
        page.on("response", lambda answer: answer.status == 404 and failed.append(answer.url))
        page.goto(f"{url}/my/photos/?q=a+cat")
        page.fill("#key", "secret")
        page.keyboard.press("Enter")
        first(page, "chelsea.png")
        page.fill("#text", "a rocket launch")
        page.keyboard.press("Enter")
        first(page, "rocket.jpg")
        assert page.url == f"{url}/my/photos/?q=a+rocket+launch"
        while not page.evaluate("document.querySelector('#grid img').naturalWidth"):
            page.wait_for_timeout(50)
        page.locator(FIRST_TILE).click()
        while not page.evaluate("document.querySelector('#shown').naturalWidth"):
            page.wait_for_timeout(50)
        page.goto(f"{url}/my/photos/docs")
        page.wait_for_selector("#docs .opblock")
        context.close()
        assert failed == []


def test_index_from_the_page(
    browser: Any, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(photos_indexed[0], tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with serving(tmp_path / "collection", "--allow-index", tmp_path / "photos") as server:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        page.goto("/")
        playwright.expect(page.locator("#message")).to_contain_text("No images yet")
        page.locator("#message button").click()
        page.click("#start-job")
        playwright.expect(page.locator("#job-report")).to_contain_text("6 new")
        playwright.expect(page.locator("#job-skipped")).to_contain_text("1 files could not be read")
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#grid .tile")).to_have_count(6)
        server.process.kill()
        page.fill("#text", "a cat")
        playwright.expect(page.locator("#message")).to_contain_text("cannot be reached")
        context.close()


@pytest.mark.parametrize("width", [360, 1440])
def test_api_docs_try_a_search(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto("/docs")
    operation = page.locator("#operations-search-search_v1_search_get")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".try-out__btn").click()
    operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table .response-col_status").last
    playwright.expect(answer).to_contain_text("200")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    server = page.url.removesuffix("/docs").partition("#")[0].removesuffix("/docs")
    assert all(url.startswith((server, "data:")) for url in requested), requested


@pytest.mark.parametrize("width", [360, 1440])
def test_a_search_begins_at_the_top_and_back_restores_the_place(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 320})
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    if page.locator("#show-rest").is_visible():
        page.click("#show-rest")
    # Again until the page is tall enough for it.
    wait_until(lambda: page.evaluate("scrollTo(0, 60), history.state?.scroll === 60"), seconds=60)
    # More like this: Playwright's own click would scroll.
    page.evaluate("document.querySelectorAll('#grid li .more')[2].click()")
    wait_until(lambda: page.evaluate("location.search.includes('like=')"), seconds=60)
    wait_until(lambda: page.evaluate("scrollY === 0"), seconds=60)
    playwright.expect(page.locator("#chips")).to_contain_text("like this")
    page.go_back()
    first(page, "chelsea.png")
    wait_until(lambda: page.evaluate("scrollY === 60"), seconds=60)
    assert page.input_value("#text") == "a cat"
    page.reload()
    first(page, "chelsea.png")
    wait_until(lambda: page.evaluate("scrollY === 60"), seconds=60)
    page.fill("#text", "a rocket launch")
    first(page, "rocket.jpg")
    wait_until(lambda: page.evaluate("scrollY === 0"), seconds=60)
