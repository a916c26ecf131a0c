"""A segmentation network for gray images of 0 to 255, and its files.

`model.safetensors` has the state dict of the network of segmentation_models_pytorch or MONAI, `model.json` its config.
"""

import json
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from fulora.config import identity
from fulora.data.folded_mobilenet import pad_like_tensorflow
from fulora.files import atomic_file
from fulora.json_files import DamagedFileError, read_json
from fulora.segmentation.config import WEIGHTS_FROM_FILE, UnetConfig
from fulora.segmentation.networks import DIVISOR, UnetFileError, build_network, encoder_statistics, load_start

WEIGHTS, FACTS = "model.safetensors", "model.json"


class Unet(nn.Module):
    """A segmentation network for gray images of 0 to 255.

    Attributes:
        cfg: its config; `cfg.outputs` is 1 (logit of the structure), or the number of structures and background.
        net: the network of segmentation_models_pytorch or MONAI.
    """

    def __init__(self, cfg: UnetConfig, net: nn.Module) -> None:
        super().__init__()
        self.cfg = cfg
        self.net = net.to(memory_format=torch.channels_last)  # a third faster on a CPU
        mean, std = encoder_statistics(cfg)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def normalise(self, images: Shaped[Tensor, "b h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Normalise gray images of 0 to 255 for the encoder; sides are padded with black to multiples of 32."""
        height, width = images.shape[1:]
        padded = functional.pad(images[:, None].float(), (0, -width % DIVISOR, 0, -height % DIVISOR))
        seen = (padded / 255 - self.get_buffer("mean")) / self.get_buffer("std")
        return seen.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Shaped[Tensor, "b h w"]) -> Float[Tensor, "b classes h w"]:
        """Return the logits of gray images of 0 to 255, of any height and width."""
        logits: Tensor = self.net(self.normalise(images))
        return logits[..., : images.shape[1], : images.shape[2]]


def check_start(cfg: UnetConfig, start: Path | None) -> None:
    """Check that a weights file is given if, and only if, one is read.

    Raises:
        UnetFileError: if it is missing or not needed.
    """
    if (cfg.encoder_weights in WEIGHTS_FROM_FILE) != (start is not None):
        need = "needs" if start is None else f"has no use for {start}; only {', '.join(WEIGHTS_FROM_FILE)} read"
        raise UnetFileError(f"encoder_weights={cfg.encoder_weights} {need} a file of weights")


def build_unet(cfg: UnetConfig, start: Path | None = None) -> Unet:
    """Build a network with the config's initial weights; random ones depend only on `cfg.seed`.

    Args:
        start: the weights file, if `cfg.encoder_weights` reads one.

    Raises:
        UnetFileError: if the file is missing, does not fit, or is not needed.
        EncoderFileError: if `encoder_weights=imagenet_folded` cannot read the file.
    """
    check_start(cfg, start)
    net = build_network(cfg)
    if start is not None:
        load_start(net, cfg, start)
    return Unet(cfg, net)


def save_unet(folder: Path, cfg: UnetConfig, state: dict[str, Tensor]) -> None:
    """Write the state dict of a `Unet.net`, and its config.

    A weight with two names (MONAI's DynUNet) is written twice: safetensors refuses shared memory.
    """
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with atomic_file(folder / WEIGHTS) as new:
        save_file(copies, new)
    (folder / FACTS).write_text(json.dumps(identity(cfg), indent=2) + "\n", encoding="utf-8")


def load_unet(folder: Path) -> Unet:
    """Load a network that `save_unet` wrote, on the CPU in evaluation mode; nothing is downloaded.

    Raises:
        UnetFileError: if a file is missing, damaged, or does not fit the other.
    """
    try:
        cfg = read_json(folder / FACTS, UnetConfig)
        state = load_file(folder / WEIGHTS)
    except (OSError, DamagedFileError, SafetensorError) as error:
        raise UnetFileError(f"{folder}: no U-Net ({WEIGHTS} and {FACTS}) can be read: {error}") from error
    net = build_network(cfg, pretrained=False)
    if cfg.encoder_weights == "imagenet_folded":
        pad_like_tensorflow(net.get_submodule("encoder"))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise UnetFileError(f"{folder}: {WEIGHTS} does not fit {FACTS}: {error}") from error
    return Unet(cfg, net).eval()
