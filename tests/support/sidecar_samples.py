"""Sidecars as the programs of photographers write them, and exiftool, which reads them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

KEYWORDS = ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList")

DIGIKAM = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:acdsee="http://ns.acdsee.com/iptc/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
   digiKam:PickLabel="0"
   digiKam:ColorLabel="3"
   xmp:Rating="4"
   acdsee:categories="&lt;Categories&gt;&lt;Category Assigned=&quot;1&quot;&gt;A&lt;/Category&gt;">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Places/Élysée</rdf:li>
     <rdf:li>Holiday</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Élysée</rdf:li>
     <rdf:li>Holiday</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Élysée</rdf:li>
     <rdf:li>Holiday</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()

LIGHTROOM = b"""\
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000">\r
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\r
  <rdf:Description rdf:about=""\r
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"\r
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"\r
    xmlns:dc="http://purl.org/dc/elements/1.1/"\r
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"\r
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"\r
   xmp:ModifyDate="2023-05-06T10:11:12+02:00"\r
   photoshop:SidecarForExtension="CR2"\r
   crs:Exposure2012='+0.35'\r
   crs:HasSettings="True">\r
   <dc:subject>\r
    <rdf:Bag>\r
     <rdf:li>Animals</rdf:li>\r
     <rdf:li>Horse</rdf:li>\r
    </rdf:Bag>\r
   </dc:subject>\r
   <lr:hierarchicalSubject>\r
    <rdf:Bag>\r
     <rdf:li>Animals|Horse</rdf:li>\r
    </rdf:Bag>\r
   </lr:hierarchicalSubject>\r
   <!-- curves -->\r
   <crs:ToneCurvePV2012>\r
    <rdf:Seq>\r
     <rdf:li>0, 0</rdf:li>\r
     <rdf:li>255, 255</rdf:li>\r
    </rdf:Seq>\r
   </crs:ToneCurvePV2012>\r
  </rdf:Description>\r
 </rdf:RDF>\r
</x:xmpmeta>"""

DARKTABLE = b"""\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   xmp:Rating="1"
   xmpMM:DerivedFrom="IMG_0001.CR2"
   darktable:xmp_version="5"
   darktable:history_end="1">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:params="00000000713d8abd00"/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject>
    <rdf:Seq>
     <rdf:li>darktable</rdf:li>
     <rdf:li>exported</rdf:li>
    </rdf:Seq>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Seq>
     <rdf:li>darktable|exported</rdf:li>
    </rdf:Seq>
   </lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

SAMPLES = {"digiKam": DIGIKAM, "Lightroom": LIGHTROOM, "darktable": DARKTABLE}


def described(inside: str, attributes: str = "") -> bytes:
    """A bare rdf:RDF with one rdf:Description."""
    return (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:lr="http://ns.adobe.com/lightroom/1.0/"'
        f"{attributes}>{inside}</rdf:Description></rdf:RDF>"
    ).encode()


def read_by_exiftool(file: Path) -> dict[str, Any]:
    """Every XMP property of a sidecar, by its group and name."""
    done = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", "-XMP:all", os.fsencode(file)],
        capture_output=True,
        check=True,
    )
    metadata: dict[str, Any] = json.loads(done.stdout)[0]
    assert not done.stderr, done.stderr
    del metadata["SourceFile"]
    return metadata


def keywords(metadata: dict[str, Any]) -> list[list[str]]:
    """Those of `dc:subject`, `lr:hierarchicalSubject` and `digiKam:TagsList`."""
    found = (metadata.get(name, []) for name in KEYWORDS)
    return [[str(v) for v in (value if isinstance(value, list) else [value])] for value in found]
