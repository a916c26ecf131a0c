"""Ultrasound whose JPEG and photometric interpretation disagree: read and written as its codestream shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.dicom.confidentiality_profile import write_deidentified
from fulora.intake.sources.dicom import read_dicom

pytestmark = pytest.mark.real_data
KEY = "a secret of the hospital"


def test_eleven_files_show_one_picture(make_case: Callable[..., None], tmp_path: Path) -> None:
    make_case("03-jpeg-colour", tmp_path)
    truth = np.asarray(Pil.open(tmp_path / "truth.png")).astype(int)
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert len(folders) == 11
    for folder in folders:
        (image,) = read_dicom(folder, None, key=KEY)
        pixels = image.load()[0].astype(int)
        assert np.abs(pixels - truth).max() <= 6, folder.name
        assert abs(pixels.mean() - truth.mean()) < 0.1, folder.name
        copy = folder / "copy" / "brain" / "x.dcm"
        copy.parent.mkdir(parents=True)
        write_deidentified(folder / "brain" / "x.dcm", copy, key=KEY, clean=None, pixels_unchecked=True)
        (back,) = read_dicom(folder / "copy", None, key=KEY)
        np.testing.assert_array_equal(back.load()[0], pixels)
