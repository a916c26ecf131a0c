"""A segmentation network that takes gray images as they stand on disk, and its files.

`model.safetensors` holds the keys of the network of segmentation_models_pytorch or MONAI, `model.json` the resolved
config.
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
        cfg: what it was built from; `cfg.outputs` is 1 (logit of the structure), or counts background and structures.
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
        """Gray images of 0 to 255 as the encoder wants them; sides are filled up with black to multiples of 32."""
        height, width = images.shape[1:]
        padded = functional.pad(images[:, None].float(), (0, -width % DIVISOR, 0, -height % DIVISOR))
        seen = (padded / 255 - self.get_buffer("mean")) / self.get_buffer("std")
        return seen.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Shaped[Tensor, "b h w"]) -> Float[Tensor, "b classes h w"]:
        """Logits of gray images of 0 to 255, of any height and width."""
        logits: Tensor = self.net(self.normalise(images))
        return logits[..., : images.shape[1], : images.shape[2]]


def build_unet(cfg: UnetConfig, start: Path | None = None) -> Unet:
    """A network with the config's start; what is random in it depends on `cfg.seed` alone.

    Args:
        start: the file that `cfg.encoder_weights` reads, where it reads one.

    Raises:
        UnetFileError: a file is missing, does not fit, or is given though the config does not use it.
        EncoderFileError: of `encoder_weights=imagenet_folded`: the file holds something else.
    """
    if (cfg.encoder_weights in WEIGHTS_FROM_FILE) != (start is not None):
        need = "needs" if start is None else f"has no use for {start}; only {', '.join(WEIGHTS_FROM_FILE)} read"
        raise UnetFileError(f"encoder_weights={cfg.encoder_weights} {need} a file of weights")
    net = build_network(cfg)
    if start is not None:
        load_start(net, cfg, start)
    return Unet(cfg, net)


def save_unet(folder: Path, cfg: UnetConfig, state: dict[str, Tensor]) -> None:
    """Write the state of a `Unet.net` and what is needed to build it again.

    A weight that stands under two names (MONAI's DynUNet) is written twice: safetensors refuses shared memory.
    """
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    with atomic_file(folder / WEIGHTS) as new:
        save_file(copies, new)
    (folder / FACTS).write_text(json.dumps(identity(cfg), indent=2) + "\n", encoding="utf-8")


def load_unet(folder: Path) -> Unet:
    """The network that `save_unet` wrote, on the CPU in evaluation mode; nothing is fetched.

    Raises:
        UnetFileError: a file is missing, damaged, or does not fit the other.
    """
    try:
        cfg = read_json(folder / FACTS, UnetConfig)
        state = load_file(folder / WEIGHTS)
    except (OSError, DamagedFileError, SafetensorError) as error:
        raise UnetFileError(f"{folder}: no U-Net ({WEIGHTS} and {FACTS}) can be read here: {error}") from error
    net = build_network(cfg, pretrained=False)
    if cfg.encoder_weights == "imagenet_folded":
        pad_like_tensorflow(net.get_submodule("encoder"))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise UnetFileError(f"{folder}: {WEIGHTS} does not fit {FACTS}: {error}") from error
    return Unet(cfg, net).eval()
