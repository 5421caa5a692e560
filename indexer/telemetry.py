"""Keeps dependencies from sending anything, or writing outside clipdex's own folders.

ONNX Runtime keeps a device id and a database of events in the user's cache folder and uploads them;
its own call to stop that comes too late, so it has to be told before it is imported. Whichever way
clipdex is entered, `indexer` is imported first, and processes that it starts inherit what is set.
"""

import os

# Set whatever the environment says: "nothing leaves the machine" is not a default.
SETTINGS = {
    "ORT_DISABLE_TELEMETRY": "1",
    # huggingface_hub tells the hub which libraries, and which versions, ask for a file.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Ray tells its makers how large a cluster is, and which of its libraries are used.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Other libraries' common name for the same wish.
    "DO_NOT_TRACK": "1",
}


def switch_off() -> None:
    """Tell the dependencies; call this before any of them is imported."""
    os.environ.update(SETTINGS)
