"""When compiling is tried, and when it is kept."""

from indexer.encoders.gpu.compile_policy import ASSUMED_GAIN, COMPILE_SECONDS, is_faster, pays_back


def test_compiling_is_tried_only_for_long_runs() -> None:
    break_even = int(COMPILE_SECONDS / ASSUMED_GAIN * 1000)
    assert not pays_back(break_even, 1000.0)
    assert pays_back(break_even + 1, 1000.0)
    assert not pays_back(10_000, 1000.0)
    assert pays_back(10_000, 1.0)  # a huge model: 10,000 images take hours


def speeds(*values: float):  # type: ignore[no-untyped-def]
    left = iter(values)
    return lambda: next(left)


def test_a_compiled_model_is_kept_only_where_it_is_faster() -> None:
    compiled: list[bool] = []
    assert is_faster(lambda: compiled.append(True), speeds(100.0, 130.0))
    assert compiled == [True]
    assert not is_faster(lambda: None, speeds(100.0, 101.0))
    assert not is_faster(lambda: None, speeds(100.0, 60.0))


def test_a_compiler_that_fails_leaves_eager_execution() -> None:
    def broken() -> None:
        raise RuntimeError("Triton is not installed")

    assert not is_faster(broken, speeds(100.0))


def test_a_compiled_model_that_fails_leaves_eager_execution() -> None:
    def measure() -> float:
        if calls.append(1) is None and len(calls) > 1:
            raise RuntimeError("no such kernel")
        return 100.0

    calls: list[int] = []
    assert not is_faster(lambda: None, measure)
