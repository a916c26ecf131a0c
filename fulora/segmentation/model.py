"""A U-Net that takes gray images as they stand on disk, and its files.

`model.safetensors` holds the keys of `segmentation_models_pytorch.Unet`, `model.json` the resolved config.
"""

import json
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from jaxtyping import Float, Shaped
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fulora.config import identity
from fulora.data.folded_mobilenet import load_folded, pad_like_tensorflow
from fulora.environment import derive_seed
from fulora.segmentation.config import EncoderWeights, UnetConfig

WEIGHTS, FACTS = "model.safetensors", "model.json"

MEAN_AND_STD: dict[EncoderWeights, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.5,) * 3, (0.5,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "imagenet_folded": ((0.5,) * 3, (0.5,) * 3),
}
"""What each start was trained with, on a scale from 0 to 1; (0.5, 0.5) is x / 127.5 - 1."""


class UnetFileError(ValueError):
    """A U-Net, or the file it starts from, that cannot be loaded."""


class Unet(nn.Module):
    """A U-Net for gray images of 0 to 255.

    Attributes:
        net: the `segmentation_models_pytorch.Unet`.
        classes: 1 (logit of the structure) or 3 (logits of background, symphysis, head).
    """

    def __init__(self, cfg: UnetConfig, net: nn.Module) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)  # a third faster on a CPU
        self.classes = cfg.classes
        mean, std = MEAN_AND_STD[cfg.encoder_weights]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, images: Shaped[Tensor, "b h w"]) -> Float[Tensor, "b 3 h w"]:
        """Gray images of 0 to 255 as the encoder wants them: three equal channels, normalised."""
        three = (images[:, None].float() / 255 - self.get_buffer("mean")) / self.get_buffer("std")
        return three.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Shaped[Tensor, "b h w"]) -> Float[Tensor, "b classes h w"]:
        """Logits of gray images of 0 to 255, whose height and width are multiples of 32."""
        logits: Tensor = self.net(self.normalise(images))
        return logits


def build_unet(cfg: UnetConfig, encoder_file: Path | None = None) -> Unet:
    """A U-Net with the config's start; what is random in it depends on `cfg.seed` alone.

    Args:
        encoder_file: the folded MobileNetV2 of `encoder_weights: imagenet_folded`, and of nothing else.

    Raises:
        UnetFileError: a file is missing, or one is given that the config does not use.
        EncoderFileError: the file holds something else.
    """
    if (cfg.encoder_weights == "imagenet_folded") != (encoder_file is not None):
        need = "needs" if encoder_file is None else f"has no use for {encoder_file}; only imagenet_folded reads"
        raise UnetFileError(f"encoder_weights={cfg.encoder_weights} {need} a file of encoder weights")
    net = _network(cfg, "imagenet" if cfg.encoder_weights == "imagenet" else None)
    if encoder_file is not None:
        load_folded(net.encoder, encoder_file)
    return Unet(cfg, net)


def _network(cfg: UnetConfig, encoder_weights: str | None) -> smp.Unet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("unet", cfg.seed))
        return smp.Unet(
            cfg.encoder,
            encoder_weights=encoder_weights,
            decoder_channels=cfg.decoder_channels,
            in_channels=3,
            classes=cfg.classes,
        )


def save_unet(folder: Path, cfg: UnetConfig, state: dict[str, Tensor]) -> None:
    """Write the state of a `Unet.net` and what is needed to build it again."""
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / WEIGHTS)
    (folder / FACTS).write_text(json.dumps(identity(cfg), indent=2) + "\n", encoding="utf-8")


def load_unet(folder: Path) -> Unet:
    """The U-Net that `save_unet` wrote, on the CPU in evaluation mode; nothing is fetched.

    Raises:
        UnetFileError: a file is missing, damaged, or does not fit the other.
    """
    try:
        cfg = UnetConfig.model_validate_json((folder / FACTS).read_text(encoding="utf-8"))
        state = load_file(folder / WEIGHTS)
    except (OSError, ValidationError, SafetensorError) as error:
        raise UnetFileError(f"{folder}: no U-Net ({WEIGHTS} and {FACTS}) can be read here: {error}") from error
    net = _network(cfg, None)
    if cfg.encoder_weights == "imagenet_folded":
        pad_like_tensorflow(net.encoder)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise UnetFileError(f"{folder}: {WEIGHTS} does not fit {FACTS}: {error}") from error
    return Unet(cfg, net).eval()
