"""From an empty environment to the first hit with ViT-B-32-256: as an export, and through torch.

usage: python benchmarks/from_nothing.py [--photos 1000] [--ways export torch]

Both ways install clipdex from this checkout with pip (its cache off), pull the model from a hub on
loopback with random weights, index photos and search once, each step by the installed command.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import REPOSITORY, report
from photos import make_photos

sys.path[:0] = [str(REPOSITORY / "tests"), str(Path(__file__).parent / "peers")]

WAYS = {
    "export": (".", "yurijmikhalevich/rclip-models"),
    "torch": (".[torch]", "hf-hub:nobody/vit-b-32-256"),
}


def main() -> None:
    """Measure each way once, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    asked = parser.parse_args()
    from support.fake_hub import FakeHub, serving

    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        photos = make_photos(work / "photos", asked.photos, (640, 480))
        rows = []
        with serving(FakeHub(_repositories(work))) as hub:
            for way in asked.ways:
                rows.append(_run(way, work / way, photos, hub.url))
                shutil.rmtree(work / way)
    report("from_nothing", "From an empty environment to the first hit", rows)


def _repositories(work: Path) -> dict[str, bytes]:
    """Return one model in rclip's layout and in open_clip's, by the names of a hub's files."""
    import json

    import open_clip
    from weights import ARCHITECTURE, make_weights

    weights = make_weights(work)
    files = {
        f"{WAYS['export'][1]}/{file.relative_to(weights.rclip).as_posix()}": file.read_bytes()
        for file in weights.rclip.rglob("*")
        if file.is_file()
    }
    repo = WAYS["torch"][1].removeprefix("hf-hub:")
    config = {"model_cfg": open_clip.get_model_config(ARCHITECTURE), "preprocess_cfg": {}}
    files[f"{repo}/open_clip_config.json"] = json.dumps(config).encode()
    files[f"{repo}/open_clip_model.safetensors"] = weights.checkpoint.read_bytes()
    return files


def _run(way: str, folder: Path, photos: Path, hub: str) -> dict[str, str]:
    what, model = WAYS[way]
    folder.mkdir()
    python = folder / "venv" / "bin" / "python"
    command = python.with_name("clipdex")
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
        "HF_ENDPOINT": hub, "HF_HOME": str(folder / "hf"), "CLIPDEX_CACHE": str(folder / "cache"),
        "CLIPDEX_COLLECTION": str(folder / "collection"), "PIP_NO_CACHE_DIR": "1",
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    steps: dict[str, list[object]] = {
        "pip install, s": [python, "-m", "pip", "install", "-q", f"{REPOSITORY}{what[1:]}"],
        "pull, s": [command, "models", "pull", model, *(["--force"] if way == "export" else [])],
        "index, s": [command, "index", photos, "--model", model],
        "first search, s": [command, "search", "a dog on a beach"],
    }
    row = {"way": f"`pip install '{what}'`, `{model}`"}
    whole = 0.0
    for step, asked in steps.items():
        began = time.perf_counter()
        subprocess.run(asked, check=True, env=environment, stdout=subprocess.DEVNULL)  # type: ignore[arg-type]
        took = time.perf_counter() - began
        whole += took
        row[step] = f"{took:,.1f}"
        sys.stderr.write(f"{way}: {step} {took:.1f}\n")
    row["together, s"] = f"{whole:,.0f}"
    for title, part in (("environment, MB", "venv"), ("model, MB", "cache")):
        size = sum(file.stat().st_size for file in (folder / part).rglob("*") if file.is_file())
        row[title] = f"{size / 1e6:,.0f}"
    return row


if __name__ == "__main__":
    main()
