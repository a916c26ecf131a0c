"""Images in one folder, masks in another: paired by name, each half without its other told by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.label_set import LabelSet, label_set
from fulora.intake.config import ParallelFoldersConfig
from fulora.intake.raw_image import FolderError, NoPixelSize, RawImage, SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs

LABELS = LabelSet.model_validate({"name": "mine", "classes": [{"name": "cyst", "structures": {"cyst": 1}}, "scan"]})


def save(path: Path, values: int = 90, shape: tuple[int, int] = (20, 30)) -> None:
    """A picture, or in a folder of masks a block of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(shape, np.uint8)
    pixels[5:15, 5:15] = values
    Pil.fromarray(pixels).save(path)


def config(**values: object) -> ParallelFoldersConfig:
    about = {"folder": "own", "plane": "cyst", "patient_pattern": r"P(\d+)"}
    return ParallelFoldersConfig.model_validate({name: v for name, v in (about | values).items() if v is not None})


def read(
    folder: Path, told: list[str] | None = None, labels: LabelSet | None = None, **values: object
) -> list[RawImage]:
    inputs = SourceInputs(folder, labels=labels)
    if told is None:
        return list(read_source(config(**values), inputs))
    return list(read_source(config(**values), inputs, told.append))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for name in ("P1_a", "P1_b", "P2_a"):
        save(tmp_path / "images" / f"{name}.png")
    for name in ("P1_a_mask", "P1_b_mask", "mask_P2_a"):
        save(tmp_path / "masks" / f"{name}.png", 255)
    return tmp_path


def test_images_and_masks_are_paired_by_name(own: Path) -> None:
    images = read(own, site="X", source="clinic")
    assert [(image.name, image.patient, image.plane, image.site, image.source) for image in images] == [
        (name, patient, "cyst", "X", "clinic") for name, patient in (("P1_a", "1"), ("P1_b", "1"), ("P2_a", "2"))
    ]
    for image in images:
        pixels, mask = image.load()
        assert pixels.max() == 90
        assert mask is not None
        assert np.array_equal(mask > 0, pixels > 0)
        assert set(np.unique(mask)) == {0, 1}
    assert [image.pixel_size_mm for image in images] == [None] * 3


def test_images_without_masks_and_masks_without_images_are_named(own: Path) -> None:
    (own / "masks" / "P1_b_mask.png").unlink()
    save(own / "masks" / "P9_mask.png", 255)
    save(own / "images" / "P2_a_seg.png")
    told: list[str] = []
    assert [image.name for image in read(own, told)] == ["P1_a", "P2_a"]
    assert len(told) == 3
    assert f"{own / 'images' / 'P1_b.png'}: no mask of its name in {own / 'masks'}; expected P1_b.png" in told[0]
    assert f"{own / 'images' / 'P2_a_seg.png'}: has the same mask as {own / 'images' / 'P2_a.png'}" in told[1]
    assert f"{own / 'masks' / 'P9_mask.png'}: a mask without an image" in told[2]
    with pytest.raises(SourceError, match="no mask of its name in"):
        read(own)


def test_folders_below_the_images_are_classes(tmp_path: Path) -> None:
    for top in ("cyst", "scan"):
        save(tmp_path / "images" / top / "P1.png")
        save(tmp_path / "masks" / top / "P1.png", 1)
    together = tmp_path / "flat"
    save(together / "images" / "cyst" / "P1.png")
    save(together / "images" / "scan" / "P2.png")
    save(together / "masks" / "P1.png", 1)
    save(together / "masks" / "P2.png", 1)
    for folder, names in ((tmp_path, ("cyst/P1", "scan/P1")), (together, ("cyst/P1", "scan/P2"))):
        images = read(folder, plane="")
        assert [(image.name, image.plane) for image in images] == list(zip(names, ("cyst", "scan"), strict=True))
        assert all(image.mask_path is not None and image.mask_path.is_file() for image in images)
    save(tmp_path / "masks" / "gone" / "P1.png", 1)
    save(tmp_path / "images" / "P3.png")
    told: list[str] = []
    assert len(read(tmp_path, told, plane="")) == 2
    assert "gone: a folder of masks without a folder of images" in told[0]
    assert "P3.png: is in no class folder; set plane=NAME" in told[1]


def test_a_patients_folder_is_no_class_where_all_show_one(tmp_path: Path) -> None:
    for half, value in (("images", 90), ("masks", 1)):
        save(tmp_path / half / "P7" / f"{half[0]}.png", value)
        (tmp_path / half / "P7" / f"{half[0]}.png").rename(tmp_path / half / "P7" / "a.png")
    assert [image.patient for image in read(tmp_path, patient_pattern="(P7)/")] == ["P7"]
    with pytest.raises(FolderError, match="the name of a folder"):
        read(tmp_path, plane="", patient_pattern="(P7)/")


def test_sizes_and_references_come_from_a_list(own: Path) -> None:
    (own / "sizes.csv").write_text("filename,pixel size(mm),head circumference (mm)\nP1_a.png,0.2,170\nP1_b.png,0.3,\n")
    told: list[str] = []
    images = read(own, told, pixel_sizes="sizes.csv")
    assert [(image.pixel_size_mm, image.hc_mm) for image in images] == [(0.2, 170.0), (0.3, None), (None, None)]
    assert [type(message) for message in told] == [NoPixelSize]
    assert "P2_a.png: no pixel size in sizes.csv" in told[0]
    (own / "sizes.csv").write_text("filename,pixel size(mm),width,height\nP1_a.png,0.2,30,20\nP1_b.png,0.3,60,40\n")
    one, other, _ = read(own, told, pixel_sizes="sizes.csv")
    one.load()
    with pytest.raises(SourceError, match=r"P1_b\.png: is 30x20 px, but its pixel size is for \(60, 40\) px"):
        other.load()


def test_a_drawn_ring_is_filled(own: Path) -> None:
    ring = np.zeros((20, 30), np.uint8)
    ring[5:15, 5:15] = 255
    ring[6:14, 6:14] = 0
    (own / "masks" / "P1_a_mask.png").unlink()
    Pil.fromarray(ring).save(own / "masks" / "P1_a_Annotation.png")
    mask = read(own)[0].load()[1]
    assert mask is not None
    assert mask.sum() == 100


def test_a_class_number_that_the_label_set_does_not_name_is_refused_when_it_is_read(own: Path) -> None:
    for image in read(own, labels=LABELS):
        image.load()
    for name in ("P1_a_mask", "P1_b_mask", "mask_P2_a"):
        save(own / "masks" / f"{name}.png", 2)
    with pytest.raises(SourceError, match=r"P1_a_mask\.png: the mask holds class number 2, which cyst does not name"):
        read(own, labels=LABELS)[0].load()
    read(own, labels=LABELS, plane="scan")[0].load()  # nothing is said of what its masks hold
    with pytest.raises(SourceError, match="unknown class 'kidney'"):
        read(own, labels=label_set("fetal_planes"), plane="kidney")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"images": "pictures"}, "pictures: no such folder; set images=NAME. Existing folders: images, masks"),
        ({"masks": "labels"}, "labels: no such folder; set masks=NAME"),
        ({"masks": "../elsewhere"}, "leads out of"),
        ({"masks": "images"}, "images and masks are in one folder; use class_folders with a mask_suffix"),
        ({"pixel_sizes": "sizes.csv"}, "sizes.csv"),
        ({"patient_pattern": None}, "patients are unknown"),
    ],
)
def test_folders_that_do_not_match_the_config_are_refused(own: Path, values: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(own, **values)


def test_no_images_is_one_message(own: Path) -> None:
    for path in (own / "images").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="no images"):
        read(own)
