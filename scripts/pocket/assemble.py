"""Stage 8: a checkpoint in open_clip's layout, of what training wrote."""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from .places import CACHE, START


def assemble(trained: Path = CACHE / "trained", target: Path = CACHE / "pocket-v1") -> None:
    """Write open_clip_config.json and open_clip_model.safetensors.

    Rows of the token embedding that occur in no text of the training stay as they were.
    """
    state = load_file(START / "open_clip_model.safetensors")
    with np.load(CACHE / "train" / "texts.npz") as texts:
        used = torch.from_numpy(texts["used"].astype(np.int64))
    image = torch.load(trained / "image.pt", weights_only=True)
    if (trained / "head.pt").is_file():
        image |= torch.load(trained / "head.pt", weights_only=True)
    rest = torch.load(trained / "text.pt", weights_only=True)
    words = torch.cat([torch.load(trained / "words.pt", weights_only=True), rest["words"]])
    made = {f"visual.{name}": tensor for name, tensor in image.items()} | rest["text"]
    for name, tensor in made.items():
        state[name].copy_(tensor.reshape(state[name].shape))
    state["token_embedding.weight"][used] = words.to(state["token_embedding.weight"].dtype)
    state["logit_scale"].fill_(math.log(rest["scales"][0]))
    target.mkdir(parents=True, exist_ok=True)
    save_file(state, target / "open_clip_model.safetensors")
    shutil.copyfile(START / "open_clip_config.json", target / "open_clip_config.json")
    sys.stdout.write(f"{target}: logit scale {rest['scales'][0]:.1f}\n")
