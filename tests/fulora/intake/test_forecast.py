"""What curating will give is known from lists, names and headers: the same images in the same splits."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.config import AnySource, ClassFoldersConfig, CurateConfig, PhantomsConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.curate.forecast import count_sizes, forecast_images, picture_size
from fulora.intake.raw_image import refuse
from fulora.intake.source_config import SourceInputs


def config_of(source: AnySource) -> CurateConfig:
    return CurateConfig(sources=(source,), image_size_px=32, split_seed=3)


def curated(source: AnySource, inputs: SourceInputs) -> Counter[tuple[str, str]]:
    pictures = Curation(config_of(source), [inputs]).pictures()
    return Counter((picture.row.plane, picture.row.split) for picture in pictures)


def foreseen(source: AnySource, inputs: SourceInputs, **options: bool) -> Counter[tuple[str, str]]:
    found = forecast_images(source, inputs, config_of(source), refuse, **options)
    return Counter((image.plane, image.split) for image in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"role": "train"},
        {"role": "train+validation+test", "per_plane": 9, "first_patient": 4},
        {"role": "train+test", "split": "patients"},
        {"role": "train", "images_per_plane": 2},
        {"role": "train+test", "left_out_site": "B"},
    ],
)
def test_phantoms_are_foreseen_without_drawing_them(more: dict[str, object]) -> None:
    values = {"sites": ("A", "B"), "planes": ("brain", "femur"), "per_plane": 6, "seed": 5, **more}
    source = PhantomsConfig.model_validate(values)
    found = foreseen(source, SourceInputs())
    assert found == curated(source, SourceInputs())
    assert sum(found.values()) > 0


def folders(root: Path, shared: bool) -> ClassFoldersConfig:
    """Twelve patients of two images; the thorax is shown by two of them, with the same picture where `shared`."""
    random = np.random.default_rng(0)
    for patient in range(12):
        plane = "thorax" if patient in (0, 1) else ("brain", "femur")[patient % 2]
        (root / "own" / plane).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            pixels = random.integers(0, 255, (20, 24), dtype=np.uint8)
            if shared and plane == "thorax":
                pixels = np.arange(480, dtype=np.uint8).reshape(20, 24)
            Pil.fromarray(pixels).save(root / "own" / plane / f"P{patient}_{number}.png")
    return ClassFoldersConfig(folder="own", patient_pattern=r"P(\d+)_", role="train+test", test_share=0.45)


def test_a_drawn_split_is_foreseen(tmp_path: Path) -> None:
    source, inputs = folders(tmp_path, shared=False), SourceInputs(tmp_path / "own")
    assert foreseen(source, inputs) == curated(source, inputs)
    assert foreseen(source, inputs)["thorax", "test"] == 2


def test_patients_who_share_a_picture_stay_together_where_pictures_are_compared(tmp_path: Path) -> None:
    source, inputs = folders(tmp_path, shared=True), SourceInputs(tmp_path / "own")
    exact = foreseen(source, inputs, compare_pictures=True)
    assert exact == curated(source, inputs)
    assert sorted((exact["thorax", "train"], exact["thorax", "test"])) == [0, 4]
    assert foreseen(source, inputs)["thorax", "test"] == 2


def test_sizes_are_those_of_the_decoded_pictures(tmp_path: Path) -> None:
    from fulora.intake.formats.decode import read_gray

    turned = Pil.Exif()
    turned[0x0112] = 6
    Pil.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=turned)
    Pil.new("L", (30, 20)).save(tmp_path / "turned.png", exif=turned)
    Pil.new("L", (30, 20)).save(tmp_path / "plain.png")
    Pil.new("L", (31, 20)).save(tmp_path / "plain.tif")
    for name in ("turned.jpg", "turned.png", "plain.png", "plain.tif"):
        assert picture_size(tmp_path / name) == read_gray(tmp_path / name).shape[::-1], name
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    assert picture_size(tmp_path / "broken.png") is None
    assert picture_size(tmp_path / "gone.png") is None
    assert count_sizes(sorted(tmp_path.iterdir())) == {(20, 30): 2, (30, 20): 1, (31, 20): 1}


def test_the_size_in_a_dicom_header(tmp_path: Path) -> None:
    from pydicom import Dataset, dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = Dataset()
    data.file_meta, data.Rows, data.Columns = meta, 20, 34
    dcmwrite(tmp_path / "a.dcm", data, enforce_file_format=True)
    assert picture_size(tmp_path / "a.dcm") == (34, 20)
