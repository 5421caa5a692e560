"""`search --html FILE` and `--open`: the hits as a page that needs nothing else."""

import base64
import os
import re
import shutil
import stat
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

from support.command import Run, json_lines


class Page(HTMLParser):
    """The page's links and images, and the tags that it is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[tuple[str, Image.Image]] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            assert values["src"].startswith("data:image/webp;base64,")
            data = base64.b64decode(values["src"].partition(",")[2], validate=True)
            self.images.append((values["alt"], Image.open(BytesIO(data))))


def test_a_page_shows_the_hits(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    ask = ("search", "a cat", "-k", 4, "--json", "--collection", photos_indexed[1])
    hits = json_lines(clipdex(*ask, "--html", "sheet.html"))
    assert hits == json_lines(clipdex(*ask))
    page = Page((tmp_path / "sheet.html").read_text(encoding="utf-8"))
    assert [unquote(urlsplit(link).path) for link in page.links] == [one["path"] for one in hits]
    assert [name for name, _ in page.images] == [Path(one["path"]).name for one in hits]
    for (_, image), hit in zip(page.images, hits, strict=True):
        assert max(image.size) == min(320, max(hit["width"], hit["height"]))
        assert image.width / image.height == pytest.approx(hit["width"] / hit["height"], rel=0.02)
    assert not page.tags & {"script", "link", "iframe"}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "sheet.html").stat().st_mode) == 0o666 & ~mask
    clipdex("similar", photos_indexed[0] / "coffee.png", "--html", "like.html", *ask[4:])
    assert len(Page((tmp_path / "like.html").read_text()).images) == 5


def test_names_are_text(clipdex: Run, sample_photos: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    name = os.fsdecode(b'<script>alert("1")&amp; \xff.png')
    shutil.copy(sample_photos / "chelsea.png", photos / name)
    shutil.copy(sample_photos / "coffee.png", photos / "gone.png")
    clipdex("index", photos)
    (photos / "gone.png").unlink()
    clipdex("search", "<i>a cat</i>", "--html", tmp_path / "sheet.html")
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "i"}
    assert [name for name, _ in page.images] == ['<script>alert("1")&amp; \ufffd.png']
    assert "cannot be read" in text
    # The link carries the bytes, which the shown name cannot.
    assert os.path.basename(os.fsdecode(_bytes(page.links[0]))) == name


def _bytes(link: str) -> bytes:
    return re.sub(
        rb"%([0-9A-F]{2})", lambda one: bytes([int(one[1], 16)]), urlsplit(link).path.encode()
    )


def test_a_page_that_cannot_be_written_is_one_line(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    ask = ("search", "a cat", "--collection", photos_indexed[1], "--html", "none/sheet.html")
    done = clipdex(*ask, code=1)
    assert done.stderr.count(b"\n") == 1
    assert b"cannot write none/sheet.html: No such file" in done.stderr
    assert not list(tmp_path.glob("**/*.html"))


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for the browser")
def test_a_browser_is_opened(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    browser.chmod(0o700)
    ask = ("search", "a cat", "-k", 2, "--collection", photos_indexed[1], "--open")
    clipdex(*ask, env={"BROWSER": f"{browser} %s"})
    page = Path(urlsplit((tmp_path / "opened").read_text().strip()).path)
    assert page == tmp_path / "cache" / "contact-sheet.html"
    assert len(Page(page.read_text(encoding="utf-8")).images) == 2
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
