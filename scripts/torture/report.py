"""Reads what a program of rounds is asked for, and prints what came of it."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def rounds_and_seed(rounds: int) -> argparse.Namespace:
    """Return the options `rounds`, with this default, and `seed`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=18)
    return parser.parse_args()


class Report:
    """Outcomes, counted, and faults, each of which is printed as it is found."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._faults = 0

    def note(self, what: str, where: str, faults: Iterable[str | None]) -> None:
        """Count what came of something.

        Args:
            what: What was done: a kind of outcome.
            where: What tells this time from others.
            faults: What was wrong; None stands for nothing.
        """
        found = [fault for fault in faults if fault]
        self._outcomes[f"{what}: {'fault' if found else 'well'}"] += 1
        self._faults += len(found)
        for fault in found:
            say(f"FAULT: {where}, {what}: {fault}")

    def end(self) -> int:
        """Print the counts, and return the exit code."""
        for outcome, count in sorted(self._outcomes.items()):
            say(f"{count:5}  {outcome}")
        return 1 if self._faults else 0
