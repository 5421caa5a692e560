"""The lightbox in a real browser: enlarged, dragged, swiped, played, and what it says."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from support.browser import needs_chromium, serious_findings, watched_page
from support.command import COMMAND
from support.images import make_photo
from support.servers import Served, serving

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium
NAMES = [f"{number}.jpg" for number in range(4)]


@pytest.fixture(scope="module")
def travels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of photos in a folder, the newest of which says how and where it was taken."""
    folder = tmp_path_factory.mktemp("travels")
    for number, name in enumerate(NAMES):
        path = make_photo(folder / "photos" / "2024 & <i>Italy</i>" / name, number, (1200, 900))
        block = Image.Exif()
        inner = block.get_ifd(ExifTags.IFD.Exif)
        inner[ExifTags.Base.DateTimeOriginal] = f"2024:07:{20 - number} 12:00:00"
        if number == 0:
            block[ExifTags.Base.Model] = "<img src=x onerror=alert(1)>"
            inner[ExifTags.Base.LensModel] = "Summicron"
            inner[ExifTags.Base.ISOSpeedRatings] = 200
        with Image.open(path) as image:
            image.save(path, exif=block)
    collection = folder / "collection"
    index = [COMMAND, "index", folder / "photos", "--collection", collection]
    subprocess.run(index, check=True, capture_output=True)
    with serving(collection) as server:
        yield server


@pytest.fixture
def page(browser: Any, travels: Served) -> Iterator[Any]:
    with watched_page(browser, travels.url) as watched:
        yield watched


def open_first(page: Any) -> None:
    page.goto("/")
    page.locator("#grid .tile").first.click()
    shows(page, NAMES[0])
    page.wait_for_load_state("networkidle")


def shows(page: Any, name: str) -> None:
    playwright.expect(page.locator("#shown-name")).to_have_text(name)


def seen(page: Any) -> tuple[float, float, float, float]:
    """Where the image stands in the window: x, y, width, height."""
    box = page.locator("#shown").bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def test_the_wheel_enlarges_at_the_pointer(page: Any) -> None:
    open_first(page)
    x, y, width, height = seen(page)
    at = (x + 0.25 * width, y + 0.5 * height)
    page.mouse.move(*at)
    page.mouse.wheel(0, -400)
    playwright.expect(page.locator(".stage")).to_have_class("stage zoomed")
    left, top, wide, _ = seen(page)
    assert wide > 1.8 * width
    assert (at[0] - left) / wide == pytest.approx(0.25, abs=0.01)
    # The file itself is shown then.
    playwright.expect(page.locator("#shown")).to_have_attribute("src", "v1/images/1/file")
    # Dragged, as far as there is something to see.
    page.mouse.down()
    page.mouse.move(at[0] + 40, at[1] + 30, steps=3)
    page.mouse.up()
    moved = seen(page)
    assert (moved[0] - left, moved[1] - top) == (pytest.approx(40, abs=2), pytest.approx(30, abs=2))
    for _ in range(2):
        page.mouse.move(*at)
        page.mouse.down()
        page.mouse.move(950, 790, steps=3)
        page.mouse.up()
    assert seen(page)[:2] == (pytest.approx(0, abs=1), pytest.approx(0, abs=1))
    playwright.expect(page.locator("#lightbox")).to_be_visible()
    page.keyboard.press("0")
    assert seen(page) == pytest.approx((x, y, width, height), abs=1)
    for key, larger in (("+", True), ("=", True), ("-", True), ("-", False)):
        page.keyboard.press(key)
        assert (seen(page)[2] > 1.1 * width) is larger
    page.mouse.dblclick(*at)
    assert seen(page)[2] == pytest.approx(2.5 * width, rel=0.01)
    page.keyboard.press("ArrowRight")
    shows(page, NAMES[1])
    playwright.expect(page.locator(".stage")).to_have_class("stage")


def test_a_click_beside_the_image_closes(page: Any) -> None:
    open_first(page)
    x, y, width, height = seen(page)
    page.mouse.click(x + width / 2, y + height / 2)
    playwright.expect(page.locator("#lightbox")).to_be_visible()
    page.mouse.click(x + width / 2, y + height + 20)
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    playwright.expect(page.locator("#grid .tile").first).to_be_focused()


def test_fingers_swipe_and_pinch(browser: Any, travels: Served) -> None:
    context = browser.new_context(
        base_url=travels.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    open_first(page)
    touch = context.new_cdp_session(page)

    def touches(*steps: list[tuple[float, float]]) -> None:
        for number, points in enumerate(steps):
            send = [{"x": x, "y": y, "id": one} for one, (x, y) in enumerate(points)]
            kind = "touchStart" if number == 0 else "touchMove"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": send})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    touches([(300, 200)], [(200, 205)], [(100, 210)])
    shows(page, NAMES[1])
    touches([(60, 200)], [(160, 205)], [(260, 210)])
    shows(page, NAMES[0])
    touches([(200, 100)], [(190, 200)], [(180, 300)])  # that is no swipe
    before = seen(page)
    touches([(150, 200), (210, 200)], [(120, 200), (240, 200)], [(90, 200), (270, 200)])
    assert seen(page)[2] == pytest.approx(3 * before[2], rel=0.05)
    touches([(300, 200)], [(200, 200)], [(100, 200)])  # moves it now
    shows(page, NAMES[0])
    assert seen(page)[0] < before[0] - 100
    touches([(60, 200), (300, 200)], [(150, 200), (210, 200)])
    assert seen(page)[2] == pytest.approx(before[2], rel=0.01)
    context.close()


def test_the_slideshow_goes_on_until_something_else_is_done(page: Any) -> None:
    page.clock.install()
    open_first(page)
    play = page.locator("#play")
    page.keyboard.press("s")
    playwright.expect(play).to_have_attribute("aria-pressed", "true")
    for name in NAMES[1:3]:
        page.clock.run_for(4100)
        shows(page, name)
        page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowLeft")
    shows(page, NAMES[1])
    playwright.expect(play).to_have_attribute("aria-pressed", "false")
    page.clock.run_for(9000)
    shows(page, NAMES[1])
    play.click()
    playwright.expect(play).to_have_attribute("aria-pressed", "true")
    page.clock.run_for(4100)
    shows(page, NAMES[2])
    page.mouse.wheel(0, -10)
    playwright.expect(play).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("End")
    shows(page, NAMES[3])
    page.keyboard.press("S")
    page.clock.run_for(4100)
    playwright.expect(play).to_have_attribute("aria-pressed", "false")


def test_facts_are_text_and_the_folder_leads_to_its_images(page: Any, travels: Served) -> None:
    open_first(page)
    details = page.locator("#details")
    for text in ("<img src=x onerror=alert(1)>", "Summicron", "ISO 200"):
        playwright.expect(details).to_contain_text(text)
    playwright.expect(details).to_contain_text(f"2024 & <i>Italy</i>/{NAMES[0]}")
    page.get_by_role("link", name="2024 & <i>Italy</i>").click()
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    assert page.url == f"{travels.url}/?in=2024+%26+%3Ci%3EItaly%3C%2Fi%3E"
    playwright.expect(page.locator("#grid .tile")).to_have_count(4)
    page.go_back()
    shows(page, NAMES[0])


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_axe_finds_nothing_serious_in_the_lightbox(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(reduced_motion="reduce")
    open_first(page)
    playwright.expect(page.locator("#details")).to_contain_text("Summicron")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_findings(page) == []
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("s")
    assert serious_findings(page) == []


def test_facts_are_for_those_who_write(travels: Served) -> None:
    facts = {
        "camera": "<img src=x onerror=alert(1)>",
        "lens": "Summicron",
        "exposure": "ISO 200",
        "place": None,
    }
    assert travels.get("/v1/images/1").json()["facts"] == facts
    assert set(travels.get("/v1/images/2").json()["facts"].values()) == {None}
    keys = ("--api-key", "writes", "--read-key", "looks")
    for originals, expected in (((), None), (("--originals",), facts)):
        with serving(travels.collection, *keys, *originals) as server:
            for key, found in (("looks", expected), ("writes", facts)):
                answer = server.get("/v1/images/1", headers={"X-API-Key": key})
                assert answer.json()["facts"] == found
    # What is not there any more says nothing, and is no error.
    file = Path(travels.collection).parent / "photos" / "2024 & <i>Italy</i>" / NAMES[0]
    content = file.read_bytes()
    file.unlink()
    gone = travels.get("/v1/images/1")
    assert gone.status_code == 200
    assert set(gone.json()["facts"].values()) == {None}
    file.write_bytes(content)
