"""Pixel data of another length or number of frames than the header says: refused by curate, check and deidentify."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.check.check_folder import check_folder
from fulora.intake.dicom.confidentiality_profile import ProfileError
from fulora.intake.dicom.deidentify_folder import files_to_deidentify
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.dicom import read_dicom

pytestmark = pytest.mark.real_data
KEY = "a secret of the hospital"
REFUSED = {
    "rgb_samples": "691,200 bytes of pixel data, but 460,800",
    "ycc_samples": "691,200 bytes of pixel data, but 460,800",
    "five_unsaid": "384,000 bytes of pixel data, but 76,800",
    "five_said_2": "384,000 bytes of pixel data, but 153,600",
    "sixteen_bit_data": "153,600 bytes of pixel data, but 76,800",
    "jpeg_five_said_2": "5 compressed frames, but NumberOfFrames is 2",
}
READ = {"ok_rgb_planes": 3, "ok_ybr_full": 3, "five_ok": 5, "jpeg_five_ok": 5, "jpeg_five_unsaid": 5}


def test_what_the_header_gets_wrong_is_refused_and_the_rest_is_read(
    make_case: Callable[..., None], tmp_path: Path
) -> None:
    make_case("07-ybr422-full-length", tmp_path / "in")
    make_case("07-ybr422-full-length", tmp_path / "in", "make2.py")
    (tmp_path / "key.txt").write_text(KEY)
    folders = {path.name: path for path in (tmp_path / "in").iterdir() if path.is_dir()}
    assert folders.keys() == REFUSED.keys() | READ.keys()
    for name, message in REFUSED.items():
        with pytest.raises(SourceError, match=re.escape(message)):
            list(read_dicom(folders[name], None, key=KEY))
        with pytest.raises(ProfileError, match=re.escape(message)):
            files_to_deidentify(folders[name])
        found = check_folder(folders[name], {"kind": "dicom", "key_file": str(tmp_path / "key.txt")})
        assert message in found.findings[0].examples[0]
        assert (found.clean, found.n_images) == (False, 0)
    truth = np.asarray(Pil.open(tmp_path / "in" / "truth.png")).astype(int)
    for name, frames in READ.items():
        images = list(read_dicom(folders[name], None, key=KEY))
        assert len(images) == len(files_to_deidentify(folders[name])) * frames
        if name.startswith("ok_"):
            assert max(np.abs(image.load()[0] - truth).max() for image in images) <= 1
    plain, counted = (
        [image.load()[0] for image in read_dicom(folders[name], None, key=KEY)]
        for name in ("five_ok", "jpeg_five_unsaid")
    )
    for one, two in zip(plain, counted, strict=True):
        assert np.abs(one.astype(int) - two).mean() < 2
