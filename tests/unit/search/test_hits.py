import pytest

from search.hits import Hit

YEAR_2096 = 3_976_300_800


def test_a_hit_does_not_claim_to_be_from_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    hit = Hit(1, 1, (b"/a.jpg",), 0.0, None, 1, 1, (86_400 * 10**9,), YEAR_2096)
    assert hit.taken_at is not None
    assert hit.taken_at.startswith("1970-01-0")
    monkeypatch.setattr("time.time", lambda: float(YEAR_2096))
    assert hit.taken_at == "2096-01-02T00:00:00"
