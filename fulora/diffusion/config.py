"""Configs of pre-training a small backbone, LoRA fine-tuning, and ControlNet training."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fulora.config import Config, Runtime

Architecture = Literal["sd1", "sd2-base", "sd2-v", "sdxl"]
"""SD 1.x; SD 2.x for 512 px, which predicts noise; SD 2.x for 768 px, which predicts velocity; SDXL."""


class PretrainConfig(Config):
    """A small Stable Diffusion from random weights: the autoencoder first, then UNet and text encoder on its latents.

    Attributes:
        vae_channels: one number a resolution of the autoencoder; n resolutions shrink an image 2^(n-1) times.
        unet_channels: one number a resolution of the UNet; all but the first attend to the caption.
        text_width: units of the text encoder.
        autoencoder_steps, denoiser_steps: updates of the weights of each of the two trainings.
        autoencoder_batch_size, denoiser_batch_size: images in an update.
        autoencoder_learning_rate, denoiser_learning_rate: after warm-up.
        warmup_steps: steps in which the learning rate rises linearly.
        caption_dropout: share of captions left empty, which classifier-free guidance needs.
        min_snr_gamma: weight of easy timesteps, min(SNR, gamma) / SNR (Hang et al. 2023); None weighs all alike.
        ema_decay: decay of the weights' moving average, which is what is kept.
        mask_channel: the autoencoder also learns pictures with an ellipse in the red channel, drawn at random, so that
            a LoRA can be trained on pairs of image and mask.
        seed: of all random draws; equal seeds give equal results.
        log_every: steps between two lines of `metrics.jsonl`.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
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
    mask_channel: bool = False
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


class SamplesConfig(Config):
    """Sample grids during a LoRA training, with the same seeds each time: a row for each training caption.

    Attributes:
        every: steps between two grids; the first grid is before the first step.
        per_caption: pictures in a row.
        steps, guidance_scale: as for `GenerateConfig`.
    """

    every: PositiveInt = 100
    per_caption: PositiveInt = 4
    steps: PositiveInt = 20
    guidance_scale: float = Field(default=3.0, ge=1)


class LoraConfig(Config):
    """LoRA fine-tuning on a few images.

    Attributes:
        rank, alpha: the adapter adds `alpha / rank * B A` (Hu et al. 2021).
        rslora: adds `alpha / sqrt(rank) * B A` instead (Kalajdzievski 2023).
        dora: directions by the adapter, lengths by themselves (Liu et al. 2024).
        target: `kohya` adapts every projection of the UNet's transformers and of the text encoder, kohya's set;
            `attention` only the attention projections.
        initialisation: of A; B starts at 0. `kaiming` is kohya's and peft's, `gaussian` diffusers'.
        sizes: `fixed` trains on the images as they were curated, all of one size; `buckets` shrinks and crops each,
            as kohya does, to an area of about `resolution_px` squared at most and sides that are multiples of
            `bucket_step_px`, keeping its shape.
        resolution_px: side of a square of the area of a bucket, px; for sizes=buckets.
        bucket_step_px: sides of buckets are multiples of it, px.
        bucket_upscale: with buckets, also enlarge images that are smaller than the area.
        mask_channel: train on pairs: the mask is the red channel, the image green and blue (needs masks, sizes=fixed).
        flip: mirror each image with probability 0.5; both versions are encoded.
        latents: `resampled` draws from the autoencoder's posterior at every step, `once` only once, as kohya does.
        clip_skip: the text encoder's layer, counted from the end: 1 is the last, 2 the one before it, followed by the
            final normalisation (kohya's and AUTOMATIC1111's count; diffusers' is one less). SDXL's text encoders are
            read one layer further from the end and never normalised, as diffusers does; kohya and AUTOMATIC1111 have
            no clip skip for it. SD 2.x's last layer is the one before the last of the published encoder.
        caption_dropout: share of captions left empty, which classifier-free guidance needs.
        timesteps: `stratified` covers the schedule evenly in every 64 draws, `uniform` draws each by itself.
        min_snr_gamma: weight of easy timesteps, min(SNR, gamma) / SNR for a backbone that predicts noise and
            min(SNR, gamma) / (SNR + 1) for one that predicts velocity (Hang et al. 2023); None weighs all alike.
        noise_offset: strength of noise that is the same in a whole channel (Guttenberg 2023).
        prior_weight: weight of the loss on the prior images, where there are any (Ruiz et al. 2023).
        steps: updates of the weights.
        batch_size: images in an update, over all processes; `accumulation` splits them into so many parts.
        accumulation: parts of a batch, one after the other: more parts need less memory.
        optimizer: `adamw8bit` needs bitsandbytes, `prodigy` needs prodigyopt (its learning rates are near 1).
        unet_learning_rate: of the adapters of the UNet.
        text_encoder_learning_rate: 0 freezes the text encoder, and its embeddings are computed once.
        weight_decay: of the optimizer.
        schedule, warmup_steps: the learning rate rises linearly, then is constant, or falls as a half cosine to 0.
        max_grad_norm: gradients are clipped to this norm; None does not clip.
        ema_decay: keep the moving average of the weights with this decay; None keeps the weights themselves.
        precision: of the frozen base and of the arithmetic; the LoRA, its gradients and the optimizer are fp32 always.
        seed: of all random draws; equal seeds give equal results.
        spike: stop when the mean loss of the last 20 steps is so many times that of all steps before.
        validate_every: steps between validation losses, where there are images for them.
        keep: the weights after the `last` step, or those with the `best` validation loss.
        licence: of the images, such as `cc-by-4.0`, written into the file; "" where it is not known.
        samples: sample grids during the training; null draws none.
        log_every: steps between two lines of `metrics.jsonl`.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        gradient_checkpointing: compute activations twice instead of keeping them: less memory, more time.
        compile: `auto` compiles the UNet on a GPU where the steps that are left save more than compiling takes.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    rank: PositiveInt = 8
    alpha: PositiveFloat = 8.0
    rslora: bool = False
    dora: bool = False
    target: Literal["kohya", "attention"] = "kohya"
    initialisation: Literal["gaussian", "kaiming"] = "gaussian"

    sizes: Literal["fixed", "buckets"] = "fixed"
    resolution_px: PositiveInt = 512
    bucket_step_px: int = Field(default=64, ge=8, multiple_of=8)
    bucket_upscale: bool = False
    mask_channel: bool = False
    flip: bool = False
    latents: Literal["resampled", "once"] = "resampled"
    clip_skip: PositiveInt = 1
    caption_dropout: float = Field(default=0.1, ge=0, le=1)

    timesteps: Literal["stratified", "uniform"] = "stratified"
    min_snr_gamma: PositiveFloat | None = None
    noise_offset: NonNegativeFloat = 0.0
    prior_weight: PositiveFloat = 1.0

    steps: PositiveInt = 400
    batch_size: PositiveInt = 8
    accumulation: PositiveInt = 1
    optimizer: Literal["adamw", "adamw8bit", "prodigy"] = "adamw"
    unet_learning_rate: PositiveFloat = 1e-3
    text_encoder_learning_rate: NonNegativeFloat = 5e-4
    weight_decay: NonNegativeFloat = 0.01
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: NonNegativeInt = 0
    max_grad_norm: PositiveFloat | None = 1.0
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: int = 0

    spike: float | None = Field(default=5.0, gt=1)
    validate_every: PositiveInt = 50
    keep: Literal["last", "best"] = "last"
    licence: str = ""
    samples: SamplesConfig | None = None
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 50
    gradient_checkpointing: Annotated[bool, Runtime] = False
    compile: Annotated[Literal["auto", "always", "never"], Runtime] = "auto"
    device: Annotated[str, Runtime] = "auto"

    @model_validator(mode="after")
    def _fits_together(self) -> "LoraConfig":
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size={self.batch_size} cannot be done in accumulation={self.accumulation} parts")
        if self.resolution_px < self.bucket_step_px:
            raise ValueError(f"resolution_px={self.resolution_px} is less than bucket_step_px={self.bucket_step_px}")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} leaves nothing of steps={self.steps}")
        if self.mask_channel and self.sizes != "fixed":
            raise ValueError("mask_channel=true needs sizes=fixed: images are resized before they become pairs")
        rates = (self.unet_learning_rate, self.text_encoder_learning_rate)
        if self.optimizer == "prodigy" and rates[1] not in (0, rates[0]):
            raise ValueError(
                "prodigy finds one step size for all: set unet_learning_rate=1 and text_encoder_learning_rate=1 (or 0)"
            )
        return self


class ControlConfig(Config):
    """A ControlNet (Zhang et al. 2023), by which a frozen backbone generates a head at the place of a mask.

    Attributes:
        steps: updates of the weights.
        batch_size: images in an update.
        learning_rate: of the ControlNet.
        caption_dropout: share of captions left empty, which classifier-free guidance needs.
        seed: of all random draws; equal seeds give equal results.
        log_every: steps between two lines of `metrics.jsonl`.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 8
    learning_rate: PositiveFloat = 1e-3
    caption_dropout: float = Field(default=0.1, ge=0, le=1)
    seed: int = 0
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"
