"""Weights between and among models, by hand."""

import pytest
import torch

from adaptation.tuning.wise_ft import average, interpolate


def test_interpolate_between_two_states() -> None:
    start = {"w": torch.tensor([0.0, 2.0]), "count": torch.tensor(3)}
    tuned = {"w": torch.tensor([1.0, 4.0]), "count": torch.tensor(7)}
    assert interpolate(start, tuned, 0.0)["w"].tolist() == [0.0, 2.0]
    assert interpolate(start, tuned, 1.0)["w"].tolist() == [1.0, 4.0]
    half = interpolate(start, tuned, 0.5)
    assert half["w"].tolist() == [0.5, 3.0]
    assert half["count"] == 7
    assert start["w"].tolist() == [0.0, 2.0]


def test_average_needs_states_of_one_model() -> None:
    states = [{"w": torch.full((2,), float(value))} for value in (1, 2, 6)]
    assert average(states)["w"].tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="different models"):
        average([states[0], {"v": states[0]["w"]}])
    with pytest.raises(ValueError, match="different models"):
        interpolate(states[0], {"w": torch.zeros(3)}, 0.5)
    with pytest.raises(ValueError, match="nothing to average"):
        average([])
