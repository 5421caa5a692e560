"""Edits that add missing keywords to a sidecar.

They are applied by byte offsets, all at once; new lines are indented like those beside them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from indexer.errors import SidecarFormatError

from .markup import Element, Name, gap_before
from .tags import Tag, same

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ARRAYS = frozenset((RDF, local) for local in ("Bag", "Seq", "Alt"))


@dataclass(frozen=True)
class Property:
    """A list of keywords.

    Attributes:
        name: Of the property.
        prefix: Of its namespace, where a document has none.
        array: The kind of a new list.
        spell: How a tag is written in it.
    """

    name: Name
    prefix: str
    array: str
    spell: Callable[[Tag], str]


class Edits:
    """The edits of one document."""

    def __init__(self, document: bytes, descriptions: list[Element]) -> None:
        self.document = document
        self.descriptions = descriptions
        self.replaced: list[tuple[int, int, bytes]] = []
        self.added: dict[Element, list[bytes]] = defaultdict(list)

    def complete(self, place: Property, wanted: dict[str, str]) -> None:
        """Add missing values to a property.

        Args:
            place: The property.
            wanted: Values by the key that equal ones share.
        """
        owners = [d for d in self.descriptions if place.name in d.attributes]
        values = [owner.attributes[place.name] for owner in owners]
        elements = [e for d in self.descriptions for e in d.children if e.name == place.name]
        arrays = [a for e in elements for a in e.children if a.name in _ARRAYS]
        held = {same(item.text) for array in arrays for item in array.children}
        held.update(same(text) for text in [e.text for e in elements] + [v.value for v in values])
        missing = [text for key, text in wanted.items() if key not in held]
        if not missing:
            return
        if arrays:
            # Of several, the one of the kind that the property should have.
            kind = (RDF, place.array)
            array = next((array for array in arrays if array.name == kind), arrays[0])
            self._append(array, self._items(array, self._indent(array), missing))
        elif elements:
            self._wrap(elements[0], place, missing)
        else:
            parent = self.descriptions[0]
            if owners:
                parent, (value, start, end) = owners[0], values[0]
                self.replaced.append((start, end, b""))
                missing = [value, *missing] if value.strip() else missing
            self.added[parent].append(self._property(parent, place, missing))

    def applied(self) -> bytes:
        """Return the document with all edits applied."""
        for parent, texts in self.added.items():
            body = b"".join(texts)
            if parent.name == (RDF, "RDF"):
                gap = self._indent(parent)
                # An attribute needs a prefix, even if the document uses RDF without one.
                opening = f'<rdf:Description rdf:about="" xmlns:rdf="{RDF}">'.encode()
                body = gap + opening + body + gap + b"</rdf:Description>"
            self._append(parent, body)
        pieces, at = [], 0
        for start, end, text in sorted(self.replaced):
            pieces += [self.document[at:start], text]
            at = end
        return b"".join([*pieces, self.document[at:]])

    def _wrap(self, element: Element, place: Property, missing: list[str]) -> None:
        """Turn a plain or missing value into an array."""
        if element.children or any(name[0] == RDF for name in element.attributes):
            raise SidecarFormatError(
                f"its {element.written} is neither a list nor plain text. Have the program that "
                "wrote it save its keywords again"
            )
        held = [element.text.strip()] if element.text.strip() else []
        body = self._array(element, self._indent(element), place, [*held, *missing])
        if element.closed:
            self._append(element, body)
        else:
            self.replaced.append((element.inside, element.end, body + self._gap(element)))

    def _property(self, parent: Element, place: Property, values: list[str]) -> bytes:
        gap = self._indent(parent)
        if parent.name == (RDF, "RDF"):
            gap = _deeper(gap)
        opening, closing = _tag(parent, place.name, place.prefix)
        return gap + opening + self._array(parent, _deeper(gap), place, values) + gap + closing

    def _array(self, near: Element, gap: bytes, place: Property, values: list[str]) -> bytes:
        opening, closing = _tag(near, (RDF, place.array), "rdf")
        return gap + opening + self._items(near, _deeper(gap), values) + gap + closing

    def _items(self, near: Element, gap: bytes, values: Iterable[str]) -> bytes:
        opening, closing = _tag(near, (RDF, "li"), "rdf")
        return b"".join(gap + opening + escape(value).encode() + closing for value in values)

    def _append(self, parent: Element, body: bytes) -> None:
        """Put text after a parent's last child."""
        if parent.closed:
            slash = self.document.rindex(b"/", 0, parent.inside)
            ending = f"</{parent.written}>".encode()
            text = b">" + body + self._gap(parent) + ending
            self.replaced.append((slash, parent.inside, text))
        elif parent.children:
            at = parent.children[-1].after
            self.replaced.append((at, at, body))
        else:
            # Its white space is before its end tag.
            blank = not self.document[parent.inside : parent.end].strip()
            at = parent.inside if blank else parent.end
            tail = b"" if parent.end > parent.inside else self._gap(parent)
            self.replaced.append((at, at, body + tail))

    def _indent(self, parent: Element) -> bytes:
        """Return the line break and indentation before each child of this parent."""
        if parent.children:
            return gap_before(self.document, parent.children[-1].start)
        return _deeper(self._gap(parent))

    def _gap(self, element: Element) -> bytes:
        return gap_before(self.document, element.start)


def _deeper(gap: bytes) -> bytes:
    """Return one more level of indentation; nothing where the document is a single line."""
    return gap + b" " if gap.strip(b" \t") else gap


def _tag(near: Element, name: Name, prefix: str) -> tuple[bytes, bytes]:
    """Return a start and an end tag, with the document's prefix or declaring the given one."""
    namespace, local = name
    attributes = ""
    known = next((p for p, uri in near.scope.items() if uri == namespace), None)
    if known is None:
        attributes = f' xmlns:{prefix}="{namespace}"'
    else:
        prefix = known
    written = f"{prefix}:{local}" if prefix else local
    return f"<{written}{attributes}>".encode(), f"</{written}>".encode()
