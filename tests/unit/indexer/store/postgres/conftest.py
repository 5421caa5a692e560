"""A server for the tests of the shared store."""

from support.postgres import postgres

__all__ = ["postgres"]
