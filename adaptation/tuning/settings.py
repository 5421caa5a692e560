"""The settings of a tuning run, which are saved beside its results."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """How a run trains.

    For classes there are two phases: the optimal head on the frozen tower, then both together. For
    captions the tower is trained alone.

    Attributes:
        method: "full" moves every weight. The others freeze the tower and train something beside
            it: "lora" low-rank products, "adapter" bottlenecks, "prefix" keys and values,
            "visual-prompts" tokens (the last two only in transformers).
        epochs: Passes over the images in phase two.
        batch_size: Images per step in phase two.
        at_once: Images whose activations are held at a time. Gradients add up over a batch, so this
            changes only memory, and for captions time: each image is encoded twice.
        rate: The peak learning rate of the tower's last layer.
        head_rate: The learning rate of the head.
        layer_decay: The learning rate of each layer as a share of the next one's.
        warmup: The share of steps over which the rate rises.
        weight_decay: Of AdamW.
        unfreeze_per_epoch: How many more layers are trained in each epoch, from the last one on; 0
            to train all from the start.
        checkpointing: Whether activations inside blocks are computed twice instead of kept.
        patience: How many epochs without a better likelihood on held-out images end the run.
        rank: Of LoRA's products.
        alpha: LoRA's scale, times its rank.
        seed: Of splits, order and crops.
        towers: "image", "text" or "both"; the text tower moves for captions only.
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
    towers: str = "image"


METHODS: dict[str, Tuning] = {
    "full": Tuning(),
    "lora": Tuning(method="lora", rate=1e-3),
    # New parameters start from nothing at every depth, so all have the same rate.
    **{
        method: Tuning(method=method, rate=1e-3, layer_decay=1.0)
        for method in ("adapter", "prefix", "visual-prompts")
    },
}
TOWERS = ("image", "text", "both")
# What can move a text tower.
TEXT_METHODS = ("full", "lora")
# Images of a batch are each other's wrong answers where captions are learned.
CAPTIONS_BATCH = 128
