"""Rounds in which every tool has its turn, each time another one first."""

from collections.abc import Iterator, Sequence

from peers.tools import Tool

Values = dict[str, list[float]]
"""By tool: one figure a round."""


def no_values(tools: Sequence[Tool]) -> Values:
    """To be filled in."""
    return {tool.name: [] for tool in tools}


def turns(tools: Sequence[Tool], number: int) -> Iterator[Tool]:
    """The tools in the order of round `number`."""
    first = number % len(tools)
    yield from (*tools[first:], *tools[:first])
