"""`clipdex models pull` from a hub on loopback, for real."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkpoints import make_checkpoint
from support.command import Run, json_lines
from support.fake_hub import FakeHub, serving
from support.images import make_photo

TINY = "nobody/tiny"
TAG = "ViT-B-32/laion2b_s34b_b79k"
WEIGHTS = f"{TINY}/open_clip_model.safetensors"
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "open_clip", "huggingface_hub", "transformers"}:
            raise ImportError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    make_checkpoint(folder, {}, {})
    return folder


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[FakeHub]:
    files = {f"{TINY}/{file.name}": file.read_bytes() for file in checkpoint.iterdir()}
    with serving(FakeHub(files)) as running:
        yield running


@pytest.fixture
def environment(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "CLIPDEX_CACHE": str(tmp_path / "cache"),
    }


def test_a_pulled_model_works_without_torch(
    clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    done = clipdex("models", "pull", f"hf-hub:{TINY}", "--json", env=environment)
    pulled = json_lines(done)[0]
    assert (pulled["name"], pulled["dim"]) == (f"hf-hub:{TINY}", 48)
    assert b"downloading open_clip_model.safetensors" in done.stderr
    assert hub.ranges(WEIGHTS) == [None]
    assert not list((tmp_path / "cache" / "downloads").rglob("*.safetensors"))
    make_photo(tmp_path / "photos" / "a.png", 1)
    make_photo(tmp_path / "photos" / "b.png", 2)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKED)
    without = {**environment, "PYTHONPATH": str(tmp_path / "site")}
    asked = len(hub.requests)
    clipdex("index", tmp_path / "photos", "--model", f"hf-hub:{TINY}", env=without)
    hits = json_lines(clipdex("search", "a dog", "--json", env=without))
    assert len(hits) == 2
    status = json_lines(clipdex("status", "--json", env=without))[0]
    assert status["fingerprint"] == pulled["fingerprint"]
    listed = json_lines(clipdex("models", "list", "--json", env=without))
    assert pulled in listed
    checked = json_lines(clipdex("models", "verify", f"hf-hub:{TINY}", "--json", env=without))[0]
    assert checked["good"]
    assert len(hub.requests) == asked
    damaged = next((tmp_path / "cache" / "models").glob("*/text.onnx.data"))
    data = bytearray(damaged.read_bytes())
    data[100] ^= 1
    damaged.write_bytes(data)
    bad = clipdex("models", "verify", f"hf-hub:{TINY}", env=without, code=1)
    assert b"text.onnx.data differ" in bad.stdout


def test_a_download_resumes(
    clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    whole = hub.files[WEIGHTS]
    hub.cut = len(whole) - 1000
    failed = clipdex("models", "pull", f"hf-hub:{TINY}", env=environment, code=1)
    assert failed.stderr.decode().splitlines()[-1].startswith("error: cannot download http")
    part = next((tmp_path / "cache").rglob("*.part"))
    have = part.stat().st_size  # whole chunks of 10 MiB, as huggingface_hub writes them
    assert 0 < have <= hub.cut
    assert part.read_bytes() == whole[:have]
    hub.cut = None
    hub.requests.clear()
    clipdex("models", "pull", f"hf-hub:{TINY}", env=environment)
    assert hub.ranges(WEIGHTS) == [f"bytes={have}-"]


def test_a_wrong_checksum_is_refused_and_the_file_removed(
    clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.sums[WEIGHTS] = "0" * 64
    failed = clipdex("models", "pull", f"hf-hub:{TINY}", env=environment, code=1)
    assert b"has the checksum" in failed.stderr
    assert not list((tmp_path / "cache").rglob("*.part"))
    del hub.sums[WEIGHTS]
    wrong = ("models", "pull", f"hf-hub:{TINY}", "--sha256", "1" * 64)
    assert b"has the checksum" in clipdex(*wrong, env=environment, code=1).stderr
    assert not list((tmp_path / "cache" / "models").glob("*/bundle.json"))
    assert hashlib.sha256(hub.files[WEIGHTS]).hexdigest() == hub.etag(WEIGHTS)


def test_an_unknown_hub_repository_is_a_one_line_error(
    clipdex: Run, environment: dict[str, str]
) -> None:
    failed = clipdex("models", "pull", "hf-hub:nobody/else", env=environment, code=1)
    last = failed.stderr.decode().splitlines()[-1]
    assert last.startswith("error: the hub has no repository nobody/else")


def test_offline_error_names_the_file_and_its_url(
    clipdex: Run, environment: dict[str, str]
) -> None:
    gone = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    failed = clipdex("models", "pull", TAG, env=gone, code=1)
    last = failed.stderr.decode().splitlines()[-1]
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors" in last
    assert f"clipdex models add open_clip_model.safetensors --arch {TAG}" in last


def test_without_torch_compiling_says_what_to_install(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKED)
    env = {"PYTHONPATH": str(tmp_path / "site"), "CLIPDEX_CACHE": str(tmp_path / "cache")}
    failed = clipdex("models", "pull", "ViT-B-32,openai", env=env, code=1)
    assert b"pip install 'clipdex[torch]'" in failed.stderr.splitlines()[-1]
    assert os.fsencode(sys.prefix) not in failed.stderr
