"""Configs of pre-training a small backbone, of LoRA fine-tuning, and of sampling."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fulora.config import Config, Runtime
from fulora.data.captions import CAPTIONS
from fulora.data.labels import PLANES, Plane

Sampler = Literal["dpm++", "unipc", "euler", "ddim"]


class PretrainConfig(Config):
    """A small Stable Diffusion from random weights: the autoencoder first, then UNet and text encoder on its latents.

    Attributes:
        vae_channels: one number a resolution of the autoencoder; n resolutions shrink an image 2^(n-1) times.
        unet_channels: one number a resolution of the UNet; all but the first attend to the caption.
        caption_dropout: share of captions left empty, which classifier-free guidance needs.
        min_snr_gamma: weight of easy timesteps, min(SNR, gamma) / SNR (Hang et al. 2023); None weighs all alike.
        ema_decay: decay of the weights' moving average, which is what is kept.
    """

    vae_channels: tuple[PositiveInt, ...] = Field(default=(16, 16, 32), min_length=2)
    unet_channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 128), min_length=2)
    text_width: PositiveInt = 64
    autoencoder_steps: PositiveInt = 1200
    autoencoder_batch_size: PositiveInt = 8
    autoencoder_learning_rate: PositiveFloat = 2e-3
    denoiser_steps: PositiveInt = 3000
    denoiser_batch_size: PositiveInt = 16
    denoiser_learning_rate: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 100
    caption_dropout: float = Field(default=0.1, ge=0, le=1)
    min_snr_gamma: PositiveFloat | None = 5.0
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    seed: int = 0
    log_every: PositiveInt = 20
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"

    @property
    def latent_downsampling(self) -> int:
        """Image pixels a latent pixel, along each side."""
        return int(2 ** (len(self.vae_channels) - 1))

    @model_validator(mode="after")
    def _groups(self) -> "PretrainConfig":
        wrong = [n for n in self.vae_channels if n % 8] + [n for n in self.unet_channels if n % 16]
        if wrong or self.text_width % 4:
            raise ValueError("vae_channels are multiples of 8, unet_channels of 16, text_width of 4 (groups and heads)")
        return self


class LoraConfig(Config):
    """LoRA fine-tuning on a few images.

    Attributes:
        rank, alpha: the adapter adds `alpha / rank * B A`.
        target: `kohya` adapts every projection of the UNet's transformers and of the text encoder, kohya's set;
            `attention` only the attention projections.
        text_encoder_learning_rate: 0 leaves the text encoder as it is.
        max_grad_norm: gradients are clipped to this norm.
        validate_every: steps between validation losses, where there are images for them.
    """

    rank: PositiveInt = 8
    alpha: PositiveFloat = 8.0
    target: Literal["kohya", "attention"] = "kohya"
    steps: PositiveInt = 400
    batch_size: PositiveInt = 8
    unet_learning_rate: PositiveFloat = 1e-3
    text_encoder_learning_rate: NonNegativeFloat = 5e-4
    weight_decay: NonNegativeFloat = 0.01
    caption_dropout: float = Field(default=0.1, ge=0, le=1)
    min_snr_gamma: PositiveFloat | None = None
    max_grad_norm: PositiveFloat = 1.0
    seed: int = 0
    log_every: PositiveInt = 10
    validate_every: PositiveInt = 50
    checkpoint_every: Annotated[PositiveInt, Runtime] = 50
    device: Annotated[str, Runtime] = "auto"


class GenerateConfig(Config):
    """Synthetic images of every plane.

    Attributes:
        per_class: images of each plane.
        batch_size: the compute shape; the last digits of a picture's arithmetic depend on it, nothing else does.
        guidance_scale: how much of the difference to the negative prompt is added (Ho and Salimans 2022); 1 is none.
        lora_strength: 0 is the base, 1 the LoRA as trained.
    """

    per_class: PositiveInt
    planes: tuple[Plane, ...] = Field(default=PLANES, min_length=1)
    prompts: Mapping[Plane, str] = Field(default_factory=lambda: dict(CAPTIONS))
    negative_prompt: str = ""
    image_size_px: int = Field(default=64, gt=0, multiple_of=8)
    steps: PositiveInt = 25
    guidance_scale: float = Field(default=3.0, ge=1)
    sampler: Sampler = "dpm++"
    lora_strength: float = Field(default=1.0, ge=0)
    batch_size: PositiveInt = 20
    seed: int = 0
    device: Annotated[str, Runtime] = "auto"

    @model_validator(mode="after")
    def _complete(self) -> "GenerateConfig":
        missing = sorted(set(self.planes) - set(self.prompts))
        if missing:
            raise ValueError(f"prompts: no prompt for {', '.join(missing)}")
        if len(set(self.planes)) < len(self.planes):
            raise ValueError(f"planes: {', '.join(self.planes)}: each plane is named once")
        return self
