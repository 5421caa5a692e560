"""A minimal DNG, as a camera writes it: a Bayer mosaic with a JPEG preview in a second directory.

Source: Adobe, Digital Negative Specification 1.6.
"""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

BYTE, ASCII, SHORT, LONG, SRATIONAL = 1, 2, 3, 4, 10
FORMATS = {SHORT: "H", LONG: "I"}
Entry = tuple[int, int, object]


def make_dng(
    image: Image.Image,
    *,
    preview: bytes | None,
    preview_size: tuple[int, int] = (0, 0),
    orientation: int = 1,
    taken: str = "",
) -> bytes:
    """`image` as an RGGB mosaic; preview: a JPEG's bytes."""
    rgb = np.asarray(image.convert("RGB")).astype(np.uint16)
    mosaic = np.empty(rgb.shape[:2], "<u2")
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        # Linear light, 14 bits.
        values = (rgb[row::2, column::2, channel] / 255.0) ** 2.2
        mosaic[row::2, column::2] = np.round(values * 16383).astype(np.uint16)
    height, width = mosaic.shape
    body = BytesIO()
    body.write(b"II*\0" + b"\0" * 4)

    def put(data: bytes) -> int:
        body.write(b"\0" * (body.tell() % 2))
        at = body.tell()
        body.write(data)
        return at

    strip = put(mosaic.tobytes())
    main: list[Entry] = [
        (254, LONG, [0]), (256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [16]),
        (259, SHORT, [1]), (262, SHORT, [32803]), (271, ASCII, "Test"), (272, ASCII, "Test One"),
        (273, LONG, [strip]), (274, SHORT, [orientation]), (277, SHORT, [1]),
        (278, LONG, [height]), (279, LONG, [2 * mosaic.size]), (284, SHORT, [1]),
        (33421, SHORT, [2, 2]), (33422, BYTE, bytes([0, 1, 1, 2])),
        (50706, BYTE, bytes([1, 4, 0, 0])), (50707, BYTE, bytes([1, 1, 0, 0])),
        (50708, ASCII, "Test One"), (50717, LONG, [16383]),
        (50721, SRATIONAL, [3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415,
                            0.0557, -0.2040, 1.0570]),
        (50728, SRATIONAL, [1.0, 1.0, 1.0]), (50778, SHORT, [21]),
    ]  # fmt: skip
    if preview is not None:
        at = put(preview)
        inner: list[Entry] = [
            (254, LONG, [1]), (256, LONG, [preview_size[0]]), (257, LONG, [preview_size[1]]),
            (258, SHORT, [8, 8, 8]), (259, SHORT, [7]), (262, SHORT, [6]), (273, LONG, [at]),
            (277, SHORT, [3]), (278, LONG, [preview_size[1]]), (279, LONG, [len(preview)]),
            (284, SHORT, [1]),
        ]  # fmt: skip
        main.append((330, LONG, [_directory(inner, put)]))
    if taken:
        main.append((34665, LONG, [_directory([(36867, ASCII, taken)], put)]))
    first = _directory(main, put)
    data = bytearray(body.getvalue())
    struct.pack_into("<I", data, 4, first)
    return bytes(data)


def _directory(entries: list[Entry], put) -> int:  # type: ignore[no-untyped-def]
    packed = b""
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        if isinstance(value, str):
            raw, count = value.encode() + b"\0", len(value) + 1
        elif isinstance(value, bytes):
            raw, count = value, len(value)
        elif kind == SRATIONAL:
            raw = b"".join(struct.pack("<ii", round(v * 10000), 10000) for v in value)  # type: ignore[attr-defined]
            count = len(value)  # type: ignore[arg-type]
        else:
            raw = struct.pack(f"<{len(value)}{FORMATS[kind]}", *value)  # type: ignore[arg-type,misc]
            count = len(value)  # type: ignore[arg-type]
        field = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", put(raw))
        packed += struct.pack("<HHI", tag, kind, count) + field
    return put(struct.pack("<H", len(entries)) + packed + b"\0" * 4)
