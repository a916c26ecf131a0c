"""A folder of phantoms is read as a user's own images are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.phantom_folder import write_phantom_folder
from fulora.mask_folders.measure import measure_heads


def test_class_folders_with_two_images_a_patient(tmp_path: Path) -> None:
    count = write_phantom_folder(
        tmp_path / "planes", planes=["brain", "femur"], per_plane=4, first_patient=7, size_px=40
    )
    files = sorted(path.relative_to(tmp_path / "planes").as_posix() for path in tmp_path.rglob("*.png"))
    names = ["P0007_1.png", "P0007_2.png", "P0008_1.png", "P0008_2.png"]
    assert files == [f"{plane}/{name}" for plane in ("brain", "femur") for name in names]
    assert count == len(files)
    with Pil.open(tmp_path / "planes" / "brain" / names[0]) as picture:
        assert (picture.size, picture.mode) == ((40, 40), "L")


def test_masks_have_a_size_in_mm(tmp_path: Path) -> None:
    write_phantom_folder(tmp_path / "heads", per_plane=3, size_px=64, masks=True)
    measured = measure_heads(tmp_path / "heads" / "masks", pixel_sizes=tmp_path / "heads" / "pixel_sizes.csv")
    values = np.array([row.hc_mm for row in measured.rows], float)
    assert ((values > 140) & (values < 360)).all()  # they are drawn with 150 to 340 mm
    assert len(values) == len(list((tmp_path / "heads" / "images").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"site": "E"}, ValueError, "unknown site 'E': allowed are"),
        ({"planes": ["knee"]}, ValueError, "unknown plane 'knee': allowed are"),
        (
            {"planes": ["other"], "masks": True},
            ValueError,
            "one plane that has a structure, not of other",
        ),
        ({}, FileExistsError, "exists already: give a new folder"),
    ],
)
def test_what_cannot_be_drawn(tmp_path: Path, options: dict[str, object], error: type[Exception], message: str) -> None:
    out = tmp_path / "new" if options else tmp_path
    with pytest.raises(error, match=message):
        write_phantom_folder(out, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
