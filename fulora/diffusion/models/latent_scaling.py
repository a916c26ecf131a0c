"""Scaling between an autoencoder's own latents and those that denoisers are trained on, by its config.

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
    """Refuse an autoencoder's config that does not define one scaling.

    Raises:
        ValueError: if it has a mean without a standard deviation or the reverse, not one number for each channel, both
            a mean and `shift_factor`, a value that is not finite, or a factor or deviation that is not positive.
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
    """Return the denoiser's latents from the autoencoder's own."""
    shift = _shift(vae, own)
    centred = own if shift is None else own - shift
    return scale_std(vae, centred)


def scale_std(vae: AutoencoderKL, own: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the standard deviation of the denoiser's latents from that of the autoencoder's own."""
    result: Tensor = own * float(vae.config.scaling_factor)
    std = _channels(vae, "latents_std", own)
    return result if std is None else result / std


def unscale_latents(vae: AutoencoderKL, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the autoencoder's own latents from the denoiser's."""
    std, shift = _channels(vae, "latents_std", latents), _shift(vae, latents)
    own: Tensor = (latents if std is None else latents * std) / vae.config.scaling_factor
    return own if shift is None else own + shift


def _shift(vae: AutoencoderKL, like: Tensor) -> Tensor | None:
    mean = _channels(vae, "latents_mean", like)
    factor = vae.config.get("shift_factor")
    return mean if mean is not None or not factor else torch.tensor(float(factor), device=like.device)


def _channels(vae: AutoencoderKL, name: str, like: Tensor) -> Tensor | None:
    values = vae.config.get(name)
    return None if values is None else torch.tensor(values, device=like.device, dtype=like.dtype).reshape(1, -1, 1, 1)
