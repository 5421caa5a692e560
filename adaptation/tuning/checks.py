"""Settings that are known to wreck a model, found before it is trained.

What else goes wrong in such scripts cannot here: pixels are normalised, and sized, by the tower's
own settings (`PictureTower`, `Preprocess`), and texts are the base model's vectors.
"""

from ..guards import Finding
from .settings import Tuning

# The tower must move this many times slower than the head, which starts from nothing known.
SLOWER = 10


def check_settings(settings: Tuning) -> list[Finding]:
    """The findings; each names what mends it."""
    found = []
    if settings.method == "full" and settings.rate * SLOWER > settings.head_rate:
        found.append(
            Finding(
                "tower-rate",
                f"the tower's rate {settings.rate:g} is not {SLOWER} times below the head's "
                f"{settings.head_rate:g}, so it forgets what it knew: --rate "
                f"{settings.head_rate / SLOWER:g} or less",
            )
        )
    if settings.warmup <= 0:
        found.append(
            Finding("no-warm-up", "without warm-up the first steps are the largest: --warmup 0.1")
        )
    if settings.rate <= 0 or settings.epochs < 1:
        found.append(
            Finding("all-frozen", "nothing of the tower moves: give a --rate and --epochs above 0")
        )
    return found
