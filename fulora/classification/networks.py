"""Networks of torchvision and timm with a new head, and weights from the hub or a local file."""

from difflib import get_close_matches
from pathlib import Path
from typing import get_args

import timm
import torch
import torchvision
from torch import nn

from fulora.classification.config import TIMM, ClassifierConfig, Stem, Torchvision, Weights
from fulora.data.folded_mobilenet import load_folded
from fulora.data.pictures.normalisation import HALF, IMAGENET, Statistics, timm_statistics
from fulora.data.state_dicts import StateDictError, read_state, state_dict_mismatch

HEADS = {
    "resnet18": "fc",
    "mobilenet_v2": "classifier.1",
    "efficientnet_b0": "classifier.1",
    "densenet169": "classifier",
    "vit_b_16": "heads.head",
}
SHOWN = 3


class ClassifierError(ValueError):
    """A classifier that cannot be built, trained or loaded as requested."""


def build_network(architecture: str, stem: Stem, image_size_px: int, classes: int, pretrained: bool) -> nn.Module:
    """Build a network for (b, 3, size, size) with `classes` outputs; random weights are from torch's global generator.

    Raises:
        ClassifierError: if timm has no such network, or ImageNet weights cannot be downloaded.
    """
    try:
        if architecture.startswith(TIMM):
            return _timm_network(architecture.removeprefix(TIMM), image_size_px, classes, pretrained)
        size = {"image_size": image_size_px} if architecture == "vit_b_16" else {}
        weights = "IMAGENET1K_V1" if pretrained else None
        network: nn.Module = torchvision.models.get_model(architecture, weights=weights, **size)
    except OSError as error:
        raise ClassifierError(
            f"ImageNet weights of {architecture} could not be downloaded ({error}); use weights=none, or weights=file "
            "with a local file, or fill the cache of torchvision or timm on a machine that has a network"
        ) from error
    head = network.get_submodule(HEADS[architecture])
    assert isinstance(head, nn.Linear)
    network.set_submodule(HEADS[architecture], nn.Linear(head.in_features, classes))
    if stem == "small":
        _keep_resolution(network, architecture)
    return network


def _timm_network(name: str, image_size_px: int, classes: int, pretrained: bool) -> nn.Module:
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), SHOWN)
        raise ClassifierError(f"timm has no network {name!r}; near: {', '.join(near) or 'none'} (timm.list_models())")
    settings = timm.get_pretrained_cfg(name)
    size = {"img_size": image_size_px} if settings is not None and settings.fixed_input_size else {}
    network: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=classes, **size)
    return network


def count_parameters(cfg: ClassifierConfig, classes: int) -> int:
    """Return the number of a network's weights; it is built without memory for them.

    Raises:
        ClassifierError: if timm has no such network.
    """
    with torch.device("meta"):
        network = build_network(cfg.architecture, cfg.stem, cfg.image_size_px, classes, pretrained=False)
    return sum(weights.numel() for weights in network.parameters())


def pixel_statistics(architecture: str, weights: Weights) -> Statistics:
    """Return the mean and standard deviation of pixels with which a network's weights were trained."""
    if weights == "imagenet_folded":
        return HALF
    return timm_statistics(architecture.removeprefix(TIMM)) if architecture.startswith(TIMM) else IMAGENET


def load_start(network: nn.Module, cfg: ClassifierConfig, path: Path) -> None:
    """Load the weights of a local file into a network. A head of another size is not loaded.

    Raises:
        ClassifierError: if the file cannot be read, or does not fit the architecture.
        EncoderFileError: likewise, for `weights=imagenet_folded`.
    """
    if cfg.weights == "imagenet_folded":
        load_folded(network.get_submodule("features"), path)
        return
    try:
        state = read_state(path)
    except StateDictError as error:
        raise ClassifierError(str(error)) from error
    head = HEADS.get(cfg.architecture) or getattr(network, "pretrained_cfg", {}).get("classifier", "head")
    own = network.state_dict()
    left = {f"{head}.{name}" for name in ("weight", "bias")}
    state = {k: v for k, v in state.items() if k not in left or (k in own and v.shape == own[k].shape)}
    if wrong := state_dict_mismatch(own, state, left):
        raise ClassifierError(f"{path}: not weights of {cfg.architecture}: {wrong}")
    network.load_state_dict(state, strict=False)


def _keep_resolution(network: nn.Module, architecture: str) -> None:
    if architecture == "resnet18":
        network.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif architecture == "densenet169":
        features = network.get_submodule("features")
        features.conv0 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        features.pool0 = nn.Identity()
    else:
        first = network.get_submodule("features.0.0")
        assert isinstance(first, nn.Conv2d)
        first.stride = (1, 1)


assert set(HEADS) == set(get_args(Torchvision))
