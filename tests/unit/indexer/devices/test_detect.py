"""Which device a model gets."""

import ctypes
import subprocess
import sys
from typing import Any

import pytest

from indexer.devices import detect
from indexer.encoders import onnx_encoder
from indexer.encoders.gpu.pool import GpuEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import DeviceUnavailable
from indexer.load import load_encoder
from support.command import REPOSITORY


class Driver:
    """NVIDIA's, showing `count` devices or failing to start."""

    def __init__(self, count: int, started: int = 0) -> None:
        self.count, self.started = count, started

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's name
        return self.started

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        ctypes.cast(count, ctypes.POINTER(ctypes.c_int))[0] = self.count
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(found: Driver | None) -> None:
        def load(name: str) -> Driver:
            if found is None:
                raise OSError(f"{name}: cannot open shared object file")
            return found

        monkeypatch.setattr(ctypes, "CDLL", load)

    return install


def test_gpus_are_counted_by_their_driver(driver: Any) -> None:
    driver(Driver(3))
    assert detect.devices() == ["cuda:0", "cuda:1", "cuda:2"]
    assert detect.devices("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    driver(Driver(2, started=100))  # CUDA_ERROR_NO_DEVICE
    assert detect.devices("cuda") == []
    driver(None)
    assert detect.devices("cuda") == []


def test_macs_with_apples_gpu_have_mps(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(None)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert detect.devices() == ["mps"]
    assert detect.devices("cuda") == []
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert detect.devices() == []


def test_auto_takes_gpus_only_with_torch(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(Driver(2))
    monkeypatch.setattr(detect, "has_torch", lambda: True)
    encoder = load_encoder()
    assert isinstance(encoder, GpuEncoder)
    assert (encoder.devices, encoder.optional) == (("cuda:0", "cuda:1"), True)
    named = load_encoder(device="cuda")
    assert isinstance(named, GpuEncoder)
    assert not named.optional
    assert type(load_encoder(device="cpu")) is OnnxEncoder
    monkeypatch.setattr(detect, "has_torch", lambda: False)
    assert type(load_encoder()) is OnnxEncoder
    driver(Driver(0))
    assert type(load_encoder()) is OnnxEncoder


def test_a_missing_device_is_named(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_encoder.ort, "get_available_providers", lambda: [CPU])
    driver(None)
    with pytest.raises(DeviceUnavailable, match="cuda: this machine has no such GPU.*--device cpu"):
        load_encoder(device="cuda")
    driver(Driver(1))
    monkeypatch.setattr(detect, "has_torch", lambda: False)
    with pytest.raises(DeviceUnavailable, match=r"pip install 'clipdex\[torch\]'"):
        load_encoder(device="cuda")


def test_an_8_bit_model_stays_on_the_cpu(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from indexer import load

    driver(Driver(1))
    monkeypatch.setattr(detect, "has_torch", lambda: True)
    eight_bit = replace(load.find_bundle("pocket"), quantized={"base": "f" * 32})
    monkeypatch.setattr(load, "obtain", lambda *_, **__: eight_bit)
    assert type(load_encoder()) is OnnxEncoder
    with pytest.raises(DeviceUnavailable, match="--precision fp32"):
        load_encoder(device="cuda")


CPU = "CPUExecutionProvider"


def test_onnxruntime_gpu_works_without_torch(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    providers = [CPU, "CUDAExecutionProvider"]
    monkeypatch.setattr(onnx_encoder.ort, "get_available_providers", lambda: providers)
    monkeypatch.setattr(detect, "has_torch", lambda: False)
    driver(Driver(1))
    for device in ("auto", "cuda"):
        encoder = load_encoder(device=device)
        assert type(encoder) is OnnxEncoder
        assert encoder.device == "cuda"


def test_detection_does_not_import_torch() -> None:
    code = (
        "import sys; from indexer import load_encoder; from indexer.devices import detect; "
        "detect.devices(); detect.has_torch(); load_encoder(); "
        "sys.exit('torch' in sys.modules or 'open_clip' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
