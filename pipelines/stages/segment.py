"""Predict the mask of every test image."""

from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.results import MaskSet
from fulora.data.weights import UnetWeights
from fulora.stage import stage


@stage(version=1)
def segment(out: Path, images: ImageSet, unet: UnetWeights) -> MaskSet:
    """Write `masks/<image_id>.png`, largest component with its holes filled, for the test split of `images`."""
    from PIL import Image

    from fulora.data.loaders import load_pixels
    from fulora.segmentation.model import load_unet
    from fulora.segmentation.predict import predict

    rows = images.rows("test")
    (out / "masks").mkdir()
    for row, mask in zip(rows, predict(load_unet(unet.path), load_pixels(images, rows), batch_size=16), strict=True):
        Image.fromarray(mask).save(out / "masks" / f"{row.image_id}.png")
    return MaskSet(out, "")
