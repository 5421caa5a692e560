"""Words and labels on the page: made of selected images and of tags, used, and removed."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import needs_chromium, serious_findings, watched_page
from support.servers import Served, serving

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium
expect = playwright.expect


@pytest.fixture
def server(photos_indexed: tuple[Path, Path], tmp_path: Path) -> Iterator[Served]:
    shutil.copytree(photos_indexed[1], tmp_path / "collection")
    with serving(tmp_path / "collection") as running:
        yield running


@pytest.fixture
def page(browser: Any, server: Served) -> Iterator[Any]:
    with watched_page(browser, server.url) as watched:
        yield watched


def tag(page: Any, label: str, *names: str) -> None:
    for name in names:
        page.get_by_role("checkbox", name=f"Select {name}").click(force=True)
    page.click("#tag-selected")
    page.fill("#tagging-tag", label)
    page.keyboard.press("Enter")
    expect(page.locator("#toast-text")).to_contain_text(f"“{label}” given to")
    page.click("#clear-selection")


def test_a_word_is_made_of_selected_images(page: Any) -> None:
    page.goto("/")
    page.get_by_role("checkbox", name="Select chelsea.png").click(force=True)
    page.click("#word-selected")
    expect(page.locator("#naming-title")).to_have_text("A word for what 1 image shows")
    page.fill("#naming-name", "no/word")
    page.keyboard.press("Enter")
    expect(page.locator("#naming-problem")).to_contain_text("letters, digits")
    assert serious_findings(page) == []
    page.fill("#naming-name", "rex")
    page.keyboard.press("Enter")
    first = page.locator("#grid li:first-child .tile")
    expect(first).to_have_attribute("aria-label", re.compile("^chelsea.png"))
    expect(page.locator("#text")).to_have_value("@rex")
    page.click("#show-learned")
    expect(page.locator("#learned-list li")).to_contain_text("rex")
    page.get_by_role("button", name="Remove rex").click()
    page.get_by_role("button", name="Remove rex").click()
    expect(page.locator("#learned-about")).to_contain_text("Nothing yet")


def test_labels_are_learnt_from_tags(page: Any) -> None:
    page.goto("/")
    page.click("#show-learned")
    page.fill("#head-name", "places")
    page.click("#learn-start")
    expect(page.locator("#learn-state")).to_contain_text("nothing to learn from")
    page.click("#learned .close")
    tag(page, "sky", "moon.png", "rocket.jpg")
    tag(page, "indoors", "coffee.png", "page.png")
    page.click("#show-learned")
    page.fill("#head-name", "places")
    page.click("#learn-start")
    expect(page.locator("#learn-state")).to_have_text("Learnt 2 labels from 4 images")
    assert serious_findings(page) == []
    page.locator("#learned-list").get_by_role("button", name="sky", exact=True).click()
    expect(page.locator("#learned")).to_be_hidden()
    assert "label=sky" in page.url
    page.set_viewport_size({"width": 360, "height": 740})
    page.click("#show-learned")
    expect(page.locator("#learned-list li")).to_contain_text("places")
    assert serious_findings(page) == []
