"""The processes of devices, with runners that need no torch: order, faults, and the end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.bundles.bundle import Bundle
from indexer.bundles.names import BUILT_IN_FOLDER
from indexer.encoders.gpu import shared_batches
from indexer.encoders.gpu.pool import DeviceEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import DeviceUnavailable, ModelError, OutOfMemory
from support import runners
from support.command import REPOSITORY

POCKET = Bundle.load(BUILT_IN_FOLDER)
BUNDLE = replace(POCKET, dim=runners.DIM, image=replace(POCKET.image, size=(8, 8)))

Make = Callable[..., DeviceEncoder]


@pytest.fixture
def make() -> Iterator[Make]:
    """Encoders of two devices (or as named), whose processes end with the test."""
    made: list[DeviceEncoder] = []

    def encoder(load: Any, devices: tuple[str, ...] = ("fake:0", "fake:1"), **options: Any) -> Any:
        made.append(DeviceEncoder(BUNDLE, devices, load=load, **options))
        return made[-1]

    yield encoder
    for one in made:
        one.close()


def images(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(14, 256, size=(count, 3, 8, 8), dtype=np.uint8)


def processes(encoder: DeviceEncoder) -> list[int]:
    return [worker.process.pid or 0 for worker in encoder._workers]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_end(pids: list[int], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(is_running, pids))


def test_each_batch_gets_its_own_vectors_from_several_processes(make: Make) -> None:
    told: list[str] = []
    encoder = make(runners.slow, on_progress=told.append)
    encoder.prepare(1000, 16)
    assert told == ["2 GPUs (fake:0, fake:1), 16 images a batch, plain"]
    assert (encoder.lanes, encoder.batch_size, encoder.decode_in_processes) == (4, 16, True)
    assert encoder.batch_sizes == (16,)
    assert len(set(processes(encoder))) == 2
    batches = [images(1 + number % 16, number) for number in range(40)]
    began = time.monotonic()
    with ThreadPoolExecutor(encoder.lanes) as lanes:
        found = list(lanes.map(encoder.encode_images, batches))
    taken = time.monotonic() - began
    for batch, vectors in zip(batches, found, strict=True):
        assert np.array_equal(vectors, runners.vectors_of(batch))
    # 40 batches of 0.05 s in two processes with two batches each under way: half a second and
    # what this machine's other work adds; one after the other it would be 2 s.
    assert taken < 1.6


def test_batches_larger_than_a_slot_are_encoded_in_parts(make: Make) -> None:
    encoder = make(runners.plain)
    encoder.prepare(1000, 16)
    batch = images(100)
    assert np.array_equal(encoder.encode_batch(list(batch)), runners.vectors_of(batch))
    assert encoder.encode_images(batch[:0]).shape == (0, runners.DIM)


def test_the_batch_size_is_found_by_trial_or_bounded_by_the_run(make: Make) -> None:
    encoder = make(runners.plain)
    encoder.prepare(100_000)
    assert encoder.batch_size == runners.PlainRunner.fits
    small = make(runners.plain)
    small.prepare(9)
    assert small.batch_size == 3  # so that both processes have two batches to do
    first = processes(small)
    small.prepare(8)
    assert processes(small) == first
    small.prepare(100_000)
    assert small.batch_size == runners.PlainRunner.fits
    second = processes(small)
    small.prepare(1_000_000)
    assert processes(small) == second


def test_compiling_is_left_to_runs_that_are_long(make: Make) -> None:
    told: list[str] = []
    make(runners.plain, on_progress=told.append).prepare(1000, 4)
    make(runners.compiling, on_progress=told.append).prepare(1000, 4)
    assert ["compiled" in line for line in told] == [False, True]


def test_little_shared_memory_makes_batches_small_or_is_named(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = 3 * 8 * 8
    monkeypatch.setattr(shared_batches, "room", lambda: 40 * image)
    encoder = make(runners.plain)
    encoder.prepare(1000)
    assert encoder.batch_size == 5

    def full(name: str, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared_batches, "_reserve", full)
    with pytest.raises(ModelError, match="no room for a batch.*--shm-size.*--batch-size"):
        make(runners.plain).prepare(1000)


def test_nothing_is_left_in_shared_memory(make: Make) -> None:
    before = set(os.listdir(shared_batches.PLACE))
    encoder = make(runners.plain)
    encoder.prepare(1000, 16)
    assert set(os.listdir(shared_batches.PLACE)) <= before  # not even while they run
    assert len(encoder.encode_images(images(3))) == 3


@pytest.mark.parametrize(
    ("load", "error", "message"),
    [
        (runners.not_here, DeviceUnavailable, "no device fake:0 here"),
        (runners.broken, ModelError, "libcudart.so.13.*--device cpu"),
        (runners.dead_on_arrival, ModelError, "on fake:0 has ended .exit code 3.*--device cpu"),
    ],
)
def test_a_device_that_does_not_start_is_one_line_and_leaves_no_process(
    make: Make, load: Any, error: type[Exception], message: str
) -> None:
    encoder = make(load, devices=("fake:0",))
    with pytest.raises(error, match=message) as caught:
        encoder.prepare(1000, 4)
    assert "\n" not in str(caught.value)
    assert not encoder._workers


def test_where_devices_are_optional_the_cpu_takes_over() -> None:
    told: list[str] = []
    with DeviceEncoder(
        POCKET, ("fake:0",), optional=True, on_progress=told.append, load=runners.not_here
    ) as encoder:
        encoder.prepare(1_000_000)
        assert told == ["going on with the CPU: no device fake:0 here: use --device cpu"]
        assert not encoder.decode_in_processes
        assert encoder.encode_images(np.zeros((2, 3, 260, 260), np.uint8)).shape == (2, 512)


def test_small_jobs_stay_on_the_cpu_where_devices_are_optional() -> None:
    with DeviceEncoder(POCKET, ("fake:0",), optional=True, load=runners.plain) as encoder:
        encoder.prepare(3)
        assert not encoder._workers
        assert encoder.batch_size == 4
        assert encoder.encode_images(np.zeros((2, 3, 260, 260), np.uint8)).shape == (2, 512)
        encoder.prepare(1_000_000)
        assert len(encoder._workers) == 1


def test_an_error_in_a_process_fails_its_batch_alone(make: Make) -> None:
    encoder = make(runners.failing)
    encoder.prepare(1000, 4)
    unlucky = images(4)
    unlucky[2] = 13
    with pytest.raises(ModelError, match="ValueError: an unlucky image"):
        encoder.encode_images(unlucky)
    for _ in range(8):
        assert len(encoder.encode_images(images(4))) == 4


def test_memory_that_does_not_hold_one_image_is_told_as_such(make: Make) -> None:
    encoder = make(runners.full, devices=("fake:0",))
    encoder.prepare(1000, 4)
    with pytest.raises(OutOfMemory, match="memory of fake:0"):
        encoder.encode_images(images(4))


def test_a_process_that_dies_fails_all_that_wait_and_nothing_hangs(make: Make) -> None:
    encoder = make(runners.dying, devices=("fake:0",))
    encoder.prepare(1000, 4)
    deadly = images(4)
    deadly[0] = 13
    with pytest.raises(ModelError, match=r"fake:0 has ended \(exit code 7\)"):
        encoder.encode_images(deadly)
    with pytest.raises(ModelError, match="run the same command to go on"):
        encoder.encode_images(images(4))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_killing_a_process_is_told_with_the_signal(make: Make) -> None:
    encoder = make(runners.slow)
    encoder.prepare(1000, 4)
    first, second = processes(encoder)
    with ThreadPoolExecutor(4) as lanes:
        waiting = [lanes.submit(encoder.encode_images, images(4)) for _ in range(40)]
        time.sleep(0.2)
        os.kill(first, signal.SIGKILL)
        failures = [one.exception(timeout=20) for one in waiting]
    told = {str(one) for one in failures if one is not None}
    assert len(told) == 1
    assert "signal 9" in told.pop()
    encoder.close()
    assert wait_for_end([first, second])


def test_closing_ends_the_processes_and_they_can_be_started_again(make: Make) -> None:
    encoder = make(runners.plain)
    encoder.prepare(1000, 4)
    pids = processes(encoder)
    encoder.close()
    encoder.close()
    assert not any(map(is_running, pids))
    assert encoder.batch_sizes == OnnxEncoder(BUNDLE, device="cpu").batch_sizes
    encoder.prepare(1000, 4)
    assert len(encoder.encode_images(images(4))) == 4


def test_an_encoder_that_is_forgotten_ends_its_processes() -> None:
    encoder = DeviceEncoder(BUNDLE, ("fake:0",), load=runners.plain)
    encoder.prepare(1000, 4)
    pids = processes(encoder)
    del encoder
    assert wait_for_end(pids)


# No `if __name__ == "__main__"`: a process that ran this script again would start processes, too.
SCRIPT = """
import os, sys, time, runners
from pathlib import Path
import numpy as np
from test_devices_bundle import BUNDLE
from indexer.devices import DeviceEncoder
encoder = DeviceEncoder(BUNDLE, ("fake:0", "fake:1"), load=getattr(runners, sys.argv[1]))
if sys.argv[2] != "loading":
    encoder.prepare(1000, 4)
    print(*(worker.process.pid for worker in encoder._workers), flush=True)
else:
    import threading
    threading.Thread(target=encoder.prepare, args=(1000, 4), daemon=True).start()
    children = []
    while len(children) < 3:  # the two, and Python's keeper of shared memory
        time.sleep(0.05)
        lists = Path("/proc/self/task").glob("*/children")
        children = [pid for one in lists for pid in one.read_text().split()]
    time.sleep(0.5)
    print(*children, flush=True)
encoder.encode_images(np.zeros((4, 3, 8, 8), np.uint8)) if sys.argv[2] == "done" else time.sleep(60)
"""
SHARED_BUNDLE = """
from dataclasses import replace
from support import runners
from indexer.bundle import Bundle
from indexer.models import BUILT_IN_FOLDER
POCKET = Bundle.load(BUILT_IN_FOLDER)
BUNDLE = replace(POCKET, dim=runners.DIM, image=replace(POCKET.image, size=(8, 8)))
"""


def run_script(folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    (folder / "script.py").write_text(SCRIPT)
    (folder / "test_devices_bundle.py").write_text(SHARED_BUNDLE)
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests", folder)))
    running = subprocess.Popen(
        [sys.executable, folder / "script.py", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stdout is not None
    return running, [int(pid) for pid in running.stdout.readline().split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("what", ["plain idle", "endless loading"])
def test_processes_end_when_their_parent_is_killed(what: str, tmp_path: Path) -> None:
    running, pids = run_script(tmp_path, *what.split())
    were_running = [is_running(pid) for pid in pids]
    running.kill()
    running.communicate(timeout=20)
    assert were_running in ([True] * 2, [True] * 3)
    assert wait_for_end(pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_script_without_a_main_guard_ends_by_itself_and_cleanly(tmp_path: Path) -> None:
    running, pids = run_script(tmp_path, "plain", "done")
    _, messages = running.communicate(timeout=20)
    assert (running.returncode, messages) == (0, b"")
    assert len(pids) == 2
    assert wait_for_end(pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ctrl_c_reaches_the_parent_alone(tmp_path: Path) -> None:
    running, pids = run_script(tmp_path, "plain", "idle")
    os.killpg(running.pid, signal.SIGINT)
    _, messages = running.communicate(timeout=20)
    assert messages.count(b"Traceback") == 1  # the script's own
    assert b"worker_main" not in messages
    assert wait_for_end(pids)


def test_a_device_process_loads_neither_faiss_nor_the_terminal() -> None:
    code = (
        "import sys, indexer.worker_main, indexer.devices; "
        "heavy = {'faiss', 'torch', 'open_clip', 'typer', 'rich'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
