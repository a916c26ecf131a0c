"""Build, save and load classifiers of gray pictures."""

from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from fulora.classification.config import ClassifierConfig, Fit, Stem
from fulora.classification.networks import ClassifierError, build_network, load_start, pixel_statistics
from fulora.config import Config
from fulora.data.folded_mobilenet import pad_like_tensorflow
from fulora.data.pictures.normalisation import UNCHANGED
from fulora.environment import derive_seed
from fulora.files import atomic_file
from fulora.json_files import DamagedFileError, read_json

WEIGHTS, FACTS = "model.safetensors", "model.json"


class ClassifierFacts(Config):
    """`model.json`: the architecture of a classifier, and how pictures are resized and normalised for it.

    Attributes:
        mean, std: of each of the three channels, on a scale from 0 to 1.
        padding: of the convolutions of stride 2: `torch` or `tensorflow`.
    """

    architecture: str
    stem: Stem
    classes: PositiveInt
    image_size_px: PositiveInt
    fit: Fit
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = Field(default=(1.0, 1.0, 1.0))
    padding: str = "torch"


class Classifier(nn.Module):
    """A network with the input of gray pictures: resized, in three equal channels, normalised as `facts` say."""

    def __init__(self, facts: ClassifierFacts, network: nn.Module):
        super().__init__()
        self.facts, self.network = facts, network
        if facts.padding == "tensorflow":
            pad_like_tensorflow(network)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(facts.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(facts.std).view(1, 3, 1, 1), persistent=False)

    def channels(self, pixels: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 3 s s"]:
        """Return the network's input for gray pictures, 0 to 1; another size is squashed first."""
        size = (self.facts.image_size_px, self.facts.image_size_px)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        seen: Tensor = (pixels - self.mean) / self.std
        return seen.contiguous(memory_format=torch.channels_last)

    def forward(self, pixels: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b classes"]:
        """Return the logits of gray pictures, 0 to 1."""
        logits: Tensor = self.network(self.channels(pixels))
        return logits


def build_classifier(cfg: ClassifierConfig, classes: int, start: Path | None = None) -> Classifier:
    """Build a classifier whose random weights (all, or those of the head) depend only on `cfg.seed`; on the CPU.

    Args:
        classes: number of outputs.
        start: the weights file of `weights=imagenet_folded` or `weights=file`.

    Raises:
        ClassifierError: if weights cannot be downloaded, or `start` does not fit, is missing or is not needed.
    """
    check_start(cfg, start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(cfg.seed, "classifier", "weights"))
        network = build_network(cfg.architecture, cfg.stem, cfg.image_size_px, classes, cfg.weights == "imagenet")
    seen = pixel_statistics(cfg.architecture, cfg.weights) if cfg.statistics == "own" else UNCHANGED
    if start is not None:
        load_start(network, cfg, start)
    facts = ClassifierFacts(
        architecture=cfg.architecture,
        stem=cfg.stem,
        classes=classes,
        image_size_px=cfg.image_size_px,
        fit=cfg.fit,
        mean=seen.mean,
        std=seen.std,
        padding="tensorflow" if cfg.weights == "imagenet_folded" else "torch",
    )
    return Classifier(facts, network)


def check_start(cfg: ClassifierConfig, start: Path | None) -> None:
    """Check that a weights file is given if, and only if, one is read.

    Raises:
        ClassifierError: if it is missing or not needed.
    """
    if (start is None) == cfg.reads_file:
        need = (
            "needs a file of weights (in a study: classifier_file)"
            if start is None
            else f"has no use for {start}; only imagenet_folded and file do"
        )
        raise ClassifierError(f"weights={cfg.weights} {need}")


def save_classifier(model: Classifier, folder: Path) -> None:
    """Write `model.safetensors` and `model.json`; equal models give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).write_text(model.facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
    state = {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}
    with atomic_file(folder / WEIGHTS) as new:
        save_file(state, new)


def load_classifier(folder: Path) -> Classifier:
    """Load a classifier that `save_classifier` wrote; in evaluation mode, on the CPU.

    Raises:
        ClassifierError: if a file is missing or damaged, or the weights do not fit `model.json`.
    """
    for name in (FACTS, WEIGHTS):
        if not (folder / name).is_file():
            raise ClassifierError(f"{folder}: holds no {name}; a classifier's folder holds {FACTS} and {WEIGHTS}")
    try:
        facts = read_json(folder / FACTS, ClassifierFacts)
    except DamagedFileError as error:
        raise ClassifierError(f"not the facts of a classifier: {error}") from error
    network = build_network(facts.architecture, facts.stem, facts.image_size_px, facts.classes, False)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise ClassifierError(f"{folder / WEIGHTS}: the weights cannot be read ({error})") from error
    except RuntimeError as error:
        raise ClassifierError(f"{folder}: {WEIGHTS} does not fit {FACTS}: {error}") from error
    return Classifier(facts, network).eval().to(memory_format=torch.channels_last)
