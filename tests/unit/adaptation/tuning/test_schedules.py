"""Rates, depths and unfreezing by their values."""

import math

import pytest

from adaptation.tuning.schedules import by_depth, unfrozen, warmup_cosine


def test_rates_rise_to_the_peak_and_fall_along_a_cosine() -> None:
    rates = [warmup_cosine(step, warmup=4, total=24) for step in range(24)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert rates[14] == pytest.approx(0.5 * (1 + math.cos(math.pi * 10 / 19)))
    assert rates[23] == pytest.approx(0.0)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert warmup_cosine(99, warmup=4, total=24, floor=0.1) == pytest.approx(0.1)


def test_earlier_layers_move_slower_by_a_factor_each() -> None:
    assert by_depth(4, 0.5) == [0.125, 0.25, 0.5, 1.0]
    assert by_depth(3, 1.0) == [1.0, 1.0, 1.0]


def test_layers_are_let_go_from_the_output_on() -> None:
    assert [unfrozen(epoch, depths=5, per_epoch=2) for epoch in range(4)] == [2, 4, 5, 5]
    assert unfrozen(0, depths=5, per_epoch=0) == 5
