"""Tags merged into the bytes of sidecars; exiftool says what they hold."""

import codecs
import difflib
from collections.abc import Callable
from typing import Any

import pytest

from adaptation.sidecars.xmp import merge
from indexer.errors import SidecarFormatError, TagError
from support.sidecar_samples import KEYWORDS, LIGHTROOM, SAMPLES, described, keywords

Reader = Callable[[bytes], dict[str, Any]]

TAGS = [("Animals", "Dog"), ("beach",)]
ADDED = [["Dog", "beach"], ["Animals|Dog", "beach"], ["Animals/Dog", "beach"]]
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def test_a_new_sidecar_holds_the_tags_in_all_three_places(exiftool: Reader) -> None:
    data = merge(None, TAGS)
    assert keywords(exiftool(data)) == ADDED
    assert merge(data, TAGS) == data
    assert b"<rdf:Seq>" in data.split(b"TagsList>")[1]
    assert data.count(b"<rdf:Bag>") == 2


@pytest.mark.parametrize("program", SAMPLES)
def test_tags_are_appended_and_all_else_stays(program: str, exiftool: Reader) -> None:
    sidecar = SAMPLES[program]
    merged = merge(sidecar, TAGS)
    before, after = exiftool(sidecar), exiftool(merged)
    assert keywords(after) == [old + new for old, new in zip(keywords(before), ADDED, strict=True)]
    for name in KEYWORDS:
        before.pop(name, None)
        after.pop(name, None)
    assert after == before
    assert merge(merged, TAGS) == merged


@pytest.mark.parametrize("program", SAMPLES)
def test_not_a_byte_of_what_was_there_changes(program: str) -> None:
    before = SAMPLES[program].splitlines(keepends=True)
    after = merge(SAMPLES[program], TAGS).splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    assert {tag for tag, *_ in matcher.get_opcodes()} == {"equal", "insert"}
    assert {line.endswith(b"\r\n") for line in after[:-1]} == {before[0].endswith(b"\r\n")}


@pytest.mark.parametrize("program", SAMPLES)
def test_existing_keywords_are_not_repeated(program: str, exiftool: Reader) -> None:
    sidecar = SAMPLES[program]
    (_, paths, _) = keywords(exiftool(sidecar))
    tags = [tuple(path.split("|")) for path in paths]
    places = keywords(exiftool(merge(sidecar, tags)))
    assert [len(set(place)) for place in places] == [len(place) for place in places]
    assert places[:2] == keywords(exiftool(sidecar))[:2]


def test_composed_and_decomposed_keywords_are_equal() -> None:
    composed = merge(None, [("caf\u00e9",)])
    assert merge(composed, [("cafe\u0301",), (" caf\u00e9 ",)]) == composed


def test_a_property_given_as_an_attribute_becomes_a_list(exiftool: Reader) -> None:
    sidecar = described("", """ dc:format = "image/jpeg"  dc:subject='a "b" &lt;'""")
    merged = merge(sidecar, TAGS)
    assert b"dc:subject=" not in merged
    assert keywords(exiftool(merged))[0] == ['a "b" <', *ADDED[0]]
    assert exiftool(merged)["XMP-dc:Format"] == "image/jpeg"
    assert merge(merged, TAGS) == merged
    held = described("", ' dc:subject="Dog" lr:hierarchicalSubject="Dog"')
    assert b'dc:subject="Dog" lr:hierarchicalSubject="Dog"' in merge(held, [("Dog",)])


@pytest.mark.parametrize(
    ("inside", "held"),
    [
        ("<dc:subject>one &amp; two</dc:subject>", ["one & two"]),
        ("<dc:subject><![CDATA[<c>]]></dc:subject>", ["<c>"]),
        ("<dc:subject/>", []),
        ("<dc:subject> </dc:subject>", []),
        ("<dc:subject><rdf:Bag/></dc:subject>", []),
        ("<dc:subject><rdf:Bag></rdf:Bag></dc:subject>", []),
        ("<dc:subject><rdf:Alt><rdf:li>x</rdf:li></rdf:Alt></dc:subject>", ["x"]),
        ("<dc:subject><rdf:Seq>\n <rdf:li xml:lang='en'>x</rdf:li></rdf:Seq></dc:subject>", ["x"]),
    ],
)
def test_every_form_of_a_list_is_added_to(inside: str, held: list[str], exiftool: Reader) -> None:
    merged = merge(described(inside), TAGS)
    assert keywords(exiftool(merged)) == [held + ADDED[0], *ADDED[1:]]
    assert merge(merged, TAGS) == merged


def test_a_mix_of_alt_and_bag_counts_as_one_list(exiftool: Reader) -> None:
    lists = "".join(
        f"<rdf:{kind}><rdf:li>{word}</rdf:li></rdf:{kind}>"
        for kind, word in (("Alt", "beach"), ("Bag", "Dog"))
    )
    sidecar = described(f"<dc:subject>{lists}</dc:subject>")
    assert b"<rdf:li>Dog</rdf:li></rdf:Bag></dc:subject>" in merge(sidecar, TAGS)
    merged = merge(sidecar, [*TAGS, ("sea",)])
    assert keywords(exiftool(merged))[0] == ["Dog", "sea"]  # of the Bag, the last that it reads
    assert merged.count(b"<rdf:li>beach</rdf:li></rdf:Alt>") == 1


def test_the_description_with_keywords_is_extended(exiftool: Reader) -> None:
    sidecar = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="{RDF}">\n'
        ' <r:Description r:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/>\n'
        ' <r:Description r:about="" xmlns:d="http://purl.org/dc/elements/1.1/">\n'
        "  <d:subject><r:Bag><r:li>Dog</r:li></r:Bag></d:subject>\n"
        " </r:Description>\n"
        "</r:RDF></x:xmpmeta>"
    ).encode()
    merged = merge(sidecar, TAGS)
    assert b"<r:li>Dog</r:li><r:li>beach</r:li>" in merged
    assert keywords(exiftool(merged)) == ADDED
    assert exiftool(merged)["XMP-xmp:Rating"] == 3
    assert merge(merged, TAGS) == merged


@pytest.mark.parametrize(
    "sidecar",
    [
        f'<rdf:RDF xmlns:rdf="{RDF}"/>',
        f'<rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF>',
        f'<x:xapmeta xmlns:x="adobe:ns:meta/">\n<rdf:RDF xmlns:rdf="{RDF}"/>\n</x:xapmeta>',
        f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""/></rdf:RDF>\n',
        f'<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description xmlns:dc="urn:else" dc:subject="no" />'
        "</rdf:RDF>",
    ],
)
def test_sidecars_without_keywords_get_them(sidecar: str, exiftool: Reader) -> None:
    merged = merge(sidecar.encode(), TAGS)
    assert keywords(exiftool(merged)) == ADDED
    assert merge(merged, TAGS) == merged


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", b""),
    ],
)
def test_a_file_stays_in_its_encoding(encoding: str, mark: bytes) -> None:
    text = SAMPLES["digiKam"].decode()
    assert merge(mark + text.encode(encoding), [("Holiday",)]) == mark + text.encode(encoding)
    merged = merge(mark + text.encode(encoding), [("plage d'été",)])
    assert merged == mark + merge(text.encode(), [("plage d'été",)]).decode().encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_exiftool_reads_what_was_merged_in_utf_16(encoding: str, exiftool: Reader) -> None:
    mark = "\ufeff".encode(encoding)
    merged = merge(mark + SAMPLES["digiKam"].decode().encode(encoding), [("été",)])
    assert keywords(exiftool(merged))[0] == ["Élysée", "Holiday", "été"]


def test_markup_and_hierarchy_characters_are_escaped(exiftool: Reader) -> None:
    tags = [("<b>&amp;]]>",), ("AC/DC", "a|b"), ("\U0001f415",)]
    merged = merge(LIGHTROOM, tags)
    subject, hierarchical, tags_list = keywords(exiftool(merged))
    assert subject[2:] == ["<b>&amp;]]>", "a|b", "\U0001f415"]
    assert hierarchical[1:] == ["<b>&amp;]]>", "AC/DC|a/b", "\U0001f415"]
    assert tags_list == ["<b>&amp;]]>", "AC\\DC/a\\b", "\U0001f415"]
    assert merge(merged, tags) == merged


@pytest.mark.parametrize(
    "tag",
    [(), ("",), ("a", " "), ("a\nb",), ("a\0",), ("\x1b[31m",), ("\ud800",), ("\ufffe",), "Dog"],
)
def test_a_tag_that_cannot_be_written_is_refused(tag: tuple[str, ...]) -> None:
    with pytest.raises(TagError, match=r"\A[ -~]+\Z"):
        merge(LIGHTROOM, [("fine",), tag])


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE l [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
HIERARCHY = described("<dc:subject rdf:parseType='Resource'><dc:x>y</dc:x></dc:subject>")


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (b"", "not well-formed XML"),
        (b"\xff\xd8\xff\xe0 a photo", "not in UTF-8"),
        (LIGHTROOM[:-9], "not well-formed XML"),
        (LIGHTROOM + b"more", "not well-formed XML"),
        (b"<html><body/></html>", "holds 0 rdf:RDF"),
        (described("<q:x/>"), "not declared"),
        (LAUGHS.encode() + described("<dc:subject>&b;</dc:subject>"), "DOCTYPE"),
        (EXTERNAL.encode() + described("<dc:subject>&b;</dc:subject>"), "DOCTYPE"),
        (described("<dc:subject>&b;</dc:subject>"), "undefined entity"),
        (described("<dc:subject rdf:resource='urn:x'/>"), "neither a list nor"),
        (HIERARCHY, "neither a list nor"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + described(""), "ISO-8859-1"),
        (described("<dc:x/>" * 500_001), "more than 500,000 elements"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_xmp_is_refused(sidecar: bytes, reason: str) -> None:
    with pytest.raises(SidecarFormatError, match=reason):
        merge(sidecar, TAGS)
