"""Reads the dates and the place in a block of XMP with a real XML parser.

Writers differ in all that XML allows: attributes or elements, either kind of quotes, entities, any
prefix for a namespace, UTF-8 or UTF-16. Document types, and with them entities that grow, are
refused. What comes before a damaged place counts.

Source: XMP specification part 1, section 7 (RDF), and part 2 (namespaces).
"""

from xml.parsers import expat

EXIF = "http://ns.adobe.com/exif/1.0/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
XMP = "http://ns.adobe.com/xap/1.0/"
IPTC = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
# For blocks that forget to declare the usual prefixes.
USUAL_PREFIXES = {"exif": EXIF, "photoshop": PHOTOSHOP, "xmp": XMP, "xap": XMP}
# Best first: when it was photographed, made, digitised, and made as a file.
DATES = (
    (EXIF, "DateTimeOriginal"),
    (PHOTOSHOP, "DateCreated"),
    (EXIF, "DateTimeDigitized"),
    (XMP, "CreateDate"),
)
# The names of the place that is shown, the nearest first.
PLACE = ((IPTC, "Location"), (PHOTOSHOP, "City"), (PHOTOSHOP, "State"), (PHOTOSHOP, "Country"))
# These enclose all properties; properties of anything deeper belong to other images, such as those
# that this one was composed of.
WRAPPERS = frozenset({"xmpmeta", "xapmeta", "RDF"})
# By the first bytes; longer ones first. All others are UTF-8.
ENCODINGS = {
    b"<\0\0\0": "utf-32-le",
    b"\0\0\0<": "utf-32-be",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# Larger blocks hold whole images, and no other program reads them either.
MAX_BYTES = 16 * 2**20


Names = tuple[tuple[str, str], ...]
"""Properties, each as its namespace and its name."""


def dates_of(block: bytes | str) -> list[str]:
    """Return the texts of a block's dates, best first; none of them need be a sensible date."""
    data = _as_utf8(block)
    return _texts(data, DATES) if b"Date" in data else []


def place_of(block: bytes | str) -> list[str]:
    """Return the names of the place that a block says its image shows, the nearest first."""
    return _texts(_as_utf8(block), PLACE)


def _as_utf8(block: bytes | str) -> bytes:
    return block.encode("utf-8", "replace") if isinstance(block, str) else _utf8(block)


def _texts(data: bytes, names: Names) -> list[str]:
    """Return the texts of the properties with these names, in their order."""
    if len(data) > MAX_BYTES:
        return []
    reader = _Reader(names)
    if not reader.read(data):
        # Some writers put Latin-1 under the name of UTF-8.
        reader.read(data.decode("utf-8", "replace").encode())
    return [text for name in names if (text := reader.found.get(name, "").strip())]


def _utf8(block: bytes) -> bytes:
    """Return a block in UTF-8, without the padding that some files leave around it."""
    for start, encoding in ENCODINGS.items():
        if block.startswith(start):
            block = block.decode(encoding, "replace").lstrip("\ufeff").encode("utf-8", "replace")
            break
    return block.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")


class _Reader:
    """Collects the properties with some names of a block's own image."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.found: dict[tuple[str, str], str] = {}
        self._scopes: list[dict[str, str]] = [USUAL_PREFIXES]
        self._depth = 0
        self._open: tuple[tuple[str, str], int] | None = None

    def read(self, data: bytes) -> bool:
        """Parse a block as far as it is sound; return whether that was all of it."""
        parser = expat.ParserCreate("utf-8")  # whatever the block says of itself
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = _refuse
        self._scopes, self._depth, self._open = [USUAL_PREFIXES], 0, None
        try:
            parser.Parse(data, True)
        except (expat.ExpatError, ValueError):
            return False
        return True

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        scope = self._scopes[-1]
        bound = {key[6:]: value for key, value in attributes.items() if key.startswith("xmlns:")}
        self._scopes.append({**scope, **bound} if bound else scope)
        if self._depth == 0:
            for key, value in attributes.items():
                if (name := self._name(key)) in self._names:
                    self.found.setdefault(name, value)
        name = self._name(element)
        wanted = name in self._names and name not in self.found
        if self._depth <= 1 and self._open is None and wanted:
            self._open = name, len(self._scopes)
            self.found[name] = ""
        if name[1] not in WRAPPERS:
            self._depth += 1

    def _end(self, element: str) -> None:
        if self._name(element)[1] not in WRAPPERS:
            self._depth -= 1
        if self._open is not None and len(self._scopes) <= self._open[1]:
            self._open = None
        self._scopes.pop()

    def _text(self, text: str) -> None:
        if self._open is not None:
            self.found[self._open[0]] += text

    def _name(self, qualified: str) -> tuple[str, str]:
        prefix, _, local = qualified.rpartition(":")
        return self._scopes[-1].get(prefix, ""), local


def _refuse(*_: object) -> None:
    raise ValueError("XMP has no document type")
