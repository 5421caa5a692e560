"""pgvector's types on the wire: what the catalog keeps of a vector, with its bytes turned.

The type's binary form is its length and a reserved number, each in two bytes, then the components,
all of them big-endian. Source: `halfvec_recv` and `vector_recv` in pgvector 0.8.
"""

import struct
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from indexer.encoder import Embeddings

HEADER = struct.Struct(">HH")


class Half:
    """A vector for a parameter: its components in half precision, little-endian."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Full:
    """A query for a parameter: `(dim,)` in single precision."""

    def __init__(self, vector: Embeddings) -> None:
        self.vector = vector


def register(connection: "psycopg.Connection[Any]", half: int, full: int) -> None:
    """Have a connection send `Half` as halfvec and `Full` as vector, and read halfvec as bytes.

    Args:
        connection: The connection.
        half: The number of the type halfvec in its database.
        full: That of the type vector.
    """

    class HalfDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Half) -> bytes:
            halves = np.frombuffer(obj.data, "<f2")
            return HEADER.pack(len(halves), 0) + halves.astype(">f2").tobytes()

    class HalfLoader(Loader):
        format = Format.BINARY

        def load(self, data: Any) -> bytes:
            return np.frombuffer(bytes(data)[HEADER.size :], ">f2").astype("<f2").tobytes()

    class FullDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Full) -> bytes:
            return HEADER.pack(len(obj.vector), 0) + obj.vector.astype(">f4").tobytes()

    HalfDumper.oid, FullDumper.oid = half, full
    connection.adapters.register_dumper(Half, HalfDumper)
    connection.adapters.register_dumper(Full, FullDumper)
    connection.adapters.register_loader(half, HalfLoader)
