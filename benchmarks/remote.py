"""Images a second from an S3 on this machine beside those from its own drive.

moto, the S3, runs on the same cores as the indexer, and takes its share of them: `server` is the
processor time that it took an image. A network's latency costs no processor time, so it is put
in by letting each read wait before it begins; once with the reads at once that clipdex makes, and
once with one for each decoder.

usage: python benchmarks/remote.py [--rounds 3]
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from indexer import build, load_encoder
from indexer.pipeline import read_ahead
from measure import REPOSITORY, report, spread
from photos import make_photos

sys.path.insert(0, str(REPOSITORY / "tests"))

from support.object_store import ObjectStore, object_store

SIZES = {"1600 x 1200": ((1600, 1200), 120), "400 x 300": ((400, 300), 480)}
LATENCY = 0.05


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has taken so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def images_per_second(place: str, encoder, base: Path) -> float:
    collection = base / "collection"
    shutil.rmtree(collection, ignore_errors=True)
    return build(place, collection=collection, encoder=encoder).images_per_second


def again_seconds(place: str, encoder, base: Path) -> float:
    """Return how long it takes to find that nothing has changed."""
    began = time.perf_counter()
    done = build(place, collection=base / "collection", encoder=encoder)
    assert not done.indexed
    return time.perf_counter() - began


def waiting(seconds: float, read):
    def late(task, limits):
        time.sleep(seconds)
        return read(task, limits)

    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    encoder = load_encoder()
    rows, raw = [], {}
    with tempfile.TemporaryDirectory() as temporary, object_store() as store:
        os.environ.update(store.environment)
        for number, (size, (pixels, count)) in enumerate(SIZES.items()):
            base = Path(temporary) / str(number)
            photos = make_photos(base / "photos", count, pixels)
            store.upload(photos, f"photos-{number}", "in/")
            measured = measure(photos, f"photos-{number}", encoder, store, options.rounds)
            raw[size] = measured
            rows += [
                {
                    "photos": size,
                    "from": name,
                    "images/s": spread(found["rates"]),
                    "server (ms an image)": f"{statistics.median(found['server_ms']):.1f}",
                    "nothing new (s)": spread(found["again_s"]),
                }
                for name, found in measured.items()
            ]
    note = (
        "moto copies the whole of an object for each range that it is asked for: what a tar in S3 "
        "costs is moto's, not S3's."
    )
    report("remote", "Images from an object store", rows, notes=[note], rounds=raw)


def measure(photos: Path, bucket: str, encoder, store: ObjectStore, rounds: int) -> dict:
    base, count = photos.parent, len(list(photos.iterdir()))
    packed = shutil.make_archive(str(base / "packed"), "tar", photos)
    store.client.upload_file(packed, bucket, "packed.tar")
    read, readers = read_ahead.read_task, read_ahead.READERS
    late = f", {LATENCY * 1000:.0f} ms away"
    places = {
        "folder": (str(photos), 0.0, readers),
        "tar on the drive": (f"tar://{packed}", 0.0, readers),
        "S3": (f"s3://{bucket}/in", 0.0, readers),
        "tar in S3": (f"tar://::s3://{bucket}/packed.tar", 0.0, readers),
        f"S3{late}": (f"s3://{bucket}/in", LATENCY, readers),
        f"S3{late}, 2 reads at once": (f"s3://{bucket}/in", LATENCY, 2),
    }
    found: dict[str, dict[str, list[float]]] = {
        name: {"rates": [], "server_ms": [], "again_s": []} for name in places
    }
    images_per_second(str(photos), encoder, base)  # to warm up
    for _ in range(rounds):
        for name, (place, seconds, at_once) in places.items():
            read_ahead.READERS = at_once
            read_ahead.read_task = waiting(seconds, read) if seconds else read
            before = processor_seconds(store.process)
            found[name]["rates"].append(images_per_second(place, encoder, base))
            spent = processor_seconds(store.process) - before
            found[name]["server_ms"].append(1000 * spent / count)
            found[name]["again_s"].append(again_seconds(place, encoder, base))
    read_ahead.READERS, read_ahead.read_task = readers, read
    return found


if __name__ == "__main__":
    main()
