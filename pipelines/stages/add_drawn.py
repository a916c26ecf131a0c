"""Add pictures that were drawn on masks to labelled images."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.gates import AdditionConfig
from fulora.stage import stage


@stage(version=1)
def add_drawn(
    out: Path, config: AdditionConfig, labelled: ImageSet, drawn: ImageSet, teachers: Sequence[UnetWeights]
) -> ImageSet:
    """The labelled set and, in its training split, drawn pictures in which the teachers see the mask drawn on.

    Args:
        teachers: trained on the training images of `labelled` and nothing else.
    """
    from fulora.segmentation.additions import add_drawn_on_masks
    from fulora.segmentation.model import load_unet

    add_drawn_on_masks(out, config, labelled, drawn, [load_unet(teacher.path) for teacher in teachers])
    return ImageSet(out, "")
