"""Duplicates on the page and over HTTP: which to keep is chosen, the others get a tag."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from support.browser import needs_chromium, serious_findings, watched_page
from support.command import COMMAND
from support.servers import Served, serving

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium


@pytest.fixture
def copies(sample_photos: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of a cat in three sizes, a cup in two, and a rocket."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copy(sample_photos / name, photos / name)
    for name, copy, width in (
        ("chelsea.png", "cat-small.jpg", 300),
        ("chelsea.png", "cat-tiny.jpg", 200),
        ("coffee.png", "cup.jpg", 240),
    ):
        with Image.open(photos / name) as image:
            small = image.convert("RGB").resize((width, round(width * image.height / image.width)))
        small.save(photos / copy)
    index = [COMMAND, "index", photos, "--collection", tmp_path / "collection"]
    subprocess.run(index, check=True, capture_output=True)
    with serving(tmp_path / "collection") as server:
        yield server


def groups(server: Served, **params: int) -> tuple[int, list[list[str]]]:
    answer = server.get("/v1/duplicates", params=params).json()
    named = [[image["path"] for image in group["images"]] for group in answer["groups"]]
    return answer["total"], named


def test_groups_over_http(copies: Served) -> None:
    cup, cat = ["coffee.png", "cup.jpg"], ["chelsea.png", "cat-small.jpg", "cat-tiny.jpg"]
    total, found = groups(copies)
    assert total == 2
    assert found[0] == cup
    assert found[1][0] == cat[0]
    assert sorted(found[1]) == sorted(cat)
    assert groups(copies, k=1, offset=1) == (2, found[1:])
    assert groups(copies, offset=2) == (2, [])
    first = copies.get("/v1/duplicates").json()["groups"][0]["images"]
    assert first[0]["similarity"] == 1.0
    assert 0.8 < first[1]["similarity"] <= 1.0
    assert first[1]["size_bytes"] > 1000
    assert copies.get(first[1]["thumbnail"]).headers["content-type"] == "image/webp"
    # Those that are dealt with are not asked about again, and what is gone is none.
    body = {"image_ids": [first[1]["id"]], "add": ["duplicate"]}
    copies.post("/v1/images/tags", json=body)
    assert groups(copies) == (1, found[1:])
    hidden = {"image_ids": [1, 2, 3, 4, 5, 6], "add": ["hidden"]}
    copies.post("/v1/images/tags", json=hidden)
    assert groups(copies) == (0, [])


def test_the_others_get_a_tag(browser: Any, copies: Served) -> None:
    with watched_page(browser, copies.url) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto("/")
        playwright.expect(page.locator("#grid .tile")).to_have_count(6)
        page.click("#show-duplicates")
        shown = page.locator("#groups > li")
        playwright.expect(shown).to_have_count(2)
        cat = shown.nth(1)
        playwright.expect(cat.get_by_label("Keep chelsea.png")).to_be_checked()
        cat.get_by_label("Keep cat-small.jpg").check()
        cat.get_by_role("button", name="Copy their paths").click()
        playwright.expect(page.locator("#toast-text")).to_have_text("1 path copied")
        assert page.evaluate("navigator.clipboard.readText()") == "cat-tiny.jpg"
        cat.get_by_role("button", name="Tag 1 other “duplicate”").click()
        playwright.expect(shown).to_have_count(1)
        playwright.expect(page.locator("#groups-about")).to_contain_text("1 group of images")
        tagged = copies.get("/v1/search?tag=duplicate").json()["hits"]
        assert [hit["path"] for hit in tagged] == ["cat-tiny.jpg"]
        page.click("#undo")
        playwright.expect(shown).to_have_count(2)
        assert copies.get("/v1/search?tag=duplicate").json()["hits"] == []
        for box in shown.nth(0).get_by_role("checkbox").all():
            box.uncheck()
        # One of them has to be kept.
        playwright.expect(shown.nth(0).locator(".writes")).to_be_disabled()
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#grid .tile")).to_have_count(6)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_axe_finds_nothing_serious(browser: Any, copies: Served, width: int) -> None:
    with watched_page(browser, copies.url, width=width) as page:
        page.emulate_media(reduced_motion="reduce")
        page.goto("/")
        page.click("#show-duplicates")
        playwright.expect(page.locator("#groups > li")).to_have_count(2)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(page) == []
