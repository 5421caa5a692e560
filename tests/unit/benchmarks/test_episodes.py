"""Few-shot episodes."""

from adaptation.methods.prototypes import Prototypes
from benchmarks.episodes import run_episodes
from support.clusters import clustered


def test_episodes_repeat_with_their_interval() -> None:
    task = clustered(50, 1)
    found = run_episodes(Prototypes(), task, ways=3, shots=2, queries=4, count=50, seed=1)
    assert found == run_episodes(Prototypes(), task, ways=3, shots=2, queries=4, count=50, seed=1)
    assert 0.7 < found.accuracy < 1
    assert 0 < found.interval < 0.05
