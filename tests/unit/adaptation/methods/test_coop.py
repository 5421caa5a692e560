"""CoOp through the built-in model's text tower."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from adaptation.data.examples import Examples  # noqa: E402
from adaptation.methods import prompts as prompts_module  # noqa: E402
from adaptation.methods.coop import CoOp  # noqa: E402
from adaptation.methods.prompts import Prompts, TextTower, load_text_tower  # noqa: E402
from adaptation.task import Task  # noqa: E402
from adaptation.train import task_of  # noqa: E402
from indexer.bundles.bundle import Bundle  # noqa: E402
from indexer.encoder import Encoder, unit  # noqa: E402
from indexer.errors import ExamplesError  # noqa: E402
from indexer.load import load_encoder  # noqa: E402
from indexer.model_name import BUILT_INS, FORMER  # noqa: E402
from indexer.openclip.loader import build  # noqa: E402
from indexer.testing import FakeEncoder  # noqa: E402
from support.checkpoints import TEXT, VISION  # noqa: E402

NAMES = ("dog", "golden retriever", "wine bottle", "Eiffel Tower", "crane")
# Of the former model, to whose vectors the words before a name matter more.
ANIMALS = ("dog", "wolf", "fox", "coyote", "jackal")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(FORMER, device="cpu")


@pytest.fixture(scope="module")
def text() -> TextTower:
    return load_text_tower(Bundle.load(BUILT_INS[FORMER]))


@pytest.fixture(scope="module")
def drawn(encoder: Encoder, text: TextTower) -> Callable[[int, int], Task]:
    """`count` noisy vectors a class, around where other words than "a photo of a" lead."""
    prompts = Prompts(text, ANIMALS, 4, 0)
    with torch.no_grad():
        prompts.context.add_(0.5 * torch.randn(4, 256, generator=torch.Generator().manual_seed(5)))
        centres = prompts.vectors().numpy()

    def draw(count: int, seed: int) -> Task:
        targets = np.repeat(np.arange(len(ANIMALS)), count)
        noise = np.random.default_rng(seed).normal(size=(len(targets), centres.shape[1]))
        vectors = unit(centres[targets] + 5 * noise / centres.shape[1] ** 0.5)
        paths = tuple(b"" for _ in targets)
        made = task_of(Examples(vectors, targets, ANIMALS, paths, paths), encoder)
        return replace(made, text_tower=lambda: text)

    return draw


def test_initial_prompts_give_the_encoders_vectors(encoder: Encoder, text: TextTower) -> None:
    own = encoder.encode_texts([f"a photo of a {name}" for name in NAMES])
    with torch.inference_mode():
        vectors = Prompts(text, NAMES, 4, 0).vectors().numpy()
    np.testing.assert_allclose(vectors, own, atol=1e-3)
    assert (vectors * own).sum(1).min() > 0.99999
    with torch.inference_mode():
        longer = Prompts(text, NAMES, 9, 0).vectors().numpy()
    assert (longer * own).sum(1).min() < 0.999


def test_only_the_context_learns(text: TextTower) -> None:
    before = {name: one.clone() for name, one in text.tower.state_dict().items()}
    prompts = Prompts(text, NAMES, 16, 0)
    prompts.vectors().sum().backward()
    assert prompts.context.shape == (16, 256)
    assert bool((prompts.context.grad.norm(dim=1) > 0).all())
    assert not any(one.requires_grad for one in text.tower.parameters())
    assert all(one.grad is None for one in text.tower.parameters())
    assert all(torch.equal(one, before[name]) for name, one in text.tower.state_dict().items())


def test_coop_learns_and_is_deterministic(drawn: Callable[[int, int], Task]) -> None:
    train, test = drawn(40, 0), drawn(200, 1)
    start = CoOp(size=4, steps=0).fit(train, 0)
    np.testing.assert_allclose(
        start.arrays["weights"], train.logit_scale * train.text, atol=0.01 * train.logit_scale
    )
    first, second = (CoOp(size=4, steps=40).fit(train, 0) for _ in range(2))
    assert first.kind == "linear"
    assert first.arrays["weights"].shape == (len(ANIMALS), 512)
    np.testing.assert_array_equal(first.arrays["weights"], second.arrays["weights"])
    assert first.accuracy(test) > start.accuracy(test) + 0.03


def test_names_that_do_not_fit_are_named(text: TextTower) -> None:
    long = "very " * 60 + "old dog"
    Prompts(text, ["dog", long], 4, 0)
    with pytest.raises(ExamplesError, match=r"very old dog' and 16 context .* 77 tokens"):
        Prompts(text, ["dog", long], 16, 0)
    with pytest.raises(ExamplesError, match="shorten it"):  # the tokenizer has cut it
        Prompts(text, ["dog", "very " * 100], 4, 0)
    with pytest.raises(ExamplesError, match="shorter than 'a photo of a'"):
        Prompts(text, ["dog"], 3, 0)


def test_a_missing_tower_or_names_is_an_error(
    drawn: Callable[[int, int], Task], encoder: Encoder
) -> None:
    task = drawn(2, 0)
    assert task.subset(np.array([0, 3])).names == ANIMALS
    for lacking in (replace(task, names=()), replace(task, text_tower=None)):
        with pytest.raises(ExamplesError, match="through the model's text tower"):
            CoOp(size=4).fit(lacking, 0)
    fake = FakeEncoder()
    vectors = fake.encode_texts(["a", "b"])
    examples = Examples(vectors, np.arange(2), ("a", "b"), (b"", b""), (b"", b""))
    assert task_of(examples, fake).text_tower is None
    assert task_of(replace(examples, vectors=vectors), encoder).text_tower is not None


def test_a_bidirectional_text_tower_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = {**TEXT, "no_causal_mask": True, "pool_type": "last"}
    model = build({"embed_dim": 48, "vision_cfg": VISION, "text_cfg": both}, {})
    monkeypatch.setattr(prompts_module, "obtain_text", lambda bundle: model)
    with pytest.raises(ExamplesError, match=r"causal text tower.*pocket-v0 has another kind"):
        load_text_tower(Bundle.load(BUILT_INS[FORMER]))
