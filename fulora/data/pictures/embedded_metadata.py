"""Metadata embedded in picture files: that an image is synthetic and how it was made, even without its image set.

A PNG carries the row as text. A synthetic one also carries an XMP packet in the words of the IPTC (its digital source
type says `trainedAlgorithmicMedia`), which image software, search engines and `exiftool` read. Copying and packing keep
both; saving the picture anew with other software may drop them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from PIL.PngImagePlugin import PngInfo

from fulora.data.image import Image
from fulora.data.pictures.decoding import open_picture

XMP_KEY = "XML:com.adobe.xmp"
SYNTHETIC_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PARTLY_SYNTHETIC_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
FULORA = "urn:fulora:xmp:1.0/"

NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class MarkError(ValueError):
    """A row that cannot be written as embedded metadata."""


@dataclass(frozen=True)
class Mark:
    """The embedded metadata of a picture.

    Attributes:
        synthetic: whether a trained model made it, or a part of it.
        caption: the prompt; "" if unknown.
        seed: of its noise; "" if unknown.
        generator: fingerprint of the weights that made it; "" if unknown.
    """

    synthetic: bool
    caption: str
    seed: str
    generator: str


def png_info(row: Image) -> PngInfo:
    """Return the text chunks of a row's PNG: the row as JSON under `fulora`, `origin`, and XMP if it is synthetic.

    Equal rows give equal bytes: nothing of time or machine is in them.

    Raises:
        MarkError: as `xmp_packet`.
    """
    info = PngInfo()
    info.add_text("fulora", json.dumps(row.to_json(), sort_keys=True))
    info.add_text("origin", row.origin)
    if row.origin == "synthetic":
        info.add_itxt(XMP_KEY, xmp_packet(row).decode())
    return info


def xmp_packet(row: Image) -> bytes:
    """Return the XMP packet of a synthetic image, UTF-8; for JPEG and WebP give it to Pillow's `save(..., xmp=packet)`.

    Holds the IPTC's source type, prompt and system (Photo Metadata Standard 2025.1), the caption as `dc:description`,
    and caption, seed and generator in a namespace of fulora's own.

    Raises:
        MarkError: if the image is real, or one of its words holds a character that XML cannot.
    """
    if row.origin != "synthetic":
        raise MarkError(f"{row.image_id}: is {row.origin}; only a synthetic image is marked as made by a model")
    caption, seed, generator = (_escaped(row.image_id, text) for text in (row.caption, row.seed, row.generator))
    described = (
        f'   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{caption}</rdf:li></rdf:Alt></dc:description>\n'
        f"   <Iptc4xmpExt:AIPromptInformation>{caption}</Iptc4xmpExt:AIPromptInformation>\n"
        if caption
        else ""
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:dc="{DC}" xmlns:Iptc4xmpExt="{IPTC}" xmlns:fulora="{FULORA}">\n'
        f"   <Iptc4xmpExt:DigitalSourceType>{SYNTHETIC_TYPE}</Iptc4xmpExt:DigitalSourceType>\n"
        "   <Iptc4xmpExt:AISystemUsed>fulora</Iptc4xmpExt:AISystemUsed>\n"
        f"   <Iptc4xmpExt:AISystemVersionUsed>{generator}</Iptc4xmpExt:AISystemVersionUsed>\n"
        f"{described}"
        f"   <fulora:caption>{caption}</fulora:caption>\n"
        f"   <fulora:seed>{seed}</fulora:seed>\n"
        f"   <fulora:generator>{generator}</fulora:generator>\n"
        "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


def _escaped(image_id: str, text: str) -> str:
    bad = NOT_IN_XML.search(text)
    if bad:
        raise MarkError(f"{image_id}: the character U+{ord(bad[0]):04X} in {text!r} is not allowed in XML; remove it")
    return escape(text, {"\r": "&#13;"})  # a parser would turn a bare carriage return into a line feed


def read_mark(path: Path) -> Mark | None:
    """Read the mark of a picture file of any format that Pillow reads; None if it has none.

    XMP of other software with `trainedAlgorithmicMedia` counts as well. Damaged XMP or text is ignored.

    Raises:
        FileNotFoundError, PictureFileError: if the file is missing; if it is truncated, or not a picture.
    """
    with open_picture(path) as image:
        found = mark_in(image.info)
        if found is None and image.format == "PNG":
            image.load()  # PNG allows text after the pixels
            found = mark_in(image.info)
    return found


def mark_in(info: Mapping[str | tuple[int, int], object]) -> Mark | None:
    """Return the mark in Pillow's `Image.info`; None if there is none."""
    packet, text = info.get("xmp", info.get(XMP_KEY)), info.get("fulora")
    packet = packet.encode() if isinstance(packet, str) else packet
    marked = _from_xmp(packet) if isinstance(packet, bytes) and packet else None
    return marked or (_from_text(text) if isinstance(text, str) else None)


def _from_xmp(packet: bytes) -> Mark | None:
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:  # XMP has none; entities are how XML bombs are made
        return None
    try:
        root = ElementTree.fromstring(packet.strip(b"\x00"))
    except ElementTree.ParseError:
        return None
    if _property(root, IPTC, "DigitalSourceType") not in (SYNTHETIC_TYPE, PARTLY_SYNTHETIC_TYPE):
        return None
    caption = _property(root, FULORA, "caption") or _property(root, IPTC, "AIPromptInformation")
    if not caption and (described := root.find(f".//{{{DC}}}description/{{{RDF}}}Alt/{{{RDF}}}li")) is not None:
        caption = described.text or ""
    return Mark(True, caption, _property(root, FULORA, "seed"), _property(root, FULORA, "generator"))


def _property(root: ElementTree.Element, namespace: str, name: str) -> str:
    """Return a property of an XMP packet: an element, its `rdf:resource`, or an attribute; "" if it is missing."""
    key = f"{{{namespace}}}{name}"
    for element in root.iter():
        if element.tag == key:
            return element.text or element.get(f"{{{RDF}}}resource") or ""
        if key in element.attrib:
            return element.attrib[key]
    return ""


def _from_text(text: str) -> Mark | None:
    try:
        row = json.loads(text)
    except ValueError:
        return None
    if not isinstance(row, dict) or row.get("origin") not in ("real", "synthetic"):
        return None
    fields = (str(row.get(key, "")) for key in ("caption", "seed", "generator"))
    return Mark(row["origin"] == "synthetic", *fields)
