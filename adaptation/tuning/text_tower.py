"""Text towers in torch, from token ids to unit vectors, and the texts that they train on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from adaptation.task import Rows
from indexer.compile.onnx_export import CutTextTower, text_part
from indexer.devices.torch_device import AUTOCAST, Precision
from indexer.encoder import Embeddings
from indexer.tokenizers.bpe import TokenIds

# Texts that are encoded at a time where nothing is learnt.
ENCODED_AT_ONCE = 64


class ClipText(nn.Module):
    """The text tower of an open_clip model.

    Attributes:
        model: open_clip's model, without its image tower.
        precision: What the tower computes in.
    """

    def __init__(self, model: Any, *, cut: bool, precision: Precision = "fp32") -> None:
        """Take the model's text tower.

        Args:
            model: open_clip's model; its image tower is dropped.
            cut: Whether ids may be shorter than the context length, as in its bundle.
            precision: What the tower computes in.
        """
        super().__init__()
        model.visual = nn.Identity()
        for name in ("logit_scale", "logit_bias"):
            if getattr(model, name, None) is not None:
                getattr(model, name).requires_grad_(False)
        self.model = model
        # In a tuple, since a module would list its weights a second time.
        self._cut = (CutTextTower(text_part(model)),) if cut else ()
        self.precision: Precision = precision
        self.eval()

    @property
    def trained(self) -> nn.Module:
        """The module whose parameters move: the model itself, where that holds the tower."""
        tower: nn.Module = text_part(self.model)
        return tower

    @property
    def device(self) -> torch.device:
        """Where the tower is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Encode `(n, length)` as `(n, dim)` float32 of unit norm."""
        dtype = AUTOCAST[self.precision]
        with torch.autocast(ids.device.type, dtype=dtype, enabled=dtype is not None):
            if self._cut:
                vectors = self._cut[0](ids)
            else:
                vectors = self.model.encode_text(ids, normalize=True)
        return functional.normalize(vectors.float(), dim=-1)


@dataclass(frozen=True)
class Texts:
    """Texts as token ids.

    Attributes:
        ids: `(n, context_length)`, padded on the right where `cut`.
        pad: The id of padding.
        cut: Whether the tower takes shorter ids, so that padding is left out.
    """

    ids: TokenIds
    pad: int
    cut: bool

    def augmented(self, rows: Rows, *, seed: int, epoch: int) -> TokenIds:
        """Return the ids of some texts, which are always the same."""
        return self._shortened(self.ids[rows])

    def batches(self, size: int) -> Iterator[tuple[Rows, TokenIds]]:
        """Yield the rows and ids of all texts in order, `size` at a time."""
        for start in range(0, len(self.ids), size):
            rows = np.arange(start, min(start + size, len(self.ids)))
            yield rows, self._shortened(self.ids[rows])

    def _shortened(self, ids: TokenIds) -> TokenIds:
        if not self.cut:
            return ids
        used = np.flatnonzero((ids != self.pad).any(axis=0))
        return ids[:, : max(2, int(used[-1]) + 1 if len(used) else 2)]


def encode(tower: Any, texts: Texts) -> Embeddings:
    """Return the unit vectors `(n, dim)` of texts, from a tower of this package."""
    with torch.no_grad():
        parts = [
            tower(torch.from_numpy(ids).to(tower.device)).cpu().numpy()
            for _, ids in texts.batches(ENCODED_AT_ONCE)
        ]
    vectors: Embeddings = np.concatenate(parts)
    return vectors
