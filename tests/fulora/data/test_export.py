"""Exports: opened by the libraries they are for, with every byte and every word of the set; complete or absent."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import datasets
import numpy as np
import pytest
from huggingface_hub import DatasetCard
from image_rows import image_row
from PIL import Image as Pil
from webdataset.autodecode import Decoder, imagehandler
from webdataset.tariterators import group_by_keys, tar_file_expander

from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.pictures.embedded_metadata import Mark, png_info, read_mark
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.export import kohya as export_kohya
from fulora.export import webdataset as export_webdataset
from fulora.export.card import CardConfig, Format
from fulora.export.export import export, shards
from fulora.export.source_files import ExportError

FETAL = label_set("fetal_planes").joined(label_set("intrapartum"))

FORMATS: tuple[Format, ...] = get_args(Format)
CAPTION = 'a <photo> of "fetal" brain & 胎児 é'
CARD = CardConfig(title="T", licence="cc-by-4.0", citations=("@misc{a}",), contact="Me", published="2026-01-02")
IDS = ("a.b/c.d", "é x-1", "__meta__", "50%25 ~'", "last")


def row(image_id: str, **values: object) -> Image:
    return image_row(image_id, **({"patient": "0007"} | values))


def synthetic(image_id: str, **values: object) -> Image:
    made = {"origin": "synthetic", "patient": "", "site": "", "generator": "f00", "seed": "9223372036854775807"}
    return row(image_id, **(made | values))


def picture(row: Image, *, masked: bool = False) -> Picture:
    noise = np.random.default_rng(list(row.image_id.encode())).integers(0, 256, (20, 24)).astype(np.uint8)
    return Picture(row, noise, (noise // 100).astype(np.uint8) if masked else None)


def written(folder: Path, pictures: list[Picture], drawn_by: Provenance | None = None) -> ImageSet:
    """A set whose synthetic pictures carry their mark."""
    folder.mkdir()
    ImageSet.write(folder, pictures, provenance=drawn_by, labels=FETAL)
    images = ImageSet(folder, "f")
    for made in images.rows("train"):
        if made.origin == "synthetic":
            pixels = images.pixels(made)
            Pil.fromarray(pixels).save(folder / "train" / made.file_name, pnginfo=png_info(made))
    return images


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Odd ids; masks in train only, and not on all; a machine, captions and measures in some splits only."""
    train = [
        picture(row(IDS[0], machine="Voluson", hc_mm=180.25), masked=True),
        picture(row(IDS[1], plane="femur")),
        picture(row(IDS[2], plane="intrapartum", patient="8", aop_deg=97.5), masked=True),
        picture(synthetic(IDS[3], caption=CAPTION)),
        picture(synthetic(IDS[4], plane="thorax", caption="plain")),
    ]
    held_out = [picture(row("t1", split="test", patient="0009")), picture(row("t2", split="test", patient="0009"))]
    return written(
        tmp_path / "set",
        [*train, *held_out],
        Provenance(entries=(ProvenanceEntry(name="LoRA l", patients=("s/A/0007",)),)),
    )


def source_bytes(images: ImageSet, row: Image) -> tuple[bytes, bytes | None]:
    folder = images.path / row.split
    return (folder / row.file_name).read_bytes(), (folder / row.mask_file).read_bytes() if row.mask_file else None


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def mark_in(content: bytes, folder: Path) -> Mark | None:
    (folder / "copy.png").write_bytes(content)
    return read_mark(folder / "copy.png")


# --- every format

CROISSANT = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated", "ignore:The inplace keyword")
"""Warnings for the authors of rdflib and mlcroissant."""


@pytest.mark.slow
@CROISSANT
@pytest.mark.parametrize("format", FORMATS)
def test_equal_sets_give_equal_bytes_and_a_card(images: ImageSet, tmp_path: Path, format: Format) -> None:
    assert export(images, format, tmp_path / "x" / "one", card=CARD) == tmp_path / "x" / "one"
    export(images, format, tmp_path / "two", card=CARD)
    assert digests(tmp_path / "x" / "one") == digests(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "two", "x"]
    card = DatasetCard.load(tmp_path / "two" / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert "path/to/this/folder" in card.text


@pytest.mark.slow
@CROISSANT
@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_leaves_nothing(
    images: ImageSet, tmp_path: Path, format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> str:
        raise KeyboardInterrupt

    (tmp_path / ".out.partial").mkdir()  # of an export that was killed
    (tmp_path / ".out.partial" / "rest").write_text("rest")
    with monkeypatch.context() as patch:
        patch.setattr("fulora.export.export.card_text", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export(images, format, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    export(images, format, tmp_path / "out")
    assert not (tmp_path / "out" / "rest").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there_is_not_overwritten(images: ImageSet, tmp_path: Path, format: Format) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="out: exists already; remove it, or export to another folder"):
        export(images, format, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_set(tmp_path: Path, format: Format) -> None:
    with pytest.raises(ExportError, match=r"holds no images.*; there is nothing to export"):
        export(ImageSet(tmp_path, "f"), format, tmp_path / "out")


def test_kohya_wants_images_to_train_on(tmp_path: Path) -> None:
    images = written(tmp_path / "set", [picture(row("t", split="test"))])
    with pytest.raises(ExportError, match="holds no images to train on"):
        export(images, "kohya", tmp_path / "out")


def test_a_number_below_one(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="repeats: is 0; it is at least 1"):
        export(images, "kohya", tmp_path / "out", repeats=0)
    with pytest.raises(ExportError, match="shard_bytes: is -1; it is at least 1"):
        export(images, "parquet", tmp_path / "out", shard_bytes=-1)


def edited(images: ImageSet, number: int, **values: object) -> None:
    """Change a row of train on disk, as a hand or a broken disk would."""
    path = images.path / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows[number] |= values
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("number", "values", "message"),
    [
        (1, {"file_name": "../../../x.png"}, r"é x-1: its file '\.\./\.\./\.\./x.png' is outside the set"),
        (1, {"mask_file": "/etc/passwd"}, r"é x-1: its file '/etc/passwd' is outside the set"),
        (1, {"file_name": "images/last.png"}, "train/images/last.png: several images name this file"),
        (1, {"file_name": "images/gone.png"}, "é x-1: its file .*gone.png is missing; make the set anew"),
        (1, {"mask_file": "masks/gone.png"}, "é x-1: its file .*gone.png is missing"),
        (0, {"patient": "0009"}, "the patient is in test and train"),
    ],
)
def test_a_damaged_set(images: ImageSet, tmp_path: Path, number: int, values: dict[str, object], message: str) -> None:
    edited(images, number, **values)
    with pytest.raises((ExportError, ImageSetError), match=message):
        export(images, "kohya", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("mark", ["none", "real"])
def test_a_synthetic_picture_that_does_not_say_so(images: ImageSet, tmp_path: Path, mark: str) -> None:
    info = png_info(row("last")) if mark == "real" else None
    pixels = images.pixels(images.rows("train")[4])
    Pil.fromarray(pixels).save(images.path / "train" / "images" / "last.png", pnginfo=info)
    with pytest.raises(ExportError, match=r"last: is synthetic, and its file images/last\.png does not say so"):
        export(images, "parquet", tmp_path / "out")


def test_shards_hold_what_they_may(images: ImageSet) -> None:
    rows = images.rows()
    sizes = {row.image_id: sum(len(part or b"") for part in source_bytes(images, row)) for row in rows}
    limit = sizes[IDS[0]] + sizes[IDS[1]]
    found = shards(images, rows, limit)
    assert [row for parts in found.values() for part in parts for row in part] == rows
    assert [row.image_id for row in found["train"][0]] == list(IDS[:2])
    assert all(sum(sizes[row.image_id] for row in part) <= limit for parts in found.values() for part in parts)
    assert [len(part) for part in shards(images, rows, 1)["train"]] == [1] * 5
    assert [len(part) for part in shards(images, rows, 10**9)["train"]] == [5]


# --- parquet


def loaded(folder: Path, cache: Path) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


@pytest.mark.parametrize("shard_bytes", [1, 1500, 2**28])
def test_parquet_comes_back_whole(images: ImageSet, tmp_path: Path, shard_bytes: int) -> None:
    out = export(images, "parquet", tmp_path / "out", shard_bytes=shard_bytes)
    data = loaded(out, tmp_path / "cache")
    assert list(data) == ["train", "test"]
    assert data["train"].features == data["test"].features
    features = data["train"].features
    assert features["label"].names == list(FETAL.names)
    assert (features["machine"].dtype, features["hc_mm"].dtype, features["seed"].dtype) == (
        "string",
        "float64",
        "string",
    )
    raw = {name: part.cast_column("image", datasets.Image(decode=False)) for name, part in data.items()}
    raw = {name: part.cast_column("mask", datasets.Image(decode=False)) for name, part in raw.items()}
    found = [record for part in raw.values() for record in part]
    for expected, record in zip(images.rows(), found, strict=True):
        image, mask = source_bytes(images, expected)
        assert record["image"]["bytes"] == image
        assert (record["mask"]["bytes"] if record["mask"] else None) == mask
        assert features["label"].int2str(record["label"]) == expected.plane
        assert Image.from_json({name: record[name] for name in Image.model_fields}) == expected
    assert raw["train"][3]["hc_mm"] is None
    assert data["train"][0]["image"].size == (24, 20)
    np.testing.assert_array_equal(np.asarray(data["train"][0]["mask"]), images.mask(images.rows()[0]))
    assert mark_in(raw["train"][3]["image"]["bytes"], tmp_path) == Mark(True, CAPTION, "9223372036854775807", "f00")


def test_parquet_names_and_shards(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "parquet", tmp_path / "out", shard_bytes=1)
    names = sorted(path.name for path in (out / "data").iterdir())
    assert names[:2] == ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    assert names[-1] == "train-00004-of-00005.parquet"
    given = {"train": str(out / "data" / "train-*"), "test": str(out / "data" / "test-*")}
    data = datasets.load_dataset("parquet", data_files=given, cache_dir=str(tmp_path / "cache"))
    assert isinstance(data["test"].features["mask"], datasets.Image)
    assert data["test"][0]["mask"] is None


def test_parquet_groups_rows(tmp_path: Path) -> None:
    images = written(tmp_path / "set", [picture(row(f"i{n:03d}")) for n in range(203)])
    out = export(images, "parquet", tmp_path / "out")
    file = datasets.load_dataset("parquet", data_files=str(out / "data" / "*"), cache_dir=str(tmp_path / "c"))["train"]
    assert file["image_id"] == [f"i{n:03d}" for n in range(203)]


# --- WebDataset


def samples(out: Path, split: str) -> list[dict[str, object]]:
    """Read with webdataset's own stages; its `WebDataset` leaves files open, which is a warning here."""
    found = []
    for path in sorted(out.glob(f"{split}-*.tar")):
        with path.open("rb") as stream:
            found += list(group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])))
    return found


@pytest.mark.parametrize("shard_bytes", [1, 2**28])
def test_webdataset_comes_back_whole(images: ImageSet, tmp_path: Path, shard_bytes: int) -> None:
    out = export(images, "webdataset", tmp_path / "out", shard_bytes=shard_bytes)
    assert len(list(out.glob("train-00000?.tar"))) == (5 if shard_bytes == 1 else 1)
    names = (out / "classnames.txt").read_text(encoding="utf-8").splitlines()
    found = samples(out, "train") + samples(out, "test")
    for expected, sample in zip(images.rows(), found, strict=True):
        image, mask = source_bytes(images, expected)
        assert unquote(str(sample["__key__"])) == expected.image_id
        assert sample["png"] == image
        assert sample.get("mask.png") == mask
        assert Image.from_json(json.loads(sample["json"])) == expected
        assert names[int(sample["cls"])] == expected.plane
        assert sample["txt"].decode() == expected.caption
    assert mark_in(found[3]["png"], tmp_path) == Mark(True, CAPTION, "9223372036854775807", "f00")


def test_webdataset_decodes(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "webdataset", tmp_path / "out")
    sample = Decoder([imagehandler("pil")])(samples(out, "train")[0])
    assert sample["png"].size == sample["mask.png"].size == (24, 20)
    assert (sample["json"]["patient"], sample["json"]["aop_deg"], sample["cls"]) == ("0007", None, 1)


def test_webdataset_opens_in_datasets_although_few_have_masks(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "webdataset", tmp_path / "out")
    data = loaded(out, tmp_path / "cache")
    assert [record["mask.png"] is not None for record in data["train"]] == [True, False, True, False, False]
    assert [record["json"]["hc_mm"] for record in data["train"]] == [180.25, None, None, None, None]
    assert data["test"][0]["json"]["patient"] == "0009"


def test_webdataset_members_have_no_time_and_no_owner(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "webdataset", tmp_path / "out")
    with tarfile.open(out / "test-000000.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members[:4]] == ["t1.cls", "t1.json", "t1.png", "t1.txt"]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, 0, "", "")
    }


def test_classnames_are_those_of_the_label_set(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "webdataset", tmp_path / "out")
    assert (out / "classnames.txt").read_text(encoding="utf-8").splitlines() == list(FETAL.names)


def test_keys_are_unique_and_are_not_cut() -> None:
    ids = ["a.b", "a%2Eb", "a/b", "a_b", "a%2Fb", ".", "..", "é", "__a__", "%5F_a__", "_"]
    keys = [export_webdataset.sample_key(name) for name in ids]
    assert len(set(keys)) == len(ids)
    assert [unquote(key) for key in keys] == ids
    assert not any(set("./") & set(key) or key.startswith("_") for key in keys)


# --- Croissant


@pytest.mark.slow
@CROISSANT
def test_croissant_records(images: ImageSet, tmp_path: Path) -> None:
    import mlcroissant

    out = export(images, "croissant", tmp_path / "out", card=CARD)
    data = mlcroissant.Dataset(out / "croissant.json")
    assert not data.metadata.ctx.issues.errors
    assert data.metadata.ctx.issues.warnings == set()
    for split in ("train", "test"):
        records = list(data.records(split))
        for expected, record in zip(images.rows(split), records, strict=True):
            texts = {name.split("/")[1]: v.decode() if isinstance(v, bytes) else v for name, v in record.items()}
            assert Image.from_json({name: texts[name] for name in Image.model_fields}) == expected
            np.testing.assert_array_equal(np.asarray(texts["image"].convert("L")), images.pixels(expected))
    masks = list(data.records("train_masks"))
    assert [record["train_masks/mask"] is not None for record in masks] == [True, False, True, False, False]
    found = np.asarray(masks[0]["train_masks/mask"].convert("L"))
    np.testing.assert_array_equal(found, images.mask(images.rows()[0]))


@CROISSANT
def test_croissant_metadata(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "croissant", tmp_path / "out", card=CARD)
    document = json.loads((out / "croissant.json").read_text(encoding="utf-8"))
    assert document["rai:hasSyntheticData"] is True
    for term in ("DataCollection", "DataLimitations", "DataBiases", "PersonalSensitiveInformation", "DataUseCases"):
        assert document[f"rai:{term[0].lower()}{term[1:]}"]
    assert (document["name"], document["license"], document["citeAs"]) == ("T", "cc-by-4.0", "@misc{a}")
    assert (document["version"], document["datePublished"]) == ("1.0.0", "2026-01-02")
    for item in document["distribution"]:
        if item["@type"] == "cr:FileObject":
            assert item["sha256"] == hashlib.sha256((out / item["contentUrl"]).read_bytes()).hexdigest()


@CROISSANT
def test_croissant_is_still_an_image_folder(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "croissant", tmp_path / "out")
    copied = digests(out)
    assert {name: copied[name] for name in digests(images.path)} == digests(images.path)
    assert ImageSet(out, "f").rows() == images.rows()
    data = loaded(out, tmp_path / "cache")
    assert {name: len(part) for name, part in data.items()} == {"train": 5, "test": 2}
    assert data["train"][0]["patient"] == "0007"
    assert data["train"][3]["image"].text["fulora"]
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=False)
    assert checked.returncode == 0
    (out / "train" / "images" / "last.png").write_bytes(b"")
    checked = subprocess.run(["sha256sum", "--check", "--status", "SHA256SUMS"], cwd=out, check=False)
    assert checked.returncode == 1


@CROISSANT
def test_croissant_of_real_images_only(tmp_path: Path) -> None:
    out = export(written(tmp_path / "set", [picture(row("a"))]), "croissant", tmp_path / "out")
    document = json.loads((out / "croissant.json").read_text(encoding="utf-8"))
    assert document["rai:hasSyntheticData"] is False
    assert [records["@id"] for records in document["recordSet"]] == ["train"]
    assert not (out / "provenance.json").exists()


def test_croissant_without_its_library(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fulora.export.croissant", raising=False)
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    with pytest.raises(ExportError, match=r'croissant needs mlcroissant: pip install "fulora\[export\]"'):
        export(images, "croissant", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


# --- Kohya


def test_kohya_folders(images: ImageSet, tmp_path: Path) -> None:
    out = export(images, "kohya", tmp_path / "out", repeats=20)
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == ["20_brain", "20_femur", "20_intrapartum", "20_thorax"]
    for expected in images.rows("train"):
        path = out / f"20_{expected.plane}" / Path(expected.file_name).name
        assert path.read_bytes() == source_bytes(images, expected)[0]
        caption = path.with_name(path.name.removesuffix(".png") + ".txt").read_text(encoding="utf-8")
        assert caption.splitlines() == [expected.caption or f"a photo of fetal {captioned(expected)}"]
    assert read_mark(out / "20_thorax" / "last.png") == Mark(True, "plain", "9223372036854775807", "f00")
    assert sum(1 for _ in out.rglob("*.png")) == 5
    readme = (out / "README.md").read_text(encoding="utf-8")
    for option in ("--caption_extension=.txt", "--resolution=24", "--train_data_dir="):
        assert option in readme


def captioned(row: Image) -> str:
    return "head and pubic symphysis" if row.plane == "intrapartum" else row.plane


def test_kohya_cannot_hold_two_lines(tmp_path: Path) -> None:
    images = written(tmp_path / "set", [picture(row("a", caption="one\ntwo"))])
    with pytest.raises(ExportError, match="a: its caption has several lines; kohya reads the first only"):
        export(images, "kohya", tmp_path / "out")
    assert "several" not in export_kohya.USE


# --- real images


def real_pictures(data_root: Path) -> Iterator[Picture]:
    paths = sorted((data_root / "fetal_planes_lora").glob("*/*.png"))[::17][:6]
    assert len(paths) == 6
    for number, path in enumerate(paths):
        with Pil.open(path) as image:
            pixels = np.asarray(image.convert("L").resize((256, 256)))
        about = row(f"real_{number}", patient=str(number), split="train" if number < 4 else "test")
        yield Picture(about, pixels, (pixels > 100).astype(np.uint8) if number % 2 else None)


@CROISSANT
@pytest.mark.real_data
def test_real_images_in_every_format(data_root: Path, tmp_path: Path) -> None:
    images = written(tmp_path / "set", list(real_pictures(data_root)))
    for format in FORMATS:
        export(images, format, tmp_path / format, card=CARD)
    data = loaded(tmp_path / "parquet", tmp_path / "cache")
    tar = samples(tmp_path / "webdataset", "train") + samples(tmp_path / "webdataset", "test")
    records = [record for part in data.values() for record in part]
    for expected, record, sample in zip(images.rows(), records, tar, strict=True):
        pixels = images.pixels(expected)
        content = (tmp_path / "croissant" / expected.split / expected.file_name).read_bytes()
        assert sample["png"] == content == source_bytes(images, expected)[0]
        np.testing.assert_array_equal(np.asarray(record["image"]), pixels)
        with Pil.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels)
    assert sorted(path.name for path in tmp_path.glob("kohya/1_brain/*.png")) == [f"real_{n}.png" for n in range(4)]
    shutil.rmtree(tmp_path / "cache")
