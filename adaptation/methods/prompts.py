"""Prompts that begin with trained vectors, through a model's frozen text tower."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from indexer.bundles.bundle import Bundle
from indexer.compile.onnx_export import CutTextTower, can_cut, text_part
from indexer.errors import ExamplesError
from indexer.tokenizers.load import Tokenizer, load_tokenizer
from indexer.weights.text_tower import obtain_text

START = "a photo of a"
# The standard deviation of random context vectors, as in open_clip's and CoOp's initialization.
DEVIATION = 0.02


@dataclass(frozen=True)
class TextTower:
    """A frozen causal text tower in torch.

    Attributes:
        tower: From token vectors on.
        tokenizer: The model's.
        pad: The id that fills the rest of a text.
        length: The maximum length of a text in tokens.
    """

    tower: CutTextTower
    tokenizer: Tokenizer
    pad: int
    length: int


def load_text_tower(bundle: Bundle) -> TextTower:
    """Load a bundle's text tower and freeze it.

    Raises:
        ModelError: The tower cannot be found.
        ExamplesError: Its words cannot be replaced by vectors.
    """
    tower = text_part(obtain_text(bundle))
    if not can_cut(tower) or bundle.text.clips is not None:
        raise ExamplesError(
            f"coop needs a causal text tower that pools at the end token, as CLIP's does, and "
            f"{bundle.name} has another kind: choose another --method"
        )
    cut = CutTextTower(tower)
    cut.requires_grad_(False)
    return TextTower(
        cut.eval(), load_tokenizer(bundle), bundle.text.pad, bundle.text.context_length
    )


class Prompts:
    """One prompt per class: a start token, context vectors, the class's name and an end token.

    Attributes:
        context: `(size, width)`, the trained vectors.
    """

    def __init__(self, text: TextTower, names: Sequence[str], size: int, seed: int) -> None:
        """Initialize the context as "a photo of a", after random vectors if `size` is larger.

        Args:
            text: The text tower.
            names: Of the classes.
            size: How many context vectors.
            seed: Of the random vectors.

        Raises:
            ExamplesError: A name does not fit into the tower's length, or `size` is smaller than
                the number of tokens of "a photo of a".
        """
        tower = self._tower = text.tower
        used = _ids(text, START)[1:-1]
        if size < len(used):
            raise ExamplesError(f"a context of {size} vectors is shorter than {START!r}")
        rest = []
        for name in names:
            ids = _ids(text, f"{START} {name}")
            end = ids[1 + len(used) :]
            if 1 + size + len(end) > text.length or len(ids) == text.length:
                raise ExamplesError(
                    f"the class name {name!r} and {size} context vectors are longer than the "
                    f"{text.length} tokens that the model reads: shorten it"
                )
            rest.append(end)
        rows = np.full((len(names), 1 + size + max(map(len, rest))), text.pad)
        for row, end in zip(rows, rest, strict=True):
            row[0] = _ids(text, START)[0]
            row[1 : 1 + size] = used[0]  # a placeholder
            row[1 + size : 1 + size + len(end)] = end
        self._ids = torch.from_numpy(rows)
        with torch.no_grad():
            embedding = tower.tower.token_embedding
            words = embedding(torch.from_numpy(used))
            self._start = embedding(self._ids[:, :1])
            self._rest = embedding(self._ids[:, 1 + size :])
        random_start = torch.randn(
            size - len(used), words.shape[1], generator=torch.Generator().manual_seed(seed)
        )
        self.context = torch.cat([DEVIATION * random_start, words]).requires_grad_()

    def vectors(self) -> torch.Tensor:
        """Return `(classes, dim)`, the prompts' unit vectors."""
        context = self.context.expand(len(self._ids), -1, -1)
        return self._tower.pooled(torch.cat([self._start, context, self._rest], 1), self._ids)


def _ids(text: TextTower, words: str) -> NDArray[np.int64]:
    """Return `(length,)`, a text's ids from the start token to the end token."""
    row: NDArray[np.int64] = text.tokenizer([words])[0]
    return row[: np.flatnonzero(row != text.pad)[-1] + 1]
