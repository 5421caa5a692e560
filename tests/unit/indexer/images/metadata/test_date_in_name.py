"""Dates in file names; real patterns of phones and messengers."""

from datetime import UTC, datetime

import pytest

from indexer.images.metadata.date_in_name import date_in_name


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("IMG-20240315-WA0482.jpg", "2024-03-15"),
        ("2024-03-15 18.22.07.jpg", "2024-03-15T18:22:07"),
        ("IMG_20240315_182207.jpg", "2024-03-15T18:22:07"),
        ("PXL_20240315_182207123.jpg", "2024-03-15T18:22:07"),
        ("PXL_20240315_182207123.MP.jpg", "2024-03-15T18:22:07"),
        ("20240315_182207.heic", "2024-03-15T18:22:07"),
        ("20240315_182207(1).jpg", "2024-03-15T18:22:07"),
        ("Screenshot_2024-03-15-18-22-07.png", "2024-03-15T18:22:07"),
        ("Screenshot_20240315-182207_Maps.png", "2024-03-15T18:22:07"),
        ("signal-2024-03-15-18-22-07-123.jpg", "2024-03-15T18:22:07"),
        ("signal-2024-03-15-182207.jpeg", "2024-03-15T18:22:07"),
        ("WhatsApp Image 2024-03-15 at 18.22.07.jpeg", "2024-03-15T18:22:07"),
        ("Photo 2024-03-15, at 18:22:07.jpeg", "2024-03-15T18:22:07"),
        ("photo_2024-03-15.jpg", "2024-03-15"),
        ("Rome 2024.03.15 (3).jpg", "2024-03-15"),
        ("DSC_0815.JPG", None),
        ("20240315.jpg", None),  # any number
        ("scan-20240315.jpg", None),
        ("IMG_20241315_182207.jpg", None),  # no such month
        ("IMG_20240230.jpg", None),
        ("2024-03-15-99-99-99.jpg", None),
        ("1889-04-20.jpg", None),
        ("120240315_182207.jpg", None),
        ("2024-03-151.jpg", None),
        ("2024-03_15.jpg", None),
        ("", None),
    ],
)
def test_names_of_phones_and_messengers(name: str, date: str | None) -> None:
    found = date_in_name(b"/photos/1999-01-01/" + name.encode())
    if date is None:
        assert found is None
        return
    assert found is not None
    assert found.offset is None
    expected = datetime.fromisoformat(date).replace(tzinfo=UTC)
    assert datetime.fromtimestamp(found.seconds, UTC) == expected


def test_bytes_that_are_no_text_are_read_around() -> None:
    found = date_in_name(b"/photos/\xff\xfe IMG_20240315_182207 \xe9.jpg")
    assert found is not None
    assert datetime.fromtimestamp(found.seconds, UTC).hour == 18
