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
from fulora.files import apply_umask
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import remove_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices, seeded_generator


def fit(
    out: Path,
    cfg: ControlConfig,
    pipe: Pipeline,
    images: UInt8[np.ndarray, "n h w"],
    masks: UInt8[np.ndarray, "m mask_h mask_w"],
    captions: Sequence[str],
    *,
    base_digest: str = "",
) -> None:
    """Train a ControlNet and write it to `out` in diffusers' layout, with `metrics.jsonl`.

    An interrupted run resumes from its last checkpoint in `out`; on a CPU its result is bit-identical to that of an
    uninterrupted run.

    Args:
        images: (n, h, w) gray, 0 to 255.
        masks: of the same shape, class numbers, 0 background.
        base_digest: of the backbone's content: a checkpoint of a training on another backbone is refused.

    Raises:
        BackboneError: if images, masks and captions do not belong together.
        CheckpointError: if the checkpoint in `out` is damaged, or of another training.
        PreemptedError: if SIGTERM or SIGHUP came; a checkpoint was written.
        TrainingDivergedError: if the loss is not finite.
    """
    if not len(images) or images.shape != masks.shape or len(images) != len(captions):
        raise BackboneError(f"{images.shape} images, {masks.shape} masks, {len(captions)} captions: one each is needed")
    device = pick_device(cfg.device)
    control = build_control(pipe, cfg.seed).to(device).train()
    for module in networks(pipe):
        module.requires_grad_(False).to(device)
    latents, conditions = encode(pipe.vae, list(images)), masks_to_condition(masks).to(device)
    optimizer = torch.optim.AdamW([{"params": list(control.parameters()), "base_lr": cfg.learning_rate}])
    run = run_digest(cfg, base_digest, images, masks, captions)
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, {"control": control, "optimizer": optimizer})
    log, schedule = MetricsLog(out, checkpoints.done), training_schedule(pipe.scheduler.config)
    with checkpoints.steps(cfg.steps, "ControlNet") as numbers:
        for done in numbers:
            set_rate(optimizer, cosine_rate(done - 1, cfg.steps))
            random = seeded_generator(cfg.seed, "control", done)
            places = batch_indices(len(images), cfg.batch_size, done - 1, cfg.seed, "control").tolist()
            texts = with_dropout([captions[place] for place in places], cfg.caption_dropout, random)
            batch = latents.draw(places, random)
            noise = torch.randn(batch.shape, generator=random).to(device)
            times = batch_timesteps(len(batch), schedule.config.num_train_timesteps, random).to(device)
            unet = ControlledUNet(pipe.unet, control, conditions[places])
            arguments = unet_arguments(embed(pipe, texts), images.shape[1:])
            loss = noise_error(unet, schedule, batch, noise, times, arguments).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if done % cfg.log_every == 0 or done == cfg.steps:
                log.write(done, loss=loss.item())
            checkpoints.after_step(done)
    control.to("cpu").save_pretrained(out)
    apply_umask(out.glob("*.safetensors"))
    remove_checkpoint(out)
