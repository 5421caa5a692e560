"""The built-in model's image tower on this machine's GPU, and an index run that feeds it.

usage: python benchmarks/gpu.py [--batches 16 64 256] [--device cuda] [--photos 4000]

Images per second by precision and batch, from pinned memory; and how many `build` reaches with
photos on disk, on the GPU and on the CPU of the same machine.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from indexer import build
from indexer.bundles.bundle import Bundle
from indexer.bundles.names import BUILT_IN_FOLDER
from indexer.devices.cpu_count import available_cores
from indexer.encoders.gpu.pool import GpuEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from measure import report
from photos import make_photos

ROUNDS = 20
SIZES = {"300 pixels": (300, 225), "1 megapixel": (1200, 900)}


def tower_rows(torch, bundle: Bundle, device: str, batches: list[int]) -> list[dict]:
    from indexer.encoders.gpu.torch_encoder import TorchEncoder
    from indexer.weights.image_tower import tower_from_graph

    rows = []
    for precision in ("fp32", "fp16", "bf16"):
        for size in batches:
            encoder = TorchEncoder(
                bundle, tower_from_graph(bundle), device=device, precision=precision,
                batch_size=size,
            )  # fmt: skip
            pixels = torch.zeros((size, 3, *bundle.image.size), dtype=torch.uint8)
            if device.startswith("cuda"):
                pixels = pixels.pin_memory()
            encoder.encode(pixels)
            began = time.perf_counter()
            for _ in range(ROUNDS):
                encoder.encode(pixels)
            rate = ROUNDS * size / (time.perf_counter() - began)
            rows.append({"what": f"tower, {precision}, batch {size}", "images/s": f"{rate:,.0f}"})
    return rows


def build_rows(bundle: Bundle, device: str, photos: int, batches: list[int]) -> list[dict]:
    rows = []
    for title, size in SIZES.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = make_photos(Path(scratch) / "photos", photos, size)
            cores = available_cores()
            encoders = {"CPU": OnnxEncoder(bundle, device="cpu", threads=cores)}
            for batch in batches:
                encoders[f"GPU, batch {batch}"] = GpuEncoder(bundle, (device,), threads=cores)
            for name, encoder in encoders.items():
                batch = int(name.rpartition(" ")[2]) if name.startswith("GPU") else None
                encoder.prepare(photos, batch)  # its start is not counted
                began = time.perf_counter()
                done = build(
                    [folder], collection=Path(scratch) / name, encoder=encoder, batch_size=batch
                )
                seconds = time.perf_counter() - began
                encoder.close()
                assert done.indexed == photos
                what = f"build, {photos:,} photos of {title}, {name}"
                rows.append({"what": what, "images/s": f"{photos / seconds:,.0f}"})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photos", type=int, default=4000)
    given = parser.parse_args()
    import torch

    bundle = Bundle.load(BUILT_IN_FOLDER)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here")
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else given.device
    rows = tower_rows(torch, bundle, given.device, given.batches)
    rows += build_rows(bundle, given.device, given.photos, given.batches)
    report("gpu", f"The built-in model on {name}", rows)


if __name__ == "__main__":
    main()
