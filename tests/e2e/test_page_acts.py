"""What the page does with images: downloads, favourites, tags and hiding, each with a way back."""

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import (
    FIRST_TILE,
    first,
    ids_shown,
    needs_chromium,
    select,
    serious_findings,
    watched_page,
)
from support.servers import Served, serving

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium
KEYS = ("--api-key", "writes", "--read-key", "looks")


@pytest.fixture(scope="module")
def own_server(
    photos_indexed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    collection = tmp_path_factory.mktemp("acts") / "collection"
    shutil.copytree(photos_indexed[1], collection)
    with serving(collection) as server:
        yield server


@pytest.fixture
def page(browser: Any, own_server: Served) -> Iterator[Any]:
    """A page of images without tags."""
    for tag in own_server.get("/v1/tags").json()["tags"]:
        hits = own_server.get("/v1/search", params={"tag": tag["tag"]}).json()["hits"]
        body = {"image_ids": [hit["id"] for hit in hits], "remove": [tag["tag"]]}
        own_server.post("/v1/images/tags", json=body)
    with watched_page(browser, own_server.url) as watched:
        yield watched


def counted(server: Served) -> dict[str, int]:
    return {one["tag"]: one["count"] for one in server.get("/v1/tags").json()["tags"]}


def said(page: Any, text: str) -> None:
    playwright.expect(page.locator("#toast-text")).to_have_text(text)


def undo(page: Any) -> None:
    page.click("#undo")
    said(page, "Undone")


def test_from_a_search_to_a_download_by_keyboard(page: Any, tmp_path: Path) -> None:
    page.goto("/")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    page.keyboard.press("/")
    page.keyboard.type("a cat")
    page.keyboard.press("Enter")
    first(page, "chelsea.png")
    page.keyboard.press("ArrowDown")
    playwright.expect(page.locator(FIRST_TILE)).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    playwright.expect(page.locator("#selected")).to_have_text("2 selected")
    ids = [ids_shown(page)[0], ids_shown(page)[2]]
    for _ in range(6):  # not past each of the images
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "download-selected":
            break
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    started.value.save_as(tmp_path / "images.zip")
    assert started.value.suggested_filename == "images.zip"
    assert started.value.url.endswith(f"/v1/download?ids={ids[0]},{ids[1]}")
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        assert len(archive.namelist()) == 2
        assert "chelsea.png" in archive.namelist()
    said(page, "2 images on the way, as one zip")


def test_selected_images_are_tagged_and_untagged(page: Any, own_server: Served) -> None:
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    select(page, 0)
    select(page, 2)
    page.click("#favour-selected")
    said(page, "2 images added to the favourites")
    assert counted(own_server) == {"favourite": 2}
    playwright.expect(page.locator("#selected")).to_have_text("2 selected")
    undo(page)
    assert counted(own_server) == {}
    page.click("#tag-selected")
    playwright.expect(page.locator("#tagging-title")).to_have_text("Tag 2 images")
    page.keyboard.type("Süße <b>Katze</b>")
    page.keyboard.press("Enter")
    said(page, "“Süße <b>Katze</b>” given to 2 images")
    assert counted(own_server) == {"Süße <b>Katze</b>": 2}
    # The next time it is offered.
    page.click("#tag-selected")
    page.keyboard.type("sü")
    playwright.expect(page.locator("#tagging-tag-known option")).to_have_attribute(
        "value", "Süße <b>Katze</b>"
    )
    page.fill("#tagging-tag", "Süße <b>Katze</b>")
    page.click("#untag")
    said(page, "“Süße <b>Katze</b>” taken from 2 images")
    assert counted(own_server) == {}
    undo(page)
    assert counted(own_server) == {"Süße <b>Katze</b>": 2}
    page.click("#tag-selected")
    page.keyboard.type("\u200b")  # what no tag is
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#tagging")).to_be_hidden()
    playwright.expect(page.locator("#selected")).to_have_text("2 selected")


def test_hidden_images_go_and_come_back(page: Any, own_server: Served) -> None:
    page.goto("/")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    ids = ids_shown(page)
    select(page, 1)
    page.click("#hide-selected")
    said(page, "1 image hidden")
    playwright.expect(page.locator("#grid .tile")).to_have_count(5)
    playwright.expect(page.locator("#selection")).to_be_hidden()
    assert ids[1] not in ids_shown(page)
    undo(page)
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    assert ids_shown(page) == ids
    assert counted(own_server) == {}


def test_tags_in_the_lightbox(page: Any, own_server: Served) -> None:
    page.goto("/?q=a+cat")
    first(page, "chelsea.png")
    page.click(FIRST_TILE)
    playwright.expect(page.locator("#shown-name")).to_have_text("chelsea.png")
    page.fill("#new-tag", "pet")
    page.keyboard.press("ArrowLeft")  # moves in the text, and not to another image
    page.keyboard.press("Enter")
    chips = page.locator("#tags li")
    playwright.expect(chips).to_have_text(["pet×"])
    said(page, "“pet” added")
    page.click("#favour-shown")
    playwright.expect(chips).to_have_text(["favourite×", "pet×"])
    playwright.expect(page.locator("#favour-shown")).to_have_attribute("aria-pressed", "true")
    undo(page)
    playwright.expect(chips).to_have_text(["pet×"])
    page.get_by_role("button", name="Take off: pet").click()
    playwright.expect(chips).to_have_count(0)
    undo(page)
    playwright.expect(chips).to_have_text(["pet×"])
    page.get_by_role("button", name="pet", exact=True).click()
    page.wait_for_url(f"{own_server.url}/?tag=pet")
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    # Hidden in the lightbox, it goes when that is closed.
    page.go_back()
    playwright.expect(page.locator("#shown-name")).to_have_text("chelsea.png")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    page.click("#hide-shown")
    said(page, "“hidden” added")
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#grid .tile")).to_have_count(5)
    playwright.expect(page.locator("#toast")).to_be_visible()
    undo(page)
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)


def test_the_filter_by_tags(page: Any, own_server: Served) -> None:
    def tag(ids: list[int], *tags: str) -> None:
        own_server.post("/v1/images/tags", json={"image_ids": ids, "add": list(tags)})

    tag([1, 2], "a, b")
    tag([2, 3], "Italy")
    page.goto("/")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
    page.click("#show-filters")
    page.fill("#tag", "it")
    known = page.locator("#tag-known option")
    playwright.expect(known).to_have_count(1)
    playwright.expect(known).to_have_attribute("value", "Italy")
    page.fill("#tag", "Italy")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#grid .tile")).to_have_count(2)
    page.fill("#tag", "a, b")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    assert ids_shown(page) == [2]
    assert page.url == f"{own_server.url}/?tag=Italy&tag=a,+b"
    page.reload()
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    # What has lost the tag is no longer found by it.
    select(page, 0)
    page.click("#tag-selected")
    page.fill("#tagging-tag", "Italy")
    page.click("#untag")
    playwright.expect(page.locator("#grid .tile")).to_have_count(0)
    undo(page)
    playwright.expect(page.locator("#grid .tile")).to_have_count(1)
    page.get_by_role("button", name="Remove: tag: a, b").click()
    playwright.expect(page.locator("#grid .tile")).to_have_count(2)
    page.fill("#text", "a cat")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{own_server.url}/?q=a+cat&tag=Italy")
    playwright.expect(page.locator("#grid .tile")).to_have_count(2)
    page.click("#clear")
    playwright.expect(page.locator("#grid .tile")).to_have_count(6)


def test_a_key_that_looks_has_no_acts(browser: Any, own_server: Served) -> None:
    with serving(own_server.collection, *KEYS) as server:
        for key, may in (("looks", False), ("writes", True)):
            context = browser.new_context(base_url=server.url)
            page = context.new_page()
            page.goto("/")
            page.fill("#key", key)
            page.keyboard.press("Enter")
            playwright.expect(page.locator("#grid .tile")).to_have_count(6)
            for again in (False, True):
                if again:
                    page.reload()
                    playwright.expect(page.locator("#grid .tile")).to_have_count(6)
                select(page, 0)
                playwright.expect(page.locator("#download-selected")).to_be_visible()
                for name in ("favour", "tag", "hide"):
                    act = page.locator(f"#{name}-selected")
                    playwright.expect(act).to_be_visible(visible=may)
                reason = page.locator("#selection .looks")
                playwright.expect(reason).to_be_visible(visible=not may)
                page.keyboard.press("Escape")
                page.locator("#grid .tile").first.click()
                playwright.expect(page.locator("#new-tag")).to_be_visible(visible=may)
                page.keyboard.press("Escape")
                page.wait_for_url(f"{server.url}/")
            context.close()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_axe_finds_nothing_serious_in_the_acts(page: Any, own_server: Served, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(reduced_motion="reduce")
    own_server.post("/v1/images/tags", json={"image_ids": [1, 2], "add": ["pet"]})
    page.goto("/?tag=pet")
    playwright.expect(page.locator("#grid .tile")).to_have_count(2)
    page.wait_for_load_state("networkidle")
    page.focus("#grid .tile >> nth=0")
    page.keyboard.press("x")
    page.click("#favour-selected")
    said(page, "1 image added to the favourites")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_findings(page) == []
    page.click("#tag-selected")
    assert serious_findings(page) == []
    page.keyboard.press("Escape")
    page.click("#clear-selection")
    page.locator("#grid .tile").first.click()
    playwright.expect(page.locator("#tags li")).to_have_count(2)
    page.click("#favour-shown")
    said(page, "“favourite” taken off")
    assert serious_findings(page) == []
