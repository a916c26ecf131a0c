"""Palettes as scanners write them: the luma of their colours, or a refusal; never black."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from pydicom import dcmread, examples

from fulora.intake.raw_image import SourceError
from fulora.intake.sources.dicom import read_dicom

pytestmark = pytest.mark.real_data
KEY = "a secret of the hospital"


def test_ten_files_show_their_colours_or_are_refused(make_case: Callable[..., None], tmp_path: Path) -> None:
    make_case("05-palette", tmp_path)
    truths = {name: np.asarray(Pil.open(tmp_path / name)).astype(int) for name in ("truth.png", "truth_first_16.png")}
    refused = []
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    for folder in folders:
        (image,) = read_dicom(folder, None, key=KEY)
        try:
            pixels = image.load()[0]
        except SourceError as error:
            refused.append(f"{folder.name}: {error}")
            continue
        truth = truths["truth_first_16.png" if folder.name == "first_16" else "truth.png"]
        assert np.abs(pixels - truth).max() <= 1, folder.name
    assert len(folders) == 10
    assert [text.split(":")[0] for text in refused] == ["says16_is8in16"]
    assert "whose largest value is 255 would come out black" in refused[0]


def test_a_real_file_whose_descriptor_says_8_for_16(tmp_path: Path) -> None:
    """pydicom's own ultrasound, as the second script of the case changes it."""
    shown = []
    for depth in (16, 8):
        data = dcmread(shutil.copy(examples.get_path("palette_color"), tmp_path / "x"))
        for colour in ("Red", "Green", "Blue"):
            value = list(data[f"{colour}PaletteColorLookupTableDescriptor"].value)
            data[f"{colour}PaletteColorLookupTableDescriptor"].value = [*value[:2], depth]
        data.Modality, data.PatientID = "US", "1"
        data.save_as(tmp_path / "x")
        (image,) = read_dicom(tmp_path, "brain", key=KEY)
        shown.append(image.load()[0])
    np.testing.assert_array_equal(shown[0], shown[1])
    assert shown[1].mean() > 15
