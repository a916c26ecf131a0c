"""Keep a few training images, for a study with less data."""

from pathlib import Path

from pydantic import PositiveInt

from fulora.config import Config
from fulora.data.image_set import ImageSet
from fulora.stage import stage


class FewConfig(Config):
    """The number of training images to keep; a smaller number keeps a subset of a larger one."""

    images: PositiveInt
    seed: int = 0


@stage(version=2)
def take_few(out: Path, config: FewConfig, images: ImageSet) -> ImageSet:
    """Write `images` training images of each plane, from as many patients as possible, and all others."""
    from fulora.data.splits import Member, few_images

    members = [Member(row.image_id, row.patient_key, row.plane) for row in images.rows("train")]
    kept = few_images(members, config.images, config.seed)
    chosen = (picture for picture in images.pictures() if picture.row.split != "train" or picture.row.image_id in kept)
    ImageSet.write(out, chosen, labels=images.label_set(), provenance=images.provenance())
    return ImageSet(out, "")
