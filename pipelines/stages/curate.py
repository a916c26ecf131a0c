"""Read sources from outside into one checked image set."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.intake.config import CurateConfig
from fulora.stage import Source, stage


def readable(config: CurateConfig, folders: Sequence[Source | None]) -> None:
    """Decode every image and mask of the sources once, before any stage of a study runs.

    Raises:
        SourceError: the first picture that cannot be read, or a layout that is not the source's.
    """
    from fulora.intake.config import PhantomsConfig
    from fulora.intake.read import read_source

    for source, folder in zip(config.sources, folders, strict=True):
        if not isinstance(source, PhantomsConfig):
            for image in read_source(source, folder.path if folder else None, config.image_size_px):
                image.load()


@stage(version=1, check=readable)
def curate(out: Path, config: CurateConfig, folders: Sequence[Source | None]) -> ImageSet:
    """Resize, split by patient, and write the images of all sources.

    Args:
        folders: one a source, in order; None for phantoms.
    """
    from fulora.intake.read import curated
    from fulora.progress import track

    paths = [folder.path if folder else None for folder in folders]
    ImageSet.write(out, track(curated(config, paths), "images"))
    return ImageSet(out, "")
