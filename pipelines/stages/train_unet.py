"""Fine-tune a U-Net on heads with masks."""

from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.config import UnetConfig
from fulora.stage import Source, stage


@stage(version=1, resumes=True)
def train_unet(out: Path, config: UnetConfig, images: ImageSet, encoder: Source | None) -> UnetWeights:
    """Train on the training split; the validation patients choose the checkpoint.

    Args:
        encoder: a local file that the encoder starts from, or None.
    """
    from fulora.data.loaders import load_masks, load_pixels
    from fulora.segmentation.train import fit

    rows, held_out = images.rows("train"), images.rows("validation")
    validation = (load_pixels(images, held_out), load_masks(images, held_out)) if held_out else None
    fit(
        out,
        config,
        load_pixels(images, rows),
        load_masks(images, rows),
        validation=validation,
        encoder_file=encoder.path if encoder else None,
    )
    return UnetWeights(out, "")
