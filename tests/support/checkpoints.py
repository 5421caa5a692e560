"""Small CLIPs with random weights in open_clip's layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.local_tokenizers import make_tokenizer

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
VISION = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}


def make_checkpoint(
    folder: Path,
    text: dict[str, Any],
    preprocess: dict[str, Any],
    *,
    vision: dict[str, Any] = VISION,
    trained: bool = False,
) -> str:
    """A CLIP with random weights in open_clip's `local-dir:` layout; returns its name.

    vision: another image tower than a small transformer.
    trained: no weight is as it was made, such as all zeros.
    """
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    config = {
        "model_cfg": {"embed_dim": 48, "vision_cfg": vision, "text_cfg": {**TEXT, **text}},
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
    if trained:
        weights = {
            name: one + 0.05 * torch.randn_like(one) if one.dim() else one
            for name, one in weights.items()
        }
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    return f"local-dir:{folder}"


def make_transformers_checkpoint(folder: Path, kind: str) -> str:
    """The same with a text tower and a tokenizer of transformers: `kind` is "xlm-roberta", "nllb"
    or "mt5".
    """
    transformers = pytest.importorskip("transformers")
    import torch
    from safetensors.torch import save_file

    from indexer.openclip.loader import build

    torch.manual_seed(0)
    sizes = {"vocab_size": 800, "d_model": 64}
    if kind == "xlm-roberta":
        tower = transformers.XLMRobertaConfig(
            vocab_size=800, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=96, max_position_embeddings=64, pad_token_id=1,
        )  # fmt: skip
    elif kind == "nllb":
        tower = transformers.M2M100Config(
            **sizes, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=96, decoder_ffn_dim=96, pad_token_id=1,
            max_position_embeddings=64, scale_embedding=True,
        )  # fmt: skip
    else:
        tower = transformers.MT5Config(
            **sizes, d_kv=32, d_ff=96, num_layers=2, num_heads=2, pad_token_id=1
        )
    make_tokenizer("nllb" if kind == "nllb" else "xlm-roberta", folder)
    tower.save_pretrained(folder)
    text = {
        "hf_model_name": str(folder),
        "hf_tokenizer_name": "from this folder",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "context_length": 32,
    }
    config = {"embed_dim": 48, "vision_cfg": VISION, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    weights = {name: one.contiguous() for name, one in build(config, {}).state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    return f"local-dir:{folder}"
