"""The newest images as a timeline, in a real browser: headings, the scale of years, bounds."""

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.browser import needs_chromium, serious_findings, watched_page
from support.command import Run
from support.dated_photos import write
from support.servers import Served, serving
from support.waiting import wait_until
from support.years import COUNT, Years

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium
EMPTY = """[...document.querySelectorAll("#grid li.empty")].filter((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
}).length"""
# What stands in the window below the header, from the top: headings and names of images.
SEEN = """[...document.querySelectorAll("#grid li")].filter((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return top >= 60 && bottom <= innerHeight;
}).map((one) => one.querySelector(".name")?.textContent ?? one.textContent)"""


@pytest.fixture
def page(browser: Any, years_served: Served) -> Iterator[Any]:
    with watched_page(browser, years_served.url) as watched:
        yield watched


def loaded(page: Any) -> None:
    """Wait until every image that can be seen is there."""
    page.wait_for_selector("#grid .tile")
    # The next drawing asks for what is missing; what was scrolled by is asked for a little later.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)))")
    wait_until(lambda: page.evaluate(EMPTY) == 0, seconds=60)


def seen(page: Any) -> list[str]:
    loaded(page)
    found: list[str] = page.evaluate(SEEN)
    return found


def names(shown: list[str]) -> list[str]:
    return [one for one in shown if one.endswith(".jpg")]


def test_headings_stand_where_months_begin(page: Any, years: Years) -> None:
    page.goto("/?in=even&since=2016")
    loaded(page)
    expected: list[str] = []
    for name in years.newest_first:
        moment = years.moments[name]
        if int(name[:5]) % 2 or moment.year < 2016:
            continue
        heading = moment.strftime("%B %Y")
        if heading not in expected:
            expected.append(heading)
        expected.append(name)
    found: list[str] = []
    bottom = page.evaluate("document.documentElement.scrollHeight")
    for top in range(0, bottom, 300):
        page.evaluate(f"scrollTo(0, {top})")
        found += [one for one in seen(page) if one not in found]
    assert found == expected


def test_days_have_headings_where_they_fill_rows(page: Any, years: Years) -> None:
    page.goto("/?since=2010-06&until=2010-06")
    loaded(page)
    shown: list[str] = []
    for top in range(0, page.evaluate("document.documentElement.scrollHeight"), 300):
        page.evaluate(f"scrollTo(0, {top})")
        shown += [one for one in seen(page) if one not in shown]
    june = [name for name in years.newest_first if years.moments[name].strftime("%Y%m") == "201006"]
    days = [[name for name in june if years.moments[name].day == day] for day in (12, 11)]
    assert shown == ["June 2010", "Saturday, June 12", *days[0], "Friday, June 11", *days[1]]


def test_the_document_stays_small_and_jumps_load_what_is_seen(page: Any, years: Years) -> None:
    asked: list[str] = []
    page.on("request", lambda request: "v1/search" in request.url and asked.append(request.url))
    page.goto("/")
    loaded(page)
    assert len(asked) <= 2
    scale = page.locator("#scrubber-years").bounding_box()
    across, height = scale["x"] + scale["width"] - 8, scale["height"]
    # The page's clock goes by a drawing a step, however long this machine takes for one.
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    page.mouse.move(across, scale["y"] + 2)
    page.mouse.down()
    for step in range(1, 20):
        page.mouse.move(across, scale["y"] + step / 20 * height)
        page.clock.run_for(20)
        assert page.locator("#grid li").count() < 200
    playwright.expect(page.locator("#scrubber-month")).to_have_css("opacity", "1")
    text = page.locator("#scrubber-month").inner_text()
    page.mouse.up()
    page.clock.resume()
    loaded(page)
    shown = names(page.evaluate(SEEN.replace("top >= 60 && bottom <=", "bottom >= 60 && top <=")))
    assert text in {years.moments[name].strftime("%B %Y") for name in shown}
    assert max(years.moments[name].year for name in shown) <= 2007
    # All of it would be five pages of sixty; those passed by were not asked for.
    assert len(asked) <= 4
    assert page.locator("#grid li").count() < 200
    tall = page.evaluate("document.documentElement.scrollHeight")
    assert tall > 20_000


def test_the_scale_is_moved_by_keys(page: Any, years: Years) -> None:
    page.goto("/")
    loaded(page)
    order = years.newest_first
    months = list(dict.fromkeys(years.moments[name].strftime("%B %Y") for name in order))
    scale = page.get_by_role("slider", name="Month")
    scale.focus()
    for key, at in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", -1), ("Home", 0)):
        page.keyboard.press(key)
        playwright.expect(scale).to_have_attribute("aria-valuetext", months[at])
    page.keyboard.press("End")
    loaded(page)
    assert names(seen(page))[-1] == order[-1]
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    other = next(month for month in months if not month.endswith(months[0][-4:]))
    playwright.expect(scale).to_have_attribute("aria-valuetext", other)
    assert seen(page)[0] == other
    # All years, but those whose names would stand on each other.
    named = page.locator("#scrubber-years span").all_inner_texts()
    taken = sorted({str(moment.year) for moment in years.moments.values()}, reverse=True)
    assert [year for year in taken if year in named] == named
    assert len(named) >= len(taken) - 3


def test_no_scale_for_a_year(page: Any) -> None:
    page.goto("/?since=2010&until=2010")
    loaded(page)
    playwright.expect(page.locator("#scrubber")).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1440])
def test_reload_and_back_return_to_the_place(page: Any, years: Years, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/")
    loaded(page)
    page.evaluate("scrollTo(0, 9000)")
    wait_until(lambda: page.evaluate("history.state?.scroll === 9000"), seconds=60)
    before = seen(page)
    page.reload()
    loaded(page)
    wait_until(lambda: page.evaluate("scrollY === 9000"), seconds=60)
    assert seen(page) == before
    page.fill("#text", "a cat")
    page.wait_for_selector("#grid .tile[aria-label*=match]")
    playwright.expect(page.locator("#scrubber")).to_be_hidden()
    page.go_back()
    playwright.expect(page.locator("#grid h3").first).to_be_attached()
    wait_until(lambda: page.evaluate("scrollY === 9000"), seconds=60)
    assert seen(page) == before
    # In a window of another width, what was at the top still is.
    page.set_viewport_size({"width": width + 300, "height": 800})
    wait_until(lambda: page.evaluate("scrollY !== 9000"), seconds=60)
    assert set(seen(page)) & set(before)


def test_answers_are_bounded_too(page: Any, years: Years) -> None:
    page.goto("/?q=stripes")
    loaded(page)

    def reaches_the_end() -> bool:
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        if page.locator("#show-rest").is_visible():
            page.click("#show-rest")
        assert page.locator("#grid li").count() < 200
        shown: bool = page.locator("#end").is_visible()
        return shown

    wait_until(reaches_the_end, seconds=60)
    found = page.evaluate(
        """async () => {
            const found = new Set();
            for (let top = document.documentElement.scrollHeight; top > -400; top -= 400) {
                scrollTo(0, top);
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                for (const one of document.querySelectorAll("#grid .name")) {
                    found.add(one.textContent.split(",")[0]);
                }
            }
            return [...found];
        }"""
    )
    assert sorted(found) == sorted(years.moments)
    assert page.locator("#grid li").count() < 200


def test_a_range_may_reach_what_was_never_loaded(page: Any, years: Years) -> None:
    page.goto("/")
    loaded(page)
    page.focus("#grid .tile >> nth=0")
    page.keyboard.press("x")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    loaded(page)
    page.locator("#grid .tile").last.click(modifiers=["Shift"])
    playwright.expect(page.locator("#selected")).to_contain_text(f"{COUNT} selected")
    playwright.expect(page.locator("#selected")).to_contain_text("goes by the last 64")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy-paths")
    playwright.expect(page.locator("#selected")).to_have_text(f"{COUNT} paths copied")
    copied = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert [Path(path).name for path in copied] == years.newest_first
    page.click("#like-selected")
    playwright.expect(page.locator("#chips .example")).to_have_count(64)
    playwright.expect(page.locator("#summary")).to_contain_text(f"{COUNT - 64}")


def test_keys_and_the_lightbox_go_beyond_what_is_loaded(page: Any, years: Years) -> None:
    page.goto("/")
    loaded(page)
    page.focus("#grid .tile >> nth=0")
    for _ in range(8):
        page.keyboard.press("ArrowDown")
        page.evaluate("new Promise((done) => requestAnimationFrame(done))")
    wait_until(lambda: page.evaluate("document.activeElement.matches('.tile')"), seconds=60)
    assert page.evaluate("scrollY") > 500
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#lightbox")).to_be_visible()
    page.keyboard.press("End")
    playwright.expect(page.locator("#shown-name")).to_have_text(years.newest_first[-1])
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#lightbox")).to_be_hidden()
    last = re.compile("^" + re.escape(years.newest_first[-1]))
    wait_until(lambda: page.evaluate("document.activeElement.matches('.tile')"), seconds=60)
    playwright.expect(page.locator("#grid .tile:focus")).to_have_attribute("aria-label", last)
    playwright.expect(page.locator("#grid .tile:focus")).to_be_in_viewport()


@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_serious_in_a_timeline(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(reduced_motion="reduce")
    page.goto("/")
    loaded(page)
    page.wait_for_load_state("networkidle")
    playwright.expect(page.locator("#scrubber")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_findings(page) == []


def test_what_is_indexed_meanwhile_moves_all_after_it(
    browser: Any, years: Years, tmp_path: Path, clipdex: Run
) -> None:
    shutil.copytree(years.collection, tmp_path / "collection")
    with serving(tmp_path / "collection") as server, watched_page(browser, server.url) as page:
        page.goto("/")
        loaded(page)
        playwright.expect(page.locator("#summary")).to_have_text(f"{COUNT} images, newest first")
        write(tmp_path / "more" / "new.jpg", COUNT + 1, datetime(2024, 12, 24), None)
        clipdex("index", tmp_path / "more")
        page.evaluate("scrollTo(0, 20000)")
        playwright.expect(page.locator("#summary")).to_have_text(
            f"{COUNT + 1} images, newest first"
        )
        page.evaluate("scrollTo(0, 0)")
        assert seen(page)[:2] == ["December 2024", "new.jpg"]
