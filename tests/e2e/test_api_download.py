"""Downloads: what lies in a zip, what it leaves out, and that memory does not grow with it."""

import io
import os
import zipfile
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from indexer import build
from serving.images.archives import MAX_DOWNLOADS
from support.command import Run
from support.images import make_photo
from support.servers import Served, serving
from support.waiting import wait_until


def opened(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="images.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return archive


@pytest.fixture
def indexed(clipdex: Run, tmp_path: Path) -> tuple[Path, Path]:
    """(photos, collection) of names that are alike, damaged, and hostile."""
    photos = tmp_path / "photos"
    for seed, name in enumerate(("a/IMG.jpg", "b/img.JPG", "b/old.png", "gone.png")):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        make_photo(photos / name, seed)
    exif = Image.Exif()
    exif[0x010E] = "<script>secret place</script>"
    Image.new("RGB", (90, 60), "red").save(photos / "exif.jpg", exif=exif)
    Image.new("RGB", (90, 60), "blue").save(photos / "scan.tif")
    Image.new("RGB", (90, 60), "lime").save(os.fsencode(photos) + b"/x..\\..\\e\nvil\xff.png")
    clipdex("index", photos)
    return photos, tmp_path / "collection"


def ids(server: Served) -> list[int]:
    return sorted(hit["id"] for hit in server.get("/v1/search?k=500").json()["hits"])


def test_a_zip_holds_each_file_as_it_is_served(indexed: tuple[Path, Path]) -> None:
    photos, collection = indexed
    with serving(collection) as server:
        every = ids(server)
        (photos / "gone.png").unlink()
        listed = ",".join(map(str, [*every, every[0], 10**9]))
        archive = opened(server.get(f"/v1/download?ids={listed}"))
        names = archive.namelist()
        assert sorted(name.casefold() for name in names) == [
            "exif.jpg", "img (2).jpg", "img.jpg", "missing.txt", "old.png", "scan.webp",
            "x.._.._e_vil\ufffd.png",
        ]  # fmt: skip
        files = [server.get(f"/v1/images/{number}/file") for number in every]
        served = {one.content for one in files if one.status_code == 200}
        assert {archive.read(name) for name in names if name != "missing.txt"} == served
        assert b"secret" not in archive.read("exif.jpg")
        missing = archive.read("missing.txt").decode().splitlines()
        assert len(missing) == 2
        assert ": gone.png: the file is gone" in missing[0]
        assert missing[1] == "1000000000: no image has the id 1000000000"
        assert str(photos.parent) not in "".join(missing)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        posted = opened(server.post("/v1/download", json={"image_ids": [*every, 10**9]}))
        assert posted.namelist() == names
        none = server.get("/v1/download?ids=999998,999999")
        assert (none.status_code, none.json()["detail"]) == (404, "no image has any of these ids")
        assert server.get("/v1/download?ids=1", headers={"Connection": "close"}).status_code == 200
        assert httpx.head(f"{server.url}/v1/download?ids=1").status_code == 200


def test_originals_are_the_files_themselves(indexed: tuple[Path, Path]) -> None:
    photos, collection = indexed
    os.utime(photos / "exif.jpg", (1e9, 1e9))
    with serving(collection, "--originals") as server:
        archive = opened(server.get(f"/v1/download?ids={','.join(map(str, ids(server)))}"))
        assert archive.read("old.png") == (photos / "b" / "old.png").read_bytes()
        assert archive.read("scan.tif") == (photos / "scan.tif").read_bytes()
        changed = [info.date_time[0] for info in archive.infolist() if info.filename == "old.png"]
        assert changed[0] >= 2024
        # Its time is no longer what was indexed.
        assert "exif.jpg" not in archive.namelist()
        assert b"exif.jpg: the file" in archive.read("missing.txt")


def test_memory_does_not_grow_with_a_download(tmp_path: Path) -> None:
    """300 MB in files of 5 MB come through a server that grows by less than a fifth of them."""
    photos = tmp_path / "photos"
    photos.mkdir()
    draw = np.random.default_rng(1)
    for number in range(60):
        pixels = draw.integers(0, 256, (1290, 1290, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.bmp")
    build([photos], collection=tmp_path / "collection")
    with serving(tmp_path / "collection", "--originals") as server:
        numbers = ",".join(map(str, ids(server)))
        address = f"{server.url}/v1/download?ids={numbers}"
        received, before = 0, peak(server)
        with httpx.stream("GET", address, timeout=300) as answer:
            for part in answer.iter_raw():
                received += len(part)
        grown = peak(server) - before
        assert received > 295e6
        # Clients that take nothing hold an image each, so that there may be only so many.
        with ExitStack() as stack:
            for _ in range(MAX_DOWNLOADS):
                waiting = stack.enter_context(httpx.stream("GET", address, timeout=60))
                assert waiting.status_code == 200
            refused = httpx.get(address, timeout=60)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        one = f"{server.url}/v1/download?ids={numbers.partition(',')[0]}"
        wait_until(lambda: httpx.get(one, timeout=60).status_code == 200)
        assert not any("Traceback" in line for line in server.log)
    assert grown < 60e6, f"received {received / 1e6:.0f} MB, grew by {grown / 1e6:.1f} MB"


def ids_of_all(server: Served) -> list[int]:
    return sorted(hit["id"] for hit in server.get("/v1/search?k=500").json()["hits"])


def peak(server: Served) -> float:
    """The most bytes of memory that the server has had."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        pytest.skip("this system does not say how much memory a process had")
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
    return float(line.split()[1]) * 1024
