"""Who a request comes from."""

from collections.abc import Mapping
from typing import Any


def client_of(scope: Mapping[str, Any]) -> str:
    """Return the address of a request's client, as a trusted proxy or the connection says.

    Args:
        scope: The request's ASGI scope.
    """
    return str(scope["client"][0]) if scope.get("client") else "?"
