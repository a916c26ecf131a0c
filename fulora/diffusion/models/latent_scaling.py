"""Between an autoencoder's own latents and those that denoisers are trained on, by its config.

diffusers' pipelines have `scaling_factor` for all (Rombach et al. 2022), `latents_mean` and `latents_std` of each
channel for some of SDXL's kind, and `shift_factor` for later ones: scaled = (own - shift) * scaling_factor / std.
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor

from fulora.diffusion.models.config_values import check_count, check_number, check_numbers

WHERE = "vae/config.json"


def check_scaling(config: Mapping[str, Any]) -> None:
    """Refuse an autoencoder's config that does not say one scaling.

    Raises:
        ValueError: a mean without a standard deviation or the reverse, not one number a channel, both a mean and
            `shift_factor`, a value that is no finite number, or a factor or deviation that is not positive.
    """
    check_count(config, "latent_channels", WHERE, 1)
    check_number(config, "scaling_factor", WHERE, above=0)
    check_numbers(config, "latents_mean", WHERE, config.get("latent_channels", 4))
    check_numbers(config, "latents_std", WHERE, config.get("latent_channels", 4), above=0)
    if config.get("shift_factor") is not None:
        check_number(config, "shift_factor", WHERE)
    mean, std, shift = (config.get(key) for key in ("latents_mean", "latents_std", "shift_factor"))
    if (mean is None) != (std is None):
        raise ValueError("its autoencoder's config has one of latents_mean and latents_std: both or neither are needed")
    if mean is not None and shift:
        raise ValueError(
            "its autoencoder's config has latents_mean and shift_factor, and both are subtracted: keep one"
        )


def scale_latents(vae: AutoencoderKL, own: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Latents as the denoiser has them, of the autoencoder's own."""
    shift = _shift(vae, own)
    centred = own if shift is None else own - shift
    return scale_std(vae, centred)


def scale_std(vae: AutoencoderKL, own: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """A standard deviation of latents, as the denoiser has it."""
    found: Tensor = own * float(vae.config.scaling_factor)
    std = _channels(vae, "latents_std", own)
    return found if std is None else found / std


def unscale_latents(vae: AutoencoderKL, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The autoencoder's own latents, of those that the denoiser has."""
    std, shift = _channels(vae, "latents_std", latents), _shift(vae, latents)
    own: Tensor = (latents if std is None else latents * std) / vae.config.scaling_factor
    return own if shift is None else own + shift


def _shift(vae: AutoencoderKL, like: Tensor) -> Tensor | None:
    mean = _channels(vae, "latents_mean", like)
    factor = vae.config.get("shift_factor")
    return mean if mean is not None or not factor else torch.tensor(float(factor), device=like.device)


def _channels(vae: AutoencoderKL, name: str, like: Tensor) -> Tensor | None:
    """A number of each channel."""
    values = vae.config.get(name)
    return None if values is None else torch.tensor(values, device=like.device, dtype=like.dtype).reshape(1, -1, 1, 1)
