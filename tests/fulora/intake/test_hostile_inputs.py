"""A zoo of broken and hostile inputs: each is one clear error, or is read; and the images around it survive.

Every case takes a small folder that reads, and spoils one thing in it. Read strictly, it is refused with a message
that names the bad thing. Read forgivingly, exactly one message does so, and every other image comes out as it was.
"""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import SimpleITK
from PIL import Image as Pil

from fulora.data.label_set import label_set
from fulora.intake.config import (
    AfricanPlanesConfig,
    AnySource,
    FetalPlanesConfig,
    Hc18Config,
    ImageFolderConfig,
    LoraPlanesConfig,
)
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, refuse
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.class_folders import ClassFoldersConfig
from fulora.intake.sources.hc18 import LIST
from fulora.intake.sources.kohya import KohyaConfig
from fulora.intake.sources.psfhs import PsfhsConfig

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint8)
HEAD = np.zeros((24, 32), np.uint8)
HEAD[6:18, 8:24] = 1
Read = Callable[[Path, OnSkip], Iterator[RawImage]]
Spoil = Callable[[Path], object]


def save(path: Path, pixels: np.ndarray = NOISE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path)
    return path


def append(path: Path, text: str | bytes) -> None:
    path.write_bytes(path.read_bytes() + (text if isinstance(text, bytes) else text.encode()))


# --- the folders that read: each holds two good images


def classes(folder: Path) -> None:
    save(folder / "brain" / "p1.png")
    save(folder / "femur" / "p2.png")
    save(folder / "femur" / "p2_mask.png", HEAD)


def rows(folder: Path) -> None:
    for number in (1, 2):
        save(folder / f"p{number}.png")
    lines = [json.dumps({"file_name": f"p{number}.png", "plane": "brain", "patient": str(number)}) for number in (1, 2)]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def table(folder: Path) -> None:
    for number in (1, 2):
        save(folder / f"p{number}.png")
    lines = ["file_name,plane,patient,pixel_size_mm", "p1.png,brain,1,0.2", "p2.png,femur,2,"]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def captions(folder: Path) -> None:
    for number in (1, 2):
        save(folder / "20_fetal" / f"p{number}.png")
        (folder / "20_fetal" / f"p{number}.txt").write_text("a photo of fetal brain")


AFRICAN = "Patient_num,Plane,Train,Center,Image_name\n1,Fetal brain,1,Ghana,p1\n2,Fetal femur,1,Malawi,p2\n"


def african(folder: Path) -> None:
    for number in (1, 2):
        save(folder / f"p{number}.png")
    (folder / "list.csv").write_text(AFRICAN)


FETAL = "Image_name;Patient_num;Plane;US_Machine;Train\n"


def fetal(folder: Path) -> None:
    names = ["Patient00001_Plane3_1_of_1", "Patient00002_Plane3_1_of_1"]
    for name in names:
        save(folder / "Images" / f"{name}.png")
    lines = [f"{name};{number};Fetal brain;Aloka;1\n" for number, name in enumerate(names, 1)]
    (folder / "FETAL_PLANES_DB_data.csv").write_text(FETAL + "".join(lines))


def lora(folder: Path) -> None:
    for number, plane in enumerate(("abdomen", "brain", "femur", "thorax", "other")):
        save(folder / plane / f"Patient0000{number}_Plane1_1_of_1.png")


def heads(folder: Path) -> None:
    for name in ("010_HC", "011_HC"):
        save(folder / "training_set" / f"{name}.png")
        save(folder / "training_set" / f"{name}_Mask.png", HEAD * 255)
    lines = ["filename,pixel size(mm),head circumference (mm)", "010_HC.png,0.1,170.5", "011_HC.png,0.2,171.5"]
    (folder / LIST).write_text("\n".join(lines) + "\n")


def views(folder: Path) -> None:
    for number in (1, 2):
        for place, pixels in (("image_mha", NOISE), ("label_mha", HEAD * 2)):
            mha(folder / place / f"{number:05d}.mha", pixels)


def mha(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), str(path))


def read_classes(folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    return read_source(
        ClassFoldersConfig(
            folder="", source="class_folders", patient_pattern=r"(?i)(?:^|/)p(\d+)", mask_suffix="_mask"
        ),
        SourceInputs(folder, labels=CLASSES),
        on_skip,
    )


def read_captions(folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    return read_source(
        KohyaConfig(folder="", source="kohya", words={"brain": "brain", "femur": "femur"}, patient_pattern=r"/p(\d+)"),
        SourceInputs(folder, labels=CLASSES),
        on_skip,
    )


def by(source: AnySource) -> Read:
    return lambda folder, on_skip: source.read(SourceInputs(folder), on_skip)


READ: dict[Spoil, Read] = {
    classes: read_classes,
    rows: by(ImageFolderConfig(folder="")),
    table: by(ImageFolderConfig(folder="")),
    captions: read_captions,
    african: by(AfricanPlanesConfig()),
    fetal: by(FetalPlanesConfig()),
    lora: by(LoraPlanesConfig()),
    heads: by(Hc18Config()),
    views: by(PsfhsConfig(block=1)),
}


# --- what spoils them


def bad(name: str, content: bytes) -> Spoil:
    """A file with this content beside the good ones."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return spoil


def picture(name: str, pixels: np.ndarray, mode: str | None = None) -> Spoil:
    """A picture of a kind that is not read."""

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(pixels, mode).save(folder / name)

    return spoil


def line(name: str, text: str | bytes) -> Spoil:
    """One more line at the end of a list."""
    return lambda folder: append(folder / name, text if isinstance(text, bytes) else text + "\n")


def row(**changes: object) -> Spoil:
    """A third picture, and its row in `metadata.jsonl` with one thing wrong."""

    def spoil(folder: Path) -> None:
        save(folder / "bad.png")
        said = {"file_name": "bad.png", "plane": "brain", "patient": "3", **changes}
        append(folder / "metadata.jsonl", json.dumps(said) + "\n")

    return spoil


def encoded(ending: str, pixels: np.ndarray = NOISE, **options: object) -> bytes:
    content = io.BytesIO()
    Pil.fromarray(pixels).save(content, ending, **options)
    return content.getvalue()


PNG, JPEG = encoded("png"), encoded("jpeg")


def bomb() -> bytes:
    """A PNG of some hundred bytes that says it is 30,000 x 30,000."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000))))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return PNG[:8] + b"".join(parts) + PNG[-12:]


def animated(ending: str) -> bytes:
    content = io.BytesIO()
    frames = [Pil.fromarray(NOISE), Pil.fromarray(255 - NOISE)]
    frames[0].save(content, ending, save_all=True, append_images=frames[1:])
    return content.getvalue()


def outside(folder: Path) -> Path:
    """A picture beside the folder, which must never be read through it."""
    return save(folder.parent / "outside" / "p9.png", 255 - NOISE)


def link(name: str, to: Callable[[Path], Path | str]) -> Spoil:
    return lambda folder: (folder / name).symlink_to(to(folder))


def same_name_in_capitals(folder: Path) -> None:
    save(folder / "brain" / "P1.png")
    if len(list((folder / "brain").iterdir())) == 1:
        pytest.skip("this file system does not tell capitals apart")


def shut(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    save(folder / "brain" / "p3.png").chmod(0)


def instead(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    """The content of a file changed."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def head(name: str = "012_HC", mask: np.ndarray | None = HEAD * 255, size: str = "0.1", hc: str = "170") -> Spoil:
    """A third head with one thing wrong."""

    def spoil(folder: Path) -> None:
        save(folder / "training_set" / f"{name}.png")
        if mask is not None:
            save(folder / "training_set" / f"{name}_Mask.png", mask)
        append(folder / LIST, f"{name}.png,{size},{hc}\n")

    return spoil


def view(
    image: bytes | np.ndarray = NOISE, label: bytes | np.ndarray | None = HEAD * 2, name: str = "00003.mha"
) -> Spoil:
    """A third view with one thing wrong."""

    def spoil(folder: Path) -> None:
        for place, content in (("image_mha", image), ("label_mha", label)):
            if isinstance(content, bytes):
                (folder / place / name).write_bytes(content)
            elif content is not None:
                mha(folder / place / name, content)

    return spoil


def local(pixels: bytes, size: str = "32 24", where: str = "LOCAL") -> bytes:
    text = f"ObjectType = Image\nNDims = 2\nDimSize = {size}\nElementType = MET_UCHAR\nElementDataFile = {where}\n"
    return text.encode() + pixels


def marked(folder: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("fulora", '{"origin": "synthetic"}')
    Pil.fromarray(NOISE).save(folder / "brain" / "p3.png", pnginfo=info)


@dataclass(frozen=True)
class Case:
    """One input: the folder that reads, what spoils it, and what the one message about it says."""

    name: str
    good: Spoil
    spoil: Spoil
    message: str


P3 = "brain/p3.png"
SIZE = "pixel_size_mm"
CASES = [
    # files that are no pictures
    Case("truncated png", classes, bad(P3, PNG[: len(PNG) // 2]), r"p3\.png: cannot be read as an image"),
    Case("damaged png", classes, bad(P3, PNG[:60] + b"\xff\xff" + PNG[62:]), r"p3\.png: cannot be read as an image"),
    Case(
        "truncated jpeg", classes, bad("brain/p3.jpg", JPEG[: len(JPEG) // 2]), r"p3\.jpg: cannot be read as an image"
    ),
    Case("zero bytes", classes, bad(P3, b""), r"p3\.png: cannot be read as an image"),
    Case("text", classes, bad(P3, b"<html>404 not found</html>"), r"p3\.png: cannot be read as an image"),
    Case("signature only", classes, bad(P3, PNG[:8]), r"p3\.png: cannot be read as an image"),
    Case(
        "git lfs pointer", classes, bad(P3, b"version https://git-lfs.github.com/spec/v1\n"), r"p3\.png: cannot be read"
    ),
    Case("bomb", classes, bad(P3, bomb()), r"p3\.png: .*more than 64,000,000 pixels"),
    Case(
        "float tiff", classes, picture("brain/p3.tif", NOISE / np.float32(255)), r"p3\.tif: pixel mode F has an unknown"
    ),
    Case(
        "dark 16 bit",
        classes,
        picture(P3, NOISE.astype(np.uint16) * 16),
        r"p3\.png: a 16-bit picture .* come out black",
    ),
    Case("animated gif", classes, bad("brain/p3.gif", animated("gif")), r"p3\.gif: unsupported kind of file"),
    Case("gif as png", classes, bad(P3, animated("gif")), r"p3\.png: holds 2 frames"),
    Case("tiff stack", classes, bad("brain/p3.tif", animated("tiff")), r"p3\.tif: holds 2 frames"),
    Case("dicom", classes, bad("brain/p3.dcm", bytes(128) + b"DICM"), r"p3\.dcm: unsupported kind of file"),
    Case("no ending", classes, bad("brain/p3", PNG), r"brain/p3: unsupported kind of file"),
    Case("archive", classes, bad("brain/all.zip", b"PK\x05\x06" + bytes(18)), r"all\.zip: unsupported kind of file"),
    Case("synthetic", classes, marked, r"p3\.png: is marked as synthetic"),
    # names and places
    Case(
        "folder named like a picture",
        classes,
        lambda folder: (folder / P3).mkdir(),
        r"p3\.png: a folder, not a picture",
    ),
    Case("pipe", classes, lambda folder: os.mkfifo(folder / P3), r"p3\.png: no regular file"),
    Case("link out", classes, link(P3, outside), r"'brain/p3\.png' leads out of"),
    Case("link to system file", classes, link(P3, lambda folder: "/etc/hostname"), "leads out of"),
    Case("broken link", classes, link(P3, lambda folder: "gone.png"), r"p3\.png: a broken link"),
    Case("link to itself", classes, link(P3, lambda folder: "p3.png"), r"p3\.png: a broken link"),
    Case("folder that leads out", classes, link("thorax", lambda f: outside(f).parent), "thorax: a link to a folder"),
    Case("folder in a circle", classes, link("brain/all", lambda folder: ".."), "brain/all: a link to a folder"),
    Case("unreadable", classes, shut, r"p3\.png: cannot be read as an image"),
    Case("newline in name", classes, bad("brain/p3\nx.png", PNG), r"'brain/p3\\nx\.png': a file name with a control"),
    Case("name not utf-8", classes, bad("brain/p3\udcff.png", PNG), r"p3\\udcff\.png': a file name with .* not UTF-8"),
    Case("colon in name", classes, bad("brain/p3:1.png", PNG), r"p3:1\.png': not valid on every system"),
    Case("very long name", classes, bad(f"brain/p3{'x' * 240}.png", PNG), "a file name of 252 bytes"),
    Case("capitals", classes, same_name_in_capitals, r"p1\.png: same name as P1\.png except for case"),
    Case("two endings", classes, bad("brain/p1.jpg", JPEG), r"p1\.png: same name as p1\.jpg except for case, ending"),
    Case("unknown plane", classes, bad("heart/p3.png", PNG), r"heart/p3\.png: unknown class 'heart', of 1"),
    Case("no plane", classes, bad("p3.png", PNG), r"p3\.png: is in no class folder"),
    Case("no patient", classes, bad("brain/x.png", PNG), "brain/x: patient_pattern .* finds no patient"),
    # masks
    Case(
        "mask of another size",
        classes,
        picture("brain/p1_mask.png", HEAD[:, 1:]),
        r"p1_mask\.png: .* 31 x 24 and 32 x 24",
    ),
    Case("empty mask", classes, picture("brain/p1_mask.png", HEAD * 0), r"p1_mask\.png: the mask is empty"),
    Case("gray mask", classes, picture("brain/p1_mask.png", NOISE), r"p1_mask\.png: holds the values"),
    Case(
        "colour mask",
        classes,
        picture("brain/p1_mask.png", np.dstack([HEAD * 9, HEAD, HEAD])),
        r"p1_mask\.png: holds colours",
    ),
    Case("truncated mask", classes, bad("brain/p1_mask.png", PNG[:99]), r"p1_mask\.png: cannot be read as an image"),
    Case("mask alone", classes, picture("brain/p3_mask.png", HEAD), r"p3_mask\.png: a mask without an image"),
    Case("head's mask of another size", heads, head(mask=HEAD[1:] * 255), r"012_HC_Mask\.png: .* 32 x 23 and 32 x 24"),
    Case("head's mask empty", heads, head(mask=HEAD * 0), r"012_HC_Mask\.png: the mask is empty"),
    Case("head's mask gray", heads, head(mask=NOISE), r"012_HC_Mask\.png: .*not near black or white"),
    Case(
        "head twice",
        heads,
        head(mask=HEAD * 255 * (np.arange(32) // 3 != 5)),
        r"012_HC_Mask\.png: .*2 separate regions",
    ),
    Case("head without mask", heads, head(mask=None), "neither 012_HC_Mask"),
    # measures
    *(
        Case(f"head's pixel size {size}", heads, head(size=size), rf"012_HC\.png: pixel size\(mm\) is '?{size}")
        for size in ("", "inf", "-0.1", "0", "0.0", "1e9", "0.1mm")
    ),
    *(
        Case(f"head's pixel size missing: {size}", heads, head(size=size), r"012_HC\.png: pixel size\(mm\) is ''")
        for size in ("nan", "NaN", "NA", "None", "-", ".", "#N/A")
    ),
    Case(
        "head's circumference", heads, head(hc="17"), r"012_HC\.png: head circumference \(mm\) is 17; it must be from"
    ),
    Case("decimal comma", heads, head(size='"0,1"'), r"012_HC\.png: pixel size\(mm\) is '0,1'"),
    Case("json infinity", rows, row(**{SIZE: float("-inf")}), r"bad\.png: pixel_size_mm is -inf; leave out"),
    Case("json negative", rows, row(**{SIZE: -0.2}), rf"bad\.png: {SIZE} is -0\.2"),
    Case("json zero", rows, row(**{SIZE: 0}), rf"bad\.png: {SIZE} is 0"),
    Case("json text", rows, row(**{SIZE: "small"}), rf"bad\.png: {SIZE} is 'small'"),
    Case("json true", rows, row(**{SIZE: True}), rf"bad\.png: {SIZE} is 'True'"),
    # rows
    Case("row that leads out", rows, line("metadata.jsonl", '{"file_name": "../outside/p9.png"}'), "leads out of"),
    Case(
        "row that leads out and back",
        rows,
        lambda f: ((f / "a").mkdir(), line("metadata.jsonl", '{"file_name": "a/../p1.png"}')(f)),
        r"'a/\.\./p1\.png' leads out of",
    ),
    Case("row with an absolute path", rows, line("metadata.jsonl", '{"file_name": "/etc/hostname"}'), "leads out of"),
    Case("row with a Windows path", rows, line("metadata.jsonl", r'{"file_name": "C:\\x\\p3.png"}'), "a Windows path"),
    Case("row with a NUL", rows, line("metadata.jsonl", r'{"file_name": "p3\u0000.png"}'), "a control character"),
    Case("row without a name", rows, line("metadata.jsonl", '{"plane": "brain"}'), "line 3: a file name is empty"),
    Case(
        "row without image",
        rows,
        line("metadata.jsonl", '{"file_name": "p3.png"}'),
        r"p3\.png: listed, but .* not there",
    ),
    Case(
        "row twice",
        rows,
        line("metadata.jsonl", '{"file_name": "p1.png", "plane": "brain", "patient": "1"}'),
        "p1 is a duplicate",
    ),
    Case("row cut off", rows, line("metadata.jsonl", '{"file_name": "p3'), "line 3: .* is no JSON"),
    Case("row nested too deep", rows, line("metadata.jsonl", '{"a":' * 10_000), "line 3: .* is no JSON"),
    Case(
        "row of a folder",
        rows,
        lambda f: ((f / "p3").mkdir(), line("metadata.jsonl", '{"file_name": "p3"}')(f)),
        "not there",
    ),
    Case("empty patient", rows, row(patient=""), r"bad\.png: no patient"),
    Case("plane as number", rows, row(plane=2), r"bad\.png: plane is the number 2"),
    Case("synthetic row", rows, row(origin="synthetic"), r"bad\.png is synthetic"),
    Case("image without row", rows, bad("p3.png", PNG), r"p3\.png: is not on the list"),
    Case("mask that leads out", rows, row(mask_file="../outside/p9.png"), "leads out of"),
    Case("ragged row", table, line("metadata.csv", "p3.png,brain"), "line 4: 2 cells for 4 columns: p3.png, brain"),
    Case("row too long", table, line("metadata.csv", "p3.png,brain,1,0.2,,"), "line 4: 6 cells for 4 columns"),
    Case("african row without image", african, line("list.csv", "3,Fetal brain,1,Ghana,p3"), r"p3\.png: listed, but"),
    Case(
        "african row that leads out", african, line("list.csv", "3,Fetal brain,1,Ghana,../outside/p9"), "leads out of"
    ),
    Case(
        "african centre that leads out",
        african,
        lambda f: (outside(f), line("list.csv", "3,Fetal brain,1,../outside,p9")(f)),
        "leads out of",
    ),
    Case("african row twice", african, line("list.csv", "1,Fetal brain,1,Ghana,p1"), "line 4: p1 is a duplicate"),
    Case("african plane", african, line("list.csv", "3,Fetal heart,1,Ghana,p3"), "p3: unknown plane 'Fetal heart'"),
    Case("african patient", african, line("list.csv", ",Fetal brain,1,Ghana,p3"), "p3: Patient_num is ''"),
    Case(
        "fetal row that leads out",
        fetal,
        line("FETAL_PLANES_DB_data.csv", "../p9;3;Fetal brain;Aloka;1"),
        r"\.\./p9: expected",
    ),
    Case(
        "fetal row without image",
        fetal,
        line("FETAL_PLANES_DB_data.csv", "Patient00003_Plane3_1_of_1;3;Fetal brain;;1"),
        "not there",
    ),
    Case(
        "fetal patient",
        fetal,
        line("FETAL_PLANES_DB_data.csv", "Patient00003_Plane3_1_of_1;4;Fetal brain;;1"),
        "Patient_num is '4'",
    ),
    Case("fetal image without row", fetal, bad("Images/Patient00003_Plane3_1_of_1.png", PNG), "is not on the list"),
    Case("lora name", lora, bad("brain/Patient_1.png", PNG), "Patient_1: expected a name such as"),
    Case("lora picture", lora, bad("brain/Patient00009_Plane3_1_of_1.png", PNG[:99]), "Patient00009.*cannot be read"),
    Case("head without image", heads, line(LIST, "013_HC.png,0.1,170"), r"013_HC\.png: listed, but"),
    Case("head without row", heads, bad("training_set/013_HC.png", PNG), r"013_HC\.png: is not on the list"),
    Case("head that leads out", heads, line(LIST, "../../outside/p9.png,0.1,170"), "leads out of"),
    # MetaImages
    Case("mha truncated", views, view(local(NOISE.tobytes()[:-1])), r"00003\.mha: .*767 bytes for \(24, 32\) pixels"),
    Case("mha 16 bit", views, view(NOISE.astype(np.uint16)), r"00003\.mha: expected 8-bit pixels .*not MET_USHORT"),
    Case(
        "mha of colours", views, view(np.stack([NOISE, 255 - NOISE, NOISE])), r"00003\.mha: expected one gray picture"
    ),
    Case("mha bomb", views, view(local(b"", "90000 90000")), r"00003\.mha: .*more than 64,000,000 pixels"),
    Case("mha pointing elsewhere", views, view(local(b"", where="/etc/hostname")), "its pixels are in '/etc/hostname'"),
    Case("png as mha", views, view(PNG), r"00003\.mha: cannot be read as an image \(no MetaImage header\)"),
    Case("label of another size", views, view(label=HEAD[1:]), r"label_mha/00003\.mha: .* 32 x 23 and 32 x 24 pixels"),
    Case("label of other classes", views, view(label=HEAD * 3), r"label_mha/00003\.mha: .*its classes are 0 to 2"),
    Case("label empty", views, view(label=HEAD * 0), r"label_mha/00003\.mha: the mask is empty"),
    Case("label missing", views, view(label=None), r"label_mha/00003\.mha: file not found"),
    Case(
        "view missing", views, lambda f: mha(f / "label_mha" / "00003.mha", HEAD), "00003.mha: a label without an image"
    ),
    Case("view without number", views, view(name="x.mha"), r"x\.mha: expected a number as its name"),
    # captions
    Case(
        "caption in latin-1",
        captions,
        lambda f: (save(f / "20_fetal/p3.png"), bad("20_fetal/p3.txt", b"brain \xe4")(f)),
        "byte 0xe4",
    ),
    Case(
        "caption of two planes",
        captions,
        lambda f: (save(f / "20_fetal/p3.png"), bad("20_fetal/p3.txt", b"brain femur")(f)),
        "brain and femur",
    ),
    Case("picture without caption", captions, bad("20_fetal/p3.png", PNG), r"p3\.png: none of the words"),
    Case(
        "caption without picture", captions, bad("20_fetal/p3.txt", b"brain"), r"p3\.txt: a caption without a picture"
    ),
]


def tree(folder: Path) -> list[tuple[str, int, int]]:
    """Every file there is, with its size and when it was last changed."""
    found = sorted(path for path in folder.rglob("*"))
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in found]


def usable(images: Iterator[RawImage], on_skip: OnSkip) -> list[tuple[str, bytes]]:
    """Name and pixels of the images that can be loaded; the others are told."""
    found = []
    for image in images:
        try:
            pixels, mask = image.load()
            assert mask is None or mask.shape == pixels.shape
            found.append((image.name, pixels.tobytes()))
        except SourceError as error:
            on_skip(str(error))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_message_and_the_rest_survives(tmp_path: Path, case: Case) -> None:
    folder, read = tmp_path / "source", READ[case.good]
    folder.mkdir()
    case.good(folder)
    good = usable(read(folder, refuse), refuse)
    assert len(good) >= 2
    case.spoil(folder)
    before = tree(tmp_path)

    told: list[str] = []
    survived = usable(read(folder, told.append), told.append)
    assert len(told) == 1
    spoilt = {"p1"} if case.message.startswith("p1") else set()
    kept = {name: pixels for name, pixels in survived if Path(name).stem.lower() not in spoilt}
    assert kept == {name: pixels for name, pixels in good if Path(name).stem not in spoilt}
    assert NOISE.tobytes() in kept.values()
    assert (255 - NOISE).tobytes() not in {pixels for _, pixels in survived}

    with pytest.raises(SourceError, match=case.message):
        usable(read(folder, refuse), refuse)
    assert tree(tmp_path) == before


# --- lists that cannot be read at all: nothing is left to survive, however it is read


def sheet(path: Path, *lines: list[object]) -> None:
    book = openpyxl.Workbook()
    for cells in lines:
        book.worksheets[0].append(cells)
    book.save(path)


LISTS = [
    (
        "latin-1",
        african,
        instead("list.csv", lambda text: text + b"3,Gef\xe4\xdf,1,Ghana,p3\n"),
        r"list\.csv, line 4: byte 0xe4 at",
    ),
    (
        "mixed encodings",
        table,
        instead("metadata.csv", lambda text: "Größe,".encode() + text + b"\xfc"),
        "byte 0xfc at",
    ),
    ("nul", heads, instead(LIST, lambda text: text + b"\0"), "NUL byte at offset"),
    ("huge field", african, instead("list.csv", lambda text: text + b"x" * 100_001), "field larger than field limit"),
    (
        "header only",
        african,
        instead("list.csv", lambda text: text.split(b"\n")[0]),
        r"list\.csv: a header without rows",
    ),
    ("empty", fetal, instead("FETAL_PLANES_DB_data.csv", lambda text: b""), "missing columns: Image_name"),
    (
        "header twice",
        african,
        instead("list.csv", lambda text: text.replace(b"Train", b"Plane")),
        "duplicate columns: Plane",
    ),
    (
        "column missing",
        heads,
        instead(LIST, lambda text: text.replace(b"pixel size", b"size")),
        "missing columns: pixel",
    ),
    (
        "open quote",
        african,
        instead("list.csv", lambda text: text.replace(b"Fetal femur", b'"Fetal femur')),
        "cannot be read",
    ),
    (
        "csv as xlsx",
        fetal,
        lambda f: (f / "FETAL_PLANES_DB_data.csv").rename(f / "FETAL_PLANES_DB_data.xlsx"),
        "spreadsheet",
    ),
    ("empty xlsx", fetal, lambda f: sheet(f / "FETAL_PLANES_DB_data.xlsx"), "missing columns: Image_name"),
    (
        "jsonl in latin-1",
        rows,
        instead("metadata.jsonl", lambda text: text + b"\xe4"),
        r"metadata\.jsonl, line 3: byte 0xe4 at",
    ),
    ("two lists", african, bad("copy.csv", b"a"), r"expected exactly one \.csv list, there are 2"),
    ("two metadata", rows, bad("metadata.csv", b"file_name\np1.png\n"), r"both metadata\.jsonl and metadata\.csv"),
    ("no list", heads, lambda folder: (folder / LIST).unlink(), "file not found; it belongs to HC18"),
]


@pytest.mark.parametrize(("good", "spoil", "message"), [row[1:] for row in LISTS], ids=[row[0] for row in LISTS])
def test_a_list_that_cannot_be_read_stops_it(tmp_path: Path, good: Spoil, spoil: Spoil, message: str) -> None:
    good(tmp_path)
    spoil(tmp_path)
    before = tree(tmp_path)
    for on_skip in (refuse, lambda told: None):
        with pytest.raises(SourceError, match=message):
            list(READ[good](tmp_path, on_skip))
    assert tree(tmp_path) == before


# --- odd, and right


ODD = [
    ("jpeg as png", classes, bad(P3, JPEG), 3),
    ("capital ending", classes, bad("brain/p3.PNG", PNG), 3),
    ("16-bit png", classes, picture(P3, NOISE.astype(np.uint16) * 257), 3),
    ("unicode name", classes, bad("brain/p3 Größe 胎児.png", PNG), 3),
    ("deep", classes, bad("brain/a/b/c/d/p3.png", PNG), 3),
    ("link inside", classes, link(P3, lambda folder: "p1.png"), 3),
    ("one pixel", classes, picture(P3, NOISE[:1, :1]), 3),
    (".DS_Store", classes, bad("brain/.DS_Store", b"\0\0\0\1Bud1"), 2),
    ("AppleDouble", classes, bad("brain/._p1.png", b"\0\5\x16\7"), 2),
    ("Thumbs.db", classes, bad("brain/Thumbs.db", b"\xd0\xcf\x11\xe0"), 2),
    ("__MACOSX", classes, bad("__MACOSX/brain/._p1.png", b"\0\5\x16\7"), 2),
    ("hidden folder", classes, bad(".cache/p3.png", b"no picture"), 2),
    ("empty folder", classes, lambda folder: (folder / "thorax").mkdir(), 2),
    ("mask of 0 and 255", classes, picture("brain/p1_mask.png", HEAD * 255), 2),
    ("bom", african, instead("list.csv", lambda text: b"\xef\xbb\xbf" + text), 2),
    ("windows newlines", african, instead("list.csv", lambda text: text.replace(b"\n", b"\r\n")), 2),
    ("old mac newlines", african, instead("list.csv", lambda text: text.replace(b"\n", b"\r")), 2),
    ("semicolons", african, instead("list.csv", lambda text: text.replace(b",", b";")), 2),
    ("blank lines", african, instead("list.csv", lambda text: b"\n\n" + text + b"\n\n,,,,\n"), 2),
    ("windows newlines in jsonl", rows, instead("metadata.jsonl", lambda text: text.replace(b"\n", b"\r\n")), 2),
    ("utf-16", african, instead("list.csv", lambda text: text.decode().encode("utf-16")), 2),
    ("jsonl in utf-16", rows, instead("metadata.jsonl", lambda text: text.decode().encode("utf-16")), 2),
    ("bom in jsonl", rows, instead("metadata.jsonl", lambda text: b"\xef\xbb\xbf" + text), 2),
    ("cervix", fetal, line("FETAL_PLANES_DB_data.csv", "Patient00003_Plane4_1_of_1;3;Maternal cervix;;1"), 2),
]


@pytest.mark.parametrize(("good", "add", "count"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_what_is_odd_and_right_is_read(tmp_path: Path, good: Spoil, add: Spoil, count: int) -> None:
    good(tmp_path)
    add(tmp_path)
    before = tree(tmp_path)
    assert len(usable(READ[good](tmp_path, refuse), refuse)) == count
    assert tree(tmp_path) == before


def test_the_zoo_is_large() -> None:
    names = [case.name for case in CASES] + [row[0] for row in LISTS + ODD]
    assert len(CASES) + len(LISTS) >= 60
    assert len(set(names)) == len(names)
