"""The hash that names a content: BLAKE3 of the file's bytes, 16 bytes long.

Cryptographic, so that no file can be made to pass for another; and far quicker than decoding.
"""

from blake3 import blake3


def digest(data: bytes) -> bytes:
    """Return the 16-byte hash of `data`."""
    return blake3(data).digest(length=16)
