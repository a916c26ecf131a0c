"""Add generated pairs to labelled images: each image has its mask in its red channel."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.segmentation.addition_config import AdditionConfig
from fulora.stage import stage


@stage(version=2)
def split_pairs(out: Path, config: AdditionConfig, labelled: ImageSet, pairs: ImageSet) -> ImageSet:
    """Write the labelled set and, in its training split, generated images with their masks.

    Args:
        pairs: generated in colour, by a LoRA that was trained with `mask_channel`.
    """
    from fulora.data.provenance import derive_provenance
    from fulora.segmentation.additions import add_pairs
    from fulora.workspace import artifact_name

    provenance = derive_provenance(
        f"images and pairs {artifact_name(out)}", [labelled.provenance(), pairs.provenance()]
    )
    add_pairs(out, config, labelled, pairs, provenance)
    return ImageSet(out, "")
