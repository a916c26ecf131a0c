"""Mask first: a ControlNet beside a backbone, trained on images with masks; `painter` draws pictures with it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from jaxtyping import Float, UInt8
from torch import Tensor

from fulora.diffusion.architectures import Pipeline
from fulora.diffusion.backbone import BackboneError, networks, quiet
from fulora.diffusion.conditioning import embed, unet_arguments
from fulora.diffusion.config import ControlConfig
from fulora.diffusion.objective import batch_timesteps, encode, noise_error, with_dropout
from fulora.diffusion.schedules import training_schedule
from fulora.disk import share
from fulora.environment import derive_seed
from fulora.progress import track
from fulora.training import (
    MetricsLog,
    batch_indices,
    cosine_rate,
    generator,
    load_checkpoint,
    pick_device,
    remove_checkpoint,
    save_checkpoint,
    set_rate,
)

EMBEDDING = (16, 32, 64, 128, 256)
"""Channels of the layers that a mask goes through; each after the first halves it, down to the size of the latents."""

Stack = UInt8[np.ndarray, "n h w"]


class Controlled:
    """A UNet that is told a mask for each picture; called as the UNet is."""

    def __init__(self, unet: Any, control: ControlNetModel, masks: Float[Tensor, "b 3 h w"]) -> None:
        self.unet, self.control, self.masks = unet, control, masks

    def __call__(self, latents: Float[Tensor, "b c h w"], time: Tensor, **arguments: Any) -> Any:
        """What the UNet predicts. Guidance asks for every picture twice in one batch, so masks are repeated."""
        masks = self.masks.repeat(len(latents) // len(self.masks), 1, 1, 1)
        down, middle = self.control(latents, time, controlnet_cond=masks, return_dict=False, **arguments)
        return self.unet(
            latents, time, down_block_additional_residuals=down, mid_block_additional_residual=middle, **arguments
        )


def build_control(pipe: Pipeline, seed: int) -> ControlNetModel:
    """A ControlNet that starts as a copy of the UNet's first half and adds nothing yet."""
    halvings = round(math.log2(pipe.vae_scale_factor))
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(derive_seed(seed, "control"))
        made: ControlNetModel = ControlNetModel.from_unet(
            pipe.unet, conditioning_embedding_out_channels=EMBEDDING[: halvings + 1]
        )
    return made


def as_condition(masks: Stack) -> Float[Tensor, "n 3 h w"]:
    """Masks as a ControlNet reads them: three channels, 1 where there is a structure."""
    return torch.from_numpy((masks > 0).astype(np.float32))[:, None].expand(-1, 3, -1, -1).contiguous()


def fit(out: Path, cfg: ControlConfig, pipe: Pipeline, images: Stack, masks: Stack, captions: Sequence[str]) -> None:
    """Train a ControlNet and write it to `out` in diffusers' layout, with `metrics.jsonl`.

    A run that was killed goes on from its last checkpoint in `out`; on a CPU its result is the undisturbed one's, bit
    for bit.

    Args:
        images: gray, 0 to 255; masks: of the same shape, class numbers.

    Raises:
        BackboneError: images, masks and captions that do not belong together.
        TrainingDivergedError: the loss is not finite any more.
    """
    if not len(images) or images.shape != masks.shape or len(images) != len(captions):
        raise BackboneError(f"{images.shape} images, {masks.shape} masks, {len(captions)} captions: one each is needed")
    device = pick_device(cfg.device)
    control = build_control(pipe, cfg.seed).to(device).train()
    for module in networks(pipe):
        module.requires_grad_(False).to(device)
    latents, conditions = encode(pipe.vae, list(images)), as_condition(masks).to(device)
    optimizer = torch.optim.AdamW([{"params": list(control.parameters()), "base_lr": cfg.learning_rate}])
    state = load_checkpoint(out)
    if state is not None:
        control.load_state_dict(state["control"])
        optimizer.load_state_dict(state["optimizer"])
    first = int(state["step"]) if state else 0
    log, schedule = MetricsLog(out, first), training_schedule(pipe.scheduler.config)
    for done in track(range(first + 1, cfg.steps + 1), "ControlNet", start=first):
        set_rate(optimizer, cosine_rate(done - 1, cfg.steps))
        random = generator(cfg.seed, "control", done)
        places = batch_indices(len(images), cfg.batch_size, done - 1, cfg.seed, "control").tolist()
        texts = with_dropout([captions[place] for place in places], cfg.caption_dropout, random)
        drawn = latents.draw(places, random)
        noise = torch.randn(drawn.shape, generator=random).to(device)
        times = batch_timesteps(len(drawn), schedule.config.num_train_timesteps, random).to(device)
        unet = Controlled(pipe.unet, control, conditions[places])
        arguments = unet_arguments(embed(pipe, texts), images.shape[1:])
        loss = noise_error(unet, schedule, drawn, noise, times, arguments).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if done % cfg.log_every == 0 or done == cfg.steps:
            log.write(done, loss=loss.item())
        if done % cfg.checkpoint_every == 0:
            save_checkpoint(out, done, {"control": control.state_dict(), "optimizer": optimizer.state_dict()})
    control.to("cpu").save_pretrained(out)
    share(out.glob("*.safetensors"))
    remove_checkpoint(out)


def load_control(folder: Path) -> ControlNetModel:
    """The ControlNet that `fit` wrote, in evaluation mode; nothing is fetched.

    Raises:
        BackboneError: there is none, or it is damaged.
    """
    try:
        made: ControlNetModel = ControlNetModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise BackboneError(f"{folder}: no ControlNet in diffusers' layout can be read here: {error}") from error
    return made.eval()
