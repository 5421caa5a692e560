"""Classifiers of texts by the installed command and over HTTP."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from indexer import load_encoder
from indexer.bundles.bundle import Bundle
from indexer.encoders.onnx_encoder import OnnxEncoder
from search.labels.artifact import load
from support.command import Run, json_lines
from support.servers import serving
from support.shapes import draw
from support.text_encoders import FRESH, TEXTS, make_encoder, topics
from support.without import TORCH, without


def predicted(clipdex: Run, name: str, *texts: object, **options: Any) -> list[dict[str, float]]:
    """Each text's probabilities by label."""
    found = json_lines(
        clipdex("adapt", "text-predict", name, *texts, "--top", "9", "--json", **options)
    )
    return [{one["label"]: one["probability"] for one in item["labels"]} for item in found]


def test_a_probe_is_learnt_used_and_removed_without_torch(clipdex: Run, tmp_path: Path) -> None:
    hooked = without(tmp_path / "hook", *TORCH, "transformers")
    data = topics(tmp_path / "topics.csv")
    (made,) = json_lines(clipdex("adapt", "text", "topics", data, "--json", env=hooked))
    assert made["classes"] == sorted(TEXTS)
    assert (made["method"], made["task"]) == ("probe", "text")
    measured = made["metrics"]["held_out"]
    assert measured["texts"] == 30
    assert measured["accuracy"] > measured["largest_class"] == pytest.approx(1 / 3)
    # scikit-learn's own classifier of the same vectors.
    encoder = load_encoder()
    texts = [one for own in TEXTS.values() for one in own]
    labels = [name for name, own in TEXTS.items() for _ in own]
    oracle = LogisticRegression(C=made["config"]["c"], tol=1e-8, max_iter=5000)
    oracle.fit(encoder.encode_texts(texts), labels)
    logits = oracle.decision_function(encoder.encode_texts(FRESH)) / made["temperature"]
    expected = softmax(logits, axis=1)
    found = predicted(clipdex, "topics", *FRESH, env=hooked)
    ours = [[one[name] for name in oracle.classes_] for one in found]
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    assert [max(one, key=one.__getitem__) for one in found] == sorted(TEXTS)
    # From a file and from the input, too; empty lines are left out.
    (tmp_path / "fresh.txt").write_text("\n\n".join(FRESH) + "\n")
    assert predicted(clipdex, "topics", "--file", tmp_path / "fresh.txt") == found
    assert predicted(clipdex, "topics", "-", input="\r\n".join(FRESH).encode()) == found
    shown = clipdex("adapt", "text-predict", "topics", FRESH[0]).stdout
    assert shown.startswith(f"{FRESH[0]}\tanimal ".encode())
    (listed,) = json_lines(clipdex("adapt", "list", "--json"))
    assert (listed["name"], listed["task"]) == ("topics", "text")
    assert b"topics  3 classes of texts, probe" in clipdex("adapt", "list").stdout
    assert json.loads(clipdex("adapt", "show", "topics").stdout) == made
    clipdex("adapt", "remove", "topics")
    assert b"no such text classifier" in clipdex(
        "adapt", "text-predict", "topics", "a", code=1
    ).stderr  # fmt: skip


@pytest.mark.parametrize("kind", ["roberta", pytest.param("deberta", marks=pytest.mark.long)])
def test_an_encoder_of_transformers_gives_transformers_answers(
    kind: str, clipdex: Run, tmp_path: Path
) -> None:
    folder = make_encoder(tmp_path / "encoder", kind)
    data = topics(tmp_path / "topics.csv")
    options = ("--encoder", folder, "--max-tokens", 64, "--force")
    clipdex("adapt", "text", "topics", data, *options)
    texts = [*FRESH, "Straße, naïve & <b>bold</b>", "word " * 200]
    hooked = without(tmp_path / "hook", *TORCH, "transformers")
    found = predicted(clipdex, "topics", *texts, env=hooked)
    artifact = load(tmp_path / "collection" / "text" / "topics")
    vectors = by_transformers(folder, texts)
    logits = vectors @ artifact.arrays["weights"].T + artifact.arrays["bias"]
    expected = softmax(logits / artifact.metadata["temperature"], axis=1)
    ours = [[one[name] for name in artifact.metadata["classes"]] for one in found]
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def by_transformers(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """Mean last hidden states, as Sentence-BERT has them, one text at a time."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        given = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        with torch.inference_mode():
            states = model(**given).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(states.mean(dim=0), dim=0).numpy())
    return np.stack(rows)


@pytest.mark.long
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_tuned_encoder_is_used_without_torch(method: str, clipdex: Run, tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "encoder")
    data = topics(tmp_path / "topics.csv")
    options = ("--method", method, "--epochs", "2", "--encoder", folder, "--force", "--json")
    (made,) = json_lines(clipdex("adapt", "text", "topics", data, *options))
    assert made["config"]["epochs"] == 2
    assert made["metrics"]["held_out"]["texts"] == 6
    assert not (tmp_path / "cache" / "tuning" / "text-topics").exists()
    hooked = without(tmp_path / "hook", *TORCH, "transformers")
    found = predicted(clipdex, "topics", *FRESH, env=hooked)
    assert [sum(one.values()) for one in found] == pytest.approx([1, 1, 1], abs=1e-5)
    bundle = Bundle.load(tmp_path / "collection" / "text" / "topics" / "encoder")
    assert bundle.text_only
    draw(tmp_path / "photos" / "disc.png", "disc", 0)
    refused = clipdex("index", tmp_path / "photos", "--model", bundle.folder, code=1).stderr
    assert b"encodes texts only" in refused
    # A graph that was changed is not run.
    with open(bundle.folder / "text.onnx.data", "r+b") as stream:
        stream.seek(64)
        stream.write(b"\xff" * 64)
    assert b"is damaged" in clipdex("adapt", "text-predict", "topics", "a", code=1).stderr


def test_a_tuned_text_tower_is_an_ordinary_model(clipdex: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    data = topics(tmp_path / "topics.csv", each=4)
    options = ("--method", "full", "--epochs", "1", "--warmup", "0", "--force", "--json")
    (made,) = json_lines(clipdex("adapt", "text", "topics", data, *options))
    assert [one["check"] for one in made["warnings"]] == []
    bundle = Bundle.load(tmp_path / "collection" / "text" / "topics" / "encoder")
    assert made["fingerprint"] == bundle.fingerprint != load_encoder().fingerprint
    artifact = load(tmp_path / "collection" / "text" / "topics")
    vectors = OnnxEncoder(bundle, device="cpu").encode_texts(FRESH)
    logits = vectors @ artifact.arrays["weights"].T + artifact.arrays["bias"]
    hooked = without(tmp_path / "hook", *TORCH, "transformers")
    found = predicted(clipdex, "topics", *FRESH, env=hooked)
    best = [made["classes"][row] for row in logits.argmax(axis=1)]
    assert [max(one, key=one.__getitem__) for one in found] == best
    draw(tmp_path / "photos" / "disc.png", "disc", 0)
    clipdex("index", tmp_path / "photos", "--model", bundle.folder)
    assert len(json_lines(clipdex("search", "a disc", "--json"))) == 1


def test_a_server_classifies_texts(clipdex: Run, tmp_path: Path) -> None:
    data = topics(tmp_path / "topics.csv")
    clipdex("adapt", "text", "topics", data)
    expected = predicted(clipdex, "topics", *FRESH)
    body = {"name": "topics", "texts": FRESH, "top": 9}
    with serving(tmp_path / "collection") as server:  # nothing is indexed
        answer = server.post("/v1/classify-text", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()["texts"]
        ours = [{one["label"]: one["probability"] for one in text["labels"]} for text in found]
        assert ours == [pytest.approx(one, abs=1e-5) for one in expected]
        assert all(0 <= text["none"] <= 1 for text in found)
        one = server.post("/v1/classify-text", json={**body, "top": 1}).json()
        assert [len(text["labels"]) for text in one["texts"]] == [1, 1, 1]
        # Learnt again, it answers anew; removed, it is gone.
        rows = json.loads(json.dumps(FRESH))
        clipdex("adapt", "text", "topics", topics(tmp_path / "fewer.csv", each=5))
        again = server.post("/v1/classify-text", json={**body, "texts": rows}).json()["texts"]
        assert again != found
        clipdex("adapt", "remove", "topics")
        assert server.post("/v1/classify-text", json=body).status_code == 404


def test_a_tokenizer_of_another_model_is_refused(clipdex: Run, tmp_path: Path) -> None:
    data = topics(tmp_path / "topics.csv")
    folder = make_encoder(tmp_path / "encoder")
    other = make_encoder(tmp_path / "roberta", "roberta")

    def refused(*options: object) -> bytes:
        done = clipdex("adapt", "text", "topics", data, *options, code=1)
        assert len(done.stderr.splitlines()) == 1
        assert b"not the one that the encoder was trained with" in done.stderr
        return done.stderr

    assert b"ids up to" in refused("--encoder", folder, "--tokenizer", other)
    # As many words, and the same special ones, in another order.
    swapped = Path(shutil.copytree(folder, tmp_path / "swapped"))
    words = json.loads((swapped / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    one, two = sorted(vocabulary, key=vocabulary.__getitem__)[20:22]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    (swapped / "tokenizer.json").write_text(json.dumps(words))
    assert b"is number 20 in" in refused("--encoder", folder, "--tokenizer", swapped)


def test_encoders_that_cannot_be_used_are_refused(clipdex: Run, tmp_path: Path) -> None:
    data = topics(tmp_path / "topics.csv")
    folder = make_encoder(tmp_path / "encoder")

    def refused(encoder: object, **options: Any) -> bytes:
        done = clipdex("adapt", "text", "topics", data, "--encoder", encoder, code=1, **options)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    assert b"no such folder" in refused("nowhere")
    offline = refused("some/encoder", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert b"--encoder FOLDER" in offline
    (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / "model.safetensors").rename(folder / "kept")
    assert b"pytorch_model.bin only" in refused(folder)
    (folder / "pytorch_model.bin").unlink()
    assert b"model.safetensors is missing" in refused(folder)
    (folder / "kept").rename(folder / "model.safetensors")
    (folder / "tokenizer.json").rename(folder / "kept")
    assert b"has no tokenizer" in refused(folder)
    (folder / "kept").rename(folder / "tokenizer.json")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.X"}}))
    assert b"Python code of its own" in refused(folder)
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    assert b"its weights lack" in refused(folder)
    (folder / "config.json").write_text("{}")
    assert b"model_type" in refused(folder)


def test_settings_that_make_no_sense_are_refused(clipdex: Run, tmp_path: Path) -> None:
    data = topics(tmp_path / "topics.csv")
    for options, code, why in (
        (("--method", "full", "--rate", "0.01"), 1, b"--rate 0.0001 or less"),
        (("--method", "best"), 2, b"is not one of"),
        (("--epochs", "3"), 2, b"go with --method"),
        (("--tokenizer", "x"), 2, b"goes with --encoder"),
    ):
        assert why in clipdex("adapt", "text", "topics", data, *options, code=code).stderr
    assert b"cannot be a name" in clipdex("adapt", "text", "../x", data, code=1).stderr
    assert b"is not a CSV" in clipdex("adapt", "text", "topics", tmp_path, code=1).stderr
    latin = tmp_path / "latin.csv"
    latin.write_bytes("text,label\nStraße,a\nb,b\n".encode("latin-1"))
    done = clipdex("adapt", "text", "topics", latin, code=1)
    assert b"line 2, byte 16" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    clipdex("adapt", "text", "topics", data)
    assert b"is empty" in clipdex("adapt", "text-predict", "topics", " ", code=1).stderr
    done = clipdex("adapt", "text-predict", "topics", "-", code=1, input=b"a\n\xff\n")
    assert b"the input, line 2" in done.stderr
    assert b"give texts" in clipdex("adapt", "text-predict", "topics", code=2).stderr
