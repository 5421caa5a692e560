"""What labelling says of an image."""

from typing import NamedTuple


class LabelScore(NamedTuple):
    """A label of an image.

    Attributes:
        label: The label.
        probability: Its share of all labels: which of them is it, if any?
        relevance: The estimated probability that the image shows it, whatever the others do; None
            if that cannot be estimated.
    """

    label: str
    probability: float
    relevance: float | None


class Answer(NamedTuple):
    """An image's best labels, and the probability that none fits, if that can be estimated."""

    labels: tuple[LabelScore, ...]
    none: float | None
