"""Predict the mask of every test image."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.results import MaskSet
from fulora.data.weights import UnetWeights
from fulora.segmentation.config import SegmentConfig
from fulora.stage import stage


@stage(version=3)
def segment(out: Path, config: SegmentConfig, images: ImageSet, unets: Sequence[UnetWeights]) -> MaskSet:
    """Write `masks/<image_id>.png` for the test split of `images`, each of its image's size.

    Args:
        unets: one network, or several whose probabilities are averaged.
    """
    from PIL import Image

    from fulora.segmentation.model import load_unet
    from fulora.segmentation.predict import predict
    from fulora.training import pick_device

    rows, device = images.rows("test"), pick_device(config.device)
    models = [load_unet(unet.path).to(device) for unet in unets]
    (out / "masks").mkdir()
    for row, mask in zip(rows, predict(models, map(images.pixels, rows), config, total=len(rows)), strict=True):
        Image.fromarray(mask).save(out / "masks" / f"{row.image_id}.png")
    return MaskSet(out, "")
