"""Training of a segmentation network, with weights selected on validation patients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from fulora.data.folded_mobilenet import unfold_batch_norm
from fulora.environment import derive_seed
from fulora.segmentation import strategies
from fulora.segmentation.augment import augment
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.image_mask_pairs import ImageMaskPairs, check_pairs
from fulora.segmentation.loss import mean_dice, segmentation_loss
from fulora.segmentation.model import Unet, build_unet, save_unet
from fulora.segmentation.predict import probabilities, to_labels
from fulora.segmentation.side_outputs import SideOutputs
from fulora.training.averages import MovingAverage, use_average
from fulora.training.checkpointer import Checkpointer, Stateful
from fulora.training.checkpoints import BestModel, remove_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices

STATISTICS_IMAGES = 32  # images that the first batch norm statistics are taken from


@dataclass
class UnetLearner:
    """A network in training with its optimizer.

    Attributes:
        sides: with deep supervision, the prediction heads of coarser blocks.
        module: the network and the heads.
        average: moving average of the trained parameters, if the config asks for one.
    """

    cfg: UnetConfig
    unet: Unet
    sides: SideOutputs | None
    module: nn.ModuleList
    groups: list[strategies.ParameterGroup]
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None

    def parts(self) -> dict[str, Stateful]:
        """The parts of a checkpoint."""
        average: dict[str, Stateful] = {} if self.average is None else {"average": self.average}
        return {"module": self.module, "optimizer": self.optimizer, **average}


def fit(
    out: Path,
    cfg: UnetConfig,
    training: ImageMaskPairs,
    validation: ImageMaskPairs | None = None,
    start: Path | None = None,
) -> None:
    """Train a network and write `model.safetensors`, `model.json` and `metrics.jsonl` to `out`.

    An interrupted run resumes, and errors are raised, as by `fulora.training.checkpointer.Checkpointer`.

    Args:
        validation: of other patients; the weights with the highest Dice on it are kept, without it the last step's.
        start: the file that `cfg.encoder_weights` reads, if it reads one.

    Raises:
        SegmentationDataError: if images and masks do not fit each other or the config.
        UnetFileError, EncoderFileError: if `build_unet` cannot read `start`.
    """
    check_pairs(cfg, training, "training")
    if validation is not None:
        check_pairs(cfg, validation, "validation")
    given, cfg = cfg, cfg.of(len(training.images))
    device = pick_device(cfg.device)
    pixels, labels = torch.tensor(training.images, device=device), torch.tensor(training.masks, device=device)
    marked = torch.tensor(np.zeros(len(pixels), bool) if training.marked is None else training.marked)
    learner, best = prepare(cfg, pixels[:STATISTICS_IMAGES], start), BestModel()
    run = run_digest(given, vars(training), None if validation is None else vars(validation), start)
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, {**learner.parts(), "best": best})
    log = MetricsLog(out, checkpoints.done)
    with checkpoints.steps(cfg.steps, "train U-Net") as numbers:
        for done in numbers:
            number = done - 1
            rate = cosine_rate(number, cfg.steps, warmup=cfg.warmup_steps) if cfg.schedule == "cosine" else 1.0
            set_rate(learner.optimizer, rate)
            strategies.unfreeze_joined(learner.groups, number / cfg.steps)
            chosen = draw_batch(marked, cfg, number)
            seed = derive_seed(cfg.seed, "augment", number)
            batch, masks = augment(pixels[chosen].float(), labels[chosen].long(), cfg.augmentation, seed)
            weights = torch.where(marked[chosen], cfg.synthetic_weight, 1.0).to(device)
            values = {"loss": step(learner, batch, masks, weights)}
            if learner.average:
                learner.average.update(strategies.trainable_parameters(learner.groups), done)
            if validation is not None and (done % cfg.evaluate_every == 0 or done == cfg.steps):
                with use_average(learner.average, strategies.trainable_parameters(learner.groups)):
                    values["validation_dice"] = evaluate(learner.unet, validation, cfg.batch_size)
                    best.offer(values["validation_dice"], done, learner.unet)
            log.write(done, **values)
            checkpoints.after_step(done)
    with use_average(learner.average, strategies.trainable_parameters(learner.groups)):
        if best.weights:
            learner.unet.load_state_dict(best.weights)
        if cfg.strategy == "lora":
            strategies.merge_adapters(learner.unet.net)
        save_unet(out, given, learner.unet.net.state_dict())
    remove_checkpoint(out)


def draw_batch(marked: Bool[Tensor, "n"], cfg: UnetConfig, number: int) -> Int[Tensor, "b"]:
    """Return the indices of step `number`'s images; in the last steps only real ones, if the config says so."""
    real_only = number >= round(cfg.steps * (1 - cfg.real_last)) and bool((~marked).any())
    places = torch.nonzero(~marked)[:, 0] if real_only else torch.arange(len(marked))
    return places[batch_indices(len(places), cfg.batch_size, number, "unet", cfg.seed)]


def step(
    learner: UnetLearner,
    images: Float[Tensor, "b h w"],
    masks: Int[Tensor, "b h w"],
    weights: Float[Tensor, "b"] | None = None,
) -> float:
    """Do one update; frozen parts stay as they are, batch norm included. Returns the loss."""
    cfg = learner.cfg
    learner.module.train()
    strategies.set_frozen_to_eval(learner.unet.net)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=cfg.precision == "bf16"):
        logits = learner.unet(images)
        sides = learner.sides.logits(*images.shape[1:]) if learner.sides else []
    loss = segmentation_loss(logits.float(), masks, weights, cfg.loss)
    for weight, coarse in sides:
        loss = loss + weight * segmentation_loss(coarse.float(), masks, weights, cfg.loss)
    loss = loss / (1 + sum(weight for weight, _ in sides))
    learner.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    learner.optimizer.step()
    return float(loss.item())


def evaluate(model: Unet, pairs: ImageMaskPairs, batch_size: int) -> float:
    """Return the mean Dice over images and structures, without post-processing."""
    masks = np.stack([to_labels(share) for share in probabilities([model], pairs.images, batch_size=batch_size)])
    return mean_dice(torch.tensor(masks), torch.tensor(pairs.masks), max(1, model.cfg.outputs - 1))


def prepare(cfg: UnetConfig, pixels: UInt8[Tensor, "b h w"], start: Path | None) -> UnetLearner:
    """Build the network and its optimizer, with batch norm statistics measured on training images."""
    unet = build_unet(cfg, start).to(pixels.device)
    inputs = unet.normalise(pixels)
    if cfg.encoder_weights == "imagenet_folded":
        unfold_batch_norm(unet.net.get_submodule("encoder"), inputs)
    if cfg.encoder_weights != "network":
        strategies.initialise_batch_norm(unet.net, inputs, encoder=cfg.encoder_weights == "none")
    groups = strategies.apply_strategy(unet.net, cfg)
    sides = SideOutputs(cfg, unet.net).to(pixels.device) if cfg.deep_supervision else None
    module = nn.ModuleList([unet] if sides is None else [unet, sides])
    if sides is not None:
        groups.append(strategies.ParameterGroup(list(sides.parameters())))
    rates = [
        {"params": group.parameters, "base_lr": cfg.learning_rate * group.rate, "lr": cfg.learning_rate * group.rate}
        for group in groups
    ]
    optimizer = torch.optim.AdamW(rates, lr=cfg.learning_rate, weight_decay=cfg.weight_decay)
    average = None if cfg.ema_decay is None else MovingAverage(strategies.trainable_parameters(groups), cfg.ema_decay)
    return UnetLearner(cfg, unet, sides, module, groups, optimizer, average)
