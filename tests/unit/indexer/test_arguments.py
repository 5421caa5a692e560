"""One thing where several may be given, in the functions that users call."""

from pathlib import Path

import numpy as np
import pytest

from adaptation.sidecars import plan
from indexer import build
from indexer.arguments import several
from indexer.errors import RootUnavailable, TagError
from indexer.pipeline.embed_files import tasks_of
from indexer.testing import FakeEncoder
from search.evaluation.dataset import read_ground_truth
from search.labels.zero_shot import Labeller
from search.ranking.image_query import encode_image_files
from support.images import make_photo


def test_texts_paths_and_bytes_are_not_taken_apart() -> None:
    assert several("cat") == ("cat",)
    assert several(b"cat") == (b"cat",)
    assert several(Path("a/b")) == (Path("a/b"),)
    assert several(["a", "b"]) == ("a", "b")
    assert several(iter("ab")) == ("a", "b")
    for wrong in (None, 1.5):
        with pytest.raises(TypeError, match="one or several"):
            several(wrong)


def test_public_functions_take_one(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png", 1)
    make_photo(tmp_path / "photos" / "b.gif", 2)
    encoder = FakeEncoder()
    report = build(
        str(tmp_path / "photos"), collection=str(tmp_path / "c"), encoder=encoder, exclude="*.gif"
    )
    assert report.indexed == 1
    assert len(tasks_of(photo)[0]) == len(tasks_of(str(photo))[0]) == 1  # type: ignore[arg-type]
    assert Labeller(encoder, "a cat", "a photo of a {}").labels == ["a cat"]
    assert encode_image_files(encoder, photo).shape == (1, encoder.dim)  # type: ignore[arg-type]
    assert np.array_equal(encoder.encode_texts("ab"), encoder.encode_texts(["ab"]))  # type: ignore[arg-type]
    (tmp_path / "truth.csv").write_text("path,label\na.png,cat\n")
    assert len(read_ground_truth(str(tmp_path / "truth.csv"))) == 1
    with pytest.raises(TagError):
        list(plan({photo: "Dog"}))  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="typo"):
        build(photo, typo=1)  # type: ignore[call-arg]


def test_only_what_a_collection_knows_can_be_unplugged(tmp_path: Path) -> None:
    photos = make_photo(tmp_path / "drive" / "photos" / "a.png", 1).parent
    encoder = FakeEncoder()

    def wrong(path: Path) -> str:
        with pytest.raises(RootUnavailable) as caught:
            build(path, collection=tmp_path / "c", encoder=encoder)
        return str(caught.value)

    never = wrong(tmp_path / "nowhere")
    assert "nowhere is not there" in never
    assert "plug" not in never
    assert not (tmp_path / "c").exists()
    build(photos, collection=tmp_path / "c", encoder=encoder)
    assert "plug" not in wrong(tmp_path / "nowhere")
    assert "not there (embedded null" in wrong(Path("a\0b"))
    photos.parent.rename(tmp_path / "elsewhere")
    for known in (photos, photos / "deeper", photos.parent):
        assert "plug it in" in wrong(known)
