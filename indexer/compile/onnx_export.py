"""Exports the two towers of an open_clip model as ONNX graphs."""

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from open_clip.transformer import text_global_pool
from torch import nn
from torch.nn import functional

from indexer.errors import CompileError
from indexer.images.preprocess import Preprocess

from . import onnx_graph

OPSET = 20


class ImageTower(nn.Module):
    """An image tower from uint8 pixels to unit vectors, with normalization in the graph."""

    def __init__(self, model: Any, preprocess: Preprocess) -> None:
        super().__init__()
        self.model = model
        self.pixel_mean = nn.Buffer(torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.pixel_std = nn.Buffer(torch.tensor(preprocess.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode `(n, 3, h, w)` uint8 as `(n, dim)`."""
        scaled = (pixels.to(torch.float32) / 255.0 - self.pixel_mean) / self.pixel_std
        vectors: torch.Tensor = self.model.encode_image(scaled, normalize=True)
        return vectors


class TextTower(nn.Module):
    """A text tower from ids of the full context length to unit vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Encode `(n, context_length)` as `(n, dim)`."""
        vectors: torch.Tensor = self.model.encode_text(ids, normalize=True)
        return vectors


class CutTextTower(nn.Module):
    """A text tower from ids of any length to unit vectors, if it is causal and pools at the end.

    A position in a causal tower sees only what precedes it, so whatever follows the end token can
    be left out; mask and positions are sliced to the length.

    Source: open_clip `model.py` (`CLIP.encode_text`), `transformer.py` (`TextTransformer.forward`).
    """

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower
        self.pool = getattr(tower, "text_pool_type", None) or tower.pool_type
        eos = getattr(tower, "text_eos_id", None)
        self.eos_id = eos if eos is not None else getattr(tower, "eos_id", None)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Encode `(n, length)` as `(n, dim)`."""
        return self.pooled(self.tower.token_embedding(ids), ids)

    def pooled(self, embedded: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Encode token embeddings.

        Args:
            embedded: `(n, length, width)`.
            ids: `(n, length)`, for the place of the end token.

        Returns:
            `(n, dim)` of unit norm.
        """
        length = ids.shape[1]
        x = embedded + self.tower.positional_embedding[:length]
        x = self.tower.transformer(x, attn_mask=self.tower.attn_mask[:length, :length])
        x = text_global_pool(self.tower.ln_final(x), ids, self.pool, eos_token_id=self.eos_id)
        projection = self.tower.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return functional.normalize(x, dim=-1)


def text_part(model: Any) -> Any:
    """Return the module that holds the text tower, which in CLIP is the model itself."""
    return getattr(model, "text", model)


def can_cut(tower: Any) -> bool:
    """Return whether ids after the end token cannot matter.

    That needs a causal mask, no class embedding appended, and pooling at the end token.
    """
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    return (
        getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
        and pool in ("argmax", "eos")
        and all(hasattr(tower, part) for part in ("token_embedding", "transformer", "ln_final"))
    )


def export_image(model: Any, preprocess: Preprocess, path: Path, *, half: bool = False) -> None:
    """Write the image tower, from `pixels` `(n, 3, h, w)` uint8 to `vectors` `(n, dim)`.

    Args:
        model: open_clip's model.
        preprocess: Its image settings.
        path: The ONNX file; weights go beside it.
        half: Store all weights in half precision.

    Raises:
        CompileError: torch cannot export the tower.
    """
    example = torch.zeros(2, 3, *preprocess.size, dtype=torch.uint8)
    dynamic = {0: torch.export.Dim("batch", min=1)}
    export(ImageTower(model, preprocess), example, dynamic, path, name="pixels", half=half)


def export_text(
    model: Any, ids: torch.Tensor, path: Path, *, cut: bool, half: bool = False
) -> None:
    """Write the text tower, from `ids` `(n, length)` to `vectors` `(n, dim)`.

    Args:
        model: open_clip's model.
        ids: Two examples of the full context length.
        path: The ONNX file; weights go beside it.
        cut: Accept any length up to the context length.
        half: Store all weights in half precision.

    Raises:
        CompileError: torch cannot export the tower.
    """
    dynamic = {0: torch.export.Dim("batch", min=1)}
    if cut:
        dynamic[1] = torch.export.Dim("length", min=2, max=ids.shape[1])
        tower: nn.Module = CutTextTower(text_part(model))
        ids = ids[:, : min(7, ids.shape[1] - 1)]
    else:
        tower = TextTower(model)
    export(tower, ids, dynamic, path, name="ids", half=half)


def export(
    tower: nn.Module,
    example: torch.Tensor,
    dynamic: dict[int, Any],
    path: Path,
    *,
    name: str,
    half: bool = False,
) -> None:
    """Write any tower, from one input to unit `vectors` `(n, dim)`.

    Args:
        tower: The tower.
        example: An input of two.
        dynamic: Which of the input's sides are free, as `torch.export` takes them.
        path: The ONNX file; weights go beside it.
        name: Of the input.
        half: Store all weights in half precision.

    Raises:
        CompileError: torch cannot export the tower.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                tower.eval(),
                (example.clone(),),
                input_names=[name],
                output_names=["vectors"],
                dynamic_shapes=(dynamic,),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as exc:  # the exporter raises many kinds
        reason = str(exc).strip().split("\n")[0]
        raise CompileError(f"torch cannot export {type(tower).__name__}: {reason}") from exc
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    onnx_graph.store_half(proto, lossy=half)
    onnx_graph.write(proto, path)
