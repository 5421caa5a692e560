r"""Images in a terminal: by kitty's graphics protocol, iTerm2's inline images, or sixels.

Libraries for this were looked at: term-image needs a Pillow that is older than the one that reads
AVIF, and textual-image asks the terminal what it can while it is imported, and waits for answers.
What a terminal can is told by its environment here, and nothing is asked.

    kitty   https://sw.kovidgoyal.net/kitty/graphics-protocol/
    iTerm2  https://iterm2.com/documentation-images.html
    sixels  VT330/VT340 Programmer Reference Manual, chapter 14
"""

import base64
import os
import re
import struct
import sys
from collections.abc import Mapping
from enum import Enum
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING

from indexer.errors import ImageError
from indexer.images.decode import Limits
from indexer.images.thumbnails import small
from indexer.store.paths import is_url
from search.hits import Hit
from terminal.console import is_terminal

if TYPE_CHECKING:
    from PIL import Image

VARIABLE = "CLIPDEX_PREVIEW"
# Lines of text that an image takes, at most; small ones are not blown up to that.
LINES = 12
# Pixels of a line of text where the terminal does not say it, and of an image's longer side.
LINE_PIXELS = 20
SIDE = 320
# A line of text is about twice as high as a letter is wide.
LINE_PER_COLUMN = 2
# What kitty takes at once.
PART = 4096
COLORS = 128
JPEG_QUALITY = 85


class Protocol(Enum):
    """A way to give a terminal an image."""

    KITTY = "kitty"
    ITERM2 = "iterm2"
    SIXEL = "sixel"


# By $TERM_PROGRAM in lower case, and by how $TERM begins.
PROGRAMS = {
    "ghostty": Protocol.KITTY,
    "iterm.app": Protocol.ITERM2,
    "wezterm": Protocol.ITERM2,
    "mintty": Protocol.ITERM2,
    "rio": Protocol.ITERM2,
    "warpterminal": Protocol.ITERM2,
}
TERMS = {
    "xterm-kitty": Protocol.KITTY,
    "xterm-ghostty": Protocol.KITTY,
    "wezterm": Protocol.ITERM2,
    "foot": Protocol.SIXEL,
    "mlterm": Protocol.SIXEL,
    "contour": Protocol.SIXEL,
}


class PreviewImpossible(ValueError):
    """Images cannot be shown here; the text says why, and goes on from the option's name."""


def protocol(environment: Mapping[str, str] = os.environ) -> Protocol:
    """Return how images get into the terminal that results go to.

    Raises:
        PreviewImpossible: They go elsewhere, or the terminal is not known to show images.
    """
    if not is_terminal():
        raise PreviewImpossible(
            "shows images in a terminal, and the output goes elsewhere: --html FILE writes a page"
        )
    named = environment.get(VARIABLE, "")
    if named:
        try:
            return Protocol(named.lower())
        except ValueError:
            known = ", ".join(one.value for one in Protocol)
            raise PreviewImpossible(f"knows no ${VARIABLE}={named}: it is one of {known}") from None
    found = protocol_of(environment)
    if found is None:
        raise PreviewImpossible(
            "does not know this terminal as one that shows images (kitty, Ghostty, iTerm2, "
            "WezTerm, Konsole, foot and some others do, but not through tmux or screen): set "
            f"{VARIABLE} to kitty, iterm2 or sixel if it does, or look at them with --open"
        )
    return found


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """Return how a terminal takes images, by the variables that it sets; None if it may not."""
    term = environment.get("TERM", "")
    if "TMUX" in environment or "STY" in environment or term.startswith(("tmux", "screen")):
        return None  # between the terminal and us, and it inherits the terminal's variables
    for start, found in TERMS.items():
        if term.startswith(start):
            return found
    if program := environment.get("TERM_PROGRAM"):
        return PROGRAMS.get(program.lower())
    if "KITTY_WINDOW_ID" in environment:
        return Protocol.KITTY
    # Both survive ssh, where it is allowed to pass them on.
    konsole = environment.get("KONSOLE_VERSION", "")
    if environment.get("LC_TERMINAL") == "iTerm2" or (konsole.isdigit() and int(konsole) >= 220400):
        return Protocol.ITERM2
    return None


def preview(hit: Hit, protocol: Protocol, columns: int) -> bytes | None:
    """Return what shows a hit's image in a terminal, upright and small.

    Args:
        hit: The hit.
        protocol: How the terminal takes images.
        columns: The terminal's width, which the image does not exceed.

    Returns:
        The terminal's command. None where the file cannot be read now, or is at a URL: showing
        hits contacts nobody.
    """
    if is_url(hit.raw_paths[0]):
        return None
    try:
        image = small(hit.file.read_bytes(), SIDE, Limits(), name=hit.raw_paths[0])
    except (OSError, ImageError):
        return None
    lines = lines_for(hit.width, hit.height, columns)
    match protocol:
        case Protocol.KITTY:
            return kitty(image, lines)
        case Protocol.ITERM2:
            return iterm2(image, lines)
        case Protocol.SIXEL:
            return sixel(image, lines * _line_pixels())


def lines_for(width: int, height: int, columns: int) -> int:
    """Return how many lines of text an image takes, at least one, that is at most `columns` wide.

    Args:
        width: Of the whole image, in pixels.
        height: Of the whole image, in pixels.
        columns: The terminal's width.
    """
    across = columns * height // (LINE_PER_COLUMN * max(width, 1))
    return max(1, min(LINES, ceil(height / LINE_PIXELS), across))


def kitty(image: "Image.Image", lines: int) -> bytes:
    """Return kitty's command for an image; q=2 has the terminal answer nothing, which a shell read.

    Args:
        image: The image.
        lines: The lines of text that it takes.
    """
    data = base64.b64encode(_encoded(image, "PNG"))
    parts = [data[at : at + PART] for at in range(0, len(data), PART)]
    command = b""
    for number, part in enumerate(parts):
        what = b"a=T,f=100,q=2,r=%d," % lines if number == 0 else b""
        command += b"\x1b_G%sm=%d;%s\x1b\\" % (what, number < len(parts) - 1, part)
    return command


def iterm2(image: "Image.Image", lines: int) -> bytes:
    """Return iTerm2's command for an image.

    Args:
        image: The image.
        lines: The lines of text that it takes.
    """
    data = _encoded(image, "JPEG", quality=JPEG_QUALITY)
    about = f"inline=1;size={len(data)};height={lines};preserveAspectRatio=1"
    return b"\x1b]1337;File=%s:%s\x07" % (about.encode(), base64.b64encode(data))


def sixel(image: "Image.Image", height: int) -> bytes:
    """Return an image as sixels, bands of six lines of pixels, one colour after the other.

    Args:
        image: The image.
        height: Its height in the terminal, in pixels; it is not enlarged.
    """
    import numpy as np

    width = max(1, round(image.width * height / image.height))
    if height < image.height:
        image = image.resize((width, height))
    drawn = image.convert("RGB").quantize(COLORS)
    palette = drawn.getpalette() or []
    pixels = np.asarray(drawn)
    command = b'\x1bPq"1;1;%d;%d' % (drawn.width, drawn.height)
    for color in range(len(palette) // 3):
        shares = (round(value * 100 / 255) for value in palette[3 * color : 3 * color + 3])
        command += b"#%d;2;%d;%d;%d" % (color, *shares)
    bits = np.array([1, 2, 4, 8, 16, 32], dtype=np.uint8)
    bands = []
    for top in range(0, drawn.height, len(bits)):
        band = pixels[top : top + len(bits)]
        lines = []
        for color in np.unique(band):
            columns = ((band == color) * bits[: len(band), np.newaxis]).sum(axis=0) + 63
            lines.append(b"#%d%s" % (color, _runs(columns.astype(np.uint8).tobytes())))
        bands.append(b"$".join(lines))
    return command + b"-".join(bands) + b"\x1b\\"


def _runs(line: bytes) -> bytes:
    """Return a line of sixels with its repetitions counted."""
    return re.sub(rb"(.)\1{3,}", lambda run: b"!%d%s" % (len(run[0]), run[1]), line, flags=re.S)


def _encoded(image: "Image.Image", form: str, **options: int) -> bytes:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, form, **options)
    return buffer.getvalue()


def _line_pixels() -> int:
    """Return the height of a line of text, which most terminals tell the system."""
    try:
        from fcntl import ioctl
        from termios import TIOCGWINSZ

        size = ioctl(sys.stdout.fileno(), TIOCGWINSZ, bytes(8))
    except (ImportError, OSError):  # Windows; not a terminal any more
        return LINE_PIXELS
    lines, _, _, pixels = struct.unpack("HHHH", size)
    return pixels // lines if lines and pixels >= lines else LINE_PIXELS
