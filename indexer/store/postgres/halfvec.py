"""pgvector's `halfvec` on the wire: what the catalog keeps of a vector, with its bytes turned.

The type's binary form is its length and a reserved number, each in two bytes, then the components,
all of them big-endian. Source: `halfvec_recv` in pgvector 0.8.
"""

import struct
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo

HEADER = struct.Struct(">HH")


class Half:
    """A vector for a parameter: its components in half precision, little-endian."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def register(connection: "psycopg.Connection[Any]", oid: int) -> None:
    """Have a connection send `Half` as halfvec, and read halfvec as little-endian bytes."""

    class HalfDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Half) -> bytes:
            halves = np.frombuffer(obj.data, "<f2")
            return HEADER.pack(len(halves), 0) + halves.astype(">f2").tobytes()

    class HalfLoader(Loader):
        format = Format.BINARY

        def load(self, data: Any) -> bytes:
            return np.frombuffer(bytes(data)[HEADER.size :], ">f2").astype("<f2").tobytes()

    HalfDumper.oid = oid
    TypeInfo("halfvec", oid, 0).register(connection)
    connection.adapters.register_dumper(Half, HalfDumper)
    connection.adapters.register_loader(oid, HalfLoader)
