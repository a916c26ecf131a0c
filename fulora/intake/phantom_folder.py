"""A folder of phantoms that looks like a user's own images: something to try every command on."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Pil

from fulora.data.tables.delimited import csv_text
from fulora.files import atomic_folder, write_atomic
from fulora.intake.phantoms.scan import HEADS, PLANES, WITHOUT_MASK, Phantoms, draw

HEAD = next(plane for plane in PLANES if plane in HEADS)
"""The plane that is drawn with masks unless another is named."""
EACH = 2
"""Images of a plane that show one patient."""


def write_phantom_folder(
    out: Path,
    *,
    planes: Sequence[str] = (),
    per_plane: int = 20,
    site: str = "A",
    first_patient: int = 0,
    size_px: int = 128,
    seed: int = 0,
    masks: bool = False,
) -> int:
    """Write PNG files named `P0003_1.png`: two images of each patient in each plane.

    Without masks there is a folder for each plane. With masks, which are of one plane, there are `images` and `masks`
    with equal names, and `pixel_sizes.csv` in mm, as `fulora measure` and `fulora segment train` read them.

    Args:
        out: new folder.
        planes: of `fulora.intake.phantoms.scan.DRAWN`; by default five planes, with masks a head.
        per_plane: images of each.
        site: the population and its machine, of `fulora.intake.phantoms.sites.SITES`.
        first_patient: number of the first patient, so that two folders share none.
        size_px: width and height, at least 32.
        seed: of all anatomy and noise; equal seeds draw equal images.
        masks: write the anatomy as well.

    Returns:
        The number of images.

    Raises:
        FileExistsError: if `out` exists.
        ValueError: if there is no such plane or site, or masks are of several planes or of one that has none.
    """
    chosen = tuple(planes) or ((HEAD,) if masks else PLANES)
    if masks and (len(chosen) > 1 or chosen[0] in WITHOUT_MASK):
        raise ValueError(f"masks are drawn of one plane that has a structure, not of {', '.join(chosen)}")
    if out.exists():
        raise FileExistsError(f"{out} exists already: give a new folder for the phantoms")
    out.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(EACH * first_patient, EACH * first_patient + per_plane)
    with atomic_folder(out) as folder:
        for plane in chosen:
            drawn = draw(plane, numbers, site=site, size_px=size_px, seed=seed)
            _write_plane(folder, plane, numbers, drawn, masks)
    return per_plane * len(chosen)


def _write_plane(folder: Path, plane: str, numbers: range, drawn: Phantoms, masks: bool) -> None:
    names = [f"P{number // EACH:04d}_{number % EACH + 1}.png" for number in numbers]
    shares = {"images": drawn.images, "masks": drawn.masks} if masks else {plane: drawn.images}
    for subfolder, arrays in shares.items():
        (folder / subfolder).mkdir()
        for name, pixels in zip(names, arrays, strict=True):
            Pil.fromarray(pixels).save(folder / subfolder / name)
    if masks:
        sizes = [(name, f"{size:.6f}") for name, size in zip(names, drawn.pixel_size_mm, strict=True)]
        write_atomic(folder / "pixel_sizes.csv", csv_text([("filename", "pixel size(mm)"), *sizes]))
