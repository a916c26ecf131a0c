"""Add images generated on masks to labelled images."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.addition_config import AdditionConfig
from fulora.stage import stage


@stage(version=2)
def add_drawn(
    out: Path, config: AdditionConfig, labelled: ImageSet, drawn: ImageSet, teachers: Sequence[UnetWeights]
) -> ImageSet:
    """Write the labelled set and, in its training split, the generated images whose mask the teachers predict.

    Args:
        teachers: trained on the training images of `labelled` alone.
    """
    from fulora.data.provenance import derive_provenance, provenance_of
    from fulora.segmentation.additions import add_drawn_on_masks
    from fulora.segmentation.model import load_unet
    from fulora.training.devices import pick_device
    from fulora.workspace import artifact_name

    of_teachers = [provenance_of(teacher.path, f"U-Net {teacher.path.name}").as_chosen() for teacher in teachers]
    parents = [labelled.provenance(), drawn.provenance(), *of_teachers]
    provenance = derive_provenance(f"images on masks {artifact_name(out)}", parents)
    device = pick_device(config.device)
    models = [load_unet(teacher.path).to(device) for teacher in teachers]
    add_drawn_on_masks(out, config, labelled, drawn, models, provenance)
    return ImageSet(out, "")
