"""Training of a U-Net: Dice and cross-entropy, AdamW, cosine schedule, resumed bit for bit."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fulora.data.folded_mobilenet import unfold_batch_norm
from fulora.progress import track
from fulora.segmentation.augment import augment
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.loss import mean_dice, segmentation_loss
from fulora.segmentation.model import Unet, build_unet, save_unet
from fulora.segmentation.predict import predict
from fulora.segmentation.strategies import apply_strategy, frozen_to_eval, settle_batch_norm
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

Stack = UInt8[np.ndarray, "_ _ _"]  # (n, h, w); `check_pairs` says in words what does not fit
Pairs = tuple[Stack, Stack]
SETTLE = 32  # images that the first batch norm statistics are taken from


class SegmentationDataError(ValueError):
    """Images and masks that a U-Net cannot be trained on."""


@dataclass
class Run:
    """What changes during training, and hence is in a checkpoint: weights, optimiser, and the best weights so far."""

    model: Unet
    optimizer: torch.optim.Optimizer
    best_dice: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)

    def resume(self, folder: Path) -> int:
        """Take over the checkpoint in `folder`, where there is one; the number of steps that are done."""
        state = load_checkpoint(folder)
        if state is None:
            return 0
        self.model.net.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_dice, self.best = state["best_dice"], state["best"]
        done: int = state["step"]
        return done

    def save(self, folder: Path, done: int) -> None:
        """Write a checkpoint after `done` steps."""
        states = {"model": self.model.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_checkpoint(folder, done, {**states, "best_dice": self.best_dice, "best": self.best})

    def consider(self, dice: float) -> None:
        """Keep the present weights if their validation Dice is the highest so far; the earlier of two equals stays."""
        if dice > self.best_dice:
            self.best_dice = dice
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.net.state_dict().items()}


def fit(
    out: Path,
    cfg: UnetConfig,
    images: Stack,
    masks: Stack,
    validation: Pairs | None = None,
    encoder_file: Path | None = None,
) -> None:
    """Train a U-Net and write `model.safetensors`, `model.json` and `metrics.jsonl` to `out`.

    Run again on a folder where it was interrupted, it goes on from the last checkpoint and ends with the same bytes
    (on a CPU with the same number of threads).

    Args:
        images: (n, h, w) gray, 0 to 255, of `cfg.image_size_px` both ways.
        masks: (n, h, w) class numbers below `max(2, cfg.classes)`, 0 background.
        validation: images and masks of other patients. Weights are kept from the evaluation with the highest Dice here;
            without it, from the last step.
        encoder_file: the folded MobileNetV2, for `encoder_weights: imagenet_folded`.

    Raises:
        SegmentationDataError: images and masks do not fit each other or the config.
        UnetFileError, EncoderFileError: from `build_unet`.
        TrainingDivergedError: the loss is not finite any more.
    """
    check_pairs(cfg, (images, masks), "training")
    if validation is not None:
        check_pairs(cfg, validation, "validation")
    device = pick_device(cfg.device)
    pixels, labels = torch.tensor(images, device=device), torch.tensor(masks, device=device)
    run = start(cfg, pixels[:SETTLE], encoder_file)
    first = run.resume(out)
    log = MetricsLog(out, first)
    for number in track(range(first, cfg.steps), "train U-Net", start=first, total=cfg.steps):
        set_rate(run.optimizer, cosine_rate(number, cfg.steps))
        chosen = batch_indices(len(pixels), cfg.batch_size, number, "unet", cfg.seed).to(device)
        batch = pixels[chosen].float(), labels[chosen].long()
        if cfg.augment:
            batch = augment(*batch, generator("unet", cfg.seed, "augment", number))
        done, values = number + 1, {"loss": step(run.model, run.optimizer, *batch)}
        if validation is not None and (done % cfg.evaluate_every == 0 or done == cfg.steps):
            values["validation_dice"] = evaluate(run.model, validation, cfg.batch_size)
            run.consider(values["validation_dice"])
        log.write(done, **values)
        if done % cfg.checkpoint_every == 0 or done == cfg.steps:
            run.save(out, done)
    save_unet(out, cfg, run.best or run.model.net.state_dict())
    remove_checkpoint(out)


def step(
    model: Unet, optimizer: torch.optim.Optimizer, images: Float[Tensor, "b h w"], masks: Int[Tensor, "b h w"]
) -> float:
    """One step of the optimiser; parts that do not learn stay as they are, batch norm included. Returns the loss."""
    model.train()
    frozen_to_eval(model.net)
    loss = segmentation_loss(model(images), masks)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def evaluate(model: Unet, pairs: Pairs, batch_size: int) -> float:
    """Mean Dice over images and structures, of the masks as the network gives them."""
    predicted = predict(model, pairs[0], batch_size, clean=False)
    return mean_dice(torch.tensor(predicted), torch.tensor(pairs[1]), max(1, model.classes - 1))


def start(cfg: UnetConfig, pixels: UInt8[Tensor, "b h w"], encoder_file: Path | None) -> Run:
    """The U-Net and its optimiser before the first step, with batch norm statistics measured on training images."""
    model = build_unet(cfg, encoder_file).to(pixels.device)
    inputs = model.normalise(pixels)
    if cfg.encoder_weights == "imagenet_folded":
        unfold_batch_norm(model.net.get_submodule("encoder"), inputs)
    settle_batch_norm(model.net, inputs, encoder=cfg.encoder_weights == "none")
    group = {"params": apply_strategy(model.net, cfg.strategy, cfg.train_head), "base_lr": cfg.learning_rate}
    return Run(model, torch.optim.AdamW([group], lr=cfg.learning_rate, weight_decay=cfg.weight_decay))


def check_pairs(cfg: UnetConfig, pairs: Pairs, name: str) -> None:
    """Check images and masks against each other and the config.

    Raises:
        SegmentationDataError: sizes differ, there is nothing, or a mask holds an unknown class.
    """
    images, masks = pairs
    size = cfg.image_size_px
    if images.shape != masks.shape or images.shape[1:] != (size, size) or len(images) < 2:
        raise SegmentationDataError(
            f"{name}: images {images.shape} and masks {masks.shape}; both must be (n, {size}, {size}) with n >= 2, "
            f"as image_size_px={size} says"
        )
    if masks.max() >= max(2, cfg.classes):
        raise SegmentationDataError(
            f"{name}: a mask holds class {masks.max()}; classes={cfg.classes} allows 0 to {max(1, cfg.classes - 1)}"
        )
