"""Heads compared with zero-shot, with chance counted over scenes."""

import numpy as np
import pytest

from adaptation.comparison import compare

ALONE = np.arange(100)


def pattern(right: int, of: int = 100) -> np.ndarray:
    return np.arange(of) < right


def test_figures_are_of_the_same_images() -> None:
    found = compare("images", pattern(80), pattern(60), ALONE)
    assert (found.images, found.scenes) == (100, 100)
    assert (found.accuracy, found.zero_shot) == (0.8, 0.6)
    assert found.margin == pytest.approx(2 * (0.788 * 0.212 / 104) ** 0.5, abs=1e-3)
    assert found.finding() is None
    assert found.doubts() == []


def test_more_than_chance_below_is_a_finding() -> None:
    found = compare("held-out examples", pattern(40), pattern(60), ALONE).finding()
    assert found is not None
    assert found.check == "below-zero-shot"
    assert "40.0% of 100 held-out examples" in found.message
    assert "60.0%" in found.message


def test_below_by_chance_is_only_a_doubt() -> None:
    # 10 against 14 of those on which they differ.
    right, zero_shot = pattern(10, 24), ~pattern(10, 24)
    found = compare("images", right, zero_shot, np.arange(24))
    assert found.finding() is None
    assert any("may be chance" in line for line in found.doubts())


def test_shots_of_one_scene_count_once() -> None:
    # The head misses a hundred images, which are of two scenes.
    right, zero_shot, scenes = pattern(100, 200), pattern(200, 200), np.arange(200) // 50
    found = compare("images", right, zero_shot, scenes)
    assert found.scenes == 4
    assert found.finding() is None
    assert found.margin > 0.3
    assert any("4 scenes only" in line for line in found.doubts())
    alone = compare("images", right, zero_shot, np.arange(200))
    assert alone.finding() is not None
    assert alone.margin < 0.08
