"""Files of HC18 and PSFHS, copied into two folders, give the masks and measurements of their own sources."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row

from fulora.data.label_set import label_set
from fulora.data.results import Measurement
from fulora.intake.config import Hc18Config, ParallelFoldersConfig, PsfhsConfig
from fulora.intake.raw_image import RawImage
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.segmentation.measurements import measure_mask

COUNT = 6


def measurements(image: RawImage, labels: str) -> list[Measurement]:
    """Of the reference mask as its own prediction; who it is of does not matter here."""
    pixels, mask = image.load()
    assert mask is not None
    row = image_row(
        "x",
        plane=image.plane,
        split="test",
        site="",
        pixel_size_mm=image.pixel_size_mm,
        hc_mm=image.hc_mm,
        width=pixels.shape[1],
        height=pixels.shape[0],
    )
    return list(measure_mask(row, label_set(labels).of(image.plane), np.ascontiguousarray(np.roll(mask, 3, 1)), mask))


def copied(folder: Path, images: list[RawImage]) -> Path:
    for half in ("images", "masks"):
        (folder / half).mkdir(parents=True)
    for image in images:
        assert image.path is not None
        assert image.mask_path is not None
        shutil.copy(image.path, folder / "images")
        shutil.copy(image.mask_path, folder / "masks")
    return folder


def own(folder: Path, plane: str, labels: str, **values: object) -> dict[str, RawImage]:
    about = {"folder": "own", "plane": plane, "patients_unknown": True}
    config = ParallelFoldersConfig.model_validate(about | values)
    return {image.name: image for image in read_source(config, SourceInputs(folder, labels=label_set(labels)))}


@pytest.mark.real_data
def test_heads_of_hc18(data_root: Path, tmp_path: Path) -> None:
    """Patients and site are not told by the folders: those of HC18 are in its names and its list."""
    inputs = SourceInputs(data_root / "hc18", labels=label_set("fetal_planes"))
    images = list(read_source(Hc18Config(limit=COUNT), inputs))
    folder = copied(tmp_path, images)
    with (data_root / "hc18" / "training_set_pixel_size_and_HC.csv").open() as lines:
        rows = list(csv.reader(lines))
    with (folder / "sizes.csv").open("w") as lines:
        csv.writer(lines).writerows([rows[0], *(row for row in rows if Path(row[0]).stem in {i.name for i in images})])
    ours = own(folder, "brain", "fetal_planes", pixel_sizes="sizes.csv")
    assert list(ours) == sorted(image.name for image in images)
    for image in images:
        found = measurements(ours[image.name], "fetal_planes")
        assert found == measurements(image, "fetal_planes")
        assert {row.reference_from for row in found if row.quantity == "hc"} == {"list"}


@pytest.mark.real_data
def test_views_of_psfhs(data_root: Path, tmp_path: Path) -> None:
    """Neighbouring files, which PSFHS' source takes for one patient, are not told by the folders."""
    inputs = SourceInputs(data_root / "psfhs", labels=label_set("intrapartum"))
    images = list(read_source(PsfhsConfig(limit=COUNT), inputs))
    ours = own(copied(tmp_path, images), "intrapartum", "intrapartum")
    assert list(ours) == sorted(image.name for image in images)
    for image in images:
        found = measurements(ours[image.name], "intrapartum")
        assert found == measurements(image, "intrapartum")
        assert {row.quantity for row in found} >= {"aop", "psfhs_s"}
