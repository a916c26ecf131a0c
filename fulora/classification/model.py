"""Build, save and load classifiers: torchvision's networks on gray pictures."""

import json
from pathlib import Path
from typing import get_args

import torch
import torchvision
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.classification.config import Architecture, ClassifierConfig, Stem
from fulora.environment import derive_seed

WEIGHTS, FACTS = "model.safetensors", "model.json"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ClassifierError(ValueError):
    """A classifier that cannot be built, trained or loaded as asked."""


class Classifier(nn.Module):
    """A network with what it needs to see a gray picture: resize, three channels, ImageNet's mean and spread.

    Attributes:
        facts: what the network is rebuilt from: architecture, stem, image_size_px, classes.
    """

    def __init__(self, architecture: Architecture, stem: Stem, image_size_px: int, classes: int, weights: str | None):
        super().__init__()
        size = {"image_size": image_size_px} if architecture == "vit_b_16" else {}
        self.facts = {"architecture": architecture, "stem": stem, "image_size_px": image_size_px, "classes": classes}
        self.image_size_px = image_size_px
        self.network: nn.Module = torchvision.models.get_model(architecture, weights=weights, **size)
        _replace_head(self.network, architecture, classes)
        if stem == "small":
            _keep_resolution(self.network, architecture)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b classes"]:
        """Logits of gray pictures, 0 to 1; a picture of another size is resized first."""
        size = (self.image_size_px, self.image_size_px)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        logits: Tensor = self.network((pixels - self.mean) / self.std)
        return logits


def build_classifier(cfg: ClassifierConfig, classes: int = 5) -> Classifier:
    """A classifier whose random weights (all, or those of the head) depend on `cfg.seed` alone; on the CPU.

    Raises:
        ClassifierError: ImageNet's weights could not be had.
    """
    weights = "IMAGENET1K_V1" if cfg.weights == "imagenet" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(cfg.seed, "classifier", "weights"))
        try:
            return Classifier(cfg.architecture, cfg.stem, cfg.image_size_px, classes, weights)
        except OSError as error:
            raise ClassifierError(
                f"ImageNet weights of {cfg.architecture} could not be downloaded ({error}); use weights=none, or put "
                f"them in {torch.hub.get_dir()}/checkpoints on a machine that has a network"
            ) from error


def save_classifier(model: Classifier, folder: Path) -> None:
    """Write `model.safetensors` and `model.json`; equal models give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).write_text(json.dumps(model.facts, indent=2) + "\n", encoding="utf-8")
    save_file({k: v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}, folder / WEIGHTS)


def load_classifier(folder: Path) -> Classifier:
    """The classifier that `save_classifier` wrote; in evaluation mode, on the CPU.

    Raises:
        ClassifierError: a file is missing, or the weights do not fit what `model.json` says.
    """
    for name in (FACTS, WEIGHTS):
        if not (folder / name).is_file():
            raise ClassifierError(f"{folder}: holds no {name}; a classifier's folder holds {FACTS} and {WEIGHTS}")
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts.get("architecture") not in get_args(Architecture):
        known = ", ".join(get_args(Architecture))
        raise ClassifierError(f"{folder / FACTS}: architecture {facts.get('architecture')!r} is not one of {known}")
    model = Classifier(facts["architecture"], facts["stem"], facts["image_size_px"], facts["classes"], None)
    try:
        model.network.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise ClassifierError(f"{folder}: {WEIGHTS} does not fit {FACTS}: {error}") from error
    return model.eval()


def _replace_head(network: nn.Module, architecture: Architecture, classes: int) -> None:
    """A new last layer with `classes` outputs."""
    owner: nn.Module = network
    *path, last = {
        "resnet18": ("fc",),
        "mobilenet_v2": ("classifier", "1"),
        "efficientnet_b0": ("classifier", "1"),
        "densenet169": ("classifier",),
        "vit_b_16": ("heads", "head"),
    }[architecture]
    for name in path:
        owner = getattr(owner, name)
    setattr(owner, last, nn.Linear(getattr(owner, last).in_features, classes))


def _keep_resolution(network: nn.Module, architecture: Architecture) -> None:
    """One halving less before the first block, and no filter wider than 3 px."""
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
