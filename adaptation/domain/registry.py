"""The methods by their names in `clipdex adapt domain --method`."""

from indexer.errors import ExamplesError

from .dann import DANN
from .moments import CORAL, MMD
from .pseudo_labels import PseudoLabels
from .shift import Aligner

METHODS: dict[str, type[Aligner]] = {
    method.name: method for method in (MMD, CORAL, DANN, PseudoLabels)
}
# Of all methods it lost least where it lost: docs/decisions/0038-domain-gap.md.
RECOMMENDED = MMD.name


def require_torch(method: Aligner) -> None:
    """Raise ExamplesError if a method needs torch and there is none."""
    if method.needs_torch:
        try:
            import torch  # noqa: F401
        except ImportError as exc:
            others = [name for name, other in METHODS.items() if not other.needs_torch]
            raise ExamplesError(
                f"--method {method.name} needs torch, which is not installed ({exc}): pip install "
                f"'clipdex[torch]', or choose {' or '.join(others)}"
            ) from exc
