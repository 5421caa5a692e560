import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.json_files import MAX_DEPTH, Fields, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary())
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    with suppress(ValueError):
        parse_json(data)


@given(VALUES)
def test_what_json_writes_is_read_again(value: object) -> None:
    text = json.dumps(value)
    if not ("NaN" in text or "Infinity" in text):
        assert parse_json(text) == value


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "1e999", '{"a": [1e400]}', "9" * 5_000])
def test_numbers_that_are_none_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="not a number|digits"):
        parse_json(text)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 200_000])
def test_deep_values_are_errors(depth: int) -> None:
    for first, last in (("[", "]"), ('{"a":', "}")):
        with pytest.raises(ValueError, match="deep"):
            parse_json(first * depth + "1" + last * depth)
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_entries_are_what_was_asked_for() -> None:
    fields = Fields({"a": 1, "b": "x", "c": [1.5, 2], "d": True, "e": None, "f": 10**400})
    assert fields.integer("a", 0, 1) == 1
    assert fields.numbers("c", 2) == (1.5, 2.0)
    assert fields.text("e", None) is None
    with pytest.raises(ValueError, match="'d' is not a number"):
        fields.number("d")
    with pytest.raises(ValueError, match="'f' is too large"):
        fields.number("f")
    with pytest.raises(ValueError, match="'c' has 2 entries"):
        fields.numbers("c", 3)
    with pytest.raises(ValueError, match="'g' is missing"):
        fields.flag("g")
    with pytest.raises(ValueError, match="'b' is not an entry"):
        fields.nothing_else()
