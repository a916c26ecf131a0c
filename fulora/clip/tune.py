"""Fine-tune a CLIP on images of a label set's classes: against its text classifier, with captions, or by LoRA."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from fulora.clip.config import TuneClipConfig
from fulora.clip.embed import text_directions
from fulora.clip.loading import Clip, copy_weights
from fulora.clip.model import ClipError, ClipModel, normalise, save_clip, to_unit_range
from fulora.clip.optimizer import adamw, update
from fulora.clip.pretrain import augment, draw_captions, matching_loss
from fulora.clip.prompts import pretraining_captions, prompts_of
from fulora.data.label_set import LabelSet
from fulora.environment import derive_seed
from fulora.metrics.classification import macro_f1
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import BestModel, remove_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices, indices_by_class, round_robin_batch, seeded_generator

Squares = UInt8[np.ndarray, "n s s"]


@dataclass(frozen=True)
class TuningImages:
    """Square images of the CLIP's input size, and the index of each one's class in the label set."""

    pixels: Squares
    labels: Int[np.ndarray, " n"]


class ClipLearner:
    """A CLIP in training, with the prompts and captions of its classes."""

    def __init__(self, clip: Clip, cfg: TuneClipConfig, labels: LabelSet) -> None:
        self.cfg, self.tokenizer = cfg, clip.tokenizer
        self.prompts = prompts_of(labels, cfg.prompts).texts()
        self.device = pick_device(cfg.device)
        self.model: ClipModel = prepare_adaptation(clip.model, cfg).to(self.device).eval()
        self.captions = [clip.tokenizer(pretraining_captions(one)).to(self.device) for one in labels.classes]
        self.texts = self.directions()

    def directions(self) -> Float[Tensor, "embed classes"]:
        """Return the text classifier of the present text tower."""
        return text_directions(self.model, self.tokenizer, self.prompts)

    def loss(self, train: TuningImages, weights: Float[Tensor, "n"], done: int) -> Float[Tensor, ""]:
        """Compute the loss of one step's batch."""
        labels = torch.from_numpy(train.labels)
        chosen = batch(labels, self.cfg, done)
        random = seeded_generator(self.cfg.seed, "augment", done)
        pixels = augment(to_unit_range(train.pixels[chosen.numpy()]), self.cfg.crop, random)
        inputs, targets = normalise(self.model, pixels.to(self.device)), labels[chosen].to(self.device)
        if self.cfg.method == "flyp":
            random = seeded_generator(self.cfg.seed, "caption", done)
            return caption_loss(self.model, inputs, targets, self.captions, random)
        return text_classifier_loss(self.model, inputs, targets, weights[chosen].to(self.device), self.texts)

    def evaluate(self, images: TuningImages) -> tuple[float, float]:
        """Return the mean cross-entropy by prompts, and the mean F1 of the classes among the images."""
        texts = self.directions() if self.cfg.method == "flyp" else self.texts
        with torch.no_grad():
            starts = range(0, len(images.labels), self.cfg.batch_size)
            logits = torch.cat([self._logits(images.pixels[i : i + self.cfg.batch_size], texts) for i in starts])
        labels = torch.from_numpy(images.labels)
        f1 = macro_f1(images.labels, logits.argmax(1).numpy(), np.unique(images.labels).tolist())
        return float(F.cross_entropy(logits, labels)), f1

    def _logits(self, pixels: Squares, texts: Float[Tensor, "embed classes"]) -> Float[Tensor, "n classes"]:
        inputs = normalise(self.model, to_unit_range(pixels).to(self.device))
        features = self.model.encode_image(inputs, normalize=True)
        logits: Tensor = self.model.logit_scale.exp() * features @ texts
        return logits.float().cpu()


def fit(
    out: Path,
    cfg: TuneClipConfig,
    labels: LabelSet,
    clip: Clip,
    train: TuningImages,
    synthetic: Bool[np.ndarray, " n"],
    validation: TuningImages,
) -> None:
    """Fine-tune and write an open_clip bundle in single precision, `label_set.json` and `metrics.jsonl` to `out`.

    An interrupted run resumes, and errors are raised, as by `fulora.training.checkpointer.Checkpointer`. The model is
    in evaluation mode: batch norms keep their statistics.

    Args:
        labels: the classes, with their prompts and captions.
        synthetic: which training images weigh `cfg.synthetic_weight` in the loss; flyp's has no weights.
        validation: of other patients; chooses the step.

    Raises:
        ClipError: if there are no training images.
        LabelSetError: if the config's prompts are for other classes.
    """
    if not len(train.labels):
        raise ClipError("there are no images to tune on; check the set's training split")
    before = copy_weights(clip.model)
    run = run_digest(cfg, labels, before, vars(train), synthetic, vars(validation))
    learner, best = ClipLearner(clip, cfg, labels), BestModel()
    optimizer = adamw(learner.model, cfg.learning_rate, cfg.weight_decay)
    weights = torch.from_numpy(np.where(synthetic, cfg.synthetic_weight, 1.0)).float()
    parts = {"model": learner.model, "optimizer": optimizer, "best": best}
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, parts)
    log = MetricsLog(out, checkpoints.done)
    with checkpoints.steps(cfg.steps, f"CLIP {cfg.method}") as numbers:
        for done in numbers:
            set_rate(optimizer, cosine_rate(done - 1, cfg.steps, warmup=cfg.warmup_steps))
            loss = update(learner.model, optimizer, learner.loss(train, weights, done))
            if done % cfg.log_every == 0 or done == cfg.steps:
                log.write(done, loss=loss.item())
            if len(validation.labels) and (done % cfg.evaluate_every == 0 or done == cfg.steps):
                validation_loss, f1 = learner.evaluate(validation)
                log.write(done, validation_loss=validation_loss, validation_macro_f1=f1)
                if cfg.select != "last":
                    best.offer(f1 if cfg.select == "macro_f1" else -validation_loss, done, learner.model)
            checkpoints.after_step(done)
    if best.weights:
        learner.model.load_state_dict(best.weights)
    after = merge_adapters(learner.model)
    after.load_state_dict(interpolate_weights(before, copy_weights(after), cfg.wise_ft))
    labels.write(out)
    save_clip(after, clip.config, out, half=False)
    remove_checkpoint(out)


def text_classifier_loss(
    model: ClipModel,
    pixels: Float[Tensor, "b 3 s s"],
    labels: Int[Tensor, "b"],
    weights: Float[Tensor, "b"],
    texts: Float[Tensor, "embed classes"],
) -> Float[Tensor, ""]:
    """Return the weighted mean cross-entropy of the logits: the learned scale times cosines to the text classifier."""
    logits = model.logit_scale.exp() * model.encode_image(pixels, normalize=True) @ texts
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (losses * weights).sum() / weights.sum()


def caption_loss(
    model: ClipModel,
    pixels: Float[Tensor, "b 3 s s"],
    labels: Int[Tensor, "b"],
    captions: list[Int[Tensor, "_ context"]],
    random: torch.Generator,
) -> Float[Tensor, ""]:
    """Return CLIP's contrastive loss with a random caption per image; captions of an image's class all match it."""
    tokens = draw_captions(captions, labels, random)
    images, texts = model.encode_image(pixels, normalize=True), model.encode_text(tokens, normalize=True)
    return matching_loss(model.logit_scale.exp() * images @ texts.T, labels[:, None] == labels[None, :])


def prepare_adaptation(model: ClipModel, cfg: TuneClipConfig) -> ClipModel:
    """Set which parameters are trained: image tower and scale; with `flyp` all; with `lora` adapters and scale."""
    learns = ("visual.", "logit_scale") if cfg.method != "flyp" else ("",)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(learns))
    if cfg.method == "lora":
        targets = lora_targets(model.visual)
        settings = LoraConfig(r=cfg.lora_rank, lora_alpha=int(cfg.lora_alpha), target_modules=targets)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(cfg.seed, "clip", "lora"))
            model.visual = get_peft_model(model.visual, settings)
    return model


def lora_targets(tower: nn.Module) -> list[str]:
    """Return the names of an image tower's adapted modules: attention and linear layers, or all convolutions."""
    kinds = {name: type(module) for name, module in tower.named_modules()}
    attention = [name for name, kind in kinds.items() if kind is nn.MultiheadAttention]
    within = tuple(f"{name}." for name in attention)
    linear = [name for name, kind in kinds.items() if kind is nn.Linear and not name.startswith(within)]
    convolutions = [name for name, kind in kinds.items() if kind is nn.Conv2d]
    return attention + linear if attention else [name for name in convolutions if name]


def merge_adapters(model: ClipModel) -> ClipModel:
    """Merge the adapters, if any, into the weights, which get their original names back."""
    if hasattr(model.visual, "merge_and_unload"):
        model.visual = model.visual.merge_and_unload()
    return model


def interpolate_weights(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Interpolate between old weights (`share` 0) and new ones (1) (WiSE-FT, Wortsman et al., CVPR 2022, equation 1).

    Raises:
        ClipError: if the two have different architectures.
    """
    if before.keys() != after.keys() or any(before[name].shape != after[name].shape for name in before):
        raise ClipError("the two CLIPs have different architectures: their weights cannot be interpolated")
    if share in (0.0, 1.0):
        return dict(after if share else before)
    return {n: torch.lerp(v, after[n], share) if v.is_floating_point() else after[n] for n, v in before.items()}


def batch(labels: Int[Tensor, "n"], cfg: TuneClipConfig, done: int) -> Int[Tensor, "b"]:
    """Return the indices of one step's images; if balanced, from the classes in turn, each in epochs of its own."""
    if not cfg.balanced:
        return batch_indices(len(labels), cfg.batch_size, done - 1, cfg.seed, "order")
    return round_robin_batch(indices_by_class(labels, cfg.seed, "order"), cfg.batch_size, done - 1)
