"""Whatever a manifest holds, it is a bundle or a BundleError."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from indexer.bundles.bundle import Bundle
from indexer.errors import BundleError
from indexer.model_name import BUILT_IN_FOLDER, MANIFEST

WRITTEN = json.loads((BUILT_IN_FOLDER / MANIFEST).read_text())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FAST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in BUILT_IN_FOLDER.iterdir():
        if file.name != MANIFEST:
            os.symlink(file, tmp_path / file.name)
    return tmp_path


def loads(folder: Path, data: bytes) -> Bundle | None:
    (folder / MANIFEST).write_bytes(data)
    try:
        return Bundle.load(folder)
    except BundleError:
        return None


@FAST
@given(data=st.binary())
@example(data=b"[" * 100_000)
@example(data=b'{"format": 1}')
def test_any_bytes_are_a_bundle_or_an_error(data: bytes, folder: Path) -> None:
    assert loads(folder, data) is None


@FAST
@given(key=st.sampled_from(sorted(WRITTEN)), value=VALUES)
def test_any_entry_is_good_or_an_error(key: str, value: Any, folder: Path) -> None:
    made = loads(folder, json.dumps({**WRITTEN, key: value}).encode())
    if made is not None:
        made.save()
        assert Bundle.load(folder) == made


@FAST
@given(part=st.sampled_from(["image", "text"]), data=st.data())
def test_any_setting_is_good_or_an_error(part: str, data: st.DataObject, folder: Path) -> None:
    key = data.draw(st.sampled_from(sorted(WRITTEN[part])))
    changed = {**WRITTEN[part], key: data.draw(VALUES)}
    made = loads(folder, json.dumps({**WRITTEN, part: changed}).encode())
    if made is not None:
        hash((made.image.size, made.image.mean, made.text.clips))


@pytest.mark.parametrize("key", sorted(WRITTEN))
def test_missing_entries_are_errors_or_have_a_default(key: str, folder: Path) -> None:
    rest = {name: value for name, value in WRITTEN.items() if name != key}
    made = loads(folder, json.dumps(rest).encode())
    optional = {"relevance", "checksums", "logit_bias", "architecture", "quantized", "tuned"}
    assert (made is None) == (key not in optional)


def test_captions_have_to_fit(folder: Path) -> None:
    made = loads(folder, json.dumps({**WRITTEN, "dim": 7}).encode())
    assert made is not None
    with pytest.raises(BundleError, match="vectors of 7 numbers"):
        _ = made.bank
