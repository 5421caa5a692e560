"""Stage 5: what training reads, in files that can be carried to a machine with a GPU."""

import sys

import numpy as np
import torch
from safetensors.torch import load_file

from .fetch import folder
from .places import CACHE, SEED, START
from .prepare import packed
from .read import BY_NAME

# In the order in which they are worth having; so many bytes of images go into a file.
ORDER = [
    "flickr8k",
    "imagenet",
    "cc",
    "openclipart",
    "emoji",
    "coco",
    "blip",
    "grocery",
    "clothing",
    "scenes",
]
CHUNK = 2_300_000


def gather() -> None:
    """Write weights_{image,text,teacher}.pt, texts.pt and images_NN.npz."""
    target = CACHE / "train"
    target.mkdir(exist_ok=True)
    texts = dict(np.load(CACHE / "texts.npz"))
    _weights(texts)
    np.savez_compressed(target / "texts.npz", **texts)
    _images(texts)
    sizes = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
    sys.stdout.write(f"{sum(sizes.values()) / 1e6:.0f} MB: {sizes}\n")


def _weights(texts: dict[str, np.ndarray]) -> None:
    """Save the towers in half precision, and renumber tokens to those that occur."""
    target = CACHE / "train"
    start = load_file(START / "open_clip_model.safetensors")
    visual = {k.removeprefix("visual."): v for k, v in start.items() if k.startswith("visual.")}
    text = {k: v for k, v in start.items() if not k.startswith("visual.") and k != "logit_scale"}
    used, clip = np.unique(texts["clip"], return_inverse=True)
    texts["clip"] = clip.reshape(texts["clip"].shape).astype(np.uint16)
    texts["used"] = used
    text["token_embedding.weight"] = text["token_embedding.weight"][
        torch.from_numpy(used.astype(int))
    ]
    path = next((folder(BY_NAME["efficientnet"])).rglob("*.pth"))
    published = torch.load(path, weights_only=True)
    classifier = {"weight": published["_fc.weight"].half(), "bias": published["_fc.bias"].half()}
    torch.save({"visual": visual, "classifier": classifier}, target / "weights_image.pt")
    torch.save({"text": text, "logit_scale": start["logit_scale"]}, target / "weights_text.pt")
    teacher = load_file(next(folder(BY_NAME["minilm"]).rglob("model.safetensors")))
    teacher = {
        k: v.half() for k, v in teacher.items() if v.is_floating_point() and "pooler" not in k
    }
    # Padding must keep its number, 0.
    used, pieces = np.unique(np.append(texts["minilm"], 0), return_inverse=True)
    texts["minilm"] = pieces[:-1].reshape(texts["minilm"].shape).astype(np.uint16)
    words, places = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    teacher[words] = teacher[words][torch.from_numpy(used.astype(int))]
    teacher[places] = teacher[places][:64].clone()
    torch.save(teacher, target / "weights_teacher.pt")


def _images(texts: dict[str, np.ndarray]) -> None:
    """Save the images in files of about CHUNK bytes, each with the rows that they belong to."""
    names = packed()
    first, held = 0, {}
    for name in names:
        with np.load(CACHE / "images" / f"{name}.npz") as table:
            held[name] = (first, table["lengths"], table["aspects"])
        first += len(held[name][1])
    assert first == len(texts["source"])
    number = 0
    for old in (CACHE / "train").glob("images_*"):
        old.unlink()
    parts: list[tuple[int, float, bytes]] = []

    def write() -> None:
        nonlocal number
        rows, aspects, contents = zip(*parts, strict=True)
        path = CACHE / "train" / f"images_{number:03}.npz"
        pack = np.frombuffer(b"".join(contents), np.uint8)
        np.savez(path, rows=rows, aspects=aspects, lengths=list(map(len, contents)), pack=pack)
        number += 1
        parts.clear()

    for name in sorted(names, key=ORDER.index):
        first, lengths, aspects = held[name]
        pack = (CACHE / "images" / f"{name}.pack").read_bytes()
        ends = np.cumsum(lengths)
        order = np.random.default_rng(SEED).permutation(len(lengths))
        for at in order:
            parts.append((first + at, aspects[at], pack[ends[at] - lengths[at] : ends[at]]))
            if len(parts) % 64 == 0 and sum(len(content) for _, _, content in parts) > CHUNK:
                write()
    write()
