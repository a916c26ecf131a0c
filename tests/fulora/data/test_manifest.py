"""Image rows and sets: what breaks a rule is not written, and what is written opens everywhere."""

import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.column_types import SPLITS, Plane, Split
from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.image_set_rules import RuleChecker, check_rows
from fulora.data.label_set import label_set
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.provenance import EarlierVersionError, Provenance, ProvenanceEntry

PLANES = label_set("fetal_planes").names

FETAL = label_set("fetal_planes").joined(label_set("intrapartum"))


def real(image_id: str, split: Split = "train", patient: str = "1", **values: object) -> Image:
    return image_row(image_id, **({"split": split, "patient": patient, "height": 6, "sha256": image_id} | values))


def synthetic(image_id: str, **values: object) -> Image:
    made = {"origin": "synthetic", "patient": "", "generator": "f00", "seed": "7", "caption": "a photo"}
    return Image.model_validate(real(image_id).model_dump() | made | values)


def picture(row: Image, *, masked: bool = False) -> Picture:
    """Noise that depends on the image's id."""
    noise = np.random.default_rng(list(row.image_id.encode())).integers(0, 256, (6, 8)).astype(np.uint8)
    return Picture(row, noise, (noise > 128).astype(np.uint8) if masked else None)


def drawn_by(*patients: str, chosen_by: tuple[str, ...] = ()) -> Provenance:
    """The book of a set whose LoRA was trained on patients, and chosen by others."""
    chosen = (ProvenanceEntry(name="LoRA l", use="chosen", patients=chosen_by),) if chosen_by else ()
    return Provenance(entries=(ProvenanceEntry(name="LoRA l", images=2, patients=patients), *chosen))


def breaches(rows: list[Image], provenance: Provenance | None = None) -> list[str]:
    checker = RuleChecker(provenance)
    for row in rows:
        checker.add(row)
    return checker.breaches()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_id": ""}, "an id is 1 to 200 characters"),
        ({"image_id": "a\nb"}, "an id is 1 to 200 characters"),
        ({"image_id": "c:a"}, "an id is 1 to 200 characters"),
        ({"image_id": "."}, "neither begins nor ends with a blank or a dot"),
        ({"image_id": "a" * 201}, "an id is 1 to 200 characters"),
        ({"patient": ""}, "i: a real image needs a patient"),
        ({"pixel_size_mm": 0.0}, "a measure is positive, or None"),
        ({"hc_mm": -1.0}, "a measure is positive, or None"),
        ({"aop_deg": -0.1}, "a measure is positive, or None"),
        ({"split": "training"}, "split"),
        ({"origin": "fake"}, "origin"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"origin": "synthetic", "generator": "f", "seed": ""}, "i: a synthetic image needs its generator"),
        ({"origin": "synthetic", "generator": "", "seed": "1"}, "i: a synthetic image needs its generator"),
        (
            {"origin": "synthetic", "generator": "f", "seed": "1", "split": "test"},
            "may only be in 'train', not.*'test'",
        ),
        ({"origin": "synthetic", "generator": "f", "seed": "1", "split": "validation"}, "may only be in 'train'"),
    ],
)
def test_a_row_that_breaks_a_rule(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Image.model_validate(real("i").model_dump() | values)


def test_a_patient_is_known_by_source_site_and_number() -> None:
    assert real("i", patient="3").patient_key == "s/A/3"
    assert synthetic("i").patient_key == ""


def test_rows_come_back_with_their_unknown_values() -> None:
    row = real("i", hc_mm=180.5, machine="m")
    written = row.to_json()
    assert next(iter(written)) == "file_name"
    assert None not in written.values()
    assert (written["hc_mm"], written["aop_deg"]) == (180.5, 0.0)
    again = Image.from_json(json.loads(json.dumps(written)))
    assert again == row
    assert again.aop_deg is None


def test_every_row_has_the_same_columns_of_the_same_types() -> None:
    rows = [real("a").to_json(), real("b", pixel_size_mm=0.1, hc_mm=1, aop_deg=2).to_json(), synthetic("c").to_json()]
    assert len({tuple((key, type(value)) for key, value in row.items()) for row in rows}) == 1


def test_clean_rows_have_no_breaches() -> None:
    rows = [real("a"), real("b"), real("c", "validation", "2"), real("d", "test", "3"), synthetic("e")]
    assert breaches(rows, drawn_by("s/A/1")) == []
    check_rows(rows, drawn_by("s/A/1"))


@pytest.mark.parametrize(
    ("rows", "taints", "message"),
    [
        ([real("a"), real("a")], [], "a: duplicate id, 2 rows have it"),
        ([real("x/a"), real("X_a", sha256="y")], [], "X_a: duplicate id, 2 rows have it"),
        ([real("a"), real("b", "test")], [], "s/A/1: the patient is in test and train"),
        (
            [real("a", sha256="x"), real("b", "test", "2", sha256="x")],
            [],
            "identical pixels are in test and train: a, b",
        ),
        (
            [real("a", "validation", "2", sha256="x"), synthetic("b", sha256="x")],
            [],
            "identical pixels are in train and validation: a, b",
        ),
        (
            [real("a", "test", "2"), synthetic("b")],
            ["s/A/2"],
            "s/A/2: the patient is in test, and was trained on by LoRA l",
        ),
        (
            [real("a", "validation", "2")],
            ["s/A/2", "s/A/9"],
            "s/A/2: the patient is in validation, and was trained on by",
        ),
    ],
)
def test_a_breach_is_found_and_named(rows: list[Image], taints: list[str], message: str) -> None:
    found = breaches(rows, drawn_by(*taints))
    assert len(found) == 1
    assert message in found[0]
    with pytest.raises(ImageSetError, match=r"cannot be written: 1 breaches"):
        check_rows(rows, drawn_by(*taints))


def test_equal_numbers_at_two_sites_are_two_patients() -> None:
    assert breaches([real("a"), real("b", "test", site="B"), real("c", "validation", source="t")]) == []


def test_all_kinds_of_breaches_come_at_once() -> None:
    rows = [real("a"), real("a", "test", sha256="y"), real("c", "validation", "2", sha256="y")]
    found = breaches(rows, drawn_by("s/A/2"))
    assert len(found) == 4
    assert len(breaches([real(str(n), s) for n in range(30) for s in ("train", "test")])) == 11 + 1 + 11


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_set_that_breaks_a_rule_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="the patient is in test and train"):
        ImageSet.write(tmp_path, [picture(real("a")), picture(real("b", "test"))], labels=FETAL)
    assert not list(tmp_path.rglob("metadata.jsonl"))
    assert ImageSet(tmp_path, "").rows() == []


def test_equal_pictures_in_two_splits_are_found_when_a_set_is_written(tmp_path: Path) -> None:
    train, test = picture(real("a")), picture(real("b", "test", "2"))
    with pytest.raises(ImageSetError, match="identical pixels are in test and train: a, b"):
        ImageSet.write(tmp_path, [train, replace(test, pixels=train.pixels)], labels=FETAL)


def test_the_digest_is_of_size_and_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pixel_digest(pixels) == pixel_digest(np.asfortranarray(pixels))
    assert pixel_digest(pixels) != pixel_digest(pixels.reshape(4, 3))
    assert pixel_digest(pixels) != pixel_digest(pixels[::-1])


def written(folder: Path, *, masked: bool = False) -> tuple[ImageSet, list[Picture]]:
    rows = [
        real("x/a", hc_mm=170.0, pixel_size_mm=0.12),
        synthetic("b"),
        real("c", "validation", "2", plane="femur"),
        real("d", "test", "3"),
    ]
    pictures = [picture(row, masked=masked) for row in rows]
    ImageSet.write(folder, pictures, provenance=drawn_by("s/A/0", "s/A/1"), labels=FETAL)
    return ImageSet(folder, ""), pictures


def test_a_set_comes_back_as_it_was_written(tmp_path: Path) -> None:
    images, pictures = written(tmp_path, masked=True)
    assert files(tmp_path) == {
        "provenance.json",
        "label_set.json",
        *(f"{split}/metadata.jsonl" for split in ("train", "validation", "test")),
        *(f"train/{kind}/{name}.png" for kind in ("images", "masks") for name in ("x_a", "b")),
        *(
            f"{split}/{kind}/{name}.png"
            for kind in ("images", "masks")
            for split, name in (("validation", "c"), ("test", "d"))
        ),
    }
    assert images.provenance() == drawn_by("s/A/0", "s/A/1")
    assert [row.image_id for row in images.rows()] == ["x/a", "b", "c", "d"]
    assert [row.image_id for row in images.rows("test")] == ["d"]
    for found, given in zip(images.pictures(), pictures, strict=True):
        np.testing.assert_array_equal(found.pixels, given.pixels)
        np.testing.assert_array_equal(found.mask, given.mask)
        assert found.row.sha256 == pixel_digest(given.pixels)
        assert (found.row.height, found.row.width) == (6, 8)
        keep = {"file_name", "mask_file", "sha256", "width", "height"}
        assert found.row.model_dump(exclude=keep) == given.row.model_dump(exclude=keep)


def test_a_set_of_real_images_without_masks(tmp_path: Path) -> None:
    ImageSet.write(tmp_path, [picture(real("a"))], labels=FETAL)
    images = ImageSet(tmp_path, "")
    assert images.provenance() == Provenance()
    assert images.rows("validation") == []
    assert next(images.pictures()).mask is None
    with pytest.raises(ImageSetError, match="a: has no mask"):
        images.mask(images.rows()[0])


def test_patients_of_checkpoint_selection_may_be_in_validation_and_not_in_test() -> None:
    rows = [real("a", "validation", "2"), real("b", "test", "3")]
    assert breaches(rows, drawn_by("s/A/1", chosen_by=("s/A/2",))) == []
    said = ["s/A/3: the patient is in test, and was used for model selection by LoRA l"]
    assert breaches(rows, drawn_by("s/A/1", chosen_by=("s/A/3",))) == said


def test_a_plane_is_a_class_of_the_label_set(tmp_path: Path) -> None:
    said = "a: shows 'cervix'; the classes of its label set are abdomen, brain, femur, thorax, other, intrapartum"
    with pytest.raises(ImageSetError, match=said):
        ImageSet.write(tmp_path, [picture(real("a", plane="cervix"))], labels=FETAL)
    assert not (tmp_path / "train" / "metadata.jsonl").exists()


def test_a_synthetic_set_that_says_nothing_of_its_generator_has_an_unknown_one(tmp_path: Path) -> None:
    ImageSet.write(tmp_path / "set", [picture(synthetic("a"))], labels=FETAL)
    assert ImageSet(tmp_path / "set", "").provenance().unknowns() == ["the generator of set"]


def test_a_set_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    ImageSet.write(tmp_path, [picture(synthetic("a"))], labels=FETAL)
    (tmp_path / "tainted_by.json").write_text('["s/A/1"]')
    with pytest.raises(EarlierVersionError, match=r"made by an earlier version .*tainted_by\.json.*run the study"):
        ImageSet(tmp_path, "").provenance()


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = written(tmp_path / "a")[0].path, written(tmp_path / "b")[0].path
    assert files(one) == files(two)
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files(one))


def test_a_picture_that_travels_alone_says_what_it_is(tmp_path: Path) -> None:
    images, _ = written(tmp_path)
    row = next(row for row in images.rows() if row.origin == "synthetic")
    with Pil.open(images.path / row.split / row.file_name) as png:
        assert png.mode == "L"
        assert png.text["origin"] == "synthetic"  # type: ignore[attr-defined]
        assert Image.from_json(json.loads(png.text["fulora"])) == row  # type: ignore[attr-defined]


@pytest.mark.parametrize("masked", [False, True], ids=["images", "images and masks"])
def test_hugging_face_opens_a_set_unchanged(tmp_path: Path, masked: bool) -> None:
    datasets = pytest.importorskip("datasets")
    images, pictures = written(tmp_path / "set", masked=masked)
    opened = datasets.load_dataset("imagefolder", data_dir=str(images.path), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in opened.items()} == {"train": 2, "validation": 1, "test": 1}
    for split, rows in opened.items():
        for found, row in zip(rows, images.rows(split), strict=True):
            given = next(p for p in pictures if p.row.image_id == row.image_id)
            np.testing.assert_array_equal(np.asarray(found.pop("image")), given.pixels)
            assert {**found, "file_name": row.file_name} == row.to_json()


def test_planes_have_an_order_that_tables_rely_on() -> None:
    from fulora.data.column_types import SPLITS

    expected: tuple[Plane, ...] = ("abdomen", "brain", "femur", "thorax", "other")
    assert expected == PLANES
    assert SPLITS == ("train", "validation", "test")


@pytest.mark.parametrize("line", ["nonsense", "[]", "3", '{"image_id": "a"}'])
def test_a_damaged_manifest_names_its_line(tmp_path: Path, line: str) -> None:
    images, _ = written(tmp_path)
    path = images.path / "train" / "metadata.jsonl"
    path.write_text(path.read_text().splitlines()[0] + f"\n{line}\n")
    with pytest.raises(ImageSetError, match=r"metadata\.jsonl, line 2: is no row of an image set"):
        images.rows()


def test_pictures_that_are_there_get_their_manifest(tmp_path: Path) -> None:
    """As shards of a generation are put together: the rows alone, and the pictures stay as they are."""
    images, _ = written(tmp_path / "a")
    shutil.copytree(images.path, tmp_path / "b")
    written_last = ("provenance.json", "label_set.json", *(f"{split}/metadata.jsonl" for split in SPLITS))
    for name in written_last:
        (tmp_path / "b" / name).unlink()
    before = {name: (tmp_path / "b" / name).stat().st_mtime_ns for name in files(tmp_path / "b")}
    count = ImageSet.write_rows(tmp_path / "b", iter(images.rows()), provenance=images.provenance(), labels=FETAL)
    assert count == 4
    assert files(tmp_path / "b") == files(images.path)
    assert all((tmp_path / "b" / name).read_bytes() == (images.path / name).read_bytes() for name in files(images.path))
    assert {name: (tmp_path / "b" / name).stat().st_mtime_ns for name in before} == before


def test_a_recipe_comes_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = json.dumps({"prompt": 'a "photo"\n', "seed": 2**62 + 1, "steps": [1, 2.5, None]})
    ImageSet.write(tmp_path, [picture(synthetic("a", recipe=recipe)), picture(real("b"))], labels=FETAL)
    rows = ImageSet(tmp_path, "").rows()
    assert [row.recipe for row in rows] == [recipe, ""]
    with Pil.open(tmp_path / "train" / rows[0].file_name) as png:
        assert json.loads(png.text["fulora"])["recipe"] == recipe  # type: ignore[attr-defined]


def test_rows_of_before_there_were_recipes_are_read(tmp_path: Path) -> None:
    images, _ = written(tmp_path)
    path = images.path / "train" / "metadata.jsonl"
    old = [{k: v for k, v in json.loads(line).items() if k != "recipe"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in old))
    assert [row.recipe for row in images.rows("train")] == ["", ""]


def test_rows_that_stop_in_the_middle_leave_the_manifest_that_was_there(tmp_path: Path) -> None:
    images, _ = written(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}

    def stopped() -> Iterator[Image]:
        yield synthetic("b")
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ImageSet.write_rows(images.path, stopped(), labels=FETAL)
    with pytest.raises(ImageSetError, match="b: duplicate id, 2 rows have it"):
        ImageSet.write_rows(images.path, [synthetic("b"), synthetic("b")], labels=FETAL)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without a device that is always full")
@pytest.mark.parametrize("count", [1, 1000], ids=["when it is closed", "while it is written"])
def test_a_full_disk_leaves_no_half_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Short files are written when they are closed, and that is when a full disk says so."""
    real_open = Path.open
    (tmp_path / "train").mkdir()

    def opened(path: Path, mode: str = "r", encoding: str | None = None) -> object:
        if path.name.startswith(".new."):
            path.touch()
            path = Path("/dev/full")
        return real_open(path, mode, encoding=encoding)

    monkeypatch.setattr(Path, "open", opened)
    rows = (synthetic(f"i{number}") for number in range(count))
    with pytest.raises(OSError, match="No space left") as told:
        ImageSet.write_rows(tmp_path, rows, labels=FETAL)
    assert told.value.errno == errno.ENOSPC
    assert files(tmp_path) == set()
