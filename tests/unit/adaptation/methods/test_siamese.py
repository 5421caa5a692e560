"""The Siamese projection, by the verification of pairs."""

from adaptation.methods.siamese import Siamese
from adaptation.task import Task
from benchmarks.verification import verify
from indexer.encoder import unit


def test_a_siamese_projection_draws_classes_together(train: Task, val: Task) -> None:
    head = Siamese(size=16, steps=200).fit(train, 0)
    before = verify(val.vectors, val.targets)
    after = verify(unit(val.vectors @ head.arrays["projection"].T), val.targets)
    assert after.auc > before.auc
    assert after.eer < before.eer
