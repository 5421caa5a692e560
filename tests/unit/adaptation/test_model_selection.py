"""The choice of a method's strength."""

from adaptation.methods.linear_probe import COARSE, LinearProbe
from adaptation.model_selection import choose
from adaptation.task import Task


def test_choose_maximizes_held_out_accuracy(train: Task) -> None:
    choice = choose(LinearProbe(), train, 0)
    assert choice.method.c is not None
    assert choice.tried >= 8
    assert choice.accuracy == max(choose(LinearProbe(c=c), train, 0).accuracy for c in COARSE)
    assert len(choice.targets) == len(train.targets)  # each held out once
