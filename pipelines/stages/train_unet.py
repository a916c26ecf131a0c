"""Train a segmentation network on images with masks."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.config import UnetConfig
from fulora.stage import Source, stage


@stage(version=3, resumes=True)
def train_unet(out: Path, config: UnetConfig, images: ImageSet, start: Source | None = None) -> UnetWeights:
    """Train on the training split; the validation patients, or one fold of the training ones, select the checkpoint.

    The image set's label set defines the values of masks; the network keeps the classes with masks in `label_set.json`.

    Args:
        start: a local file that the encoder or the network starts from.
    """
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.provenance import provenance_of
    from fulora.data.splits import Member, folds
    from fulora.data.structures import outputs_of, refuse_missing_structures, with_masks
    from fulora.segmentation.image_mask_pairs import load_image_mask_pairs
    from fulora.segmentation.train import fit

    labels = with_masks(images.label_set())
    config = config.with_outputs(outputs_of(labels))
    rows, held_out = images.rows("train"), images.rows("validation")
    if config.fold is not None:
        which, count = config.fold
        real = [row for row in rows if row.origin == "real"]
        fold = folds([Member(row.image_id, row.patient_key, pixels=row.sha256) for row in real], count)
        held_out = [row for row in real if fold[row.image_id] == which]
        rows = [row for row in rows if fold.get(row.image_id) != which]
    validation = load_image_mask_pairs(images, held_out, config, labels) if held_out else None
    pairs = load_image_mask_pairs(images, rows, config, labels)
    refuse_missing_structures(pairs.masks, labels, whose=f"the training masks of {images.path.name}")
    fit(out, config, pairs, validation, start.path if start else None)
    labels.write(out)
    parents = [] if start is None else [provenance_of(start.path, f"weights {start.path.name}")]
    write_model_provenance(out, "U-Net", images, rows, held_out, parents=parents)
    return UnetWeights(out, "")
