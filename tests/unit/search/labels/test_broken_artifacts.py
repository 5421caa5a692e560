"""Whatever is in the files of a head or concept, it is one or an ArtifactError."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptation.artifact_writer import save
from indexer.errors import ArtifactError
from search.labels.artifact import ARRAYS, MANIFEST, load, manifest_digest
from search.labels.concepts import Concept, find_concept
from search.labels.heads import KINDS, Head, head_with

GOLDEN = Path(__file__).parents[3] / "golden" / "head"
FAST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
OWN = [*sorted((GOLDEN / "heads").iterdir()), *sorted((GOLDEN / "concepts").iterdir())]


@pytest.fixture(params=OWN, ids=lambda place: place.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "heads" / request.param.name))


def opens(folder: Path) -> Head | Concept | None:
    kind = Concept if folder.name == "round" else Head
    try:
        return kind.load(folder)
    except ArtifactError:
        return None


@FAST
@given(file=st.sampled_from([MANIFEST, ARRAYS]), data=st.binary())
def test_any_bytes_are_an_error(file: str, data: bytes, folder: Path) -> None:
    before = (folder / file).read_bytes()
    (folder / file).write_bytes(data)
    assert opens(folder) is None
    (folder / file).write_bytes(before)
    assert opens(folder) is not None


@FAST
@given(data=st.data())
def test_any_entry_is_good_or_an_error(data: st.DataObject, folder: Path) -> None:
    file = folder / MANIFEST
    before = file.read_bytes()
    manifest = json.loads(before)
    manifest[data.draw(st.sampled_from(sorted(manifest)))] = data.draw(VALUES)
    try:
        manifest["digest"] = manifest_digest(manifest)
    except UnicodeEncodeError:
        return
    file.write_text(json.dumps(manifest))
    made = opens(folder)
    if isinstance(made, Head):
        shares = made.probabilities(np.eye(2, made.dim, dtype=np.float32))
        assert shares.shape == (2, len(made.classes))
        assert np.isfinite(shares).all()
    file.write_bytes(before)


@FAST
@given(data=st.data())
def test_arrays_fit_or_are_an_error(data: st.DataObject, folder: Path, tmp_path: Path) -> None:
    found = load(folder)
    name = data.draw(st.sampled_from(sorted(found.arrays)))
    shape = data.draw(st.lists(st.integers(0, 4), max_size=3))
    value = data.draw(st.sampled_from([1.0, 0.0, np.nan, np.inf]))
    arrays = {**found.arrays, name: np.full(shape, value, np.float32)}
    entries = {k: one for k, one in found.metadata.items() if k not in ("arrays", "digest", "name")}
    changed = save(tmp_path / "changed", folder.name, entries, arrays)
    made = opens(changed)
    if isinstance(made, Head):
        assert np.isfinite(made.probabilities(np.eye(2, made.dim, dtype=np.float32))).all()


def test_kinds_know_their_shapes() -> None:
    assert all("dim" in {side for sides in shapes.values() for side in sides} for _, shapes in
               KINDS.values())  # fmt: skip


def test_a_broken_head_is_passed_over(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "heads", tmp_path / "heads")
    mark = json.loads((tmp_path / "heads" / "probe" / MANIFEST).read_text())["fingerprint"]
    (tmp_path / "heads" / "probe" / MANIFEST).write_text("[" * 100_000)
    head = head_with(tmp_path, "cat", mark)
    assert head is not None
    assert head.name != "probe"
    # It may be the one that knows.
    with pytest.raises(ArtifactError, match="probe"):
        head_with(tmp_path, "horse", mark)


def test_long_words_are_no_concepts(tmp_path: Path) -> None:
    (tmp_path / "concepts").mkdir()
    assert find_concept(tmp_path, "a" * 120_000) is None
