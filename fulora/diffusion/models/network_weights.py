"""Load the networks of a backbone, from a folder or from one checkpoint file, without holding weights twice.

Files are memory-mapped, and a network's weights are cast while they are read. The mapped pages of a file count to a
process until the last of its weights is read, so the largest network, the UNet, is read first, before the others take
memory, and a checkpoint file is opened anew for each network.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from fulora.diffusion.models.checkpoint_file import Checkpoint
from fulora.diffusion.models.diffusers_folder import find_weight_files
from fulora.diffusion.models.loaded_weights import check_complete, check_unused_weights
from fulora.digests import reading

Networks = dict[str, torch.nn.Module]

FIRST: dict[str, Any] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
ENCODERS: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": {"text_encoder": CLIPTextModel},
    "StableDiffusionXLPipeline": {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection},
}


class _Part(NamedTuple):
    """A network to load: bytes of its files, and the function that reads them."""

    size: int
    load: Callable[[], torch.nn.Module]


def load_from_folder(folder: Path, name: str, unet_dtype: torch.dtype) -> Networks:
    """Load each network from full-precision weights, else the only variant.

    Args:
        name: of the pipeline's class.

    Raises:
        ValueError: if weights are missing, not finite, or of an adapter.
        OSError, RuntimeError, SafetensorError: if a file cannot be read.
    """
    parts = {}
    for part, kind in (FIRST | ENCODERS[name]).items():
        files = find_weight_files(folder / part, "model" if part in ENCODERS[name] else "diffusion_pytorch_model")
        dtype = unet_dtype if part == "unet" else torch.float32
        parts[part] = _Part(files.size, partial(_load_part, kind, folder / part, files.variant, dtype))
    return _load_all(parts)


def load_from_checkpoint(
    path: Path, checkpoint: Checkpoint, configs: Path, name: str, unet_dtype: torch.dtype
) -> Networks:
    """Load each network of a checkpoint file under the original names.

    Args:
        configs: folder in diffusers' layout with the configs of its networks.
        name: of the pipeline's class.

    Raises:
        ValueError: if weights are missing or not finite.
        OSError, RuntimeError, SafetensorError, SingleFileComponentError: if the file cannot be read.
    """
    weights = partial(_published_weights, path, checkpoint)
    size = path.stat().st_size // len(FIRST | ENCODERS[name])
    parts = {}
    for part, kind in (FIRST | ENCODERS[name]).items():
        load = _convert_encoder if part in ENCODERS[name] else _convert_network
        dtype = unet_dtype if part == "unet" else torch.float32
        parts[part] = _Part(size, partial(load, kind, weights, configs, part, dtype))
    return _load_all(parts)


def _load_all(parts: Mapping[str, _Part]) -> Networks:
    networks = {}
    with reading("backbone read", sum(part.size for part in parts.values())) as advance:
        for name, part in parts.items():
            networks[name] = part.load()
            check_complete(networks[name])
            align(networks[name].eval())
            advance(part.size)
    return networks


def _load_part(kind: Any, folder: Path, variant: str | None, dtype: torch.dtype) -> torch.nn.Module:
    network: torch.nn.Module
    network, report = kind.from_pretrained(
        folder, variant=variant, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    if issubclass(kind, CLIPTextModel | CLIPTextModelWithProjection) and (missing := sorted(report["missing_keys"])):
        raise ValueError(f"{folder.name} lacks {len(missing)} weights, such as {missing[0]}")  # else drawn at random
    check_unused_weights(folder.name, report["unexpected_keys"])
    return network


def _published_weights(path: Path, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {checkpoint.names.get(name, name): weight for name, weight in load_file(path).items()}


def _convert_network(
    kind: Any, weights: Callable[[], dict[str, torch.Tensor]], configs: Path, part: str, dtype: torch.dtype
) -> torch.nn.Module:
    network: torch.nn.Module = kind.from_single_file(
        weights(), config=str(configs), subfolder=part, local_files_only=True, dtype=dtype
    )
    return network


def _convert_encoder(
    kind: Any, weights: Callable[[], dict[str, torch.Tensor]], configs: Path, part: str, dtype: torch.dtype
) -> torch.nn.Module:
    network: torch.nn.Module = create_diffusers_clip_model_from_ldm(
        kind, weights(), subfolder=part, config=str(configs), torch_dtype=dtype, local_files_only=True
    )
    return network


def align(network: torch.nn.Module) -> None:
    """Copy weights at unaligned addresses in a file, where arithmetic on a CPU gives different last digits."""
    for parameter in network.parameters():
        if parameter.data_ptr() % 64:
            parameter.data = parameter.data.clone()
