"""The built-in model's image tower on this machine's GPU, and what feeds it.

usage: python benchmarks/gpu.py [--batches 32 128 512] [--device cuda] [--photos 2000]

Images a second by precision and batch, eager and compiled; how much of the copying to the GPU is
hidden behind the computing; and how many images a second `build` reaches with photos on disk,
against what the decoders alone give.
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
from indexer.encoders.gpu.pool import DeviceEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.images.decode import Limits
from indexer.pipeline.decode_pool import ProcessDecoders
from indexer.pipeline.stages import Reading
from measure import report
from photos import make_photos
from search.evaluation.embed_files import task_of

ROUNDS = 20


def unknown(digest: bytes) -> bool:
    """No content has been indexed yet."""
    return False


def rate(encoder, pixels) -> float:
    """Images a second of batches one after the other, two under way at a time."""
    tickets = [encoder.submit(pixels)]
    encoder.collect(tickets.pop())
    began = time.perf_counter()
    for _ in range(ROUNDS):
        tickets.append(encoder.submit(pixels))
        if len(tickets) > 1:
            encoder.collect(tickets.pop(0))
    encoder.collect(tickets.pop())
    return ROUNDS * len(pixels) / (time.perf_counter() - began)


def hidden_share(torch, encoder, pixels) -> float:
    """The share of the copies' time that computing hides: 1 where only computing takes time."""
    there = torch.from_numpy(pixels).to(encoder.device)
    locked = torch.from_numpy(pixels).pin_memory()

    def seconds(step) -> float:
        step()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(ROUNDS):
            step()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / ROUNDS

    with torch.inference_mode():
        compute = seconds(lambda: encoder.tower(there))
    copy = seconds(lambda: locked.to(encoder.device, non_blocking=True))
    both = len(pixels) / rate(encoder, locked.numpy())
    return 1 - max(0.0, both - compute) / copy


def tower_rows(torch, bundle, device, sizes) -> list[dict]:
    from indexer.encoders.torch_encoder import Metadata, TorchEncoder
    from indexer.weights.image_tower import tower_from_graph

    texts = OnnxEncoder(bundle, device="cpu").encode_texts
    metadata = Metadata(bundle.name, bundle.fingerprint, bundle.dim, bundle.image, texts)
    rows = []
    for precision in ("fp32", "fp16", "bf16"):
        for size in sizes:
            encoder = TorchEncoder(
                tower_from_graph(bundle), metadata, device=device, precision=precision,
                batch_size=size,
            )  # fmt: skip
            locked = torch.zeros((size, 3, *bundle.image.size), dtype=torch.uint8).pin_memory()
            pixels = locked.numpy()
            eager, hidden = rate(encoder, pixels), hidden_share(torch, encoder, pixels)
            began = time.perf_counter()
            kept = encoder.compile()
            rows.append(
                {
                    "precision": precision,
                    "batch": size,
                    "images/s": f"{eager:,.0f}",
                    "copies hidden": f"{hidden:.0%}",
                    "compiled": f"{rate(encoder, pixels):,.0f}" if kept else "no faster",
                    "compiling, s": f"{time.perf_counter() - began:.0f}",
                }
            )
    return rows


def feeding(bundle, device, photos) -> dict[str, float]:
    """Images a second of the decoders alone, and of a whole run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_photos(Path(scratch) / "photos", photos, (1200, 900))
        files = [str(file).encode() for file in sorted(folder.iterdir())]
        reading = Reading(bundle.image, Limits(), unknown)
        decoders = ProcessDecoders(available_cores(), reading)
        decoders.submit(task_of(files[0])).result()
        began = time.perf_counter()
        for one in [decoders.submit(task_of(file)) for file in files]:
            one.result()
        alone = len(files) / (time.perf_counter() - began)
        decoders.close()
        said: list[str] = []
        with DeviceEncoder(bundle, (device,), on_progress=said.append) as encoder:
            encoder.prepare(photos)
            done = build([folder], collection=Path(scratch) / "c", encoder=encoder)
    sys.stdout.write(f"{said[0]}\n")
    return {"decoders alone": alone, "build": done.images_per_second}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--photos", type=int, default=2000)
    asked = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks/gpu.py needs torch and an NVIDIA GPU: pip install 'clipdex[torch]'")
    if not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs an NVIDIA GPU, and torch sees none here")
    bundle = Bundle.load(BUILT_IN_FOLDER)
    rows = tower_rows(torch, bundle, asked.device, asked.batches)
    fed = feeding(bundle, asked.device, asked.photos)
    for name, value in fed.items():
        sys.stdout.write(f"{name}: {value:,.0f} images/s of 1,200 x 900 pixels\n")
    card = torch.cuda.get_device_name(asked.device)
    report("gpu", f"The built-in model on {card}", rows, fed=fed, torch=torch.__version__)


if __name__ == "__main__":
    main()
