"""One box for what images show and for what they are called: names, folders, tags, cameras."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from support.browser import chromium, needs_chromium, serious_findings, watched_page
from support.command import COMMAND, REPOSITORY, Run, json_lines
from support.servers import Served, serving

CANON = ("Canon", "Canon EOS R6", "RF24-105mm F4 L IS USM")
NIKON = ("NIKON CORPORATION", "NIKON Z 6", "")
PHONE = ("Xiaomi", "M2007J20CG", "")
# By the photo: where it lies, what took it, and its user's tags. The names mislead about "cat".
LIBRARY: dict[str, tuple[str, tuple[str, str, str] | None, tuple[str, ...]]] = {
    "chelsea.png": ("Pets/DSC_0815.jpg", CANON, ("favourite",)),
    "coffee.png": ("Italy 2019/Roma/IMG-20190714-WA0007.jpg", PHONE, ()),
    "camera.png": ("Italy 2019/Città di Castello/IMG_2034.jpg", NIKON, ()),
    "rocket.jpg": ("Work/presentation final.jpg", None, ()),
    "moon.png": ("Night sky/P1010022.jpg", ("Panasonic", "DMC-GX9", ""), ()),
    "hubble_deep_field.jpg": ("Night sky/deep field.jpg", None, ()),
    "astronaut.png": ("Scans/Großmutter 1961.jpg", None, ("Ada",)),
    "coins.png": ("Scans/Münzen.jpg", None, ()),
    "page.png": ("Scans/letter from Anna.jpg", None, ()),
    "horse.png": ("Drawings/cat food.png", None, ()),
    "motorcycle_left.png": ("Garage/left.png", None, ("for sale",)),
    "brick.png": ("Garage/wall.png", None, ()),
    "grass.png": ("Garden/lawn.png", None, ()),
    "clock_motion.png": ("Old/x17.png", None, ("grandfather",)),
    "retina.jpg": ("Clinic/eye-2.jpg", None, ()),
}
# Ten by name, five by folder, four by tag, four by camera, and seven by what they show.
QUERIES = {
    "IMG_2034": "camera.png",
    "img 2034": "camera.png",
    "DSC_0815.jpg": "chelsea.png",
    "WA0007": "coffee.png",
    "presentation": "rocket.jpg",
    "letter from anna": "page.png",
    "GROßMUTTER": "astronaut.png",
    "munzen": "coins.png",
    "x17": "clock_motion.png",
    "deep fields": "hubble_deep_field.jpg",
    "Roma": "coffee.png",
    "citta": "camera.png",
    "clinic": "retina.jpg",
    "drawing": "horse.png",
    "pet": "chelsea.png",
    "ada": "astronaut.png",
    "favourites": "chelsea.png",
    "grandfather": "clock_motion.png",
    "for sale": "motorcycle_left.png",
    "nikon": "camera.png",
    "canon eos": "chelsea.png",
    "DMC-GX9": "moon.png",
    "xiaomi": "coffee.png",
    "a cat": "chelsea.png",
    "a cup of coffee": "coffee.png",
    "a rocket launch": "rocket.jpg",
    "a motorcycle": "motorcycle_left.png",
    "a page of text": "page.png",
    "a brick wall": "brick.png",
    "coins": "coins.png",
}
# What the box understands besides words, and the images that pass.
CONDITIONS = {
    "name:img": {"coffee.png", "camera.png"},
    "name:IMG_20": {"camera.png", "coffee.png"},
    "in:ital": {"coffee.png", "camera.png"},
    'in:"italy 2019/citta"': {"camera.png"},
    "tag:Ada": {"astronaut.png"},
    'tag:"for sale"': {"motorcycle_left.png"},
    "camera:eos": {"chelsea.png"},
    "lens:24-105": {"chelsea.png"},
    "in:scans -name:anna": {"astronaut.png", "coins.png"},
    "in:italy -camera:nikon": {"coffee.png"},
    "in:garage -tag:sale": {"motorcycle_left.png", "brick.png"},
    'in:garage -tag:"for sale"': {"brick.png"},
    "after:2019-07-14 before:2019-07-15": {"coffee.png"},
    "before:2019-07-14 name:img": set(),
    "on:07-14 in:roma": {"coffee.png"},
    "on:7-13 in:roma": set(),
    "in:roma -on:07-14": set(),
    "name:nothing-of-the-kind": set(),
}


@pytest.fixture(scope="module")
def library(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(photos, collection): the library, indexed."""
    base = tmp_path_factory.mktemp("named")
    photos, collection = base / "photos", base / "collection"
    for name, (place, camera, _) in LIBRARY.items():
        path = photos / place
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if camera is not None:
            exif[0x010F], exif[0x0110] = camera[:2]
            exif.get_ifd(0x8769)[0xA434] = camera[2]
        with Image.open(sample_photos / name) as image:
            image.convert("RGB").save(path, exif=exif)
    subprocess.run(
        [COMMAND, "index", photos, "--collection", collection], check=True, capture_output=True
    )
    for _, (place, _, tags) in LIBRARY.items():
        for tag in tags:
            subprocess.run(
                [COMMAND, "tags", "add", tag, photos / place, "--collection", collection],
                check=True, capture_output=True,
            )  # fmt: skip
    return photos, collection


@pytest.fixture(scope="module")
def server(library: tuple[Path, Path]) -> Iterator[Served]:
    with serving(library[1]) as running:
        yield running


def asked(server: Served, text: str, **more: object) -> dict[str, Any]:
    answer = server.get("/v1/search", params={"q": text, "names": True, "k": 50, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sources(answer: dict[str, Any]) -> list[str]:
    """The sample photos that the hits were made of."""
    by_place = {place: name for name, (place, _, _) in LIBRARY.items()}
    return [by_place[hit["path"]] for hit in answer["hits"]]


@pytest.mark.parametrize("text", QUERIES)
def test_the_right_file_comes_first(server: Served, text: str) -> None:
    answer = asked(server, text)
    assert sources(answer)[0] == QUERIES[text]
    assert len(answer["hits"]) == answer["total"] == len(LIBRARY)


def test_hits_say_what_named_them(server: Served) -> None:
    found = asked(server, "cat")
    by_name = dict(zip(sources(found), found["hits"], strict=True))
    assert by_name["horse.png"]["found_by"] == ["name"]
    assert by_name["chelsea.png"]["found_by"] == []
    assert found["total_named"] == 1
    # What is neither a match nor named comes after what is, in the order of its scores.
    rest = [hit["score"] for hit in found["hits"] if not hit["found_by"]]
    assert rest == sorted(rest, reverse=True)
    named = asked(server, "nikon citta img")
    assert named["hits"][0]["found_by"] == ["name", "camera", "folder"]
    assert asked(server, "ada")["hits"][0]["found_by"] == ["tag"]


def test_pages_do_not_overlap(server: Served) -> None:
    whole = sources(asked(server, "a cat in italy"))
    parts = [
        source
        for offset in range(0, len(LIBRARY), 4)
        for source in sources(asked(server, "a cat in italy", k=4, offset=offset))
    ]
    assert parts == whole


@pytest.mark.parametrize("text", CONDITIONS)
def test_conditions(server: Served, text: str) -> None:
    answer = asked(server, text)
    assert set(sources(answer)) == CONDITIONS[text]
    assert answer["total"] == len(CONDITIONS[text])
    with_words = asked(server, f"a thing {text}")
    assert set(sources(with_words)) == CONDITIONS[text]


def test_a_timeline_of_conditions(server: Served) -> None:
    def months(text: str) -> dict[str, int]:
        answer = server.get("/v1/timeline", params={"q": text}).json()
        return {one["month"]: one["count"] for one in answer["months"]}

    assert months("in:roma") == {"2019-07": 1}
    assert sum(months("in:italy").values()) == 2
    assert months("name:nothing-of-the-kind") == {}


def test_a_minus_sign_steers_away(server: Served) -> None:
    plain = {hit["id"]: hit["score"] for hit in asked(server, "an animal")["hits"]}
    steered = {hit["id"]: hit["score"] for hit in asked(server, "an animal -cat")["hits"]}
    by_not = server.get("/v1/search", params={"q": "an animal", "not": "cat", "k": 50}).json()
    assert steered == {hit["id"]: hit["score"] for hit in by_not["hits"]}
    assert steered != plain


def test_text_is_taken_as_it_is_without_names(server: Served) -> None:
    plain = server.get("/v1/search", params={"q": "tag:Ada", "k": 50}).json()
    assert len(plain["hits"]) == len(LIBRARY)
    assert plain["total_named"] is None
    assert not any(hit["found_by"] for hit in plain["hits"])
    scores = [hit["score"] for hit in plain["hits"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "text", ["before:soon", "after:2024-13", "after:2024 before:2023", "on:02-30"]
)
def test_dates_that_are_none_are_refused(server: Served, text: str) -> None:
    refused = server.get("/v1/search", params={"q": text, "names": True})
    assert refused.status_code == 422
    assert "date" in refused.json()["detail"]


@pytest.mark.parametrize(
    "text", ["tag:", "name:", '"', "-", "--", 'name:"', "in:*", "a:b:c", "name:" + "x" * 1900]
)
def test_whatever_is_typed_is_answered(server: Served, text: str) -> None:
    for whole in (text, f"dog {text}"):
        for more in ({}, {"min_relevance": 0.5}):
            answer = server.get("/v1/search", params={"q": whole, "names": True, **more})
            assert answer.status_code == 200, answer.text


def test_the_command_has_the_same_grammar(library: tuple[Path, Path], server: Served) -> None:
    def found(*arguments: str) -> list[str]:
        done = subprocess.run(
            [COMMAND, "search", *arguments, "--collection", library[1], "--json", "-k", "50"],
            check=True, capture_output=True,
        )  # fmt: skip
        return [hit["path"] for hit in json_lines(done)]

    def path(name: str) -> str:
        return str(library[0] / LIBRARY[name][0])

    assert set(found("in:ital", "name:img")) == {path("coffee.png"), path("camera.png")}
    assert found("camera:eos") == [path("chelsea.png")]
    assert found('in:garage -tag:"for sale"') == [path("brick.png")]
    assert found("--names", "IMG_2034")[0] == path("camera.png")
    assert found("IMG_2034")[0] != path("camera.png")  # unless names are asked for
    by_page = [hit["path"] for hit in asked(server, "a cat in italy")["hits"]]
    assert found("--names", "a cat in italy") == [str(library[0] / place) for place in by_page]
    refused = subprocess.run(
        [COMMAND, "search", "before:soon", "--collection", library[1]], capture_output=True
    )
    assert refused.returncode == 2
    assert b"is not a date" in refused.stderr


def test_names_follow_moved_and_forgotten_files(
    clipdex: Run, library: tuple[Path, Path], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(library[0], photos)
    clipdex("index", photos)

    def names(text: str) -> list[str]:
        return [Path(hit["path"]).name for hit in json_lines(clipdex("search", text, "--json"))]

    assert names("name:2034") == ["IMG_2034.jpg"]
    (photos / "Italy 2019").rename(photos / "Umbria")
    clipdex("index", photos)
    assert names("in:italy") == []
    assert sorted(names("in:umbria")) == ["IMG-20190714-WA0007.jpg", "IMG_2034.jpg"]
    clipdex("forget", photos / "Umbria")
    assert names("in:umbria") == []


def test_an_older_collection_says_why_names_are_not_known(clipdex: Run, tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "tests" / "golden" / "collection" / "index", tmp_path / "collection"
    )
    failed = clipdex("search", "name:cat", code=1)
    assert b"clipdex migrate" in failed.stderr
    before = clipdex("search", "a cat", "--json").stdout
    assert clipdex("search", "a cat", "--names", "--json").stdout == before
    clipdex("migrate")
    assert json_lines(clipdex("search", "name:rocket", "--json"))


def test_suggestions_complete_what_is_typed(server: Served) -> None:
    def suggested(text: str) -> list[tuple[str, str]]:
        answer = server.get("/v1/suggestions", params={"q": text})
        assert answer.status_code == 200
        return [(one["text"], one["shown"]) for one in answer.json()["suggestions"]]

    assert suggested("boats in:cit") == [('boats in:"Città di Castello" ', "Città di Castello")]
    assert suggested("-tag:for") == [('-tag:"for sale" ', "for sale")]
    assert suggested("lens:RF24")[0][0].startswith('camera:"Canon EOS R6')
    assert ("camera:", "camera:") in suggested("cam")
    assert suggested("a") == suggested("") == suggested("zebra ") == []
    assert ("in:Pets ", "Pets") in suggested("pet")
    # Each leads to images.
    for text, _ in [*suggested("in:"), *suggested("tag:"), *suggested("camera:")]:
        assert asked(server, text)["hits"], text


@needs_chromium
def test_the_box_of_the_page(server: Served) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    with chromium() as browser, watched_page(browser, server.url) as page:
        page.goto("/")
        expect(page.locator("#grid .tile")).to_have_count(len(LIBRARY))
        page.fill("#text", "in:ital")
        option = page.get_by_role("option", name="Italy 2019")
        expect(option).to_be_visible()
        expect(page.locator("#grid")).not_to_have_class("stale")
        assert serious_findings(page) == []
        page.keyboard.press("ArrowDown")
        expect(option).to_have_attribute("aria-selected", "true")
        page.keyboard.press("Enter")
        expect(page.locator("#text")).to_have_value('in:"Italy 2019" ')
        expect(page.locator("#grid .tile")).to_have_count(2)
        expect(page.locator("#summary")).to_have_text("2 images, newest first")
        page.keyboard.type("nikon")
        first = page.locator("#grid li:first-child .tile")
        expect(first).to_have_attribute("aria-label", re.compile("IMG_2034.jpg.*by its camera"))
        expect(page.locator("#summary")).to_contain_text("1 image named so")
        page.fill("#text", "x17")
        expect(first).to_have_attribute("aria-label", re.compile("x17.png.*by its name"))
        page.go_back()
        expect(page.locator("#grid .tile")).to_have_count(len(LIBRARY))
        page.fill("#text", "ta")
        expect(page.locator("#suggestions")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#suggestions")).to_be_hidden()
