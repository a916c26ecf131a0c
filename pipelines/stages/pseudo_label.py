"""Add images without masks to labelled ones, with masks that an ensemble predicts."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.addition_config import AdditionConfig
from fulora.stage import stage


@stage(version=2)
def pseudo_label(
    out: Path, config: AdditionConfig, labelled: ImageSet, candidates: ImageSet, teachers: Sequence[UnetWeights]
) -> ImageSet:
    """Write the labelled set and, in its training split, candidates with predicted masks, and `pseudo_labels.json`.

    Args:
        candidates: their training images that are not in `labelled` get masks.
        teachers: trained on the training images of `labelled` alone.
    """
    from fulora.data.provenance import derive_provenance, provenance_of
    from fulora.segmentation.additions import add_pseudo_labelled
    from fulora.segmentation.model import load_unet
    from fulora.training.devices import pick_device
    from fulora.workspace import artifact_name

    of_teachers = [provenance_of(teacher.path, f"U-Net {teacher.path.name}") for teacher in teachers]
    parents = [labelled.provenance(), candidates.provenance(), *of_teachers]
    provenance = derive_provenance(f"pseudo-labelled images {artifact_name(out)}", parents)
    device = pick_device(config.device)
    models = [load_unet(teacher.path).to(device) for teacher in teachers]
    add_pseudo_labelled(out, config, labelled, candidates, models, provenance)
    return ImageSet(out, "")
