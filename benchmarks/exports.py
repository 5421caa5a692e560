"""One model as clipdex compiles it and as rclip exported it: indexing and cold search, in turn.

usage: python benchmarks/exports.py [--photos 120] [--rounds 5]

The weights are random (ViT-B-32-256), since no hub is used; speed does not depend on their values.
The export goes through `clipdex models add`, as a pulled one does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import COMMAND, report, seconds, spread
from photos import make_photos

sys.path.insert(0, str(Path(__file__).parent / "peers"))

QUERY = ("a", "dog", "on", "a", "beach")


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    from weights import make_weights

    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        os.environ["CLIPDEX_CACHE"] = str(work / "cache")
        weights = make_weights(work)
        photos = make_photos(work / "photos", asked.photos, (640, 480))
        add = [COMMAND, "models", "add", weights.rclip, "--name", "exported", "--force"]
        subprocess.run(add, check=True)
        models = {"compiled": str(weights.bundle), "exported": "exported"}
        index: dict[str, list[float]] = {name: [] for name in models}
        search: dict[str, list[float]] = {name: [] for name in models}
        for turn in range(asked.rounds + 1):
            for name, model in sorted(models.items(), reverse=bool(turn % 2)):
                collection = work / name
                shutil.rmtree(collection, ignore_errors=True)
                at = ["--collection", collection]
                took = seconds([COMMAND, "index", photos, "--model", model, *at])
                again = min(seconds([COMMAND, "search", *QUERY, "--json", *at]) for _ in range(2))
                if turn:  # the first writes bytecode, and tries the graphs
                    index[name].append(took)
                    search[name].append(again)
    rows = [
        {"what": what, **{name: spread(times[name]) for name in models},
         "exported / compiled": f"{_ratio(times['exported'], times['compiled']):.2f}"}
        for what, times in (
            (f"`clipdex index` of {asked.photos} photos of 640 x 480, s", index),
            ("`clipdex search`, cold, s", search),
        )
    ]  # fmt: skip
    report("exports", "One model, compiled by clipdex and exported by rclip", rows)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return ratios[len(ratios) // 2]


if __name__ == "__main__":
    main()
