"""Parses XML into elements with their byte offsets.

Writing a parsed document loses what XML does not represent: quotes, line ends, the layout of
attributes. Edits at byte offsets leave all other bytes as they are. Documents with a DOCTYPE, and
so with entities of their own, are refused: XMP has neither.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from indexer.errors import SidecarFormatError

Name = tuple[str, str]
"""(namespace, local name)"""

# These see start tags that the parser has accepted already.
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_END = re.compile(rb"\s*(/?)>")
_GAP = re.compile(rb"(?:\r?\n|\r)?[ \t]*\Z")
# Far more than real sidecars have; this many take about 400 MB of memory.
_MAX_NAMESPACES = 500
_MAX_ELEMENTS = 500_000


class Attribute(NamedTuple):
    """An attribute's value, and the bytes from the white space before it to its last quote."""

    value: str
    start: int
    end: int


@dataclass(eq=False, slots=True)
class Element:
    """An element of a document.

    Attributes:
        name: Namespace and local name.
        written: Its name with the prefix, as in the document.
        scope: Namespaces by prefix.
        attributes: By name.
        start: The byte offset of its start tag.
        inside: The byte offset after its start tag.
        closed: Whether the start tag closes it; `inside`, `end` and `after` are then equal.
        end: The byte offset of its end tag.
        after: The byte offset after its end tag.
        children: In order.
        pieces: Of its character data.
    """

    name: Name
    written: str
    scope: dict[str, str]
    attributes: dict[Name, Attribute]
    start: int
    inside: int
    closed: bool
    end: int = 0
    after: int = 0
    children: "list[Element]" = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own character data, without that of its children."""
        return "".join(self.pieces)


def gap_before(document: bytes, offset: int) -> bytes:
    """Return the line break and indentation that end at an offset; empty if there are none."""
    found = _GAP.search(document, max(0, offset - 1000), offset)
    return found.group() if found else b""


def parse(document: bytes) -> Element:
    """Parse a document in UTF-8, which may declare another encoding of Unicode.

    Raises:
        SidecarFormatError: It is not well-formed, has a DOCTYPE, or declares a foreign encoding.
    """
    reader = _Reader(document)
    try:
        reader.parser.Parse(document, True)
        # A parser with namespaces checks the prefixes.
        expat.ParserCreate("utf-8", " ").Parse(document, True)
    except expat.ExpatError as exc:
        raise SidecarFormatError(f"not well-formed XML: {exc}") from exc
    return reader.root


class _Reader:
    def __init__(self, document: bytes) -> None:
        self.document = document
        self.root: Element
        self.open: list[Element] = []
        self.count = 0
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and not encoding.lower().startswith("utf"):
            raise SidecarFormatError(f"it is in {encoding}, and XMP in UTF-8, UTF-16 or UTF-32")

    def _doctype(self, *_: object) -> None:
        raise SidecarFormatError("it has a DOCTYPE, which XMP does not have and which can do harm")

    def _start(self, written: str, attributes: dict[str, str]) -> None:
        scope = self.open[-1].scope if self.open else {"xml": "xml", "": ""}
        declared = {name[6:]: uri for name, uri in attributes.items() if _declares(name)}
        if declared:
            scope = {**scope, **declared}
        self.count += 1
        if len(scope) > _MAX_NAMESPACES or self.count > _MAX_ELEMENTS:
            raise SidecarFormatError(
                f"it has more than {_MAX_ELEMENTS:,} elements or {_MAX_NAMESPACES} namespaces"
            )
        start = self.parser.CurrentByteIndex
        at = start + 1 + len(written.encode())
        found = {}
        while attribute := _ATTRIBUTE.match(self.document, at):
            at = attribute.end()
            name = attribute[1].decode()
            if not _declares(name):
                found[_expanded(name, scope, "")] = Attribute(attributes[name], *attribute.span())
        ending = _TAG_END.match(self.document, at)
        assert ending is not None, "the parser has seen the tag's end"
        closed = bool(ending[1])
        expanded = _expanded(written, scope, scope[""])
        element = Element(expanded, written, scope, found, start, ending.end(), closed)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, written: str) -> None:
        element = self.open.pop()
        element.end = element.after = element.inside
        if not element.closed:
            element.end = self.parser.CurrentByteIndex
            element.after = self.document.index(b">", element.end) + 1

    def _text(self, data: str) -> None:
        self.open[-1].pieces.append(data)


def _declares(written: str) -> bool:
    """Return whether an attribute of this name declares a namespace."""
    return written == "xmlns" or written.startswith("xmlns:")


def _expanded(written: str, scope: dict[str, str], default: str) -> Name:
    """Return the expanded name; `default` is the namespace of a name without a prefix."""
    prefix, colon, local = written.rpartition(":")
    if not colon:
        return default, local
    if prefix not in scope:
        raise SidecarFormatError(f"{written} has a prefix that is not declared")
    return scope[prefix], local
