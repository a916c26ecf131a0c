"""Keep a few training images: what a study learns from with less data."""

from pathlib import Path

from pydantic import PositiveInt

from fulora.config import Config
from fulora.data.image_set import ImageSet
from fulora.stage import stage


class FewConfig(Config):
    """How many training images are kept; a smaller number keeps a part of what a larger one does."""

    images: PositiveInt
    seed: int = 0


@stage(version=2)
def take_few(out: Path, config: FewConfig, images: ImageSet) -> ImageSet:
    """So many training images of each plane, from as many patients as there are; validation and test stay whole."""
    from fulora.data.splits import Member, few_images

    members = [Member(row.image_id, row.patient_key, row.plane) for row in images.rows("train")]
    kept = few_images(members, config.images, config.seed)
    chosen = (picture for picture in images.pictures() if picture.row.split != "train" or picture.row.image_id in kept)
    ImageSet.write(out, chosen, labels=images.label_set(), provenance=images.provenance())
    return ImageSet(out, "")
