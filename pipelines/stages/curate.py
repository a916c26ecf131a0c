"""Read sources from outside into one checked image set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.manifest import ImageSet
from fulora.intake.config import CurateConfig
from fulora.stage import Source, stage

if TYPE_CHECKING:
    from fulora.intake.read import Inputs

Outside = Sequence[Mapping[str, Source]]
"""For every source, what it reads: `folder`, `split_file`, `key_file`, as far as it has them."""


def readable(config: CurateConfig, inputs: Outside) -> None:
    """Decode every image and mask of the sources once, before any stage of a study runs.

    Raises:
        SourceError: the first picture that cannot be read, unless such ones are left out; or a layout that is not the
            source's.
    """
    from fulora.engine import threaded
    from fulora.intake.config import PhantomsConfig
    from fulora.intake.raw import RawImage, refuse
    from fulora.intake.read import read_source
    from fulora.progress import track

    def decode(image: RawImage) -> None:
        image.load()

    stop = config.unusable == "stop"
    for source, given in zip(config.sources, _paths(inputs), strict=True):
        if not isinstance(source, PhantomsConfig):
            images = list(read_source(source, given, config.image_size_px, refuse if stop else lambda message: None))
            for _ in threaded(decode, track(images if stop else [], "images checked")):
                pass


@stage(version=3, check=readable)
def curate(out: Path, config: CurateConfig, inputs: Outside) -> ImageSet:
    """Clean, resize, split by patient, and write the images of all sources.

    Beside the image set: `split-<n>-<kind>.json` of every source, and `audit/` with what was removed and left out.
    """
    from fulora.intake.audit import Audit
    from fulora.intake.curation import Curation
    from fulora.intake.sources.imagefolder import AUDIT
    from fulora.progress import track

    audit = Audit(out / AUDIT)
    curation = Curation(config, _paths(inputs), seen=audit.note)
    ImageSet.write(out, track(curation.pictures(), "images"))
    audit.write(curation.left_out)
    for number, (source, split) in enumerate(zip(config.sources, curation.splits, strict=True)):
        split.save(out / f"split-{number}-{source.kind}.json")
    return ImageSet(out, "")


def _paths(inputs: Outside) -> "list[Inputs]":
    from fulora.intake.read import Inputs

    return [Inputs(**{name: item.path for name, item in given.items()}) for given in inputs]
