"""Text files that a user writes, in the encodings that editors give them."""

import codecs
from pathlib import Path

# Windows' editors begin files with one of these.
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(file: Path) -> str:
    """Return a text file's contents without a byte order mark.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is not text.
    """
    data = file.read_bytes()
    encoding = next((name for mark, name in BOMS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)
