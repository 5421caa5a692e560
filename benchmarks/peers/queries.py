"""A text query: as a process that starts for it, and in one that is running."""

import json
from collections.abc import Sequence
from statistics import median

from peers.processes import run
from peers.rounds import no_values, turns
from peers.stores import Stores
from peers.table import Row
from peers.tools import Tool

TEXT = "a dog on a beach"
# (images, what clipdex's cold query may take of rclip's)
ASKED = {10_000: "≤ 0.5 of rclip", 500_000: "≤ 0.15 of rclip"}


def measure_queries(
    tools: Sequence[Tool], counts: Sequence[int], stores: Stores, *, rounds: int
) -> list[Row]:
    """Seconds cold, milliseconds warm, for each size; files lie in the system's cache."""
    rows = []
    for count in counts:
        cold, warm = no_values(tools), no_values(tools)
        kept = {tool.name: stores.of(tool, count) for tool in tools}
        for tool in tools:
            run(tool.search(kept[tool.name], stores.root, TEXT))
        for number in range(rounds):
            for tool in turns(tools, number):
                asked = kept[tool.name], stores.root, TEXT
                done = run(tool.search(*asked))
                cold[tool.name].append(done.seconds)
                if not tool.searches_warm:
                    done = run(tool.warm(*asked))
                later = json.loads(done.output.splitlines()[-1])
                warm[tool.name].append(1000 * median(later))
        rows += [
            Row(f"cold text query, {count:,} images, s", cold, asked=ASKED.get(count, "")),
            Row(f"… in a running process, {count:,} images, ms", warm),
        ]
    return rows
