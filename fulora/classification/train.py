"""Training of a classifier for a fixed number of steps, with weights selected on validation patients."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from fulora.classification.augment import augment
from fulora.classification.config import ClassifierConfig
from fulora.classification.model import Classifier, build_classifier, save_classifier
from fulora.classification.networks import ClassifierError
from fulora.classification.predict import predict, to_pixels
from fulora.data.folded_mobilenet import unfold_batch_norm
from fulora.data.hybrid import Schedule, synthetic_share
from fulora.data.label_set import LabelSet
from fulora.environment import derive_seed
from fulora.metrics.classification import macro_f1
from fulora.training.checkpointer import Checkpointer, Stateful
from fulora.training.checkpoints import BestModel, remove_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.parameter_groups import weight_decay_groups
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices, indices_by_class, round_robin_batch, seeded_generator

STATISTICS_IMAGES = 64
"""Training images from which the batch norms of a folded network get their first statistics."""


def fit(
    out: Path,
    cfg: ClassifierConfig,
    labels: LabelSet,
    images: UInt8[np.ndarray, "n h w"],
    shown: Int[np.ndarray, "shown"],
    is_synthetic: Bool[np.ndarray, "marks"],
    validation: tuple[UInt8[np.ndarray, "m vh vw"], Int[np.ndarray, "targets"]],
    showing: Schedule = "mixed",
    start: Path | None = None,
) -> None:
    """Train and write `model.safetensors`, `model.json`, `label_set.json` and `metrics.jsonl` to `out`.

    An interrupted run resumes, and errors are raised, as by `fulora.training.checkpointer.Checkpointer`.

    Args:
        labels: the classes; one output each, in their order.
        images: gray, 0 to 255.
        shown: (n,) the index of each image's class in `labels`.
        is_synthetic: (n,) which images weigh `cfg.synthetic_weight` in the loss.
        validation: images of other patients, and the indices of their classes, that choose the checkpoint; without
            images the last step's weights are kept.
        showing: when added images are shown, and when real ones.
        start: the weights file that the config's `weights` reads, if it reads one.

    Raises:
        ClassifierError: if there is only one class, there are no images, an image has no class or one that `labels`
            does not have, `start` cannot be used, or added images have a schedule in a training by epochs.
    """
    _check_inputs(cfg, labels, images, shown, is_synthetic, validation, showing)
    device, steps = pick_device(cfg.device), cfg.steps_for(len(images))
    model = _build_model(cfg, len(labels.names), start, images).to(device).to(memory_format=torch.channels_last).train()
    optimizer, best = _optimizer(model, cfg), BestModel()
    run = run_digest(cfg, labels, images, shown, is_synthetic, validation, showing, start)
    parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "best": best}
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, parts)
    log = MetricsLog(out, checkpoints.done)
    targets, marks = torch.from_numpy(shown).long(), torch.from_numpy(is_synthetic)
    weights = torch.where(marks, cfg.synthetic_weight, 1.0)
    with checkpoints.steps(steps, "classifier") as numbers:
        for done in numbers:
            rate = cosine_rate(done - 1, steps, warmup=cfg.warmup_steps) if cfg.schedule == "cosine" else 1.0
            set_rate(optimizer, rate)
            chosen = batch(targets, marks, cfg, done, synthetic_share(showing, (done - 1) / steps))
            pixels = to_pixels(images[chosen.numpy()]).to(device)
            pixels = augment(pixels, cfg.augmentation, seeded_generator(cfg.seed, "augment", done))
            seed = derive_seed(cfg.seed, "dropout", done)
            loss = step(
                model, optimizer, pixels, targets[chosen].to(device), weights[chosen].to(device), seed, cfg.precision
            )
            if done % cfg.log_every == 0 or done == steps:
                log.write(done, loss=loss.item())
            if len(validation[0]) and (done % cfg.evaluate_every == 0 or done == steps):
                validation_loss, f1 = evaluate(model, *validation)
                log.write(done, validation_loss=validation_loss, validation_macro_f1=f1)
                if cfg.select != "last":
                    best.offer(f1 if cfg.select == "macro_f1" else -validation_loss, done, model)
            checkpoints.after_step(done)
    if best.weights:
        model.load_state_dict(best.weights)
    labels.write(out)
    save_classifier(model, out)
    remove_checkpoint(out)


def step(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    pixels: Float[Tensor, "b 1 h w"],
    targets: Int[Tensor, "b"],
    weights: Float[Tensor, "b"],
    seed: int,
    precision: str = "fp32",
) -> Float[Tensor, ""]:
    """Do one update on the weighted mean cross-entropy; `seed` is for dropout. Returns the loss."""
    half = torch.autocast(pixels.device.type, torch.bfloat16, enabled=precision == "bf16")
    with torch.random.fork_rng(devices=[pixels.device] if pixels.is_cuda else []), half:
        torch.manual_seed(seed)
        losses = F.cross_entropy(model(pixels).float(), targets, reduction="none")
    loss = (losses * weights).sum() / weights.sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def evaluate(
    model: Classifier, images: UInt8[np.ndarray, "m h w"], labels: Int[np.ndarray, "m"]
) -> tuple[float, float]:
    """Return the mean cross-entropy, and the mean F1 of the classes among the labels."""
    probabilities = predict(model, images)
    of_label = probabilities[np.arange(len(labels)), labels]
    f1 = macro_f1(labels, probabilities.argmax(1), np.unique(labels).tolist())
    return float(-np.log(np.maximum(of_label, 1e-12)).mean()), f1


def batch(
    targets: Int[Tensor, "n"], synthetic: Bool[Tensor, "n"], cfg: ClassifierConfig, done: int, share: float | None
) -> Int[Tensor, "b"]:
    """Return the indices of one step's images; if balanced, from the classes in turn, each in epochs of its own.

    In a training by epochs the last batch of each may be smaller.

    Args:
        synthetic: which images are synthetic.
        share: probability of a synthetic image where a class has both kinds; None ignores the kind.
    """
    if cfg.epochs is not None:
        epoch, place = divmod(done - 1, cfg.steps_for(len(targets)) // cfg.epochs)
        order = torch.randperm(len(targets), generator=seeded_generator(cfg.seed, "order", "epoch", epoch))
        return order[place * cfg.batch_size : (place + 1) * cfg.batch_size]
    if not cfg.balanced and share is None:
        return batch_indices(len(targets), cfg.batch_size, done - 1, cfg.seed, "order")

    def of_one_kind(position: int, group: Tensor) -> Tensor:
        if share is None:
            return group
        use_synthetic = torch.rand((), generator=seeded_generator(cfg.seed, "share", position)).item() < share
        members = group[synthetic[group] == use_synthetic]
        return members if len(members) else group

    groups = indices_by_class(targets, cfg.seed, "order")
    if not cfg.balanced:
        groups = {(cfg.seed, "order"): torch.arange(len(targets))}
    return round_robin_batch(groups, cfg.batch_size, done - 1, of_one_kind)


@torch.no_grad()
def _build_model(
    cfg: ClassifierConfig, classes: int, start: Path | None, images: UInt8[np.ndarray, "n h w"]
) -> Classifier:
    """Build the classifier; folded batch norms get the statistics of some training images."""
    model = build_classifier(cfg, classes, start)
    if cfg.weights == "imagenet_folded":
        some = torch.randperm(len(images), generator=seeded_generator(cfg.seed, "unfold"))[:STATISTICS_IMAGES].numpy()
        unfold_batch_norm(model.network.get_submodule("features"), model.channels(to_pixels(images[some])))
    return model


def _check_inputs(
    cfg: ClassifierConfig,
    labels: LabelSet,
    images: UInt8[np.ndarray, "n h w"],
    shown: Int[np.ndarray, "shown"],
    is_synthetic: Bool[np.ndarray, "marks"],
    validation: tuple[UInt8[np.ndarray, "m vh vw"], Int[np.ndarray, "targets"]],
    showing: Schedule,
) -> None:
    if len(labels.names) < 2:
        raise ClassifierError(f"label set {labels.name} has the class {labels.names[0]} alone; a classifier needs two")
    for pixels, classes in ((images, shown), validation):
        if len(pixels) != len(classes):
            raise ClassifierError(f"{len(pixels)} images and {len(classes)} classes: every image needs one")
        wrong = sorted({int(place) for place in classes if not 0 <= place < len(labels.names)})
        if wrong:
            raise ClassifierError(
                f"classes {wrong}: each is the index of one of {', '.join(labels.names)}, 0 to {len(labels.names) - 1}"
            )
    if not len(images) or len(images) != len(is_synthetic):
        raise ClassifierError(f"{len(images)} images, {len(is_synthetic)} marks real or synthetic: one each is needed")
    if cfg.epochs is not None and showing != "mixed":
        raise ClassifierError(f"added images are shown {showing}, which epochs cannot do; set classifier.steps")


def _optimizer(model: Classifier, cfg: ClassifierConfig) -> torch.optim.Optimizer:
    groups = weight_decay_groups(model, cfg.learning_rate, cfg.weight_decay)
    if cfg.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=cfg.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=cfg.learning_rate)
