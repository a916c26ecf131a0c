"""Train a classifier: a fixed number of steps, the checkpoint chosen on validation patients."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.classification.augment import augmented
from fulora.classification.config import ClassifierConfig
from fulora.classification.model import Classifier, build_classifier, save_classifier
from fulora.classification.networks import ClassifierError
from fulora.classification.predict import predict, to_pixels
from fulora.data.folded_mobilenet import unfold_batch_norm
from fulora.data.hybrid import Schedule, synthetic_share
from fulora.data.label_set import LabelSet
from fulora.environment import derive_seed
from fulora.metrics.classification import macro_f1
from fulora.progress import track
from fulora.training.checkpoints import remove_checkpoint, resume, save_progress
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.seeded_draws import batch_indices, indices_by_class, round_robin_batch, seeded_generator

UNFOLDED_ON = 64
"""Training images that the batch norms of a folded network get their first statistics from."""


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

    A run that was killed goes on from its last checkpoint in `out`; on a CPU its result is the undisturbed one's, bit
    for bit.

    Args:
        labels: the classes; one output each, in their order.
        images: gray, 0 to 255.
        shown: (n,) the place of each image's class in `labels`.
        is_synthetic: (n,) which images weigh `cfg.synthetic_weight` in the loss.
        validation: images of other patients, and the places of their classes, that choose the checkpoint; without
            images the last is taken.
        showing: when added images are shown, and when real ones.
        start: the weights file that the config's `weights` reads, if it reads one.

    Raises:
        ClassifierError: one class alone, no images, not one class an image, a place that `labels` does not have, a
            start that cannot be used, or a schedule of added images in a training by epochs.
        TrainingDivergedError: a loss is not finite any more.
    """
    if len(labels.names) < 2:
        raise ClassifierError(f"label set {labels.name} has the class {labels.names[0]} alone; a classifier needs two")
    for found, classes in ((images, shown), validation):
        _check(found, classes, labels)
    if not len(images) or len(images) != len(is_synthetic):
        raise ClassifierError(f"{len(images)} images, {len(is_synthetic)} marks real or synthetic: one each is needed")
    if cfg.epochs is not None and showing != "mixed":
        raise ClassifierError(f"added images are shown {showing}, which epochs cannot do; set classifier.steps")
    out.mkdir(parents=True, exist_ok=True)
    device, steps = pick_device(cfg.device), cfg.steps_for(len(images))
    model = _started(cfg, len(labels.names), start, images).to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(model, cfg)
    best, begun = resume(out, model, optimizer)
    log = MetricsLog(out, begun)
    targets, marks = torch.from_numpy(shown).long(), torch.from_numpy(is_synthetic)
    weights = torch.where(marks, cfg.synthetic_weight, 1.0)
    for done in track(range(begun + 1, steps + 1), "classifier", start=begun):
        set_rate(optimizer, cosine_rate(done - 1, steps, warmup=cfg.warmup_steps) if cfg.schedule == "cosine" else 1.0)
        chosen = batch(targets, marks, cfg, done, synthetic_share(showing, (done - 1) / steps))
        pixels = to_pixels(images[chosen.numpy()]).to(device)
        pixels = augmented(pixels, cfg.augmentation, seeded_generator(cfg.seed, "augment", done))
        seed = derive_seed(cfg.seed, "dropout", done)
        loss = step(
            model, optimizer, pixels, targets[chosen].to(device), weights[chosen].to(device), seed, cfg.precision
        )
        if done % cfg.log_every == 0 or done == steps:
            log.write(done, loss=loss.item())
        if len(validation[0]) and (done % cfg.evaluate_every == 0 or done == steps):
            loss_there, f1 = evaluate(model, *validation)
            log.write(done, validation_loss=loss_there, validation_macro_f1=f1)
            if cfg.select != "last":
                best.offer(f1 if cfg.select == "macro_f1" else -loss_there, done, model)
        if done % cfg.checkpoint_every == 0:
            save_progress(out, done, model, optimizer, best)
    if best.state:
        model.load_state_dict(best.state)
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
    """One update on the weighted mean of the cross-entropies; `seed` is for dropout. Returns the loss."""
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
    """Mean cross-entropy, and the mean F1 of the classes that are among the labels."""
    probabilities = predict(model, images)
    guess = probabilities.argmax(1)
    own = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, 1e-12)).mean()), macro_f1(labels, guess, np.unique(labels).tolist())


def batch(
    targets: Int[Tensor, "n"], synthetic: Bool[Tensor, "n"], cfg: ClassifierConfig, done: int, share: float | None
) -> Int[Tensor, "b"]:
    """The images of one step. Balanced: the classes take turns, and each goes through its own images in epochs.

    In a training by epochs the last batch of each may be smaller.

    Args:
        synthetic: which images are synthetic.
        share: of the images that are drawn from the synthetic ones of their class, where it has both kinds; None draws
            from all alike.
    """
    if cfg.epochs is not None:
        epoch, place = divmod(done - 1, cfg.steps_for(len(targets)) // cfg.epochs)
        order = torch.randperm(len(targets), generator=seeded_generator(cfg.seed, "order", "epoch", epoch))
        return order[place * cfg.batch_size : (place + 1) * cfg.batch_size]
    if not cfg.balanced and share is None:
        return batch_indices(len(targets), cfg.batch_size, done - 1, cfg.seed, "order")

    def asked(place: int, group: Tensor) -> Tensor:
        if share is None:
            return group
        drawn = torch.rand((), generator=seeded_generator(cfg.seed, "share", place)).item() < share
        kind = group[synthetic[group] == drawn]
        return kind if len(kind) else group

    groups = indices_by_class(targets, cfg.seed, "order")
    if not cfg.balanced:
        groups = {(cfg.seed, "order"): torch.arange(len(targets))}
    return round_robin_batch(groups, cfg.batch_size, done - 1, asked)


@torch.no_grad()
def _started(cfg: ClassifierConfig, classes: int, start: Path | None, images: UInt8[np.ndarray, "n h w"]) -> Classifier:
    """The classifier before the first step; folded batch norms get the statistics of some training images."""
    model = build_classifier(cfg, classes, start)
    if cfg.weights == "imagenet_folded":
        some = torch.randperm(len(images), generator=seeded_generator(cfg.seed, "unfold"))[:UNFOLDED_ON].numpy()
        unfold_batch_norm(model.network.get_submodule("features"), model.channels(to_pixels(images[some])))
    return model


def _check(images: UInt8[np.ndarray, "k h w"], shown: Int[np.ndarray, "..."], labels: LabelSet) -> None:
    if len(images) != len(shown):
        raise ClassifierError(f"{len(images)} images and {len(shown)} classes: every image needs one")
    wrong = sorted({int(place) for place in shown if not 0 <= place < len(labels.names)})
    if wrong:
        raise ClassifierError(
            f"classes {wrong}: each is the place of one of {', '.join(labels.names)}, 0 to {len(labels.names) - 1}"
        )


def _optimizer(model: Classifier, cfg: ClassifierConfig) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum 0.9; weight decay on matrices and filters only."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    pairs = ((decay, cfg.weight_decay), (rest, 0.0))
    groups = [{"params": p, "weight_decay": amount, "base_lr": cfg.learning_rate} for p, amount in pairs]
    if cfg.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=cfg.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=cfg.learning_rate)
