"""Names in archives: none leads elsewhere, is a device, or is another's."""

import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.images.safe_names import DEVICES, Names, safe_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/photos/2024/IMG_0815.jpg", "IMG_0815.jpg"),
        ("/photos/café 👩\u200d💻.jpg".encode(), "café 👩\u200d💻.jpg"),
        (b"/photos/cafe\xcc\x81.jpg", "café.jpg"),
        (b"/photos/a\xff.jpg", "a\ufffd.jpg"),
        (b"/photos/..\\..\\evil.exe.jpg", "_.._evil.exe.jpg"),
        (b"/photos/C:\\evil.jpg", "C__evil.jpg"),
        (b"/photos/a\nb\x1b[2Jc\x7f.jpg", "a_b_[2Jc_.jpg"),
        ("/photos/gpj\u202e.exe".encode(), "gpj_.exe"),
        (b"/photos/...jpg", "jpg"),
        (b"/photos/..", "image"),
        (b"/photos/.hidden", "hidden"),
        (b"/photos/ .jpg", "jpg"),
        (b"/photos/trailing.jpg. . ", "trailing.jpg"),
        (b"/photos/con.jpg", "_con.jpg"),
        (b"/photos/NUL", "_NUL"),
        (b"/photos/nul .tar.jpg", "_nul .tar.jpg"),
        ("/photos/com¹.jpg".encode(), "_com¹.jpg"),
        (b"/photos/console.jpg", "console.jpg"),
        (b"/photos/" + b"x" * 251 + b".jpg", "x" * 200 + ".jpg"),
        (b"/photos/" + b"x." * 30 + b"y" * 60, ("x." * 30 + "y" * 60)),
        (b"s3://bucket/a?b.jpg", "a_b.jpg"),
    ],
)  # fmt: skip
def test_a_name_is_what_every_system_takes(path: bytes, name: str) -> None:
    assert safe_name(path) == name


def test_a_suffix_replaces_that_of_the_file() -> None:
    assert safe_name(b"/photos/IMG.HEIC", ".webp") == "IMG.webp"
    assert safe_name(b"/photos/IMG", ".webp") == "IMG.webp"


@given(st.binary(max_size=300).filter(lambda name: b"\0" not in name))
def test_no_name_leads_anywhere(name: bytes) -> None:
    safe = safe_name(b"/photos/" + name)
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('<>:"/\\|?*')
    assert safe == safe.strip(" .")
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in safe)
    assert PureWindowsPath(safe).name == safe
    assert safe.partition(".")[0].rstrip().upper() not in DEVICES
    assert len(safe.encode()) <= 255


@given(st.lists(st.sampled_from(["a.jpg", "A.JPG", "a (2).jpg", "missing.txt", "é", "e\u0301"])))
def test_each_file_has_a_name_of_its_own(wanted: list[str]) -> None:
    names = Names("missing.txt")
    given_ = [names.take(name) for name in wanted]
    keys = {unicodedata.normalize("NFKC", name).casefold() for name in given_}
    assert len(keys) == len(given_)
    assert "missing.txt" not in keys


def test_numbers_stand_before_the_suffix() -> None:
    names = Names()
    found = [names.take(name) for name in ("a.jpg", "A.jpg", "a.jpg", "b", "b")]
    assert found == ["a.jpg", "A (2).jpg", "a (3).jpg", "b", "b (2)"]
