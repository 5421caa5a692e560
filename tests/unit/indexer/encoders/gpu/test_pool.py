"""The processes of GPUs, on CPU tensors: order, faults, and the end."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer import build
from indexer.bundles.bundle import Bundle
from indexer.encoders.gpu.pool import GpuEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import DeviceUnavailable, ModelError, OutOfMemory, WorkerLost
from indexer.images.decode import Limits, decode
from indexer.model_name import BUILT_IN_FOLDER
from search import Engine
from support import tensor_encoders
from support.command import REPOSITORY
from support.images import make_photo
from support.waiting import wait_until

pytest.importorskip("open_clip")

POCKET = Bundle.load(BUILT_IN_FOLDER)

Make = Callable[..., GpuEncoder]


@pytest.fixture
def make() -> Iterator[Make]:
    """Encoders of two devices (or as named), whose processes end with the test."""
    made: list[GpuEncoder] = []

    def encoder(load: Any, devices: tuple[str, ...] = ("fake:0", "fake:1"), **options: Any) -> Any:
        made.append(GpuEncoder(POCKET, devices, load, **options))
        return made[-1]

    yield encoder
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def photos(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-image's photos, a copy of one, and a file that is not an image."""
    folder = tmp_path_factory.mktemp("photos")
    for photo in (*sample_photos.glob("*.png"), *sample_photos.glob("*.jpg")):
        shutil.copy(photo, folder)
    shutil.copy(sample_photos / "chelsea.png", folder / "zz-again.png")
    (folder / "bad.jpg").write_text("no image")
    return folder


def pixels_of(folder: Path) -> np.ndarray:
    files = [file for file in sorted(folder.iterdir()) if file.name != "bad.jpg"]
    images = [decode(file.read_bytes(), Limits(), at_least=POCKET.image.size) for file in files]
    return np.stack([POCKET.image.pixels(one.image) for one in images])


def colors(folder: Path, count: int, unlucky: int | None = None) -> Path:
    """Images of one color each; of that number, the color that encoders fail at."""
    folder.mkdir()
    for number in range(count):
        red = tensor_encoders.UNLUCKY if number == unlucky else 20 + number
        Image.new("RGB", (64, 64), (red, number, 7)).save(folder / f"{number:03}.png")
    return folder


def stored(collection: Path) -> dict[bytes, np.ndarray]:
    with closing(sqlite3.connect(collection / "catalogue.sqlite3")) as connection:
        rows = connection.execute(
            "SELECT hash, vector FROM contents JOIN embeddings ON content = id"
        ).fetchall()
    return {key: np.frombuffer(vector, "<f2").astype(np.float32) for key, vector in rows}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_end(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_running, pids)))


@pytest.mark.long
def test_two_processes_make_the_cpus_collection(
    make: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.load import load_torch

    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    told: list[str] = []
    devices = make(load_torch, ("cpu", "cpu"), on_progress=told.append)
    theirs = OnnxEncoder(POCKET, device="cpu", threads=2)
    reports = [
        build([photos], collection=tmp_path / name, encoder=encoder, batch_size=4)
        for name, encoder in (("gpu", devices), ("cpu", theirs))
    ]
    assert told == ["2 GPUs (cpu, cpu), fp32"]
    assert [(one.indexed, one.reused, one.failed) for one in reports] == [(26, 1, 1)] * 2
    ours, expected = stored(tmp_path / "gpu"), stored(tmp_path / "cpu")
    assert ours.keys() == expected.keys()
    assert min(float(ours[key] @ expected[key]) for key in ours) >= 0.999
    for query in ("a cat", "a cup of coffee", "a rocket", "the moon"):
        found = []
        for name in ("gpu", "cpu"):
            with Engine.open(tmp_path / name) as engine:
                found.append([hit.paths[0] for hit in engine.search(query, k=5)])
        assert found[0] == found[1]
    # The processes are still there for a second run, which reads what is new only.
    again = build([photos, colors(tmp_path / "new", 5)], collection=tmp_path / "gpu",
                  encoder=devices)  # fmt: skip
    assert (again.indexed, again.unchanged) == (5, 28)


def test_the_built_in_model_settles_on_fp16(photos: Path) -> None:
    from indexer.encoders.gpu.torch_encoder import TorchEncoder
    from indexer.weights.image_tower import tower_from_graph

    bundle = OnnxEncoder(POCKET, device="cpu", threads=2)
    encoder = TorchEncoder(POCKET, tower_from_graph(POCKET), precision="bf16")
    pixels = pixels_of(photos)
    full = bundle.encode_images(pixels)
    bf16 = (encoder.encode_images(pixels) * full).sum(axis=1)
    # Rounded to eight bits, a network of 60 convolutions moves pale images too far.
    assert bf16.min() < 0.999
    assert encoder.settle_precision() >= 0.999
    assert encoder.precision == "fp16"
    palest = np.argsort(bf16)[:6]  # fp16 is slow on a CPU
    fp16 = (encoder.encode_images(pixels[palest]) * full[palest]).sum(axis=1)
    assert fp16.min() >= 0.999


@pytest.mark.parametrize(
    ("load", "error", "message"),
    [
        (tensor_encoders.not_here, DeviceUnavailable, "no device fake:0 here"),
        (tensor_encoders.broken, ModelError, "libcudart.so.13.*--device cpu"),
        (tensor_encoders.dead_on_arrival, ModelError, "fake:0 has ended .exit code 3.*--device"),
    ],
)
def test_a_device_that_does_not_start_is_an_error(
    make: Make, load: Any, error: type[Exception], message: str
) -> None:
    encoder = make(load, devices=("fake:0",))
    with pytest.raises(error, match=message) as caught:
        encoder.prepare(1000, 4)
    assert "\n" not in str(caught.value)
    assert not encoder.reads_files


def test_the_cpu_takes_over_from_optional_devices(make: Make) -> None:
    told: list[str] = []
    encoder = make(tensor_encoders.not_here, ("fake:0",), optional=True, on_progress=told.append)
    encoder.prepare(1_000_000, None)
    assert told == ["continuing on the CPU: no device fake:0 here: use --device cpu"]
    assert not encoder.reads_files
    assert encoder.encode_images(np.zeros((2, 3, 260, 260), np.uint8)).shape == (2, 512)


def test_small_runs_stay_on_the_cpu(make: Make) -> None:
    encoder = make(tensor_encoders.drawing, ("fake:0",), optional=True)
    encoder.prepare(3, None)
    assert not encoder.reads_files
    encoder.prepare(1_000_000, None)
    assert encoder.reads_files


@pytest.mark.parametrize(
    ("load", "error", "message"),
    [
        (tensor_encoders.failing, ModelError, "ValueError: an unlucky image"),
        (tensor_encoders.full, OutOfMemory, "memory of fake:0"),
        (tensor_encoders.dying, ModelError, r"has ended \(exit code 7\).*run the same command"),
    ],
)
def test_a_failed_batch_keeps_earlier_ones(
    make: Make, tmp_path: Path, load: Any, error: type[Exception], message: str
) -> None:
    folder = colors(tmp_path / "photos", 24, unlucky=20)
    encoder = make(load, devices=("fake:0",))
    with pytest.raises(error, match=message) as caught:
        build([folder], collection=tmp_path / "c", encoder=encoder, batch_size=4, workers=1)
    assert "\n" not in str(caught.value)
    assert not encoder.reads_files  # its processes have ended
    kept = len(stored(tmp_path / "c"))
    assert kept == (0 if load is tensor_encoders.full else 20)
    report = build([folder], collection=tmp_path / "c", encoder=OnnxEncoder(POCKET, device="cpu"))
    assert (report.indexed, report.unchanged) == (24 - kept, kept)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_killed_decoder_ends_the_run(make: Make, tmp_path: Path) -> None:
    folder = colors(tmp_path / "photos", 60)
    encoder = make(tensor_encoders.slow, devices=("fake:0",))

    def kill_a_decoder(progress: Any) -> None:
        if progress.stage == "index" and progress.done:
            (process,) = (worker.process for worker in encoder._processes)
            for child in descendants(process.pid or 0):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(WorkerLost, match="fewer --workers"):
        build([folder], collection=tmp_path / "c", encoder=encoder, batch_size=4, workers=1,
              on_progress=kill_a_decoder)  # fmt: skip
    assert 0 < len(stored(tmp_path / "c")) < 60


def descendants(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for one in lists for child in one.read_text().split()]
    return [
        child for child in children
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]  # fmt: skip


def test_close_ends_the_processes(make: Make) -> None:
    encoder = make(tensor_encoders.drawing)
    encoder.prepare(1000, 4)
    pids = [worker.process.pid or 0 for worker in encoder._processes]
    assert len(set(pids)) == 2
    encoder.close()
    encoder.close()
    assert not any(map(is_running, pids))
    encoder.prepare(1000, 4)
    assert encoder.reads_files


def test_garbage_collection_ends_the_processes() -> None:
    encoder = GpuEncoder(POCKET, ("fake:0",), tensor_encoders.drawing)
    encoder.prepare(1000, 4)
    pids = [worker.process.pid or 0 for worker in encoder._processes]
    del encoder
    wait_for_end(pids)


# No `if __name__ == "__main__"`: a process that ran this script again would start processes, too.
SCRIPT = """
import sys, threading, time
from pathlib import Path
from indexer import build
from indexer.bundles.bundle import Bundle
from indexer.model_name import BUILT_IN_FOLDER
from indexer.encoders.gpu.pool import GpuEncoder
from support import tensor_encoders

load, what, photos, collection = sys.argv[1:]
encoder = GpuEncoder(Bundle.load(BUILT_IN_FOLDER), ("fake:0",), getattr(tensor_encoders, load))

def children():
    found, pending = [], ["self"]
    while pending:
        lists = Path(f"/proc/{pending.pop()}/task").glob("*/children")
        pids = [pid for one in lists for pid in one.read_text().split()]
        found += pids
        pending += pids
    return found

def tell(progress=None):
    if progress is None or (progress.stage == "index" and progress.done):
        print(*children(), flush=True)
        if what == "idle":
            time.sleep(600)

if what == "loading":
    threading.Thread(target=encoder.prepare, args=(1000, 4), daemon=True).start()
    while not children():
        time.sleep(0.02)
    time.sleep(1)
    tell()
    time.sleep(600)
build([photos], collection=collection, encoder=encoder, batch_size=4, workers=1, on_progress=tell)
"""


def run_script(folder: Path, load: str, what: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    make_photo(folder / "photos" / "a.png", 1)
    (folder / "script.py").write_text(SCRIPT)
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
    running = subprocess.Popen(
        [sys.executable, folder / "script.py", load, what, folder / "photos", folder / "c"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stdout is not None
    return running, [int(pid) for pid in running.stdout.readline().split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("load", "what"), [("drawing", "idle"), ("endless", "loading")])
def test_processes_end_when_their_parent_is_killed(load: str, what: str, tmp_path: Path) -> None:
    running, pids = run_script(tmp_path, load, what)
    assert pids
    running.kill()
    running.communicate(timeout=300)
    wait_for_end(pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_script_without_a_main_check_ends(tmp_path: Path) -> None:
    running, pids = run_script(tmp_path, "drawing", "done")
    _, messages = running.communicate(timeout=300)
    assert (running.returncode, messages) == (0, b"")
    wait_for_end(pids)


def test_gpu_process_imports() -> None:
    code = (
        "import sys, indexer.encoders.gpu.feeding, indexer.encoders.gpu.pool; "
        "heavy = {'faiss', 'torch', 'open_clip', 'typer', 'rich'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
