"""Predict the mask of every test image."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.results import MaskSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.config import SegmentConfig
from fulora.stage import stage


@stage(version=3)
def segment(out: Path, config: SegmentConfig, images: ImageSet, unets: Sequence[UnetWeights]) -> MaskSet:
    """Write a mask for each image of the test split of `images`, of its size, and the label set of the networks.

    Args:
        unets: one network, or several whose probabilities are averaged; they predict the structures of `images`.

    Raises:
        OverlapError, SameNumberError: if a network, or a parent of it, learned from a test image or patient.
    """
    from PIL import Image

    from fulora.data.label_set import read_label_set
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import Provenance, provenance_of
    from fulora.data.structures import refuse_other_structures
    from fulora.segmentation.model import load_unet
    from fulora.segmentation.predict import predict
    from fulora.training.devices import pick_device
    from fulora.training.inference import decoded_ahead

    known = [read_label_set(unet.path) for unet in unets]
    for unet, labels in zip(unets, known, strict=True):
        refuse_other_structures(
            labels,
            images.label_set(),
            name=f"the network {unet.path.name}",
            other_name=f"the test images {images.path.name}",
        )
    rows, device = images.rows("test"), pick_device(config.device)
    learned = [provenance_of(unet.path, f"U-Net {unet.path.name}") for unet in unets]
    refuse_leaks(learned, rows, distinct_patients=different_patients(images.path))
    Provenance().joined(*learned).write(out)
    models = [load_unet(unet.path).to(device) for unet in unets]
    mask_set = MaskSet(out, "")
    (out / "masks").mkdir()
    pictures = decoded_ahead(images.pixels, rows, config.batch_size)
    for row, mask in zip(rows, predict(models, pictures, config, total=len(rows)), strict=True):
        Image.fromarray(mask).save(mask_set.file(row.image_id))
    known[0].write(out)
    return mask_set
