"""Pixel statistics that published weights were trained with: ImageNet's, or an encoder's own."""

from dataclasses import dataclass

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of red, green and blue, on a scale from 0 to 1."""

    mean: Three
    std: Three


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Of x / 127.5 - 1."""
UNCHANGED = Statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

TIMM_NAMES = {
    "inceptionv4": "inception_v4",
    "inceptionresnetv2": "inception_resnet_v2",
    "xception": "legacy_xception",
    "dpn68b": "dpn68",
}
"""Encoders of segmentation_models_pytorch that have another name in timm, with the same weights."""


def timm_statistics(name: str) -> Statistics:
    """Return the statistics of a network's weights in timm (`pretrained_cfg`); ImageNet's if timm has none."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return IMAGENET if config is None else Statistics(tuple(config.mean), tuple(config.std))


def smp_statistics(name: str) -> Statistics:
    """Return the statistics of an encoder of segmentation_models_pytorch; `tu-NAME` is timm's NAME."""
    return timm_statistics(TIMM_NAMES.get(name, name.removeprefix("tu-").removeprefix("timm-")))
