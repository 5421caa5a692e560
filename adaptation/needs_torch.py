"""Methods that need torch, where it may not be installed."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from indexer.errors import ExamplesError


class Named(Protocol):
    """A method, of heads or across domains."""

    name: ClassVar[str]
    needs_torch: ClassVar[bool]


def require_torch(method: Named, methods: Mapping[str, type[Named]]) -> None:
    """Raise ExamplesError if a method needs torch and there is none.

    Args:
        method: The method.
        methods: All that there are, by name; the error names those that do without.
    """
    if method.needs_torch:
        try:
            import torch  # noqa: F401
        except ImportError as exc:
            *others, last = [name for name, other in methods.items() if not other.needs_torch]
            instead = f"{', '.join(others)} or {last}" if others else last
            raise ExamplesError(
                f"--method {method.name} needs torch, which is not installed ({exc}): pip install "
                f"'clipdex[torch]', or choose {instead}"
            ) from exc
