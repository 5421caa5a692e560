"""The methods by their names in `clipdex adapt domain --method`."""

from .dann import DANN
from .moments import CORAL, MMD
from .pseudo_labels import PseudoLabels
from .shift import Aligner

METHODS: dict[str, type[Aligner]] = {
    method.name: method for method in (PseudoLabels, DANN, CORAL, MMD)
}
RECOMMENDED = PseudoLabels.name
