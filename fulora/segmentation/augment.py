"""Random augmentation of images together with their masks, by Kornia."""

from functools import cache

import torch
from jaxtyping import Float, Int, Shaped
from kornia import augmentation as kornia
from torch import Tensor

from fulora.segmentation.config import Augmentation

ROTATION_DEG = 25.0
TRANSFORMS: dict[Augmentation, tuple[str, ...]] = {
    "none": (),
    "paper": ("turn", "mirror", "upside_down"),
    "mild": ("mirror", "move", "gain"),
    "strong": ("mirror", "move", "bend", "gain", "gamma", "blur", "noise"),
}
"""`paper` is that of arXiv 2307.09067: rotation by up to 25 degrees, flips with probabilities 0.5 and 0.1."""


def augment(
    images: Shaped[Tensor, "b h w"], masks: Shaped[Tensor, "b h w"], kind: Augmentation, seed: int
) -> tuple[Float[Tensor, "b h w"], Int[Tensor, "b h w"]]:
    """Augment each image and its mask at random. Pixels from outside the image are black, and background.

    Args:
        images: gray, 0 to 255.
        masks: class numbers.
        seed: of the random draws; torch's global random state does not change.
    """
    shown, labels = images[:, None].float() / 255, masks[:, None].float()
    if TRANSFORMS[kind]:
        with torch.random.fork_rng(devices=[] if images.device.type == "cpu" else [images.device]):
            torch.manual_seed(seed)
            shown, labels = _build_transforms(kind)(shown, labels)
    return shown[:, 0].clamp(0, 1) * 255, labels[:, 0].round().long()


@cache
def _build_transforms(kind: Augmentation) -> kornia.AugmentationSequential:
    transforms = {
        "turn": kornia.RandomRotation(ROTATION_DEG, p=1.0),
        "mirror": kornia.RandomHorizontalFlip(p=0.5),
        "upside_down": kornia.RandomVerticalFlip(p=0.1),
        "move": kornia.RandomAffine(ROTATION_DEG, translate=(0.08, 0.08), scale=(0.8, 1.2), p=1.0),
        "bend": kornia.RandomElasticTransform(kernel_size=(31, 31), sigma=(8.0, 8.0), alpha=(0.5, 0.5), p=0.3),
        "gain": kornia.ColorJiggle(brightness=0.1, contrast=0.2, p=1.0),
        "gamma": kornia.RandomGamma((0.6, 1.6), p=0.5),
        "blur": kornia.RandomGaussianBlur((5, 5), (0.3, 1.5), p=0.3),
        "noise": kornia.RandomGaussianNoise(std=0.04, p=0.5),
    }
    return kornia.AugmentationSequential(
        *(transforms[name] for name in TRANSFORMS[kind]),
        data_keys=["input", "mask"],
        extra_args={"mask": {"resample": "nearest", "align_corners": False}},
    )
