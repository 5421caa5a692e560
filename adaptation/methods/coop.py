"""CoOp: the words before a class's name, learnt as vectors through the frozen text tower.

    logits = scale x t(c_1 ... c_M NAME)^t

Source: Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022 (one context for all
classes, the name at the end). What is learnt ends as class weights, so a head needs no tower.
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
    """size: how many context vectors; None: chosen. learning_rate, steps, batch_size: of AdamW with
    cosine decay; each step passes all classes through the text tower.
    """

    name: ClassVar[str] = "coop"
    needs_torch: ClassVar[bool] = True
    size: int | None = None
    learning_rate: float = 3e-2
    steps: int = 100
    batch_size: int = 64

    def candidates(self, task: Task) -> Sequence[Self]:
        """A short and a long context."""
        sizes = SIZES if self.size is None else (self.size,)
        return [replace(self, size=size) for size in sizes]

    def refined(self, number: int) -> Sequence[Self]:
        """None."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Context drawn and examples shuffled as the seed says.

        Raises ExamplesError for a task without names or text tower, or a name that is too long.
        """
        if task.text_tower is None or len(task.names) != task.classes:
            raise ExamplesError(
                "coop learns through the model's text tower, from the classes' names: this encoder "
                "gives no tower, or the classes have no names"
            )
        try:
            import torch

            text = task.text_tower()
        except ImportError as exc:
            raise ExamplesError(
                f"coop needs torch and open_clip, which are not here ({exc}): pip install "
                "'clipdex[torch]', or choose another --method"
            ) from exc

        from .batches import batches
        from .prompts import Prompts

        assert self.size is not None
        prompts = Prompts(text, task.names, self.size, seed)
        x, y = torch.from_numpy(task.vectors.copy()), torch.from_numpy(task.targets)
        optimiser = torch.optim.AdamW([prompts.context], lr=self.learning_rate, weight_decay=0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, self.steps))
        epochs = -(-self.steps * self.batch_size // len(y)) + 1
        drawn = batches(len(y), self.batch_size, epochs, seed)
        for _, rows in zip(range(self.steps), drawn, strict=False):
            logits = task.logit_scale * x[rows] @ prompts.vectors().T
            loss = torch.nn.functional.cross_entropy(logits, y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        with torch.inference_mode():
            learnt = prompts.vectors().numpy()
        bias = np.zeros(task.classes, np.float32)
        return Fitted("linear", float32(weights=task.logit_scale * learnt, bias=bias))
