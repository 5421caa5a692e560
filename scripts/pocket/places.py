"""Where the recipe keeps what it makes, and what it is told by the environment."""

import os
from pathlib import Path

# Everything between the stages: some 3 GB.
CACHE = Path(os.environ.get("POCKET_CACHE", Path.home() / ".cache" / "clipdex-pocket"))

# A folder with flickr8k/{train,dev}.jsonl, caltech101, pacs and captions.
DATASETS = Path(os.environ.get("POCKET_DATASETS", "datasets"))

# A folder of git directories, OWNER+NAME each, to read instead of fetching; optional.
MIRROR = os.environ.get("POCKET_MIRROR")

# Sources to leave out, by name, with spaces or commas between.
EXCLUDE = frozenset(os.environ.get("EXCLUDE", "").replace(",", " ").split())

# A checkpoint of pocket-v0 in open_clip's layout; both towers start from it.
START = Path(os.environ.get("POCKET_START", CACHE / "pocket-v0"))

SEED = int(os.environ.get("SEED", "0"))
