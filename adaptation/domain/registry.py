"""The methods by their names in `clipdex adapt domain --method`."""

from .dann import DANN
from .moments import CORAL, MMD
from .pseudo_labels import PseudoLabels
from .shift import Aligner

METHODS: dict[str, type[Aligner]] = {
    method.name: method for method in (MMD, CORAL, DANN, PseudoLabels)
}
# Of all methods it lost least where it lost: docs/decisions/0038-domain-gap.md.
RECOMMENDED = MMD.name
