"""Small CLIPs with random weights in open_clip's layout."""

import json
from pathlib import Path
from typing import Any

import pytest

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
VISION = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}


def make_checkpoint(folder: Path, text: dict[str, Any], preprocess: dict[str, Any]) -> str:
    """A CLIP with random weights in open_clip's `local-dir:` layout; returns its name."""
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    config = {
        "model_cfg": {"embed_dim": 48, "vision_cfg": VISION, "text_cfg": {**TEXT, **text}},
        "preprocess_cfg": {
            "size": 64,
            "mean": [0.48, 0.45, 0.40],
            "std": [0.27, 0.26, 0.28],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            **preprocess,
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(**config["model_cfg"])
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    return f"local-dir:{folder}"
