"""A folder with everything that breaks indexers, indexed by the command."""

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from support.command import Run, json_lines


def png_bomb(path: Path, side: int = 50_000) -> None:
    """A small file that says it is 50,000 x 50,000."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))


@pytest.fixture
def folder(tmp_path: Path, sample_photos: Path) -> Path:
    folder = tmp_path / "hostile"
    folder.mkdir()
    cat = Image.open(sample_photos / "chelsea.png").convert("RGB")
    coffee = Image.open(sample_photos / "coffee.png").convert("RGB")
    turned = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation, undo in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = cat if undo is None else cat.transpose(undo)
        stored.save(folder / f"turned-{orientation}.jpg", quality=95, exif=exif)
    coffee.convert("CMYK").save(folder / "cmyk.jpg")
    grey = np.asarray(coffee.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "sixteen.png")
    palette = cat.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(folder / "palette.png", transparency=3)
    cat.save(folder / "moving.gif", save_all=True, append_images=[coffee])
    coffee.save(os.path.join(os.fsencode(folder), b"caf\xe9.png"))
    whole = folder / "cut.jpg"
    coffee.save(whole)
    (folder / "header.jpg").write_bytes(whole.read_bytes()[:650])
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    deep = (4000 * (np.asarray(cat.convert("L")) / 255)).astype(np.uint16)
    Image.fromarray(deep).save(folder / "deep.tif")
    (folder / "text.jpg").write_text("this is not an image\n")
    (folder / "empty.png").touch()
    png_bomb(folder / "bomb.png")
    (folder / "loop").symlink_to(folder)
    (folder / "self.jpg").symlink_to(folder / "self.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return folder


FAILURES = {
    "header.jpg": "damaged: ",
    "text.jpg": "not an image of a format that clipdex reads",
    "empty.png": "empty file",
    "bomb.png": "50000 x 50000 pixels is above the limit of 200 megapixels (--max-pixels raises",
}


def test_bad_files_are_listed_once(clipdex: Run, folder: Path, tmp_path: Path) -> None:
    done = clipdex("index", folder, "--json", code=3)
    (report,) = json_lines(done)
    assert (report["indexed"], report["failed"]) == (15, 4)
    messages = done.stderr.decode().splitlines()
    assert len(messages) == len(FAILURES)
    status = clipdex("status").stdout.decode()
    for name, reason in FAILURES.items():
        (message,) = [line for line in messages if name in line]
        assert reason in message
        assert status.count(name) == 1
    hits = json_lines(clipdex("search", "a cat", "-k", 11, "--json"))
    names = {Path(hit["path"]).name for hit in hits}
    cats = {f"turned-{number}.jpg" for number in range(1, 9)} | {"palette.png", "moving.gif"}
    cats.add("deep.tif")
    assert names == cats
    hits = json_lines(clipdex("search", "a cup of coffee", "-k", 4, "--json"))
    assert {Path(hit["path"]).name for hit in hits} == {
        "cmyk.jpg", "sixteen.png", "caf\ufffd.png", "cut.jpg"
    }  # fmt: skip
    assert "notes       1 brightness stretched\n            1 partly readable\n" in status
    (counts,) = [row["notes"] for row in json_lines(clipdex("status", "--json"))]
    assert counts == {"partly readable": 1, "brightness stretched": 1}


def test_a_photo_from_the_future_has_its_files_time(
    clipdex: Run, tmp_path: Path, sample_photos: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    exif = Image.Exif()
    exif[0x0132] = "2424:07:14 12:30:05"
    Image.open(sample_photos / "rocket.jpg").save(photos / "wrong.jpg", exif=exif)
    os.utime(photos / "wrong.jpg", (1_000_000_000, 1_000_000_000))  # September 2001
    clipdex("index", photos)
    for since, count in (("2001", 1), ("2002", 0)):
        hits = json_lines(clipdex("search", "a rocket", "--since", since, "--json"))
        assert len(hits) == count


def test_the_eight_orientations_of_one_photo_are_one_image(
    clipdex: Run, folder: Path, tmp_path: Path
) -> None:
    clipdex("index", folder, "--exclude", "[!t]*", "--exclude", "text.jpg")
    catalog = Catalog.open(Collection(tmp_path / "collection"))
    model = catalog.active_model()
    assert model is not None
    ((_, vectors),) = catalog.embeddings(model.fingerprint)
    catalog.close()
    assert len(vectors) == 8
    assert (vectors @ vectors.T).min() > 0.99


def test_unreadable_files_and_read_only_collections(
    clipdex: Run, folder: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and util-linux's setpriv, to run without root's right to read all")
    rights = "-dac_override,-dac_read_search"
    mortal = ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")
    nobody = 65534
    secret, closed = folder / "secret.jpg", folder / "closed"
    shutil.copy(folder / "cmyk.jpg", secret)
    closed.mkdir()
    for place, mode in ((secret, 0o600), (closed, 0o700)):
        place.chmod(mode)
        os.chown(place, nobody, nobody)
    done = clipdex("index", folder, "--json", code=3, prefix=mortal)
    lines = done.stderr.decode()
    assert "secret.jpg: cannot be read: Permission denied" in lines
    assert "closed: folder cannot be read: Permission denied" in lines
    (report,) = json_lines(done)
    assert (report["indexed"], report["failed"]) == (15, 6)
    collection = tmp_path / "collection"
    for place in (collection / "catalogue.sqlite3", collection / "vectors", collection):
        place.chmod(0o555)
    try:
        found = clipdex("search", "a cat", "--json", prefix=mortal)
        assert len(json_lines(found)) == 10
        refused = clipdex("index", folder, code=1, prefix=mortal).stderr
        assert refused.startswith(b"error: cannot write to")
    finally:
        collection.chmod(0o755)
