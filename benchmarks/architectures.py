"""Try every architecture of open_clip with random weights, for the table of docs/models.md.

    python benchmarks/architectures.py RESULTS.jsonl [--minutes 55]

One process an architecture, the smallest first, with a limit of processor time and memory; what
RESULTS holds is not tried again. Text towers of equal configuration are exported and compared once.
`docs/write_models.py` makes the table from benchmarks/results/architectures.jsonl.

Rates are of processor time: what two free cores would do, whatever else runs meanwhile.
"""

import argparse
import json
import logging
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

CORES = 2
GIGABYTES = 9
SECONDS = 420
# What hub configurations say of the text towers that open_clip takes from transformers.
TRANSFORMERS = {
    "roberta-base": (
        "RobertaConfig",
        {
            "vocab_size": 50265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "xlm-roberta-base": (
        "XLMRobertaConfig",
        {
            "vocab_size": 250002,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "xlm-roberta-large": (
        "XLMRobertaConfig",
        {
            "vocab_size": 250002,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "google/mt5-base": (
        "MT5Config",
        {
            "vocab_size": 250112,
            "d_model": 768,
            "d_kv": 64,
            "d_ff": 2048,
            "num_layers": 12,
            "num_heads": 12,
            "feed_forward_proj": "gated-gelu",
        },
    ),
    "google/mt5-xl": (
        "MT5Config",
        {
            "vocab_size": 250112,
            "d_model": 2048,
            "d_kv": 64,
            "d_ff": 5120,
            "num_layers": 24,
            "num_heads": 32,
            "feed_forward_proj": "gated-gelu",
        },
    ),
    "facebook/nllb-200-distilled-600M": (
        "M2M100Config",
        {
            "vocab_size": 256206,
            "d_model": 1024,
            "encoder_layers": 12,
            "decoder_layers": 12,
            "encoder_ffn_dim": 4096,
            "decoder_ffn_dim": 4096,
            "activation_function": "relu",
            "max_position_embeddings": 1024,
            "scale_embedding": True,
        },
    ),
    "facebook/nllb-200-distilled-1.3B": (
        "M2M100Config",
        {
            "vocab_size": 256206,
            "d_model": 1024,
            "encoder_layers": 24,
            "decoder_layers": 24,
            "encoder_ffn_dim": 8192,
            "decoder_ffn_dim": 8192,
            "activation_function": "relu",
            "max_position_embeddings": 1024,
            "scale_embedding": True,
        },
    ),
}
CAPTION = "a brown dog runs along the beach at sunset"


def local_config(arch: str, folder: Path) -> dict[str, Any]:
    """open_clip's configuration, its text tower's taken from `TRANSFORMERS` instead of a hub."""
    from indexer.sources import architecture

    config = architecture(arch)
    name = config["text_cfg"].get("hf_model_name")
    if name:
        import transformers

        kind, sizes = TRANSFORMERS[name]
        getattr(transformers, kind)(**sizes).save_pretrained(folder)
        config["text_cfg"]["hf_model_name"] = str(folder)
    return config


def count(arch: str) -> dict[str, Any]:
    """Dimension, image size and parameters, without memory for any weight."""
    import torch

    from indexer.openclip import build

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
            facts = (image if tower == "image" else text)(arch, Path(folder))
    except MemoryError:
        facts = {"status": f"not tried (needs more than {GIGABYTES} GB of memory here)"}
    except Exception as exc:
        reason = " ".join(str(exc).split())[:200]
        if "memory" in reason.lower() or "bad alloc" in reason.lower():
            facts = {"status": f"not tried (needs more than {GIGABYTES} GB of memory here)"}
        else:
            facts = {"status": f"refused ({reason or type(exc).__name__})"}
    out.write_text(json.dumps(facts))


def image(arch: str, folder: Path) -> dict[str, Any]:
    """Compare the image tower on 16 pictures; also its bundle size and rate."""
    import numpy as np

    from indexer.openclip import random_model
    from indexer.samples import sample_images
    from indexer.towers import export_image
    from indexer.verify import LEAST_COSINE, least_cosine

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
    facts = agreement(ours, theirs)
    return {
        "status": status(facts, LEAST_COSINE, least_cosine(ours, theirs)),
        "bytes": sum(file.stat().st_size for file in folder.glob("image.onnx*")),
        "per_second": round(CORES * len(images) / seconds, 2),
        **facts,
    }


def text(arch: str, folder: Path) -> dict[str, Any]:
    """Compare the text tower on the ids of 64 texts (drawn at random where the tokenizer is not
    here), and its cut; also its bundle size and rate.
    """
    import numpy as np
    import torch

    from indexer.openclip import random_model
    from indexer.samples import sample_texts
    from indexer.towers import can_cut, export_text, text_part
    from indexer.verify import LEAST_COSINE, MOST_CUT_DIFFERENCE, least_cosine

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
    facts = agreement(ours, theirs)
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
        facts["cut_difference"] = worst
        one = one[:, : int(np.argmax(one[0] == end)) + 1]
    begin = time.process_time()
    for _ in range(8):
        session.run(None, {"ids": one})
    seconds = time.process_time() - begin
    result = status(facts, LEAST_COSINE, least_cosine(ours, theirs))
    if facts.get("cut_difference", 0.0) > MOST_CUT_DIFFERENCE:
        result = f"refused (cutting moves a vector by {facts['cut_difference']:.1g})"
    return {
        "status": result,
        "tokenizer": tokenizer_status,
        "cut": cut,
        "bytes": sum(file.stat().st_size for file in folder.glob("text.onnx*")),
        "per_second": round(CORES * 8 / seconds, 1),
        **facts,
    }


def find_tokenizer(arch: str, config: dict[str, Any]) -> tuple[Any, str]:
    """open_clip's tokenizer and what became of it: compared on 64 texts, or not here."""
    import numpy as np
    import open_clip

    from indexer.bundle import Bundle, TextSettings
    from indexer.preprocess import Preprocess
    from indexer.samples import sample_texts
    from indexer.tokenizer import load_tokenizer
    from indexer.tokenizer_export import convert_tokenizer

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
    """64 rows of ids as a tokenizer would give them: words, the end token, padding."""
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
    """The least cosine; and the same after the mean is taken off, since random weights may give
    vectors that hardly differ.
    """
    import numpy as np

    from indexer.verify import least_cosine

    def centred(vectors: Any) -> Any:
        moved = vectors.astype(np.float64) - theirs.mean(axis=0)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    return {
        "cosine": round(least_cosine(ours, theirs), 7),
        "centred_cosine": round(least_cosine(centred(ours), centred(theirs)), 6),
    }


def status(facts: dict[str, float], wanted: float, cosine: float) -> str:
    if cosine < wanted:
        return f"refused (cosine {cosine:.5f} with open_clip)"
    if facts["centred_cosine"] < 0.99:
        return f"refused (centred cosine {facts['centred_cosine']:.3f} with open_clip)"
    return "verified"


def open_session(path: Path) -> Any:
    """As `OnnxEncoder` opens it: one thread, weights mapped."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if path.name.startswith("text"):
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def in_child(function: Any, *arguments: Any) -> dict[str, Any]:
    """Run `function(*arguments, out)` in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "facts.json"
        child = multiprocessing.get_context("fork").Process(target=function, args=(*arguments, out))
        child.start()
        child.join()
        if child.exitcode == -signal.SIGXCPU:
            return {"status": f"not tried (more than {SECONDS // 60} minutes of a core here)"}
        if not out.is_file():
            return {"status": f"not tried (needs more than {GIGABYTES} GB of memory here)"}
        return json.loads(out.read_text())


def count_all(out: Path) -> None:
    """Write `count` of every architecture."""
    import open_clip

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    found = {}
    for arch in open_clip.list_models():
        try:
            found[arch] = count(arch)
        except Exception as exc:
            found[arch] = {"arch": arch, "error": " ".join(str(exc).split())[:200]}
    out.write_text(json.dumps(found))


def main(results: Path, minutes: float, only: list[str]) -> None:
    """Try what `results` does not hold yet."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Imported once: children are forked.
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
    import open_clip  # noqa: F401
    import torch.onnx._internal.exporter._core  # noqa: F401
    import transformers  # noqa: F401

    import indexer.towers
    import indexer.verify  # noqa: F401

    known: dict[str, dict[str, Any]] = {}
    if results.exists():
        for line in results.read_text().splitlines():
            known[json.loads(line)["arch"]] = json.loads(line)
    texts = {facts["text_key"]: facts for facts in known.values() if "text" in facts}
    counts = results.with_suffix(".counts.json")
    if not counts.exists():
        counts.write_text(json.dumps(in_child(count_all)))
    counted = json.loads(counts.read_text())
    begin = time.monotonic()
    for arch, facts in sorted(counted.items(), key=lambda item: item[1].get("parameters", 0)):
        if only and arch not in only:
            continue
        if arch in known or "error" in facts or time.monotonic() - begin > minutes * 60:
            continue
        start = time.monotonic()
        if 4 * facts["parameters"] > 0.75 * GIGABYTES * 10**9:
            gone = "too large for the machine this was measured on"
            facts |= {"image": {"status": gone}, "text": {"status": gone}}
        else:
            facts["image"] = in_child(try_tower, arch, "image")
            like = texts.get(facts["text_key"])
            facts["text"] = like["text"] if like else in_child(try_tower, arch, "text")
            if like:
                facts["text_like"] = like["arch"]
            texts.setdefault(facts["text_key"], facts)
        facts["seconds"] = round(time.monotonic() - start, 1)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        told = [facts[tower]["status"] for tower in ("image", "text")]
        sys.stdout.write(f"{arch} {told} {facts['seconds']}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--only", action="append", default=[], metavar="ARCHITECTURE")
    given = parser.parse_args()
    main(given.results, given.minutes, given.only)
