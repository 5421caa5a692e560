"""Debian's Chromium, through Playwright."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)
# On a loaded machine, 5 seconds are not enough.
playwright.expect.set_options(timeout=60_000)
FIRST_TILE = "#grid li:first-child .tile"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser until the block ends."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Any, url: str, *, width: int = 1280, **options: Any) -> Iterator[Any]:
    """A fresh profile's page; anything in its console that is an error fails the test."""
    viewport = {"width": width, "height": 800}
    context = browser.new_context(base_url=url, viewport=viewport, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    yield page
    context.close()
    assert errors == []


def serious_findings(page: Any) -> list[tuple[str, list[str]]]:
    """What axe finds on a page that is serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # The page's own policy lets no foreign script in; the test's comes through the debugger.
    found = axe.run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]


def first(page: Any, name: str) -> None:
    """Wait until this image is the first."""
    label = re.compile("^" + re.escape(name))
    playwright.expect(page.locator(FIRST_TILE)).to_have_attribute("aria-label", label)


def ids_shown(page: Any) -> list[int]:
    """The ids of the images that are shown, in order."""
    shown = page.eval_on_selector_all("#grid li[data-id]", "all => all.map(one => one.dataset.id)")
    return [int(number) for number in shown]


def select(page: Any, at: int, *modifiers: str) -> None:
    """Select an image by its check mark."""
    tile = page.locator("#grid li[data-id]").nth(at)
    tile.hover()
    tile.locator(".check").click(modifiers=list(modifiers))
