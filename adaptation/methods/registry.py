"""The methods by their names in `clipdex adapt train --method`."""

from adaptation.task import Method

from .clip_adapter import ClipAdapter
from .coop import CoOp
from .linear_probe import LinearProbe
from .lp_plus_plus import LPPlusPlus
from .mlp import MLP
from .nearest_neighbours import NearestNeighbours
from .prototypes import Prototypes
from .siamese import Siamese
from .tip_adapter import TipAdapter, TipAdapterF
from .zero_shot_probe import ZeroShotProbe

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        ZeroShotProbe,
        LinearProbe,
        Prototypes,
        NearestNeighbours,
        TipAdapter,
        TipAdapterF,
        ClipAdapter,
        CoOp,
        LPPlusPlus,
        MLP,
        Siamese,
    )
}
RECOMMENDED = ZeroShotProbe.name
