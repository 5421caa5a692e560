"""Seconds of each query of an open engine, after one to warm up: STORE TEXT COUNT."""

import json
import sys
import time
from pathlib import Path

from search import Engine

store, text, count = sys.argv[1:]
seconds = []
with Engine.open(Path(store)) as engine:
    engine.search(text)
    for number in range(int(count)):
        began = time.perf_counter()
        engine.search(f"{text} {number}", k=10)
        seconds.append(time.perf_counter() - began)
sys.stdout.write(json.dumps(seconds) + "\n")
