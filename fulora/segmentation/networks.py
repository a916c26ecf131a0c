"""Networks of segmentation_models_pytorch and MONAI by name, and their initial weights."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from fulora.data.folded_mobilenet import load_folded
from fulora.data.pictures.normalisation import HALF, UNCHANGED, smp_statistics
from fulora.data.state_dicts import StateDictError, read_state, state_dict_mismatch
from fulora.environment import derive_seed
from fulora.segmentation.config import UnetConfig

SHOWN = 3
BLOCKS = ("unet", "unetplusplus", "manet")
"""Architectures whose five decoder blocks have the channels of `decoder_channels`."""

PLAIN_CHANNELS = (64, 128, 256, 512, 1024)
"""Channels of the original U-Net (Ronneberger et al. 2015), used for MONAI's networks."""

DIVISOR = 32
"""Height and width are multiples of this, as every network halves them five times."""


class UnetFileError(ValueError):
    """A network that cannot be built, or whose weights cannot be read."""


def build_network(cfg: UnetConfig, *, pretrained: bool = True) -> nn.Module:
    """Build the network of a config; random weights depend only on `cfg.seed`.

    Args:
        pretrained: download `encoder_weights=imagenet`; False if all weights are loaded afterwards.

    Raises:
        UnetFileError: if segmentation_models_pytorch has no such encoder, or the decoder cannot use it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("unet", cfg.seed))
        net: nn.Module = _monai(cfg) if cfg.encoder == "none" else _smp(cfg, pretrained)
        return net


def count_parameters(cfg: UnetConfig) -> int:
    """Return the number of a network's weights; it is built without memory for them.

    Raises:
        UnetFileError: as `build_network`.
    """
    with torch.device("meta"):
        return sum(weights.numel() for weights in build_network(cfg, pretrained=False).parameters())


def _smp(cfg: UnetConfig, pretrained: bool) -> nn.Module:
    if not cfg.encoder.startswith("tu-") and cfg.encoder not in (known := smp.encoders.get_encoder_names()):
        near = ", ".join(get_close_matches(cfg.encoder, known, n=SHOWN, cutoff=0.4)) or "resnet18, efficientnet-b0"
        raise UnetFileError(
            f"encoder={cfg.encoder}: segmentation_models_pytorch has no such encoder; similar are {near}, and any of "
            "timm's as tu-NAME"
        )
    blocks: dict[str, Any] = {"decoder_channels": cfg.decoder_channels} if cfg.architecture in BLOCKS else {}
    try:
        net: nn.Module = smp.create_model(
            cfg.architecture,
            cfg.encoder,
            encoder_weights="imagenet" if pretrained and cfg.encoder_weights == "imagenet" else None,
            in_channels=cfg.in_channels,
            classes=cfg.outputs,
            **blocks,
        )
    except (ValueError, RuntimeError, KeyError) as error:
        raise UnetFileError(f"architecture={cfg.architecture} with encoder={cfg.encoder}: {error}") from error
    return net


def _monai(cfg: UnetConfig) -> Any:
    from monai.networks import nets  # imported only if needed, as it takes long

    shape: dict[str, Any] = {"spatial_dims": 2, "in_channels": cfg.in_channels, "out_channels": cfg.outputs}
    match cfg.architecture:
        case "monai_basic_unet":
            return nets.BasicUNet(**shape, features=(*PLAIN_CHANNELS, 64), act="relu", norm=("batch", {}))
        case "monai_attention_unet":
            return nets.AttentionUnet(**shape, channels=PLAIN_CHANNELS, strides=(2, 2, 2, 2))
        case "monai_segresnet":
            return nets.SegResNet(**shape, init_filters=16)
        case _:
            kernels, strides = (3,) * len(PLAIN_CHANNELS), (1, *(2,) * (len(PLAIN_CHANNELS) - 1))
            return nets.DynUNet(**shape, kernel_size=kernels, strides=strides, upsample_kernel_size=strides[1:])


def load_start(net: nn.Module, cfg: UnetConfig, path: Path) -> None:
    """Load the weights of a local file into a network.

    For a network of one gray channel, the weights of a first convolution of three colours are summed.

    Raises:
        UnetFileError: if the file cannot be read, or does not fit.
        EncoderFileError: likewise, for `encoder_weights=imagenet_folded`.
    """
    if cfg.encoder_weights == "imagenet_folded":
        load_folded(net.get_submodule("encoder"), path)
        return
    try:
        state = read_state(path)
    except StateDictError as error:
        raise UnetFileError(str(error)) from error
    if cfg.encoder_weights == "file":
        of_encoder = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
        _load(net.get_submodule("encoder"), of_encoder or state, path, cfg.encoder)
    else:
        own = net.state_dict()
        head = {key for key in own if key.startswith("segmentation_head.")}
        kept = {key: value for key, value in state.items() if key not in head or value.shape == own[key].shape}
        _load(net, {**{key: own[key] for key in head - kept.keys()}, **kept}, path, cfg.architecture)


def _load(module: nn.Module, state: dict[str, Tensor], path: Path, name: str) -> None:
    own = module.state_dict()
    state = {key: _as_gray(value, own[key]) if key in own else value for key, value in state.items()}
    if wrong := state_dict_mismatch(own, state):
        raise UnetFileError(f"{path}: not weights of {name}: {wrong}")
    module.load_state_dict(state)


def _as_gray(value: Tensor, own: Tensor) -> Tensor:
    colours = value.dim() == 4 and value.shape[1] == 3 and own.shape == (value.shape[0], 1, *value.shape[2:])
    return value.sum(dim=1, keepdim=True) if colours else value


def encoder_statistics(cfg: UnetConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of pixels, 0 to 1, of each channel, for the encoder's weights."""
    if cfg.statistics == "unit":
        statistics = UNCHANGED
    elif cfg.encoder_weights in ("none", "imagenet_folded"):
        statistics = HALF
    else:
        statistics = smp_statistics(cfg.encoder)
    if cfg.in_channels == 1:
        return (sum(statistics.mean) / 3,), (sum(statistics.std) / 3,)
    return statistics.mean, statistics.std
