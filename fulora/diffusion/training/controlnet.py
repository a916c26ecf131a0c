"""Training of a ControlNet on images with masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from fulora.diffusion.config import ControlConfig
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import embed, unet_arguments
from fulora.diffusion.models.controlnet import ControlledUNet, build_control, masks_to_condition
from fulora.diffusion.models.loading import BackboneError, networks
from fulora.diffusion.models.noise_schedules import training_schedule
from fulora.diffusion.training.objective import batch_timesteps, encode, noise_error, with_dropout
from fulora.files import share
from fulora.progress import track
from fulora.training.checkpoints import load_checkpoint, remove_checkpoint, save_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.seeded_draws import batch_indices, generator

Stack = UInt8[np.ndarray, "n h w"]


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
    latents, conditions = encode(pipe.vae, list(images)), masks_to_condition(masks).to(device)
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
        unet = ControlledUNet(pipe.unet, control, conditions[places])
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
