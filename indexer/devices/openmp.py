"""Has OpenMP's threads give up their core soon when they wait.

FAISS and torch bring GNU's OpenMP, whose threads wait for each other in a loop of some milliseconds
as long as there is a core for each. Where other processes want these cores, the one that all wait
for gets none: docs/decisions/0005-threads-on-the-cpu.md has the measurement. Their first look at
the environment is as they are loaded, so it has to be told before.
"""

import os

# Turns of the loop, some microseconds: on a machine that does nothing else as fast as the default.
SPIN = "1000"


def spin_briefly() -> None:
    """Tell OpenMP, unless the user did; call this before FAISS or torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)
