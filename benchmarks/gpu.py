"""The built-in model's image tower on this machine's GPU, and an index run that feeds it.

usage: python benchmarks/gpu.py [--batches 64 256] [--device cuda] [--photos 4000]

Images a second by precision and batch, from pinned memory; and how many `build` reaches with
photos on disk, on the GPU and on the CPU of the same machine, once its processes have started.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from indexer import build
from indexer.build_collection import Progress
from indexer.bundles.bundle import Bundle
from indexer.devices.cpu_count import available_cores
from indexer.encoders.gpu.pool import GpuEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import load_torch
from indexer.model_name import BUILT_IN_FOLDER
from measure import report
from photos import make_photos

ROUNDS = 20
SIZES = {"300 pixels": (300, 225), "1 megapixel": (1200, 900)}


def add(rows: list[dict], what: str, rate: float) -> None:
    """Add a row, and show it: a lent machine may be gone before the table is whole."""
    rows.append({"what": what, "images/s": f"{rate:,.0f}"})
    sys.stderr.write(f"{what}: {rate:,.0f} images/s\n")


def tower_rows(torch, bundle: Bundle, device: str, batches: list[int]) -> list[dict]:
    from indexer.encoders.gpu.torch_encoder import TorchEncoder
    from indexer.weights.image_tower import tower_from_graph

    rows: list[dict] = []
    encoder = TorchEncoder(bundle, tower_from_graph(bundle), device=device)
    for precision in ("fp32", "fp16", "bf16"):
        encoder.tower.precision = precision
        for encoder.batch_size in batches:
            pixels = torch.zeros((encoder.batch_size, 3, *bundle.image.size), dtype=torch.uint8)
            if device.startswith("cuda"):
                pixels = pixels.pin_memory()
            encoder.encode(pixels)
            began = time.perf_counter()
            for _ in range(ROUNDS):
                encoder.encode(pixels)
            rate = ROUNDS * encoder.batch_size / (time.perf_counter() - began)
            add(rows, f"tower, {precision}, batch {encoder.batch_size}", rate)
    return rows


def build_rows(bundle: Bundle, device: str, photos: int, batches: list[int]) -> list[dict]:
    rows: list[dict] = []
    for title, size in SIZES.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = make_photos(Path(scratch) / "photos", photos, size)
            cores = available_cores()
            encoders = {"CPU": OnnxEncoder(bundle, device="cpu", threads=cores)}
            for batch in batches:
                encoders[f"GPU, batch {batch}"] = GpuEncoder(
                    bundle, (device,), load_torch, threads=cores
                )
            for name, encoder in encoders.items():
                batch = int(name.rpartition(" ")[2]) if name.startswith("GPU") else None
                encoder.prepare(photos, batch)
                seen: list[tuple[float, int]] = []

                def note(progress: Progress, seen: list[tuple[float, int]] = seen) -> None:
                    if progress.stage == "index" and progress.done:
                        seen.append((time.perf_counter(), progress.done))

                done = build(
                    [folder], collection=Path(scratch) / name, encoder=encoder, batch_size=batch,
                    on_progress=note,
                )  # fmt: skip
                encoder.close()
                assert done.indexed == photos
                (first, early), (last, all_done) = seen[0], seen[-1]
                rate = (all_done - early) / (last - first)
                add(
                    rows,
                    f"build, {photos:,} photos of {title}, {name}, from its first batch on",
                    rate,
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
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
