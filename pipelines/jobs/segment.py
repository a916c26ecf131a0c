"""`segment`: masks of a folder of images, by one network or the mean of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fulora.mask_folders.segment import SegmentedFolder, segment_folder
from fulora.segmentation.config import SegmentConfig
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Segmented:
    """The masks of a folder of images.

    Attributes:
        path: the folder of the masks.
    """

    path: Path
    result: SegmentedFolder

    @property
    def table(self) -> Table:
        """The class number of each structure, and how many masks there are."""
        result = self.result
        notes = (f"{result.empty} masks are empty",) if result.empty else ()
        rows: list[dict[str, Cell]] = [
            {"class number": number, "structure": name} for number, name in result.structures.items()
        ]
        return Table(f"{result.masks} masks in {self.path}", rows, notes)

    def figure(self) -> "Image":
        """Return some images with the outlines of their masks."""
        from PIL import Image as Pil

        return Pil.open(BytesIO(self.png()))

    def png(self) -> bytes:
        """Return the figure as a PNG file."""
        from fulora.report.overlays import Overlay, plot_overlays

        overlays = [
            Overlay(image, np.zeros_like(mask), mask, Path(name).name)
            for name, (image, mask) in self.result.examples.items()
        ]
        return plot_overlays({"masks": overlays})

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def segment(
    pictures: str | Path,
    unet: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    flip: bool = False,
    raw: bool = False,
    batch_size: int = 16,
    device: str = "auto",
) -> Segmented:
    """Segment images of any size; masks have the sizes of their images. For research only, never for patient care.

    Example:

        masks = fu.segment("pictures", "unet", "masks")

    Args:
        pictures: folder of images, in any subfolders; files named as masks are skipped.
        unet: folder of a trained network, or several, whose probabilities are averaged.
        out: new folder for the masks, NAME.png with class numbers.
        flip: average over each image and its mirror image.
        raw: leave masks as predicted: keep small pieces and holes.
        batch_size: images at once.
        device: auto, cpu, cuda or mps.

    Raises:
        ValueError: as `fulora.mask_folders.segment.segment_folder`.
    """
    networks = [unet] if isinstance(unet, str | Path) else unet
    config = SegmentConfig(flip=flip, clean=not raw, batch_size=batch_size)
    target = Path(out)
    return Segmented(
        target, segment_folder(Path(pictures), [Path(folder) for folder in networks], target, config, device=device)
    )
