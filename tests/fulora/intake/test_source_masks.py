"""Sources read the masks of a folder with one mapping, as commands do; pixel sizes that cannot be are told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.column_types import Split
from fulora.data.label_set import label_set
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.raw_image import RawImage, SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.class_folders import ClassFoldersConfig
from fulora.intake.sources.hc18 import Hc18Config
from fulora.intake.sources.imagefolder import ImageFolderConfig
from fulora.intake.sources.psfhs import PsfhsConfig

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))

SHADES = np.array([0, 127, 255], np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint8)
BOTH = np.zeros((24, 32), np.uint8)
BOTH[6:18, 10:26], BOTH[3:9, 2:9] = 2, 1
HEAD = np.where(BOTH == 2, BOTH, 0).astype(np.uint8)
LABELS = {"1": BOTH, "2": HEAD}


def save(path: Path, pixels: np.ndarray | Pil.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Pil.Image) else Pil.fromarray(pixels)).save(path)
    return path


def psfhs(folder: Path, shown: Callable[[np.ndarray], np.ndarray]) -> Iterator[RawImage]:
    for name, labels in LABELS.items():
        save(folder / "image_mha" / f"{name}.png", NOISE)
        save(folder / "label_mha" / f"{name}.png", shown(labels))
    return PsfhsConfig(block=20).read(SourceInputs(folder))


def class_folders(folder: Path, shown: Callable[[np.ndarray], np.ndarray]) -> Iterator[RawImage]:
    for name, labels in LABELS.items():
        save(folder / "intrapartum" / f"{name}.png", NOISE)
        save(folder / "intrapartum" / f"{name}_mask.png", shown(labels))
    return read_source(
        ClassFoldersConfig(folder="", source="class_folders", patients_unknown=True, mask_suffix="_mask"),
        SourceInputs(folder, labels=CLASSES),
    )


def rows(folder: Path, shown: Callable[[np.ndarray], np.ndarray]) -> Iterator[RawImage]:
    lines = ["file_name,mask_file,plane,patient"]
    for name, labels in LABELS.items():
        save(folder / f"{name}.png", NOISE)
        save(folder / "masks" / f"{name}.png", shown(labels))
        lines.append(f"{name}.png,masks/{name}.png,intrapartum,{name}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return read_source(ImageFolderConfig(folder=""), SourceInputs(folder, labels=CLASSES))


@pytest.mark.parametrize("source", [psfhs, class_folders, rows])
def test_shades_are_classes_of_the_whole_folder(
    tmp_path: Path, source: Callable[[Path, Callable[[np.ndarray], np.ndarray]], Iterator[RawImage]]
) -> None:
    for number, shown in enumerate((lambda labels: SHADES[labels], lambda labels: labels)):
        for image in source(tmp_path / str(number), shown):
            np.testing.assert_array_equal(image.load()[1], LABELS[image.name.rpartition("/")[2]])


@pytest.mark.parametrize("source", [psfhs, class_folders, rows])
def test_class_numbers_beside_shades_are_refused(
    tmp_path: Path, source: Callable[[Path, Callable[[np.ndarray], np.ndarray]], Iterator[RawImage]]
) -> None:
    with pytest.raises(SourceError, match="class numbers and shades in one, 0, 2, 255"):
        list(source(tmp_path, lambda labels: np.where(labels == 1, 255, labels).astype(np.uint8)))


def heads(folder: Path, mask: Pil.Image | np.ndarray, size_mm: float = 2.0) -> list[RawImage]:
    (folder / "training_set").mkdir(parents=True)
    lines = "filename,pixel size(mm),head circumference (mm)\n"
    (folder / "training_set_pixel_size_and_HC.csv").write_text(f"{lines}001_HC.png,{size_mm},170\n")
    save(folder / "training_set" / "001_HC.png", NOISE)
    save(folder / "training_set" / "001_HC_Mask.png", mask)
    return list(Hc18Config().read(SourceInputs(folder)))


def test_a_head_is_what_its_palette_shows(tmp_path: Path) -> None:
    image = Pil.new("P", (32, 24))
    image.putdata((HEAD == 0).astype(np.uint8).ravel().tolist())
    image.putpalette([255, 255, 255, 0, 0, 0])
    (found,) = heads(tmp_path, image)
    np.testing.assert_array_equal(found.load()[1], HEAD > 0)


def test_a_head_that_is_black_on_white_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="1 of 1 masks mark all four corners, so black and white seem to be swapped"):
        heads(tmp_path, np.where(HEAD, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", ["brain/masks/1.png", "brain/labels/1.png"])
def test_a_folder_of_masks_below_a_plane_is_no_images(tmp_path: Path, name: str) -> None:
    save(tmp_path / "brain" / "1.png", NOISE)
    save(tmp_path / name, HEAD * 127)
    with pytest.raises(SourceError, match=r"1\.png: looks like the mask of 1; remove it"):
        list(
            read_source(
                ClassFoldersConfig(folder="", source="class_folders", patients_unknown=True),
                SourceInputs(tmp_path, labels=CLASSES),
            )
        )


@pytest.mark.parametrize(("size_mm", "odd"), [(2.0, False), (0.2, True)])
def test_curation_tells_a_field_of_view_that_no_scan_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size_mm: float, odd: bool
) -> None:
    heads(tmp_path, HEAD * 127, size_mm)
    role: Split = "train"
    source = {"kind": "hc18", "folder": "x", "role": role}
    config = CurateConfig.model_validate({"sources": [source], "image_size_px": 64, "deidentify": "nothing"})
    assert len(list(Curation(config, [SourceInputs(tmp_path)]).pictures())) == 1
    said = "1 images have an implausible field of view"
    assert (said in capsys.readouterr().err) == odd
