"""Marks: read back from every format, by our reader and by XML alone, and never invented or mistaken."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_rows import synthetic_row
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

from fulora.data.image import Image
from fulora.data.pictures.embedded_metadata import Mark, MarkError, png_info, read_mark, xmp_packet

ODD = "a <b>&amp;</b> & \"q\" 's' ]]> é 胎児 \U0001f476\r\n\ttab "
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
NOISE = np.random.default_rng(0).integers(0, 256, (12, 16)).astype(np.uint8)


def made(caption: str = "a photo of fetal brain", seed: str = "9223372036854775807", generator: str = "f00") -> Image:
    return synthetic_row("i", caption=caption, seed=seed, generator=generator, width=16, height=12)


def real() -> Image:
    return made().model_copy(update={"origin": "real", "patient": "7", "seed": "", "generator": "", "caption": ""})


def png(row: Image) -> bytes:
    file = io.BytesIO()
    Pil.fromarray(NOISE).save(file, "PNG", pnginfo=png_info(row))
    return file.getvalue()


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "x.png"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("caption", ["a photo of fetal brain", ODD, "", "  "])
def test_a_synthetic_png_says_so(tmp_path: Path, caption: str) -> None:
    path = saved(tmp_path, png(made(caption)))
    assert read_mark(path) == Mark(True, caption, "9223372036854775807", "f00")
    with Pil.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), NOISE)
        assert Image.from_json(json.loads(image.info["fulora"])) == made(caption)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")))
def test_xmp_holds_any_text(caption: str) -> None:
    root = ElementTree.fromstring(xmp_packet(made(caption)))
    assert root.findtext(".//{urn:fulora:xmp:1.0/}caption") == caption


def test_the_packet_is_what_other_software_expects() -> None:
    content = png(made(ODD))
    start = content.index(b"iTXtXML:com.adobe.xmp\x00")
    length = int.from_bytes(content[start - 4 : start], "big")
    chunk = content[start + 4 : start + 4 + length]
    head, packet = chunk[:22], chunk[22:]
    assert head == b"XML:com.adobe.xmp\x00\x00\x00\x00\x00"  # not compressed, no language: as the XMP standard asks
    assert packet.startswith("<?xpacket begin='\ufeff'".replace("'", '"').encode())
    root = ElementTree.fromstring(packet)
    rdf, dc = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://purl.org/dc/elements/1.1/}"
    (described,) = root.findall(f"{rdf}RDF/{rdf}Description")
    assert described.findtext(SOURCE_TYPE) == AI
    assert described.findtext(f"{dc}description/{rdf}Alt/{rdf}li") == ODD
    said = {
        name: described.findtext(SOURCE_TYPE.replace("DigitalSourceType", name)) for name in ("AIPromptInformation",)
    }
    assert said == {"AIPromptInformation": ODD}
    assert described.findtext(SOURCE_TYPE.replace("DigitalSourceType", "AISystemVersionUsed")) == "f00"


def test_equal_rows_give_equal_bytes() -> None:
    assert png(made()) == png(made())
    assert png(made()) != png(made(seed="8"))


def test_a_real_png_has_its_row_and_no_xmp(tmp_path: Path) -> None:
    content = png(real())
    assert b"xmp" not in content
    assert read_mark(saved(tmp_path, content)) == Mark(False, "", "", "")


@pytest.mark.parametrize("ending", ["jpg", "webp", "tiff"])
def test_the_xmp_packet_is_read_from_other_formats(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    if ending == "tiff":
        Pil.fromarray(NOISE).save(path, tiffinfo={700: xmp_packet(made(ODD))})
    else:
        Pil.fromarray(NOISE).save(path, xmp=xmp_packet(made(ODD)))
    assert read_mark(path) == Mark(True, ODD, "9223372036854775807", "f00")


def test_text_after_the_pixels_is_found(tmp_path: Path) -> None:
    content = png(made())
    start = content.index(b"tEXtfulora") - 4
    length = int.from_bytes(content[start : start + 4], "big") + 12
    text = content[start : start + length]
    bare = io.BytesIO()
    Pil.fromarray(NOISE).save(bare, "PNG")
    end = bare.getvalue().index(b"IEND") - 4
    path = saved(tmp_path, bare.getvalue()[:end] + text + bare.getvalue()[end:])
    assert read_mark(path) == Mark(True, "a photo of fetal brain", "9223372036854775807", "f00")


def xmp(inner: str, attributes: str = "") -> str:
    names = 'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:d="http://purl.org/dc/elements/1.1/"'
    rdf = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    return f"<rdf:RDF {rdf} {names}><rdf:Description {attributes}>{inner}</rdf:Description></rdf:RDF>"


ALT = '<d:description><rdf:Alt><rdf:li xml:lang="x-default">words</rdf:li></rdf:Alt></d:description>'


@pytest.mark.parametrize(
    ("packet", "mark"),
    [
        (xmp("", f'i:DigitalSourceType="{AI}"'), Mark(True, "", "", "")),
        (xmp(f'<i:DigitalSourceType rdf:resource="{AI}"/>{ALT}'), Mark(True, "words", "", "")),
        (
            xmp(f"<i:DigitalSourceType>{AI}</i:DigitalSourceType><i:AIPromptInformation>p</i:AIPromptInformation>"),
            Mark(True, "p", "", ""),
        ),
        (xmp(f'<i:DigitalSourceType rdf:resource="{AI.replace("/trained", "/compositeWithTrained")}"/>'), "synthetic"),
        (xmp(f'<i:DigitalSourceType rdf:resource="{AI.replace("trainedAlgorithmicMedia", "digitalCapture")}"/>'), None),
        (xmp("<i:DigitalSourceType/>"), None),
        (xmp(ALT), None),
        ("<not xml", None),
        ('<!DOCTYPE x [<!ENTITY e "e">]>' + xmp(f"<i:DigitalSourceType>{AI}</i:DigitalSourceType>"), None),
    ],
)
def test_xmp_of_other_software(tmp_path: Path, packet: str, mark: Mark | str | None) -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet)
    Pil.fromarray(NOISE).save(tmp_path / "x.png", pnginfo=info)
    found = read_mark(tmp_path / "x.png")
    assert found == (Mark(True, "", "", "") if mark == "synthetic" else mark)


@pytest.mark.parametrize("text", ["", "not json", "[]", '"s"', "{}", '{"origin": "painted"}'])
def test_text_that_is_no_mark(tmp_path: Path, text: str) -> None:
    info = PngInfo()
    info.add_text("fulora", text)
    Pil.fromarray(NOISE).save(tmp_path / "x.png", pnginfo=info)
    assert read_mark(tmp_path / "x.png") is None


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif"])
def test_a_picture_without_marks(tmp_path: Path, ending: str) -> None:
    Pil.fromarray(NOISE).save(tmp_path / f"x.{ending}")
    assert read_mark(tmp_path / f"x.{ending}") is None


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot identify image file"):
        read_mark(saved(tmp_path, b"no picture"))


@pytest.mark.parametrize("word", ["a\x00b", "a\x0bb", "a\ufffeb", "a\ud800b"])
def test_words_that_xml_cannot_hold(word: str) -> None:
    with pytest.raises(
        MarkError, match=f"i: the character U\\+{ord(word[1]):04X} in .* is not allowed in XML; remove it"
    ):
        xmp_packet(made(word))
    with pytest.raises(MarkError, match="is not allowed in XML"):
        png_info(made(generator=word))


def test_a_real_image_gets_no_packet() -> None:
    with pytest.raises(MarkError, match="i: is real; only a synthetic image is marked"):
        xmp_packet(real())
