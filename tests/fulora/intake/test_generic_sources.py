"""People's own folders: one folder a plane, Hugging Face imagefolders (fulora's image sets among them), kohya's."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_rows import image_row
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

from fulora.data.column_types import Plane, Split
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.intake.config import AnySource
from fulora.intake.masks.validation import head_mask, validate_mask
from fulora.intake.masks.value_mapping import find_mask_values
from fulora.intake.patient_pattern import patient_finder
from fulora.intake.picture_files import check_name, find_pictures
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, refuse
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.class_folders import ClassFoldersConfig
from fulora.intake.sources.imagefolder import ImageFolderConfig
from fulora.intake.sources.kohya import KohyaConfig

PLANES = label_set("fetal_planes").names

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))


NOISE = np.random.default_rng(0).integers(0, 256, (12, 16)).astype(np.uint8)
BLOB = np.zeros((12, 16), np.uint8)
BLOB[3:9, 4:12] = 1
PATIENT = r"Patient(\d+)"


def images_of(source: AnySource, folder: Path, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
    """The images of a folder, in the classes of fetal planes and intrapartum views."""
    return read_source(source, SourceInputs(folder, labels=CLASSES), on_skip)


def save(path: Path, pixels: np.ndarray = NOISE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path, **options)
    return path


def facts(image: RawImage) -> tuple[str, str, str, str, str]:
    return image.name, image.plane, image.source, image.site, image.patient


# --- folders and names


@pytest.mark.parametrize("ending", ["png", "PNG", "jpg", "JPEG", "bmp", "tif", "TIFF", "webp"])
def test_every_ending_of_a_picture_counts(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / "a" / f"x.{ending}")
    assert find_pictures(tmp_path) == [path]


def test_what_systems_and_trainers_leave_behind_does_not_count(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png")
    save(tmp_path / ".hidden" / "y.png")
    save(tmp_path / "__MACOSX" / "x.png")
    for name in (
        ".DS_Store",
        "._x.png",
        "Thumbs.db",
        "desktop.ini",
        "x.txt",
        "x.caption",
        "x.npz",
        "LICENSE",
        "list.csv",
    ):
        (tmp_path / name).write_bytes(b"\0")
    assert find_pictures(tmp_path) == [path]


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    names = ["b/2.png", "a/1.png", "b/10.png", "c.png", "a/b/3.png"]
    for name in names:
        save(tmp_path / name)
    assert [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)] == sorted(names)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone: no such folder"):
        find_pictures(tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "plane"),
    [
        ("brain", "brain"),
        ("Brain", "brain"),
        ("Fetal brain", "brain"),
        ("fetal_brain", "brain"),
        (" FETAL FEMUR ", "femur"),
        ("intrapartum", "intrapartum"),
        ("Other", "other"),
        ("head", None),
        ("fetalbrain", None),
        ("brains", None),
        ("", None),
        ("2", None),
        ("Maternal cervix", None),
        ("fetal fetal brain", None),
    ],
)
def test_planes_have_few_names(text: str, plane: Plane | None) -> None:
    assert CLASSES.named(text) == plane


def test_a_patient_is_found_by_a_pattern_or_declared_unknown() -> None:
    assert patient_finder(PATIENT, False)("brain/Patient0018_x") == "0018"
    assert patient_finder(None, True)("brain/x") == "brain/x"


@pytest.mark.parametrize(
    ("pattern", "unknown", "message"),
    [
        (None, False, r"set patient_pattern, such as Patient\(\\d\+\), or patients_unknown"),
        (PATIENT, True, "set patient_pattern"),
        (r"Patient(\d+", False, "is not a regular expression"),
        (r"Patient\d+", False, "has 0 groups; it needs one, the patient"),
        (r"(Patient)(\d+)", False, "has 2 groups; it needs one, the patient"),
    ],
)
def test_patterns_that_tell_no_patient(pattern: str | None, unknown: bool, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        patient_finder(pattern, unknown)


@pytest.mark.parametrize("name", ["brain/x", "Patient"])
def test_names_in_which_a_pattern_finds_no_patient(name: str) -> None:
    with pytest.raises(SourceError, match=f"{name}: patient_pattern .* finds no patient in the name"):
        patient_finder(r"Patient(\d*)", False)(name)


@pytest.mark.parametrize("name", ["x.png", "a/b/c.png", "Größe 3.png", "胎儿.png", "x.y.z.png"])
def test_names_that_can_be_used(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "a file name is empty"),
        ("a\nb.png", "a control character"),
        ("a\0.png", "a control character"),
        ("a\u2028.png", "a control character"),
        ("a\udcff.png", "bytes that are not UTF-8"),
        ("C:/x.png", "a Windows path"),
        ("a\\b.png", "a Windows path"),
        ("what?.png", "not valid on every system"),
        ("x .png", "not valid on every system"),
        ("x..png", "not valid on every system"),
        ("ä" * 90 + ".png", "a file name of 184 bytes; the limit is 180"),
    ],
)
def test_names_that_cannot_be_used(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        check_name(name)


# --- masks


def read(path: Path) -> np.ndarray:
    return find_mask_values({"masks": [path]}).read(path)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_masks_are_class_numbers(tmp_path: Path, mode: str) -> None:
    image = Pil.fromarray(BLOB * 255).convert("1") if mode == "1" else Pil.fromarray(BLOB, mode)
    if mode == "P":
        image.putpalette([9, 9, 9, 250, 0, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), BLOB)


def test_black_and_one_shade_are_0_and_1_and_class_numbers_are_kept(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(save(tmp_path / "m.png", BLOB * 255)), BLOB)
    np.testing.assert_array_equal(read(save(tmp_path / "m.png", BLOB * 2)), BLOB * 2)
    np.testing.assert_array_equal(read(save(tmp_path / "m.png", BLOB * 254)), BLOB)


def test_a_mask_that_fits_is_left_alone() -> None:
    np.testing.assert_array_equal(validate_mask(NOISE, BLOB, Path("m.png")), BLOB)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (BLOB[:, 1:], r"m\.png: the mask and its image are 15 x 12 and 16 x 12 pixels; they must have the same size"),
        (np.dstack([BLOB] * 3), "are 3 x 16 x 12 and 16 x 12 pixels"),
        (BLOB * 3, "the mask holds 0, 3; its classes are 0 to 2"),
        (NOISE, r"the mask holds \d+, \d+, \d+, \d+, \d+, \d+, \.\.\.; its classes are 0 to 2"),
        (BLOB * 0, "the mask is empty; remove it"),
    ],
)
def test_masks_that_do_not_fit(mask: np.ndarray, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        validate_mask(NOISE, mask, Path("m.png"), largest=2)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (NOISE % 3, r"it must be background and one class"),
        (BLOB * 0 + 1, r"holds the classes 1; it must be background"),
        (1 - BLOB, r"marks all four corners, but black is the background: invert it"),
        (np.eye(12, 16, dtype=np.uint8) * (np.arange(16) > 4), "the outline is open and encloses nothing"),
        (
            BLOB * (np.arange(16) // 3 != 2),
            "2 separate regions; a head is one",
        ),
    ],
    ids=["three", "all", "inverted", "open", "two"],
)
def test_heads_that_are_none(mask: np.ndarray, message: str) -> None:
    with pytest.raises(SourceError, match=rf"m\.png: .*{message}"):
        head_mask(mask.astype(np.uint8), Path("m.png"))


# --- class folders


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    save(tmp_path / "Brain" / "Patient7" / "x.png")
    save(tmp_path / "Brain" / "Patient7" / "x_mask.png", BLOB * 255)
    save(tmp_path / "fetal_femur" / "Patient7_y.bmp", 255 - NOISE)
    save(tmp_path / "Fetal thorax" / "Patient12.tif")
    return tmp_path


def test_class_folders(folders: Path) -> None:
    images = list(
        images_of(
            ClassFoldersConfig(folder=".", source="ours", patient_pattern=PATIENT, site="here", mask_suffix="_mask"),
            folders,
        )
    )
    assert [facts(image) for image in images] == [
        ("Brain/Patient7/x", "brain", "ours", "here", "7"),
        ("Fetal thorax/Patient12", "thorax", "ours", "here", "12"),
        ("fetal_femur/Patient7_y", "femur", "ours", "here", "7"),
    ]
    pixels, mask = images[0].load()
    np.testing.assert_array_equal(pixels, NOISE)
    np.testing.assert_array_equal(mask, BLOB)
    np.testing.assert_array_equal(images[2].load()[0], 255 - NOISE)
    assert images[2].load()[1] is None
    assert images[0].published is images[0].pixel_size_mm is None


def test_without_patients_every_image_is_its_own(folders: Path) -> None:
    images = list(
        images_of(
            ClassFoldersConfig(folder=".", source="class_folders", patients_unknown=True, mask_suffix="_mask"), folders
        )
    )
    assert len({image.patient for image in images}) == 3
    with pytest.raises(SourceError, match=r"patients are unknown: .* or patients_unknown=true"):
        list(images_of(ClassFoldersConfig(folder=".", source="class_folders"), folders))


def test_class_folders_that_hold_something_else(folders: Path) -> None:
    save(folders / "cervix" / "Patient1.png")
    save(folders / "cervix" / "Patient2.png")
    save(folders / "Patient3.png")
    save(folders / "brain" / "nobody.png")
    save(folders / "brain" / "Patient4_mask.png", BLOB)
    told: list[str] = []
    images = list(
        images_of(
            ClassFoldersConfig(folder=".", source="class_folders", patient_pattern=PATIENT, mask_suffix="_mask"),
            folders,
            told.append,
        )
    )
    assert [image.patient for image in images] == ["7", "12", "7"]
    assert [message.removeprefix(f"{folders}/") for message in told] == [
        "brain/Patient4_mask.png: a mask without an image beside it",
        "Patient3.png: is in no class folder; move it into a folder named after its class",
        r"brain/nobody: patient_pattern 'Patient(\\d+)' finds no patient in the name",
        "cervix/Patient1.png: unknown class 'cervix', of 2 images; rename it to one of abdomen, brain, femur, thorax, "
        "other, intrapartum (label set fetal_planes+intrapartum), or set its class: classes: {cervix: NAME}; an "
        "empty NAME leaves them out",
    ]


def test_class_folders_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "brain").mkdir()
    with pytest.raises(SourceError, match="no pictures; expected one folder per class"):
        list(images_of(ClassFoldersConfig(folder=".", source="class_folders", patient_pattern=PATIENT), tmp_path))


def stamped(key: str, text: str) -> PngInfo:
    info = PngInfo()
    info.add_text(key, text)
    return info


@pytest.mark.parametrize(
    "info",
    [
        stamped("fulora", '{"origin": "synthetic", "caption": "a"}'),
        stamped("parameters", "a photo of fetal brain\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"),
    ],
    ids=["fulora", "web interface"],
)
def test_a_synthetic_picture_among_real_ones_is_found(folders: Path, info: PngInfo) -> None:
    save(folders / "brain" / "Patient9.png", pnginfo=info)
    images = {
        image.name: image
        for image in images_of(
            ClassFoldersConfig(folder=".", source="class_folders", patient_pattern=PATIENT, mask_suffix="_mask"),
            folders,
        )
    }
    with pytest.raises(SourceError, match=r"brain/Patient9\.png: is marked as synthetic; synthetic images are mixed"):
        images["brain/Patient9"].load()
    save(folders / "brain" / "Patient9.png", pnginfo=stamped("fulora", '{"origin": "real"}'))
    np.testing.assert_array_equal(images["brain/Patient9"].load()[0], NOISE)


# --- image folders

ROW = {"file_name": "x.png", "plane": "brain", "patient": "7"}


def write_rows(folder: Path, *rows: Mapping[str, object] | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def test_an_imagefolder_with_all_it_can_say(tmp_path: Path) -> None:
    save(tmp_path / "images" / "x.png")
    save(tmp_path / "masks" / "x.png", BLOB * 2)
    said = {
        "site": "Kampala",
        "source": "ours",
        "machine": "Mindray",
        "pixel_size_mm": 0.2,
        "hc_mm": 180.5,
        "aop_deg": 99.0,
        "caption": "a head",
        "mask_file": "masks/x.png",
        "plane": "intrapartum",
    }
    write_rows(tmp_path, {**ROW, "file_name": "images/x.png", **said})
    (image,) = images_of(ImageFolderConfig(folder=".", site="elsewhere"), tmp_path)
    assert facts(image) == ("images/x", "intrapartum", "ours", "Kampala", "7")
    assert (image.machine, image.caption, image.published) == ("Mindray", "a head", None)
    assert (image.pixel_size_mm, image.hc_mm, image.aop_deg) == (0.2, 180.5, 99.0)
    pixels, mask = image.load()
    np.testing.assert_array_equal(pixels, NOISE)
    np.testing.assert_array_equal(mask, BLOB * 2)


def test_an_imagefolder_with_little(tmp_path: Path) -> None:
    save(tmp_path / "x.png")
    write_rows(
        tmp_path, {"file_name": "x.png", "label": "Fetal femur", "patient_id": 12, "text": "a leg", "hc_mm": None}
    )
    (image,) = images_of(ImageFolderConfig(folder=".", site="here", source="ours"), tmp_path)
    assert facts(image) == ("x", "femur", "ours", "here", "12")
    assert image.pixel_size_mm is image.hc_mm is None
    assert image.caption == "a leg"
    assert image.load()[1] is None


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("validation", "validation"),
        ("valid", "validation"),
        ("val", "validation"),
        ("test", "test"),
    ],
)
@pytest.mark.parametrize("where", ["in the split", "above"])
def test_the_published_split_is_the_folder(tmp_path: Path, name: str, split: Split, where: str) -> None:
    save(tmp_path / name / "x.png")
    if where == "above":
        write_rows(tmp_path, {**ROW, "file_name": f"{name}/x.png"})
    else:
        write_rows(tmp_path / name, ROW)
    (image,) = images_of(ImageFolderConfig(folder="."), tmp_path)
    assert (image.name, image.published) == (f"{name}/x", split)


def test_metadata_as_csv(tmp_path: Path) -> None:
    save(tmp_path / "train" / "x.png")
    save(tmp_path / "train" / "y.png")
    (tmp_path / "train" / "metadata.csv").write_text(
        "file_name,plane,patient_id,pixel_size_mm\nx.png,brain,007,0.25\ny.png,other,8,\n"
    )
    first, second = images_of(ImageFolderConfig(folder="."), tmp_path)
    assert (first.patient, first.pixel_size_mm, second.plane, second.pixel_size_mm) == ("007", 0.25, "other", None)


def test_no_metadata_or_two_of_a_kind(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone: no such folder"):
        list(images_of(ImageFolderConfig(folder="."), tmp_path / "gone"))
    with pytest.raises(SourceError, match=r"no metadata\.jsonl or metadata\.csv, in itself or in train"):
        list(images_of(ImageFolderConfig(folder="."), tmp_path))
    write_rows(tmp_path / "train", ROW)
    (tmp_path / "train" / "metadata.csv").write_text("file_name\nx.png\n")
    with pytest.raises(SourceError, match=r"train: both metadata\.jsonl and metadata\.csv; which one is right"):
        list(images_of(ImageFolderConfig(folder="."), tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROW, "plane": 3}, "plane is the number 3; set its name, classes: {3: NAME}"),
        ({"file_name": "y.png", "patient": "1"}, "no class; add a column plane or label"),
        ({**ROW, "patient": ""}, "no patient; add a column patient or patient_id"),
        ({**ROW, "patient": ["7"]}, r"patient is \['7'\]; it must be text"),
        ({**ROW, "pixel_size_mm": -0.1}, r"pixel_size_mm is -0\.1; it must be from 0\.005 to 10"),
        ({**ROW, "pixel_size_mm": 0}, "pixel_size_mm is 0; it must be from"),
        ({**ROW, "pixel_size_mm": "0.1 mm"}, r"pixel_size_mm is '0\.1 mm'; it must be a number"),
        ({**ROW, "hc_mm": 5000}, "hc_mm is 5000; it must be from 20 to 600"),
        ({**ROW, "origin": "synthetic"}, r"y\.png is synthetic; synthetic images are mixed in, not curated"),
        ({**ROW, "is_synthetic": True}, "is synthetic; synthetic images are mixed in"),
        ({**ROW, "mask_file": "gone.png"}, r"gone\.png: listed, but the file is not there"),
        ({**ROW, "mask_file": "../x.png"}, "leads out of"),
        ('{"file_name": "y.png", "file_name": "y.png"}', "duplicate key among file_name, file_name"),
        ('{"file_name": "y.png", "hc_mm": -Infinity}', r"y\.png: hc_mm is -inf; leave out unknown values"),
        ('{"file_name": "y.png"', "is no JSON"),
        ('["y.png"]', "is no JSON object"),
        ("[" * 50_000, "is no JSON .*recursion"),
        ('{"file_name": "y.png", "hc_mm": ' + "1" * 5000 + "}", "is no JSON"),
        ('{"file_name": "' + "y" * 100_000 + '"}', "a row of 100,017 characters; allowed are 100,000"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path: Path, row: dict[str, object] | str, message: str) -> None:
    save(tmp_path / "x.png")
    if isinstance(row, dict):
        save(tmp_path / "y.png")
        row = {**row, "file_name": "y.png"}
    write_rows(tmp_path, ROW, row)
    told: list[str] = []
    assert [image.name for image in images_of(ImageFolderConfig(folder="."), tmp_path, told.append)] == ["x"]
    assert len(told) == 1
    with pytest.raises(SourceError, match=rf"metadata\.jsonl, line 2: .*{message}"):
        list(images_of(ImageFolderConfig(folder="."), tmp_path))


def test_images_without_rows_rows_without_images_and_duplicates(tmp_path: Path) -> None:
    for name in ("x.png", "z.png"):
        save(tmp_path / name)
    write_rows(tmp_path, ROW, {**ROW, "file_name": "./x.png"}, {**ROW, "file_name": "y.png"})
    told: list[str] = []
    assert [image.name for image in images_of(ImageFolderConfig(folder="."), tmp_path, told.append)] == ["x"]
    assert [message.replace(f"{tmp_path}/", "") for message in told] == [
        "metadata.jsonl, line 2: x is a duplicate; which row is right is unknown",
        "metadata.jsonl, line 3: y.png: listed, but the file is not there",
        "z.png: is not on the list metadata.jsonl or metadata.csv",
    ]


# --- image sets of fulora's own


def picture(name: str, split: Split, patient: str, **changes: Any) -> Picture:
    drawn = np.random.default_rng(list(name.encode())).integers(0, 256, (12, 16)).astype(np.uint8)
    mask = BLOB if changes.pop("masked", False) else None
    about = {"split": split, "patient": patient, "source": "hc18", "site": "nijmegen"}
    return Picture(image_row(name, **(about | changes)), drawn, mask)


@pytest.mark.parametrize("missing", ["NA", "N/A", "nan", "NULL", "None", "#N/A", "-", ".", "", None, float("nan")])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_unknown_values_of_rows_are_as_empty_cells(
    tmp_path: Path, missing: object, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x", "y", "z"):
        save(tmp_path / f"{name}.png")
    columns = ("file_name", "plane", "patient", "site", "machine", "pixel_size_mm", "caption")
    rows = [
        dict(zip(columns, (f"{name}.png", plane, patient, *[missing] * 4), strict=True))
        for name, plane, patient in (("x", "brain", 12.0), ("y", "brain", missing), ("z", missing, 13.0))
    ]
    if ending == "jsonl":
        write_rows(tmp_path, *rows)
    else:
        lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
        (tmp_path / "metadata.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")
    told: list[str] = []
    (image,) = images_of(ImageFolderConfig(folder=".", site="Ghana"), tmp_path, told.append)
    assert (image.patient, image.site, image.machine, image.pixel_size_mm, image.caption) == (
        "12",
        "Ghana",
        "",
        None,
        "",
    )
    assert [line.rpartition(f"metadata.{ending}, line ")[2][3:].partition(";")[0] for line in told] == [
        "y.png: no patient",
        "z.png: no class",
    ]
    said = capsys.readouterr().err
    assert ("taken as missing: " in said) == (missing not in ("", None))
    if missing == "NA":
        assert 'machine 3 "NA"' in said


@pytest.mark.parametrize("missing", ["NA", "nan", "-"])
def test_an_image_set_whose_patient_is_not_known(tmp_path: Path, missing: str) -> None:
    own_set(tmp_path)
    change_row(tmp_path, patient=missing, hc_mm=float("nan"))
    with pytest.raises(SourceError, match=f"a real image needs a patient; '{missing}' means that it is unknown"):
        list(images_of(ImageFolderConfig(folder="."), tmp_path))
    change_row(tmp_path, patient="010", hc_mm=missing)
    assert [image.hc_mm for image in images_of(ImageFolderConfig(folder="."), tmp_path)] == [None] * 3
    with pytest.raises(SourceError, match=f"finds '{missing}', which is not a patient"):
        patient_finder(r"P_([^_]+)_", False)(f"P_{missing}_1")


def own_set(folder: Path, *more: Picture) -> dict[str, Picture]:
    pictures = [
        picture("hc18_010_HC", "train", "010", machine="Voluson", pixel_size_mm=0.7, hc_mm=170.25, masked=True),
        picture("hc18_011_HC", "validation", "011", caption="a photo of fetal brain"),
        picture("psfhs_00001", "test", "0", plane="intrapartum", source="psfhs", site="guangzhou", aop_deg=101.5),
        *more,
    ]
    ImageSet.write(folder, pictures, labels=CLASSES)
    return {f"{made.row.source}_{made.row.image_id.removeprefix(made.row.source + '_')}": made for made in pictures}


def test_an_image_set_comes_back_with_its_facts(tmp_path: Path) -> None:
    made = own_set(tmp_path)
    images = list(images_of(ImageFolderConfig(folder=".", site="elsewhere", source="another"), tmp_path))
    assert [f"{image.source}_{image.name}" for image in images] == ["hc18_010_HC", "hc18_011_HC", "psfhs_00001"]
    for image in images:
        row = made[f"{image.source}_{image.name}"].row
        for fact in ("plane", "source", "site", "patient", "machine", "pixel_size_mm", "hc_mm", "aop_deg", "caption"):
            assert getattr(image, fact) == getattr(row, fact), fact
        assert image.published == row.split
        pixels, mask = image.load()
        np.testing.assert_array_equal(pixels, made[row.image_id].pixels)
        assert (mask is None) == (made[row.image_id].mask is None)
    np.testing.assert_array_equal(images[0].load()[1], BLOB)


def test_the_folder_is_the_same_to_datasets(tmp_path: Path) -> None:
    from datasets import load_dataset

    own_set(tmp_path / "set")
    loaded = load_dataset("imagefolder", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    images = list(images_of(ImageFolderConfig(folder="."), tmp_path / "set"))
    assert Counter(image.published for image in images) == {name: len(rows) for name, rows in loaded.items()}
    for image in images:
        (row,) = loaded[image.published]
        assert (row["patient"], row["plane"], row["site"]) == (image.patient, image.plane, image.site)
        np.testing.assert_array_equal(np.asarray(row["image"]), image.load()[0])


def test_synthetic_images_of_a_set_are_refused(tmp_path: Path) -> None:
    fake = picture("fake_1", "train", "", origin="synthetic", source="lora", seed="1", generator="abc")
    own_set(tmp_path, fake)
    told: list[str] = []
    assert len(list(images_of(ImageFolderConfig(folder="."), tmp_path, told.append))) == 3
    assert len(told) == 1
    with pytest.raises(SourceError, match=r"fake_1\.png is synthetic; synthetic images are mixed in, not curated"):
        list(images_of(ImageFolderConfig(folder="."), tmp_path))


def change_row(folder: Path, **changes: object) -> None:
    path = folder / "train" / "metadata.jsonl"
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, **changes}) + "\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "test"}, "split is 'test' in its row, but 'train' by its folder"),
        ({"hc_mm": -1}, "an invalid row of a fulora image set: hc_mm: .*a measure is positive"),
        ({"plane": "heart"}, "unknown class 'heart', of 1 images"),
        ({"patient": ""}, "an invalid row of a fulora image set: .*a real image needs a patient"),
        ({"hc_mm": float("inf")}, r"010_HC\.png: hc_mm is inf; leave out unknown values"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_rows_of_a_set_that_were_changed(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    own_set(tmp_path)
    change_row(tmp_path, **changes)
    with pytest.raises(SourceError, match=message):
        list(images_of(ImageFolderConfig(folder="."), tmp_path))


def test_pixels_of_a_set_that_were_changed(tmp_path: Path) -> None:
    own_set(tmp_path)
    image = next(iter(images_of(ImageFolderConfig(folder="."), tmp_path)))
    assert image.path is not None
    save(image.path, NOISE)
    with pytest.raises(SourceError, match=r"010_HC\.png: its pixels have changed since its row was written"):
        image.load()


# --- kohya

WORDS: dict[str, Plane] = {"brain": "brain", "head": "brain", "femur": "femur", "other": "other", "ultrasound": "other"}


def test_kohya_folders(tmp_path: Path) -> None:
    for number, caption in enumerate(["a photo of fetal brain", "A Fetal HEAD, brain\nsecond line", "femur"]):
        ending = "txt" if number else "caption"
        save(tmp_path / "20_fetal" / f"Patient{number}.png")
        (tmp_path / "20_fetal" / f"Patient{number}.{ending}").write_text(caption)
    save(tmp_path / "5_fetal_femur" / "Patient3.jpg")
    images = list(
        images_of(KohyaConfig(folder=".", source="kohya", words=WORDS, patient_pattern=PATIENT, site="here"), tmp_path)
    )
    assert [facts(image) for image in images] == [
        ("20_fetal/Patient0", "brain", "kohya", "here", "0"),
        ("20_fetal/Patient1", "brain", "kohya", "here", "1"),
        ("20_fetal/Patient2", "femur", "kohya", "here", "2"),
        ("5_fetal_femur/Patient3", "femur", "kohya", "here", "3"),
    ]
    assert [image.caption for image in images] == ["a photo of fetal brain", "A Fetal HEAD, brain", "femur", ""]
    np.testing.assert_array_equal(images[0].load()[0], NOISE)
    assert images[0].load()[1] is None


def test_one_caption_for_all_images_of_a_folder(tmp_path: Path) -> None:
    for name in ("Patient1", "Patient2"):
        save(tmp_path / "other" / f"{name}.png")
    (tmp_path / "other" / "duplicate_text_for_each_image.txt").write_text("a photo of fetal ultrasound")
    (tmp_path / "other" / "Patient2.txt").write_text("an ultrasound")
    images = list(images_of(KohyaConfig(folder=".", source="kohya", words=WORDS, patient_pattern=PATIENT), tmp_path))
    assert [(image.plane, image.caption) for image in images] == [
        ("other", "a photo of fetal ultrasound"),
        ("other", "an ultrasound"),
    ]


def write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (
            lambda folder: write(folder / "Patient2.txt", "a brainstem"),
            r"none of the words brain, head, .*\('a brainstem",
        ),
        (lambda folder: write(folder / "Patient2.txt", "brain and femur"), "words for brain and femur in its caption"),
        (lambda folder: write(folder / "Patient2.txt", ""), "none of the words"),
        (lambda folder: (folder / "Patient2.txt").write_bytes(b"brain \xff"), "byte 0xff at offset 6 is not UTF-8"),
        (
            lambda folder: (write(folder / "Patient2.txt", "brain"), write(folder / "Patient2.caption", "brain")),
            r"two captions, Patient2\.txt and Patient2\.caption; keep one",
        ),
        (lambda folder: (folder / "Patient2.png").rename(folder / "nobody.png"), "none of the words"),
    ],
    ids=["part of a word", "two planes", "empty", "latin-1", "two captions", "no caption"],
)
def test_pictures_whose_plane_is_not_known(tmp_path: Path, add: Callable[[Path], object], message: str) -> None:
    folder = tmp_path / "20_fetal"
    for number in (1, 2):
        save(folder / f"Patient{number}.png")
    write(folder / "Patient1.txt", "brain")
    add(folder)
    told: list[str] = []
    assert [
        image.patient
        for image in images_of(
            KohyaConfig(folder=".", source="kohya", words=WORDS, patient_pattern=PATIENT), tmp_path, told.append
        )
    ] == ["1"]
    assert len(told) == 1
    with pytest.raises(SourceError, match=message):
        list(images_of(KohyaConfig(folder=".", source="kohya", words=WORDS, patient_pattern=PATIENT), tmp_path))


def test_kohya_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no pictures; expected folders such as 20_fetal"):
        list(images_of(KohyaConfig(folder=".", source="kohya", words=WORDS, patient_pattern=PATIENT), tmp_path))
    save(tmp_path / "20_brain" / "Patient1.png")
    heart = KohyaConfig(folder=".", source="kohya", words={"brain": "heart"}, patient_pattern=PATIENT)
    with pytest.raises(SourceError, match=r"20_brain/Patient1\.png: unknown class 'heart', of 1 images; rename it"):
        list(images_of(heart, tmp_path))
    write(tmp_path / "20_brain" / "Patient2.txt", "brain")
    with pytest.raises(SourceError, match=r"20_brain/Patient2\.txt: a caption without a picture beside it"):
        list(images_of(KohyaConfig(folder=".", source="kohya", words=WORDS, patient_pattern=PATIENT), tmp_path))


# --- the real planes, read as people's own


@pytest.mark.real_data
def test_the_lora_planes_are_class_folders_and_kohya_folders(data_root: Path) -> None:
    folder = data_root / "fetal_planes_lora"
    by_folder = list(images_of(ClassFoldersConfig(folder=".", source="class_folders", patient_pattern=PATIENT), folder))
    assert Counter(image.plane for image in by_folder) == dict.fromkeys(PLANES, 20)
    assert len({image.patient for image in by_folder}) == 85
    words: dict[str, Plane] = {plane: plane for plane in PLANES} | {"ultrasound": "other"}
    by_caption = list(images_of(KohyaConfig(folder=".", source="kohya", words=words, patient_pattern=PATIENT), folder))
    assert [(image.name, image.plane, image.patient) for image in by_caption] == [
        (image.name, image.plane, image.patient) for image in by_folder
    ]
    assert by_folder[0].load()[0].std() > 5


@pytest.mark.parametrize("suffix", [None, "_msk"])
def test_masks_are_not_taken_for_images(tmp_path: Path, suffix: str | None) -> None:
    for name in ("P1.png", "P1_mask.png"):
        save(tmp_path / "brain" / name)
    message = (
        "looks like the mask of P1; set mask_suffix=_mask" if suffix is None else "no file has the mask_suffix '_msk'"
    )
    with pytest.raises(SourceError, match=message):
        list(
            images_of(
                ClassFoldersConfig(folder=".", source="class_folders", patient_pattern=r"P(\d+)", mask_suffix=suffix),
                tmp_path,
            )
        )
