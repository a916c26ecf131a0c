"""Adapt a CLIP to pictures of the classes of a label set: against the text classifier, with captions, or by LoRA."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.clip.config import TuneClipConfig
from fulora.clip.embed import text_directions
from fulora.clip.loading import Clip, copied
from fulora.clip.model import ClipError, ClipModel, normalised, save_clip, shades
from fulora.clip.optimizer import adamw, update
from fulora.clip.pretrain import augmented, drawn_captions, matching_loss
from fulora.clip.prompts import pretraining_captions, prompts_of
from fulora.data.label_set import LabelSet
from fulora.environment import derive_seed
from fulora.metrics.classification import macro_f1
from fulora.progress import track
from fulora.training.checkpoints import remove_checkpoint, resume, save_progress
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.seeded_draws import batch_indices, generator, indices_by_class, round_robin_batch

Squares = UInt8[np.ndarray, "n s s"]


@dataclass(frozen=True)
class Shown:
    """Square pictures at the size that the CLIP sees, and the place of the class of each in the label set."""

    pixels: Squares
    labels: Int[np.ndarray, " n"]


class Learner:
    """A CLIP that learns, and the words it learns with."""

    def __init__(self, clip: Clip, cfg: TuneClipConfig, labels: LabelSet) -> None:
        self.cfg, self.tokenizer = cfg, clip.tokenizer
        self.prompts = prompts_of(labels, cfg.prompts).texts()
        self.device = pick_device(cfg.device)
        self.model: ClipModel = adapted(clip.model, cfg).to(self.device).eval()
        self.captions = [clip.tokenizer(pretraining_captions(one)).to(self.device) for one in labels.classes]
        self.texts = self.directions()

    def directions(self) -> Float[Tensor, "embed classes"]:
        """The text classifier, as the text tower is now."""
        return text_directions(self.model, self.tokenizer, self.prompts)

    def loss(self, train: Shown, weights: Float[Tensor, "n"], done: int) -> Float[Tensor, ""]:
        """The loss of one step's batch."""
        labels = torch.from_numpy(train.labels)
        chosen = batch(labels, self.cfg, done)
        drawn = generator(self.cfg.seed, "augment", done)
        pixels = augmented(shades(train.pixels[chosen.numpy()]), self.cfg.crop, drawn)
        seen, own = normalised(self.model, pixels.to(self.device)), labels[chosen].to(self.device)
        if self.cfg.method == "flyp":
            return caption_loss(self.model, seen, own, self.captions, generator(self.cfg.seed, "caption", done))
        return text_classifier_loss(self.model, seen, own, weights[chosen].to(self.device), self.texts)

    def evaluate(self, shown: Shown) -> tuple[float, float]:
        """Mean cross-entropy by prompts, and the mean F1 of the classes that are shown."""
        texts = self.directions() if self.cfg.method == "flyp" else self.texts
        with torch.no_grad():
            starts = range(0, len(shown.labels), self.cfg.batch_size)
            logits = torch.cat([self._logits(shown.pixels[i : i + self.cfg.batch_size], texts) for i in starts])
        labels = torch.from_numpy(shown.labels)
        f1 = macro_f1(shown.labels, logits.argmax(1).numpy(), np.unique(shown.labels).tolist())
        return float(F.cross_entropy(logits, labels)), f1

    def _logits(self, pixels: Squares, texts: Float[Tensor, "embed classes"]) -> Float[Tensor, "n classes"]:
        shown = shades(pixels).to(self.device)
        features = self.model.encode_image(normalised(self.model, shown), normalize=True)
        logits: Tensor = self.model.logit_scale.exp() * features @ texts
        return logits.float().cpu()


def fit(
    out: Path,
    cfg: TuneClipConfig,
    labels: LabelSet,
    clip: Clip,
    train: Shown,
    synthetic: Bool[np.ndarray, " n"],
    validation: Shown,
) -> None:
    """Tune and write an ordinary open_clip bundle in single precision, `label_set.json` and `metrics.jsonl` to `out`.

    A run that was killed goes on from its last checkpoint in `out`; on a CPU its result is the undisturbed one's, bit
    for bit. The model works in evaluation mode: batch norms keep their statistics.

    Args:
        labels: the classes; their prompts and captions are learned with.
        synthetic: which training pictures weigh `cfg.synthetic_weight` in the loss; flyp's knows no weights.
        validation: of other patients; chooses the step.

    Raises:
        ClipError: no training pictures.
        LabelSetError: prompts of one's own are for other classes.
        TrainingDivergedError: the loss is not finite any more.
    """
    if not len(train.labels):
        raise ClipError("there are no images to tune on; check the set's training split")
    out.mkdir(parents=True, exist_ok=True)
    before, learner = copied(clip.model), Learner(clip, cfg, labels)
    optimizer = adamw(learner.model, cfg.learning_rate, cfg.weight_decay)
    weights = torch.from_numpy(np.where(synthetic, cfg.synthetic_weight, 1.0)).float()
    best, start = resume(out, learner.model, optimizer)
    log = MetricsLog(out, start)
    for done in track(range(start + 1, cfg.steps + 1), f"CLIP {cfg.method}", start=start):
        set_rate(optimizer, cosine_rate(done - 1, cfg.steps, warmup=cfg.warmup_steps))
        loss = update(learner.model, optimizer, learner.loss(train, weights, done))
        if done % cfg.log_every == 0 or done == cfg.steps:
            log.write(done, loss=loss.item())
        if len(validation.labels) and (done % cfg.evaluate_every == 0 or done == cfg.steps):
            loss_there, f1 = learner.evaluate(validation)
            log.write(done, validation_loss=loss_there, validation_macro_f1=f1)
            if cfg.select != "last":
                best.offer(f1 if cfg.select == "macro_f1" else -loss_there, done, learner.model)
        if done % cfg.checkpoint_every == 0:
            save_progress(out, done, learner.model, optimizer, best)
    if best.state:
        learner.model.load_state_dict(best.state)
    after = merged(learner.model)
    after.load_state_dict(interpolate_weights(before, copied(after), cfg.wise_ft))
    labels.write(out)
    save_clip(after, clip.config, out, half=False)
    remove_checkpoint(out)


def text_classifier_loss(
    model: ClipModel,
    seen: Float[Tensor, "b 3 s s"],
    labels: Int[Tensor, "b"],
    weights: Float[Tensor, "b"],
    texts: Float[Tensor, "embed classes"],
) -> Float[Tensor, ""]:
    """Weighted mean of the cross-entropies of the learned scale times the cosines to the text classifier."""
    logits = model.logit_scale.exp() * model.encode_image(seen, normalize=True) @ texts
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (losses * weights).sum() / weights.sum()


def caption_loss(
    model: ClipModel,
    seen: Float[Tensor, "b 3 s s"],
    labels: Int[Tensor, "b"],
    captions: list[Int[Tensor, "_ context"]],
    drawn: torch.Generator,
) -> Float[Tensor, ""]:
    """CLIP's contrastive loss with one caption an image, drawn from its class's; all of the class's are right."""
    tokens = drawn_captions(captions, labels, drawn)
    images, texts = model.encode_image(seen, normalize=True), model.encode_text(tokens, normalize=True)
    return matching_loss(model.logit_scale.exp() * images @ texts.T, labels[:, None] == labels[None, :])


def adapted(model: ClipModel, cfg: TuneClipConfig) -> ClipModel:
    """The model with what learns: image tower and scale; with `flyp` everything; with `lora` adapters and scale."""
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
    """The modules of an image tower that adapters are put on: attention and the layers between, or all convolutions."""
    kinds = {name: type(module) for name, module in tower.named_modules()}
    attention = [name for name, kind in kinds.items() if kind is nn.MultiheadAttention]
    within = tuple(f"{name}." for name in attention)
    linear = [name for name, kind in kinds.items() if kind is nn.Linear and not name.startswith(within)]
    convolutions = [name for name, kind in kinds.items() if kind is nn.Conv2d]
    return attention + linear if attention else [name for name in convolutions if name]


def merged(model: ClipModel) -> ClipModel:
    """The model with its adapters added to its weights, under its own names again."""
    if hasattr(model.visual, "merge_and_unload"):
        model.visual = model.visual.merge_and_unload()
    return model


def interpolate_weights(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the new weights and the rest of the old ones (WiSE-FT, Wortsman et al., CVPR 2022, equation 1).

    Raises:
        ClipError: the two are not of one architecture.
    """
    if before.keys() != after.keys() or any(before[name].shape != after[name].shape for name in before):
        raise ClipError("the two CLIPs have different architectures: weights between them do not exist")
    if share in (0.0, 1.0):
        return dict(after if share else before)
    return {n: torch.lerp(v, after[n], share) if v.is_floating_point() else after[n] for n, v in before.items()}


def batch(labels: Int[Tensor, "n"], cfg: TuneClipConfig, done: int) -> Int[Tensor, "b"]:
    """The pictures of one step; balanced, the classes take turns, and each goes through its own in epochs."""
    if not cfg.balanced:
        return batch_indices(len(labels), cfg.batch_size, done - 1, cfg.seed, "order")
    return round_robin_batch(indices_by_class(labels, cfg.seed, "order"), cfg.batch_size, done - 1)
