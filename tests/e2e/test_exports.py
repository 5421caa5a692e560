"""CLIPs that others exported, pulled from a hub on loopback, run where torch cannot be imported."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.command import COMMAND, Run, json_lines
from support.exports import export, make_model
from support.fake_hub import FakeHub, serving
from support.images import make_photo
from support.waiting import wait_until

MODELS = {
    "immich": "immich-app/ViT-Tiny__laion2b",
    "immich2": "immich-app/ViT-Tiny__laion2b@v2",
    "rclip": "yurijmikhalevich/rclip-models",
    "transformers": "Xenova/clip-tiny",
    "siglip": "Xenova/siglip-tiny",
    "immich siglip": "immich-app/ViT-Tiny-SigLIP__webli",
    "pair": "Qdrant/clip-tiny-vision",
}
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "open_clip", "transformers", "onnx"}:
            raise ImportError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("models")
    return {
        "folder": folder,
        "clip": make_model(folder / "clip"),
        "siglip": make_model(folder / "siglip", "siglip"),
    }


@pytest.fixture(scope="module")
def repositories(models: dict[str, object]) -> Path:
    """The repositories of a hub, each in the layout of its family."""
    folder = models["folder"] / "hub"  # type: ignore[operator]
    clip, siglip = models["clip"], models["siglip"]
    words = models["folder"] / "siglip"  # type: ignore[operator]
    odd = "2202c01a-47f5-11ef-ab4b-00155d655292"
    export(clip, folder / "immich-app/ViT-Tiny__laion2b", "immich", batch=1, weights=odd)
    export(clip, folder / "v2/immich-app/ViT-Tiny__laion2b", "immich2", weights="model.safetensors")
    export(clip, folder / "yurijmikhalevich/rclip-models", "rclip")
    export(clip, folder / "Xenova/clip-tiny", "transformers")
    export(siglip, folder / "Xenova/siglip-tiny", "transformers", tokenizer=words)
    name = "immich-app/ViT-Tiny-SigLIP__webli"
    export(siglip, folder / name, "immich", tokenizer=words, batch=1)
    export(clip, folder / "Qdrant", "pair")
    return folder


@pytest.fixture
def hub(repositories: Path) -> Iterator[FakeHub]:
    with serving(FakeHub(_files(repositories))) as running:
        yield running


def _files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def environment(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKED)
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "CLIPDEX_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(tmp_path / "site"),
    }


@pytest.mark.parametrize("family", MODELS)
def test_an_export_is_pulled_and_finds_what_open_clip_finds(
    family: str,
    clipdex: Run,
    hub: FakeHub,
    models: dict[str, object],
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = MODELS[family]
    if "@" in name:  # another branch of the same repository
        repo = name.partition("@")[0]
        for file in [file for file in hub.files if file.startswith(f"{repo}/")]:
            del hub.files[file]
        hub.files = {key.removeprefix("v2/"): data for key, data in hub.files.items()}
    done = clipdex("models", "pull", name, "--force", "--json", env=environment)
    pulled = json_lines(done)[0]
    assert b"and captions find each other" in done.stderr
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.png", number)
    clipdex("index", tmp_path / "photos", "--model", pulled["name"], env=environment)
    hits = json_lines(clipdex("search", "a dog", "--json", env=environment))
    assert len(hits) == 3
    verified = json_lines(clipdex("models", "verify", pulled["name"], "--json", env=environment))[0]
    assert verified["good"]
    assert any("captions" in one for one in verified["findings"])

    from indexer.bundles.samples import sample_images, sample_texts
    from indexer.encoders.onnx_encoder import OnnxEncoder
    from indexer.load import find_bundle

    monkeypatch.setenv("CLIPDEX_CACHE", environment["CLIPDEX_CACHE"])
    encoder = OnnxEncoder(find_bundle(pulled["name"]), device="cpu")
    loaded = models["siglip" if "siglip" in family else "clip"]
    images, texts = sample_images(5), sample_texts()
    ours = encoder.encode_images(np.stack([encoder.preprocess.pixels(one) for one in images]))
    theirs = loaded.encode_images(images)  # type: ignore[attr-defined]
    assert (ours * theirs).sum(axis=1).min() >= 0.9999
    ids = np.asarray(loaded.tokenizer(texts))  # type: ignore[attr-defined]
    theirs = loaded.encode_ids(ids)  # type: ignore[attr-defined]
    assert (encoder.encode_texts(texts) * theirs).sum(axis=1).min() >= 0.9999
    assert encoder.bundle.text.cut == (family == "transformers")


def test_a_folder_is_added_and_its_other_copy_has_the_same_fingerprint(
    clipdex: Run, repositories: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(repositories / "Xenova/clip-tiny", folder)
    added = clipdex("models", "add", folder, "--name", "own", "--force", "--json", env=environment)
    pulled = clipdex("models", "pull", "Xenova/clip-tiny", "--force", "--json", env=environment)
    assert json_lines(added)[0]["fingerprint"] == json_lines(pulled)[0]["fingerprint"]
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "resample": 2}))
    again = clipdex("models", "add", folder, "--force", "--json", env=environment)
    assert json_lines(again)[0]["fingerprint"] != json_lines(added)[0]["fingerprint"]
    failed = clipdex("index", folder, "--model", "own", "--precision", "int8", env=environment,
                     code=1)  # fmt: skip
    assert failed.stderr.decode().splitlines()[-1].startswith("error: --precision int8 needs")


def test_a_smaller_variant_is_compared_with_full_precision(
    clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    for tower in ("vision_model", "text_model"):
        name = f"{REPO}/onnx/{tower}.onnx"
        (tmp_path / "wide.onnx").write_bytes(hub.files[name])
        quantization.quantize_dynamic(tmp_path / "wide.onnx", tmp_path / "narrow.onnx")
        narrow = (tmp_path / "narrow.onnx").read_bytes()
        hub.files[name.replace(".onnx", "_quantized.onnx")] = narrow
    missing = clipdex("models", "pull", REPO, "--variant", "q4", env=environment, code=1)
    assert b"its variants are quantized (--variant)" in missing.stderr.splitlines()[-1]
    clipdex("models", "pull", REPO, "--force", env=environment)
    asked = ("models", "pull", REPO, "--variant", "quantized", "--force", "--json")
    done = clipdex(*asked, env=environment)
    assert json_lines(done)[0]["name"] == f"{REPO}:quantized"
    assert b"cosine with full precision 0.9" in done.stderr
    make_photo(tmp_path / "photos" / "a.png", 1)
    clipdex("index", tmp_path / "photos", "--model", f"{REPO}:quantized", env=environment)
    assert len(json_lines(clipdex("search", "a dog", "--json", env=environment))) == 1


def test_a_model_that_ranks_at_chance_is_refused(
    clipdex: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    failed = clipdex("models", "pull", "Xenova/clip-tiny", env=environment, code=1)
    last = failed.stderr.decode().splitlines()[-1]
    assert "no better than guessing" in last
    assert "--force" in last
    assert _left(tmp_path) == []


def test_a_model_with_the_wrong_activation_is_refused_and_the_right_one_named(
    clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    wrong = "immich-app/ViT-B-32__openai"
    for name, data in list(hub.files.items()):
        if name.startswith("immich-app/ViT-Tiny__laion2b/"):
            hub.files[name.replace("ViT-Tiny__laion2b", "ViT-B-32__openai")] = data
    failed = clipdex("models", "pull", wrong, env=environment, code=1)
    last = failed.stderr.decode().splitlines()[-1]
    assert "QuickGELU" in last
    assert "Qdrant/clip-ViT-B-32" in last
    assert _left(tmp_path) == []


REPO = "Xenova/clip-tiny"


def _wrong_sum(hub: FakeHub) -> str:
    hub.sums[f"{REPO}/onnx/text_model.onnx"] = "0" * 64
    return "has the checksum"


def _outside(hub: FakeHub) -> str:
    hub.files[f"{REPO}/../../../outside.json"] = b"{}"
    hub.files[f"{REPO}/onnx/vision_model.onnx"] = b"not a graph"
    return "is not an ONNX model"


def _huge(hub: FakeHub) -> str:
    hub.sizes[f"{REPO}/onnx/vision_model.onnx"] = 20 * 10**9
    return "the hub announces 20.0 GB"


def _html(hub: FakeHub) -> str:
    hub.files[f"{REPO}/preprocessor_config.json"] = b"<html><body>Sign in</body></html>"
    return "preprocessor_config.json of the export is damaged"


def _html_listing(hub: FakeHub) -> str:
    hub.answers[f"/api/models/{REPO}"] = (200, {"Content-Type": "text/html"}, b"<html>")
    return "cannot ask the hub"


def _loop(hub: FakeHub) -> str:
    path = f"/{REPO}/resolve/main/onnx/text_model.onnx"
    hub.answers[path] = (302, {"Location": path}, b"")
    return "cannot download"


def _unauthorized(hub: FakeHub) -> str:
    hub.answers[f"/api/models/{REPO}"] = (401, {"X-Error-Code": "GatedRepo"}, b"")
    return "HF_TOKEN"


def _busy(hub: FakeHub) -> str:
    hub.answers[f"/api/models/{REPO}"] = (429, {"Retry-After": "1"}, b"")
    return "asks to wait"


def _other_size(hub: FakeHub) -> str:
    hub.sizes[f"{REPO}/onnx/text_model.onnx"] = 12_345
    return "and the repository lists 12,345"


@pytest.mark.parametrize(
    "lie",
    [_wrong_sum, _outside, _huge, _html, _html_listing, _loop, _unauthorized, _busy, _other_size],
)
def test_a_repository_that_lies_is_one_line_and_nothing_stays(
    lie: object, clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    expected = lie(hub)  # type: ignore[operator]
    failed = clipdex("models", "pull", REPO, "--force", env=environment, code=1)
    lines = failed.stderr.decode().splitlines()
    assert lines[-1].startswith("error: ")
    assert expected in lines[-1]
    assert "Traceback" not in failed.stderr.decode()
    # A loop of redirects may be the network's fault, so what arrived before it is kept.
    assert lie is _loop or _left(tmp_path) == []
    assert not list(tmp_path.rglob("outside.json"))


def test_weights_outside_the_folder_are_refused(
    clipdex: Run, repositories: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    source = repositories / "immich-app/ViT-Tiny__laion2b"
    odd = b"2202c01a-47f5-11ef-ab4b-00155d655292"
    for number, place in enumerate((b"/etc/passwd", b"../../../../secret")):
        folder = tmp_path / f"mine{number}"
        shutil.copytree(source, folder)
        graph = folder / "visual" / "model.onnx"
        graph.write_bytes(graph.read_bytes().replace(odd, place.ljust(len(odd), b"x")))
        failed = clipdex("models", "add", folder, "--force", env=environment, code=1)
        assert b"outside its folder" in failed.stderr.splitlines()[-1]
    folder = tmp_path / "linked"
    shutil.copytree(source, folder)
    (folder / "visual" / odd.decode()).unlink()
    (folder / "visual" / odd.decode()).symlink_to("/etc/passwd")
    failed = clipdex("models", "add", folder, "--force", env=environment, code=1)
    assert b"lacks visual/" in failed.stderr.splitlines()[-1]
    assert _left(tmp_path) == []


def test_a_snapshot_in_the_hubs_cache_is_a_folder_like_others(
    clipdex: Run, repositories: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    snapshot = tmp_path / "models--Xenova--clip-tiny" / "snapshots" / "abc"
    blobs = tmp_path / "models--Xenova--clip-tiny" / "blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(sorted((repositories / REPO).rglob("*.*"))):
        shutil.copy(file, blobs / str(number))
        link = snapshot / file.relative_to(repositories / REPO)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    clipdex("models", "add", snapshot, "--force", env=environment)


def test_a_killed_pull_leaves_nothing_after_the_next(
    clipdex: Run, repositories: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    add = ("models", "add", repositories / REPO, "--force")
    killed = subprocess.Popen(
        [COMMAND, *map(str, add)], env={**os.environ, **environment}, cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    models = tmp_path / "cache" / "models"
    wait_until(lambda: any(models.glob(".export-*/bundle/bundle.json")))
    killed.kill()
    killed.wait()
    assert any(models.glob(".export-*"))
    clipdex(*add, env=environment)
    assert not any(models.glob(".export-*"))


def test_offline_names_what_to_fetch_and_the_command_that_takes_it(
    clipdex: Run, environment: dict[str, str]
) -> None:
    gone = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    failed = clipdex("models", "pull", "Xenova/clip-tiny", env=gone, code=1)
    last = failed.stderr.decode().splitlines()[-1]
    assert "http://127.0.0.1:9/Xenova/clip-tiny" in last
    assert "clipdex models add FOLDER" in last


def test_a_cut_download_goes_on(
    clipdex: Run, hub: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.cut = 10_000_000
    failed = clipdex("models", "pull", REPO, "--force", env=environment, code=1)
    assert failed.stderr.decode().splitlines()[-1].startswith("error: cannot download")
    parts = list((tmp_path / "cache" / "downloads").rglob("*.part"))
    assert parts
    hub.cut = None
    clipdex("models", "pull", REPO, "--force", env=environment)
    assert not list((tmp_path / "cache" / "downloads").rglob("*"))


def _left(folder: Path) -> list[Path]:
    """What the cache keeps of a model that was refused: nothing but the locks of names."""
    found = [
        file for part in ("models", "downloads") for file in (folder / "cache" / part).rglob("*")
    ]
    return [file for file in found if file.is_file() and file.suffix != ".lock"]
