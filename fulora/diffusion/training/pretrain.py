"""Pre-training of a small Stable Diffusion: first the autoencoder, then UNet and text encoder on its cached latents.

Both loops resume exactly: every draw comes from (seed, step), and one checkpoint has the state of both. Steps are
counted over both, in the checkpoint and in `metrics.jsonl`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.data.pictures.image_and_mask import add_random_ellipses
from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.models.architectures import build_backbone
from fulora.diffusion.models.conditioning import embed, unet_arguments
from fulora.diffusion.models.loading import BackboneError, save_backbone
from fulora.diffusion.training.objective import Latents, batch_timesteps, encode, noise_error, to_tensor, with_dropout
from fulora.environment import derive_seed
from fulora.training.averages import MovingAverage, copy_into
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import remove_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices, seeded_generator

KL_WEIGHT = 1e-6
TEXTURE_WEIGHT = 1.0


@dataclass(frozen=True)
class BackboneLearner:
    """A module in training, its optimizer, and the moving average of its weights, which is what is kept."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The module's parameters, in the order of the average."""
        return list(self.module.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {name: part.state_dict() for name, part in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name, part in vars(self).items():
            part.load_state_dict(state[name])


def fit(
    out: Path,
    cfg: PretrainConfig,
    images: UInt8[np.ndarray, "n h w"],
    captions: Sequence[str],
    words: Sequence[str],
) -> None:
    """Train a backbone and write it to `out` as a diffusers folder in fp16, with `metrics.jsonl`.

    An interrupted run resumes from its last checkpoint in `out`; on a CPU its result is bit-identical to that of an
    uninterrupted run.

    Args:
        images: gray, 0 to 255, square; the size is the backbone's.
        captions: one for each image.
        words: those that the tokenizer has as one token each, such as `tokenizers.collect_words` of the captions.

    Raises:
        BackboneError: if there are no images, not one caption for each, or their size does not suit the UNet.
        CheckpointError: if the checkpoint in `out` is damaged, or of another training.
        PreemptedError: if SIGTERM or SIGHUP came; a checkpoint was written.
        TrainingDivergedError: if a loss is not finite.
    """
    _check(cfg, images, captions)
    pipe = build_backbone(cfg, images.shape[1], out, words).to(pick_device(cfg.device))
    denoiser = torch.nn.ModuleList([pipe.unet, pipe.text_encoder])
    learners = {
        "autoencoder": _learner(pipe.vae, cfg.autoencoder_learning_rate, cfg.ema_decay),
        "denoiser": _learner(denoiser, cfg.denoiser_learning_rate, cfg.ema_decay),
    }
    run = run_digest(cfg, images, captions, words)
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, learners)
    log = MetricsLog(out, checkpoints.done)
    fit_autoencoder(cfg, checkpoints, log, pipe.vae, learners["autoencoder"], images)
    fit_denoiser(cfg, checkpoints, log, pipe, learners["denoiser"], unit_latents(pipe.vae, images), captions)
    save_backbone(pipe, out, half=True)
    remove_checkpoint(out)


def _check(cfg: PretrainConfig, images: UInt8[np.ndarray, "n h w"], captions: Sequence[str]) -> None:
    if not len(images) or len(images) != len(captions):
        raise BackboneError(f"{len(images)} images and {len(captions)} captions: every image needs one")
    unit = cfg.latent_downsampling * 2 ** (len(cfg.unet_channels) - 1)
    if images.shape[1] != images.shape[2] or images.shape[1] % unit:
        raise BackboneError(f"images of {images.shape[1]} x {images.shape[2]} px: square ones, a multiple of {unit} px")


def fit_autoencoder(
    cfg: PretrainConfig,
    checkpoints: Checkpointer,
    log: MetricsLog,
    vae: AutoencoderKL,
    learner: BackboneLearner,
    images: UInt8[np.ndarray, "n h w"],
) -> None:
    """Train the autoencoder; the moving average of its weights is kept."""
    steps = cfg.autoencoder_steps
    vae.train()
    with checkpoints.steps(steps, "autoencoder") as numbers:
        for done in numbers:
            set_rate(learner.optimizer, cosine_rate(done - 1, steps, warmup=cfg.warmup_steps))
            places = batch_indices(len(images), cfg.autoencoder_batch_size, done - 1, cfg.seed, "autoencoder")
            pixels = images[places.numpy()]
            if cfg.mask_channel:
                pixels = add_random_ellipses(pixels, derive_seed(cfg.seed, "ellipses", done))
            batch = to_tensor(pixels).to(vae.device)
            loss, error = reconstruction_error(vae, batch, seeded_generator(cfg.seed, "posterior", done))
            step(learner, loss, done)
            if done % cfg.log_every == 0 or done == steps:
                log.write(done, autoencoder_loss=loss.item(), autoencoder_l1=error.item())
            checkpoints.after_step(done)
    copy_into(learner.parameters, learner.average.values)
    vae.eval()


def reconstruction_error(
    vae: AutoencoderKL, batch: Float[Tensor, "b 3 h w"], random: torch.Generator
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the autoencoder's loss, and the mean absolute error of the pixels alone (pixels are -1 to 1).

    Loss: that error, the error of the texture's local strength, and a small KL divergence to the unit normal. Speckle
    cannot be stored pixel by pixel in the latents; the error of pixels alone would smooth it away.
    """
    posterior = vae.encode(batch).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=random).to(batch.device)
    decoded = vae.decode(posterior.mean + posterior.std * noise).sample
    error = (decoded - batch).abs().mean()
    texture = (texture_strength(decoded) - texture_strength(batch)).abs().mean()
    return error + TEXTURE_WEIGHT * texture + KL_WEIGHT * posterior.kl().mean(), error.detach()


def texture_strength(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2*c h2 w2"]:
    """Return the mean absolute difference of neighbouring pixels, across and down, in overlapping 8 x 8 windows."""
    across = images.diff(dim=3)[:, :, :-1].abs()
    down = images.diff(dim=2)[:, :, :, :-1].abs()
    return F.avg_pool2d(torch.cat([across, down], dim=1), 8, stride=4)


def unit_latents(vae: AutoencoderKL, images: UInt8[np.ndarray, "n h w"]) -> Latents:
    """Encode every image once; sets the autoencoder's `scaling_factor`, which gives latents of unit variance."""
    vae.register_to_config(scaling_factor=1.0)
    raw = encode(vae, list(images))
    scale = round(1 / float(torch.stack(list(raw.mean)).std()), 4)
    vae.register_to_config(scaling_factor=scale)
    return Latents([mean * scale for mean in raw.mean], [std * scale for std in raw.std])


def fit_denoiser(
    cfg: PretrainConfig,
    checkpoints: Checkpointer,
    log: MetricsLog,
    pipe: StableDiffusionPipeline,
    learner: BackboneLearner,
    latents: Latents,
    captions: Sequence[str],
) -> None:
    """Train UNet and text encoder together on the autoencoder's latents; their moving average is kept."""
    before, steps = cfg.autoencoder_steps, cfg.denoiser_steps
    learner.module.train()
    with checkpoints.steps(before + steps, "denoiser") as numbers:
        for number in numbers:
            done = number - before
            set_rate(learner.optimizer, cosine_rate(done - 1, steps, warmup=cfg.warmup_steps))
            random = seeded_generator(cfg.seed, "denoiser", done)
            places = batch_indices(len(captions), cfg.denoiser_batch_size, done - 1, cfg.seed, "denoiser")
            texts = with_dropout([captions[place] for place in places], cfg.caption_dropout, random)
            loss = denoising_error(pipe, latents.draw(places.tolist(), random), texts, random, cfg.min_snr_gamma)
            step(learner, loss, done)
            if done % cfg.log_every == 0 or done == steps:
                log.write(number, denoiser_loss=loss.item())
            checkpoints.after_step(number)
    copy_into(learner.parameters, learner.average.values)
    learner.module.eval()


def denoising_error(
    pipe: StableDiffusionPipeline,
    latents: Float[Tensor, "b c h w"],
    captions: Sequence[str],
    random: torch.Generator,
    min_snr_gamma: float | None,
) -> Float[Tensor, ""]:
    """Return the denoiser's loss on a batch of b images, with one timestep in each of b equal parts of the schedule."""
    noise = torch.randn(latents.shape, generator=random).to(latents.device)
    total = pipe.scheduler.config.num_train_timesteps
    timesteps = batch_timesteps(len(latents), total, random).to(latents.device)
    side = latents.shape[-1] * pipe.vae_scale_factor
    arguments = unet_arguments(embed(pipe, captions), (side, side))
    error = noise_error(pipe.unet, pipe.scheduler, latents, noise, timesteps, arguments, min_snr_gamma=min_snr_gamma)
    return error.mean()


def step(learner: BackboneLearner, loss: Float[Tensor, ""], done: int) -> None:
    """Do update number `done` of the weights and of their average."""
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
    learner.optimizer.step()
    learner.average.update(learner.parameters, done)


def _learner(module: torch.nn.Module, rate: float, decay: float) -> BackboneLearner:
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "base_lr": rate}], lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    return BackboneLearner(module, optimizer, MovingAverage(parameters, decay))
