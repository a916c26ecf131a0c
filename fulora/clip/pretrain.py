"""Pre-train a tiny CLIP on images and the captions of their classes.

Every image of a class matches every caption of that class, so the target is spread over all pairs of one class (UniCL,
Yang et al., CVPR 2022); plain CLIP would treat all but one as mismatches.
"""

from pathlib import Path

import numpy as np
import open_clip
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from fulora.affine import view, warp
from fulora.clip.config import ClipPretrainConfig
from fulora.clip.model import (
    ClipError,
    build_clip,
    build_tokenizer,
    clip_config,
    normalise,
    save_clip,
    to_squares,
    to_unit_range,
)
from fulora.clip.optimizer import adamw, update
from fulora.clip.prompts import pretraining_captions
from fulora.data.label_set import LabelSet
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import remove_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices, seeded_generator


def fit(
    out: Path,
    cfg: ClipPretrainConfig,
    labels: LabelSet,
    images: UInt8[np.ndarray, "n h w"],
    shown: Int[np.ndarray, "shown"],
) -> None:
    """Train from random weights and write the bundle (`load_clip` reads it) and `metrics.jsonl` to `out`.

    An interrupted run resumes, and errors are raised, as by `fulora.training.checkpointer.Checkpointer`.

    Args:
        labels: the classes, with the words that their captions are made of.
        images: gray, 0 to 255.
        shown: the index of each image's class in `labels`.

    Raises:
        ClipError: if there are no images, or not one class for each.
    """
    if not len(images) or len(images) != len(shown):
        raise ClipError(f"{len(images)} images and {len(shown)} classes: CLIP is trained on images of one class each")
    tokenizer, targets = build_tokenizer(cfg), torch.from_numpy(shown).long()
    tokens = [tokenizer(pretraining_captions(one)) for one in labels.classes]
    device, pictures = pick_device(cfg.device), to_squares(images, cfg.image_size_px)
    model = build_clip(cfg).to(device).train()
    optimizer = adamw(model, cfg.learning_rate, cfg.weight_decay)
    run = run_digest(cfg, labels, images, shown)
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, {"model": model, "optimizer": optimizer})
    log = MetricsLog(out, checkpoints.done)
    with checkpoints.steps(cfg.steps, "CLIP") as numbers:
        for done in numbers:
            set_rate(optimizer, cosine_rate(done - 1, cfg.steps, warmup=cfg.warmup_steps))
            chosen = batch_indices(len(images), cfg.batch_size, done - 1, cfg.seed, "clip", "order")
            random = seeded_generator(cfg.seed, "clip", "augment", done)
            pixels = augment(to_unit_range(pictures[chosen.numpy()]), cfg.crop, random)
            captions = draw_captions(tokens, targets[chosen], seeded_generator(cfg.seed, "clip", "caption", done))
            loss, accuracy = step(model, optimizer, pixels.to(device), captions.to(device), targets[chosen].to(device))
            if done % cfg.log_every == 0 or done == cfg.steps:
                log.write(done, loss=loss.item(), accuracy=accuracy.item())
            checkpoints.after_step(done)
    save_clip(model, clip_config(cfg), out)
    remove_checkpoint(out)


def step(
    model: open_clip.CLIP,
    optimizer: torch.optim.Optimizer,
    pixels: Float[Tensor, "b 1 size size"],
    captions: Int[Tensor, "b context"],
    labels: Int[Tensor, "b"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Do one update. Returns the loss, and the share of images whose best caption is of their own class."""
    image, text, scale = model(normalise(model, pixels), captions)
    logits = scale * image @ text.T
    same = labels[:, None] == labels[None, :]
    loss = matching_loss(logits, same)
    return update(model, optimizer, loss), same.gather(1, logits.argmax(1, keepdim=True)).float().mean()


def matching_loss(logits: Float[Tensor, "b b"], same: Bool[Tensor, "b b"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of images to captions and of captions to images, with targets even over all matches."""
    target = same / same.sum(1, keepdim=True)  # `same` is symmetric, so the target of both directions is this
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def augment(pixels: Float[Tensor, "b 1 s s"], crop: float, random: torch.Generator) -> Float[Tensor, "b 1 s s"]:
    """Crop, flip and scale each image at random. Pixels are 0 to 1 before and after; `crop` is the smallest side."""
    draw = torch.rand(5, len(pixels), generator=random)
    side = crop + (1 - crop) * draw[0]
    flip = torch.where(draw[1] < 0.5, -1.0, 1.0)
    cropped = warp(pixels, view(side, side, (1 - side) * (2 * draw[2:4] - 1), mirror=flip))
    return (cropped * (0.7 + 0.6 * draw[4]).view(-1, 1, 1, 1)).clamp(0, 1)


def draw_captions(
    tokens: list[Int[Tensor, "_ context"]], labels: Int[Tensor, "b"], random: torch.Generator
) -> Int[Tensor, "b context"]:
    """Return one caption for each image, drawn at random from those of its class."""
    draw = torch.rand(len(labels), generator=random)
    pairs = zip(labels.tolist(), draw.tolist(), strict=True)
    return torch.stack([tokens[label][int(share * len(tokens[label]))] for label, share in pairs])
