"""Exports the towers of an architecture with random weights, and compares them with open_clip."""

import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from text_towers import TRANSFORMERS

CORES = 2
# Limits of one trial.
GIGABYTES = 9
SECONDS = 420

CAPTION = "a brown dog runs along the beach at sunset"


def local_config(arch: str, folder: Path) -> dict[str, Any]:
    """Return open_clip's configuration, with the text tower's from `TRANSFORMERS`, not a hub."""
    from indexer.openclip.sources import architecture

    config = architecture(arch)
    name = config["text_cfg"].get("hf_model_name")
    if name:
        import transformers

        kind, sizes = TRANSFORMERS[name]
        getattr(transformers, kind)(**sizes).save_pretrained(folder)
        config["text_cfg"]["hf_model_name"] = str(folder)
    return config


def count(arch: str) -> dict[str, Any]:
    """Count dimension, image size and parameters, without memory for any weight."""
    import torch

    from indexer.openclip.loader import build

    with tempfile.TemporaryDirectory() as folder, torch.device("meta"):
        config = local_config(arch, Path(folder))
        model = build(config, {}, device="meta")
    size = model.visual.image_size
    image = sum(one.numel() for one in model.visual.parameters())
    return {
        "arch": arch,
        "dim": config["embed_dim"],
        "image_size": list(size) if isinstance(size, (tuple, list)) else [size, size],
        "parameters": sum(one.numel() for one in model.parameters()),
        "image_parameters": image,
        "tokenizer": find_tokenizer(arch, config)[1],
        "text_key": json.dumps(
            [
                config["embed_dim"],
                config["text_cfg"],
                config.get("quick_gelu"),
                config.get("custom_text"),
                "multimodal_cfg" in config,
            ],
            sort_keys=True,
        ).replace(folder, "here"),
    }


def try_tower(arch: str, tower: str, out: Path) -> None:
    """Export one tower and compare it with open_clip; writes {"status", ...} to `out`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limit = GIGABYTES * 10**9
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 30))
    import torch

    torch.set_num_threads(1)  # with more, threads wait for each other where cores are shared
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = (image if tower == "image" else text)(arch, Path(folder))
    except MemoryError:
        measured = {"status": f"not tried (needs more than {GIGABYTES} GB of memory here)"}
    except Exception as exc:
        reason = " ".join(str(exc).split())[:200]
        if "memory" in reason.lower() or "bad alloc" in reason.lower():
            measured = {"status": f"not tried (needs more than {GIGABYTES} GB of memory here)"}
        else:
            measured = {"status": f"refused ({reason or type(exc).__name__})"}
    out.write_text(json.dumps(measured))


def image(arch: str, folder: Path) -> dict[str, Any]:
    """Compare the image tower on 16 images; also its bundle size and rate."""
    import numpy as np

    from indexer.bundles.samples import sample_images
    from indexer.compile.onnx_export import export_image
    from indexer.compile.verify import MIN_COSINE, min_cosine
    from random_models import random_model

    loaded = random_model(arch, config=local_config(arch, folder))
    for name in ("text", "transformer", "token_embedding", "text_decoder"):
        if hasattr(loaded.model, name):
            delattr(loaded.model, name)
    export_image(loaded.model, loaded.preprocess, folder / "image.onnx")
    images = sample_images()
    theirs = loaded.encode_images(images)
    preprocess = loaded.preprocess
    del loaded
    pixels = np.stack([preprocess.pixels(one) for one in images])
    session = open_session(folder / "image.onnx")
    begin = time.process_time()
    parts = [session.run(None, {"pixels": pixels[at : at + 4]})[0] for at in range(0, 16, 4)]
    seconds = time.process_time() - begin
    ours = np.concatenate(parts)
    measured = agreement(ours, theirs)
    return {
        "status": status(measured, MIN_COSINE, min_cosine(ours, theirs)),
        "bytes": sum(file.stat().st_size for file in folder.glob("image.onnx*")),
        "per_second": round(CORES * len(images) / seconds, 2),
        **measured,
    }


def text(arch: str, folder: Path) -> dict[str, Any]:
    """Compare the text tower on the ids of 64 texts, and its cut; also its bundle size and rate.

    The ids are random if the tokenizer is not here.
    """
    import numpy as np
    import torch

    from indexer.bundles.samples import sample_texts
    from indexer.compile.onnx_export import can_cut, export_text, text_part
    from indexer.compile.verify import MAX_CUT_DIFFERENCE, MIN_COSINE, min_cosine
    from random_models import random_model

    config = local_config(arch, folder)
    tokenizer, tokenizer_status = find_tokenizer(arch, config)
    loaded = random_model(arch, config=config)
    del loaded.model.visual
    tower = text_part(loaded.model)
    cut = can_cut(tower)
    if tokenizer is not None:
        ids = np.asarray(tokenizer(sample_texts()))
    else:
        ids = random_ids(loaded.model, tower, config["text_cfg"])
        pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
        cut = cut and pool == "eos"
    export_text(loaded.model, torch.as_tensor(ids[:2]), folder / "text.onnx", cut=cut)
    theirs = loaded.encode_ids(ids)
    del loaded
    session = open_session(folder / "text.onnx")
    ours = np.concatenate(
        [session.run(None, {"ids": ids[at : at + 16]})[0] for at in range(0, 64, 16)]
    )
    measured = agreement(ours, theirs)
    one = np.asarray(tokenizer([CAPTION])) if tokenizer is not None else ids[:1]
    if cut:
        lengths = [n for n in (12, 20, 27, 40, 64) if n < ids.shape[1]]
        end = int(ids.max())
        worst = 0.0
        for at, row in enumerate(ids[:24]):
            used = int(np.argmax(row == end)) + 1
            for length in {used, *(n for n in lengths if n > used)}:
                vector = session.run(None, {"ids": row[None, :length]})[0][0]
                worst = max(worst, float(np.abs(vector - ours[at]).max()))
        measured["cut_difference"] = worst
        one = one[:, : int(np.argmax(one[0] == end)) + 1]
    begin = time.process_time()
    for _ in range(8):
        session.run(None, {"ids": one})
    seconds = time.process_time() - begin
    result = status(measured, MIN_COSINE, min_cosine(ours, theirs))
    if measured.get("cut_difference", 0.0) > MAX_CUT_DIFFERENCE:
        result = f"refused (cutting moves a vector by {measured['cut_difference']:.1g})"
    return {
        "status": result,
        "tokenizer": tokenizer_status,
        "cut": cut,
        "bytes": sum(file.stat().st_size for file in folder.glob("text.onnx*")),
        "per_second": round(CORES * 8 / seconds, 1),
        **measured,
    }


def find_tokenizer(arch: str, config: dict[str, Any]) -> tuple[Any, str]:
    """Return open_clip's tokenizer and its status: compared on 64 texts, or not here."""
    import numpy as np
    import open_clip

    from indexer.bundles.bundle import Bundle, TextSettings
    from indexer.bundles.samples import sample_texts
    from indexer.compile.tokenizer_export import convert_tokenizer
    from indexer.images.preprocess import Preprocess
    from indexer.tokenizers.load import load_tokenizer

    if config["text_cfg"].get("hf_tokenizer_name"):
        return None, "not available offline"
    tokenizer = open_clip.get_tokenizer(arch)
    converted = convert_tokenizer(tokenizer, tokenizer.context_length)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / converted.file).write_text(converted.text, encoding="utf-8")
        settings = TextSettings.from_json({"cut": False, **converted.settings})
        bundle = Bundle(Path(folder), arch, "", 0, 1.0, None, Preprocess((1, 1)), settings, "", "")
        ours = load_tokenizer(bundle)(sample_texts())
    same = np.array_equal(ours, np.asarray(tokenizer(sample_texts())))
    return tokenizer, "verified" if same else "refused (other ids)"


def random_ids(model: Any, tower: Any, config: dict[str, Any]) -> Any:
    """Return 64 rows of ids as a tokenizer would give them: words, the end token, padding."""
    import numpy as np

    random = np.random.default_rng(0)
    inner = getattr(tower, "config", None)
    pad = getattr(inner, "pad_token_id", None)
    pad = config.get("pad_id", getattr(tower, "pad_id", 0)) if pad is None else pad
    end = getattr(inner, "eos_token_id", None)
    if end is None:
        end = getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", 2)
    vocabulary = getattr(inner, "vocab_size", 0) or model.vocab_size
    length = config.get("context_length", 77)
    ids = np.full((64, length), pad, dtype=np.int64)
    for row in ids:
        used = int(random.integers(3, length))
        row[:used] = random.integers(10, vocabulary, used)
        row[used - 1] = end
    return ids


def agreement(ours: Any, theirs: Any) -> dict[str, float]:
    """Return the minimum cosine, as it is and after subtracting the mean.

    Random weights may give vectors that hardly differ.
    """
    import numpy as np

    from indexer.compile.verify import min_cosine

    def centred(vectors: Any) -> Any:
        moved = vectors.astype(np.float64) - theirs.mean(axis=0)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    return {
        "cosine": round(min_cosine(ours, theirs), 7),
        "centred_cosine": round(min_cosine(centred(ours), centred(theirs)), 6),
    }


def status(measured: dict[str, float], wanted: float, cosine: float) -> str:
    if cosine < wanted:
        return f"refused (cosine {cosine:.5f} with open_clip)"
    if measured["centred_cosine"] < 0.99:
        return f"refused (centred cosine {measured['centred_cosine']:.3f} with open_clip)"
    return "verified"


def open_session(path: Path) -> Any:
    """Open a session as `OnnxEncoder` does, with one thread and mapped weights."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if path.name.startswith("text"):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
