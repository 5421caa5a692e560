"""CoOp: context vectors before a class's name, trained through the frozen text tower.

    logits = scale x t(c_1 ... c_M NAME)^t

Source: Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022 (one context for all
classes, the name at the end). The result is class weights, so a head needs no tower.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from adaptation.task import Fitted, Task, float32
from indexer.errors import ExamplesError

SIZES = (4, 16)


@dataclass(frozen=True)
class CoOp:
    """Context vectors trained by AdamW with cosine decay.

    Attributes:
        size: How many context vectors; None to choose it.
        learning_rate: At the start.
        steps: Each passes all classes through the text tower.
        batch_size: Examples per step.
    """

    name: ClassVar[str] = "coop"
    needs_torch: ClassVar[bool] = True
    size: int | None = None
    learning_rate: float = 3e-2
    steps: int = 100
    batch_size: int = 64

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return a short and a long context."""
        sizes = SIZES if self.size is None else (self.size,)
        return [replace(self, size=size) for size in sizes]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train; the seed determines the initial context and the order.

        Raises:
            ExamplesError: The task has no names or text tower, a name is too long, or torch is
                missing.
        """
        if task.text_tower is None or len(task.names) != task.classes:
            raise ExamplesError(
                "coop is trained through the model's text tower, from the names of the classes: "
                "this encoder has no tower, or the classes have no names"
            )
        try:
            import torch

            text = task.text_tower()
        except ImportError as exc:
            raise ExamplesError(
                f"coop needs torch and open_clip, which are not installed ({exc}): pip install "
                "'clipdex[torch]', or choose another --method"
            ) from exc

        from .batches import batches
        from .prompts import Prompts

        assert self.size is not None
        prompts = Prompts(text, task.names, self.size, seed)
        x, y = torch.from_numpy(task.vectors.copy()), torch.from_numpy(task.targets)
        optimizer = torch.optim.AdamW([prompts.context], lr=self.learning_rate, weight_decay=0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, self.steps))
        epochs = -(-self.steps * self.batch_size // len(y)) + 1
        order = batches(len(y), self.batch_size, epochs, seed)
        for _, rows in zip(range(self.steps), order, strict=False):
            logits = task.logit_scale * x[rows] @ prompts.vectors().T
            loss = torch.nn.functional.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            learned = prompts.vectors().numpy()
        bias = np.zeros(task.classes, np.float32)
        return Fitted("linear", float32(weights=task.logit_scale * learned, bias=bias))
