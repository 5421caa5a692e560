"""Hits in notebooks and data frames."""

from pathlib import Path

import pytest

from search import Engine
from search.hit_list import HitList


def test_hits_are_a_list_that_notebooks_show(photos_indexed: tuple[Path, Path]) -> None:
    with Engine.open(photos_indexed[1]) as engine:
        found = (
            engine.search("a cat", k=3),
            engine.similar(1, k=3),
            engine.rank(engine.vectors_of([1])[0], kind="image", k=3),
        )
    for hits in found:
        assert isinstance(hits, HitList)
        assert isinstance(hits, list)
        shown = hits._repr_html_()
        assert shown.count("<img ") == 3
        assert shown.count("data:image/webp;base64,") == 3
        assert [shown.index(Path(hit.path).name) for hit in hits] == sorted(
            shown.index(Path(hit.path).name) for hit in hits
        )


def test_hits_become_tables(photos_indexed: tuple[Path, Path]) -> None:
    pandas = pytest.importorskip("pandas")
    with Engine.open(photos_indexed[1]) as engine:
        hits = engine.search("a cat", k=3)
    frame = hits.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.to_dict("records") == [hit.to_json() for hit in hits]
    table = pytest.importorskip("pyarrow") and hits.to_arrow()
    assert table.to_pylist() == [hit.to_json() for hit in hits]
