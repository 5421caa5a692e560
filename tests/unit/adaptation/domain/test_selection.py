"""Settings are chosen without a label of the target, by what is said."""

from dataclasses import replace

import numpy as np
import pytest

from adaptation.domain.moments import MMD
from adaptation.domain.pseudo_labels import PseudoLabels
from adaptation.domain.selection import (
    BY_BOTH,
    BY_DEFAULT,
    BY_REVERSE,
    held_out_rows,
    reverse_accuracy,
    select,
    source_only,
)
from adaptation.domain.shift import Shift
from support.shifted import drawn, shifted


def test_the_lowest_score_is_taken_and_the_settings_are_told() -> None:
    pytest.importorskip("torch")
    shift, test = shifted()
    chosen = select(MMD(steps=60), shift)
    assert chosen.by == BY_BOTH
    scores = [one.score for one in chosen.tried]
    best = chosen.tried[int(np.argmin(scores))]
    assert chosen.setting == best.setting
    assert chosen.source_accuracy == pytest.approx(best.source_accuracy)
    # What is returned learned from everything, with that setting.
    again = MMD(**best.setting).fit(shift, 0)
    np.testing.assert_array_equal(
        chosen.fitted.logits(test.vectors), again.fitted.logits(test.vectors)
    )


def test_labels_of_the_target_choose_nothing() -> None:
    shift, _ = shifted()
    labelled = drawn(2, 5, moved=1.0)
    wrong = replace(labelled, targets=(labelled.targets + 1) % 3)
    tried = [
        select(PseudoLabels(), replace(shift, labelled=one)).by for one in (labelled, wrong, None)
    ]
    assert tried == [BY_REVERSE] * 3


def test_a_setting_that_was_made_is_not_chosen() -> None:
    shift, _ = shifted()
    chosen = select(PseudoLabels(confidence=0.7), shift)
    assert (chosen.by, chosen.setting["confidence"]) == (BY_DEFAULT, 0.7)
    assert chosen.source_accuracy is not None


def test_one_example_a_class_leaves_nothing_to_choose_by() -> None:
    shift, _ = shifted()
    few = Shift(drawn(1, 0, moved=0.0), shift.target)
    assert held_out_rows(few.source, 0) is None
    chosen = select(PseudoLabels(), few)
    assert (chosen.by, chosen.source_accuracy) == (BY_DEFAULT, None)
    assert source_only(few).source_accuracy is None


def test_scenes_are_held_out_unless_they_leave_too_few() -> None:
    source = drawn(8, 0, moved=0.0)
    by_scenes = replace(source, scenes=np.arange(24) // 2 * 2)
    _, held = held_out_rows(by_scenes, 0) or (None, np.empty(0))
    assert len(held) >= 4
    assert set(held.tolist()) == {row ^ 1 for row in held.tolist()}  # both images of each scene
    one_scene = replace(source, scenes=np.r_[source.targets[:-1] * 8, 23])
    _, held = held_out_rows(one_scene, 0) or (None, np.empty(0))
    assert len(held) >= 4


def test_reverse_validation_tells_right_labels_from_wrong_ones() -> None:
    shift, _ = shifted(0.0)
    held = drawn(50, 9, moved=0.0)
    right = source_only(shift).fitted
    turned = replace(right, arrays={k: np.roll(v, 1, axis=0) for k, v in right.arrays.items()})
    assert reverse_accuracy(right, shift, held) > 0.9
    assert reverse_accuracy(turned, shift, held) < 0.1


def test_both_domains_labels_count_the_same() -> None:
    shift, _ = shifted()
    labelled = drawn(3, 5, moved=1.0)
    pooled = replace(shift, labelled=labelled).pooled()
    assert len(pooled.targets) == 2 * len(shift.source.targets)
    np.testing.assert_array_equal(pooled.vectors[180:189], labelled.vectors)
    assert pooled.scenes is not None
    assert len(np.unique(pooled.scenes)) == 180 + 9
