"""A ControlNet beside a backbone, trained on images with masks; `sampling.image_generator` generates with it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from jaxtyping import Float, UInt8
from torch import Tensor

from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.diffusers_folder import find_weight_files
from fulora.diffusion.models.loaded_weights import check_finite
from fulora.diffusion.models.loading import BackboneError, quiet
from fulora.environment import derive_seed

EMBEDDING = (16, 32, 64, 128, 256)
"""Channels of the layers that a mask goes through; each after the first halves it, down to the size of the latents."""

Stack = UInt8[np.ndarray, "n h w"]


class ControlledUNet:
    """A UNet conditioned on a mask for each picture, called like the UNet."""

    def __init__(self, unet: Any, control: ControlNetModel, masks: Float[Tensor, "b 3 h w"]) -> None:
        self.unet, self.control, self.masks = unet, control, masks

    def __call__(self, latents: Float[Tensor, "b c h w"], time: Tensor, **arguments: Any) -> Any:
        """Return the UNet's prediction. Masks are repeated, because guidance doubles the batch."""
        masks = self.masks.repeat(len(latents) // len(self.masks), 1, 1, 1)
        down, middle = self.control(latents, time, controlnet_cond=masks, return_dict=False, **arguments)
        return self.unet(
            latents, time, down_block_additional_residuals=down, mid_block_additional_residual=middle, **arguments
        )


def build_control(pipe: Pipeline, seed: int) -> ControlNetModel:
    """Return a ControlNet initialised from the UNet's first half, with zero output."""
    halvings = round(math.log2(pipe.vae_scale_factor))
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(derive_seed(seed, "control"))
        made: ControlNetModel = ControlNetModel.from_unet(
            pipe.unet, conditioning_embedding_out_channels=EMBEDDING[: halvings + 1]
        )
    return made


def masks_to_condition(masks: Stack) -> Float[Tensor, "n 3 h w"]:
    """Return masks as the input of a ControlNet: three channels, 1 inside a structure."""
    return torch.from_numpy((masks > 0).astype(np.float32))[:, None].expand(-1, 3, -1, -1).contiguous()


def load_control(folder: Path) -> ControlNetModel:
    """Load a ControlNet in diffusers' layout in fp32, in evaluation mode; nothing is downloaded.

    Raises:
        BackboneError: if the folder has none, or it is damaged.
    """
    try:
        variant = find_weight_files(folder, "diffusion_pytorch_model").variant
        with quiet():
            made: ControlNetModel = ControlNetModel.from_pretrained(
                folder, variant=variant, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        check_finite(made)
    except (OSError, ValueError, RuntimeError) as error:
        raise BackboneError(f"{folder}: no ControlNet in diffusers' layout can be read here: {error}") from error
    return made.eval()
