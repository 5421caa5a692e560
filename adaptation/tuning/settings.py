"""What a tuning run does: the dataclass is saved beside its results."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Of classes in two phases: the head's optimum on the frozen tower, then both together; of
    captions the tower alone.

    method: "full" moves every weight; others leave them and learn something beside them: "lora"
    low-rank products, "adapter" bottlenecks, "prefix" keys and values, "visual-prompts" tokens (the
    last two of transformers only). epochs, batch_size: of phase two. at_once: images whose
    activations are held at a time; gradients add up over a batch, so it changes memory and nothing
    else, and of captions time: each image is seen twice. rate: peak learning rate of the tower's
    last layer; each layer before it has `layer_decay` times the next one's. head_rate: of the head.
    warmup: share of the steps. unfreeze_per_epoch: how many more layers move each epoch, from the
    last; 0: all from the start. checkpointing: activations inside blocks are computed twice instead
    of kept. patience: epochs without a better likelihood on held-out images before it stops.
    rank, alpha: of LoRA.
    """

    method: str = "full"
    epochs: int = 10
    batch_size: int = 32
    at_once: int = 8
    rate: float = 3e-5
    head_rate: float = 1e-3
    layer_decay: float = 0.8
    warmup: float = 0.1
    weight_decay: float = 0.01
    unfreeze_per_epoch: int = 0
    checkpointing: bool = False
    patience: int = 4
    rank: int = 4
    alpha: float = 8.0
    seed: int = 0


METHODS: dict[str, Tuning] = {
    "full": Tuning(),
    "lora": Tuning(method="lora", rate=1e-3),
    # What is new at every depth learns everywhere alike.
    **{
        method: Tuning(method=method, rate=1e-3, layer_decay=1.0)
        for method in ("adapter", "prefix", "visual-prompts")
    },
}
# Images of a batch are each other's wrong answers where captions are learnt.
CAPTIONS_BATCH = 128
