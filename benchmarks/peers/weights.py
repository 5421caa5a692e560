"""One model with random weights, in the layout that each tool reads.

The weights are random, since no hub is used; speed, memory and size do not depend on their values.
rclip has one model, an open_clip ViT-B-32-256, as two ONNX files: they are exported with the
settings that rclip's own `scripts/convert_model.py` exports the real one with.
"""

import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURE = "ViT-B-32-256"
DIM = 512
# Where rclip looks for its model, below its data folder; it asks the hub where one file is missing.
RCLIP_MODEL = Path("ViT-B-32-256-datacomp_s34b_b86k")
RCLIP_VOCABULARY = Path("tokenizer", "bpe_simple_vocab_16e6.txt.gz")
RCLIP_NOTICES = ("LICENSE", "OPENAI-CLIP-MIT.txt", "README.md", "THIRD_PARTY_NOTICES.md")


@dataclass(frozen=True)
class Weights:
    """bundle: clipdex's. rclip: what lies in rclip's data folder. checkpoint: open_clip's."""

    bundle: Path
    rclip: Path
    checkpoint: Path


def make_weights(work: Path) -> Weights:
    """The three layouts below `work`, made first where they are not there."""
    folder = work / "weights"
    weights = Weights(folder / "bundle", folder / "rclip", folder / "weights.safetensors")
    done = folder / ".made"
    if not done.is_file():
        sys.stderr.write(f"making {ARCHITECTURE} with random weights in {folder}\n")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _make(weights)
        done.touch()
    return weights


def _make(weights: Weights) -> None:
    import open_clip
    from safetensors.torch import save_file

    from indexer.compile.compiler import compile_model
    from random_models import random_model

    loaded = random_model(ARCHITECTURE, tokenizer=open_clip.get_tokenizer(ARCHITECTURE))
    tensors = {name: tensor.contiguous() for name, tensor in loaded.model.state_dict().items()}
    save_file(tensors, weights.checkpoint)
    # Collections keep the name, and a search has to find the bundle again by it.
    compile_model(loaded, weights.bundle, name=str(weights.bundle))
    _write_rclip(loaded.model, weights.rclip)


def _write_rclip(model: Any, folder: Path) -> None:
    import open_clip
    import torch

    from indexer.compile.onnx_export import TextTower

    class Text(TextTower):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.model.encode_text(ids)

    (folder / RCLIP_MODEL).mkdir(parents=True)
    examples = {
        "visual.onnx": (model.visual, torch.zeros(1, 3, 256, 256)),
        "textual.onnx": (Text(model), torch.zeros(1, 77, dtype=torch.long)),
    }
    for name, (tower, example) in examples.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                tower.eval(),
                (example,),
                str(folder / RCLIP_MODEL / name),
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
                opset_version=18,
                dynamo=False,
            )
    (folder / RCLIP_VOCABULARY).parent.mkdir()
    vocabulary = Path(open_clip.__file__).parent / RCLIP_VOCABULARY.name
    shutil.copy(vocabulary, folder / RCLIP_VOCABULARY)
    for name in RCLIP_NOTICES:
        (folder / name).touch()
