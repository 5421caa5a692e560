"""Merges tags into the bytes of an XMP sidecar and changes nothing else.

A tag is written to three lists: its last level to `dc:subject`, which every program reads, and all
levels to `lr:hierarchicalSubject` (Lightroom, darktable) and `digiKam:TagsList`.
Source: Adobe, XMP Specification Part 1 (ISO 16684-1), section 7, for the forms that RDF may have.
"""

import codecs
from collections.abc import Sequence

from indexer.errors import SidecarFormatError

from .edits import RDF, Edits, Property
from .markup import Element, parse
from .tags import Tag, checked, digikam, leaf, lightroom, same

_META = frozenset(("adobe:ns:meta/", local) for local in ("xmpmeta", "xapmeta"))
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_EMPTY = f"""\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="clipdex">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()


PROPERTIES = (
    Property(("http://purl.org/dc/elements/1.1/", "subject"), "dc", "Bag", leaf),
    Property(("http://ns.adobe.com/lightroom/1.0/", "hierarchicalSubject"), "lr", "Bag", lightroom),
    Property(("http://www.digikam.org/ns/1.0/", "TagsList"), "digiKam", "Seq", digikam),
)


def merge(sidecar: bytes | None, tags: Sequence[Tag]) -> bytes:
    """Return a sidecar with missing tags added, or the same bytes where none is missing.

    An existing array keeps its kind, and a plain value becomes the first entry of an array.

    Args:
        sidecar: Its bytes; None for a new one.
        tags: What it should contain.

    Raises:
        TagError: A tag cannot be written.
        SidecarFormatError: The bytes are not XMP, or its keywords have a form that cannot be
            extended.
    """
    wanted = checked(tags)
    mark, encoding, document = _decoded(_EMPTY if sidecar is None else sidecar)
    edits = Edits(document, _descriptions(parse(document)))
    for place in PROPERTIES:
        edits.complete(place, {same(text): text for text in map(place.spell, wanted)})
    return mark + edits.applied().decode().encode(encoding)


def _decoded(sidecar: bytes) -> tuple[bytes, str, bytes]:
    """Return the byte order mark, the encoding, and the rest in UTF-8."""
    mark, encoding = next((pair for pair in _ENCODINGS if sidecar.startswith(pair[0])), (b"", ""))
    if not encoding:
        # Without a mark the first character decides, which is always "<".
        encodings = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
        encoding = next((e for e in encodings if sidecar.startswith("<".encode(e))), "utf-8")
    try:
        return mark, encoding, sidecar[len(mark) :].decode(encoding).encode()
    except UnicodeDecodeError as exc:
        raise SidecarFormatError(f"not XMP: it is not in {encoding.upper()}") from exc


def _descriptions(root: Element) -> list[Element]:
    """Return the elements that hold properties; rdf:RDF itself where there are none."""
    inside = root.children if root.name in _META else [root]
    found = [element for element in inside if element.name == (RDF, "RDF")]
    if len(found) != 1:
        raise SidecarFormatError(f"not XMP: its <{root.written}> holds {len(found)} rdf:RDF")
    return [e for e in found[0].children if e.name == (RDF, "Description")] or found
