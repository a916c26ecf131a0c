"""LoRA fine-tuning: a written-out loop with exact resumption, verified gradient clipping and a validation loss."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fulora import progress
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.files import FILE, save_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.training_facts import TrainingFacts, input_digests
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.compiling import UNet, choose_unet
from fulora.diffusion.models.conditioning import unet_arguments
from fulora.diffusion.models.noise_schedules import training_schedule
from fulora.diffusion.training.batches import Batch, EncodedExamples, build_evaluation_grid, draw_batch, encode_examples
from fulora.diffusion.training.examples import Examples, add_image_counts
from fulora.diffusion.training.learner import LoraLearner, build_learner, cast_and_adapt
from fulora.diffusion.training.objective import noise_error
from fulora.diffusion.training.optimizers import learning_rate_factor
from fulora.diffusion.training.preview import draw_samples
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import load_checkpoint, remove_checkpoint
from fulora.training.learning_rate import set_rate
from fulora.training.metrics_log import MetricsLog, TrainingDivergedError
from fulora.training.processes import Processes, join_processes
from fulora.training.run_digest import run_digest

LAST_GOOD = "last_good.safetensors"


@dataclass(frozen=True)
class LoraData:
    """The encoded images of a training.

    Attributes:
        losses: the images of each term of the loss: `lora` and, with prior images, `prior`.
        grids: what is evaluated: `validation_loss` on held-out patients, `seen_loss` on training patients.
    """

    losses: Mapping[str, EncodedExamples]
    grids: Mapping[str, Sequence[Batch]]

    @property
    def captions(self) -> list[str]:
        """All distinct captions, sorted."""
        captions = {caption for part in self.losses.values() for caption in part.captions}
        captions |= {caption for batches in self.grids.values() for batch in batches for caption in batch.captions}
        return sorted(captions)


def fit(
    out: Path,
    cfg: LoraConfig,
    pipe: Pipeline,
    images: Examples,
    *,
    validation: Examples | None = None,
    prior: Examples | None = None,
    facts: TrainingFacts | None = None,
) -> int:
    """Train a LoRA and write `lora.safetensors`, `metrics.jsonl` and, if requested, `samples/` to `out`.

    An interrupted run resumes from its last checkpoint in `out`; on a CPU its result is bit-identical to that of an
    uninterrupted run. Launched together (`accelerate launch`), processes share every batch, and the first one writes.

    Args:
        pipe: a backbone without LoRA, on the CPU in fp32, its UNet perhaps in the config's precision; it is changed.
        validation: images of other patients, for the validation loss.
        prior: images that the LoRA must not unlearn, such as the base's own (Ruiz et al. 2023).
        facts: for the file's header; counts and digests of the images are added.

    Returns:
        The step of the weights that are kept.

    Raises:
        LoraError: if images, backbone and config do not go together.
        CheckpointError: if the checkpoint in `out` is damaged, or of another training.
        TrainingDivergedError: if a loss is not finite, or has a spike; `last_good.safetensors` has the weights before.
        PreemptedError: if SIGTERM or SIGHUP came; a checkpoint was written.
    """
    together = join_processes(cfg.device)
    check_training(pipe, cfg, images, together, validated=validation is not None)
    facts = add_image_counts(facts or TrainingFacts(), images, validation, prior)
    cast_and_adapt(pipe, cfg)
    pipe.scheduler = training_schedule(pipe.scheduler.config)
    data = _read(pipe, cfg, together, images, validation, prior)
    learner = build_learner(pipe, cfg, data.captions, together)
    run = run_digest(cfg, input_digests(facts))
    checkpoints = Checkpointer(out, run, cfg.checkpoint_every, {"learner": learner}, together)
    start = checkpoints.done
    log = MetricsLog(out, start) if together.first else None
    if together.count > 1 and together.first:
        progress.note(f"{together.count} processes share every batch")
    learner.unet = choose_unet(
        pipe.unet, lambda unet: _probe(learner, cfg, data, unet), cfg.steps - start, cfg.compile, together.device
    )
    if start == 0:
        validate_and_sample(out, cfg, learner, data, log, 0)
    try:
        with checkpoints.steps(cfg.steps, "LoRA") as numbers:
            for done in numbers:
                norm = step(learner, cfg, data, done)
                if done % cfg.log_every == 0 or done == cfg.steps:
                    _write(log, done, loss=learner.monitor.mean(), **_norm(learner, norm))
                validate_and_sample(out, cfg, learner, data, log, done)
                checkpoints.after_step(done)
    except TrainingDivergedError as error:
        raise TrainingDivergedError(f"{error}; {_write_last_good(out, learner, cfg, facts)}") from error
    return _finish(out, learner, cfg, facts)


def step(learner: LoraLearner, cfg: LoraConfig, data: LoraData, done: int) -> Float[Tensor, ""]:
    """Do update number `done`, by all processes. Returns the gradients' norm before clipping."""
    together, weights = learner.processes, {"lora": 1.0, "prior": cfg.prior_weight}
    learner.optimizer.zero_grad(set_to_none=True)
    set_rate(learner.optimizer, learning_rate_factor(cfg, done - 1))
    total = torch.zeros((), device=together.device)
    for name, images in data.losses.items():
        batch = draw_batch(images, cfg, learner.pipe.scheduler, done - 1, name)
        for part in batch.parts(together.index, together.count, cfg.accumulation):
            loss = weights[name] / cfg.accumulation * batch_error(learner, cfg, part, learner.unet).mean()
            learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
    together.mean_gradients(learner.parameters)
    learner.scaler.unscale_(learner.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(learner.parameters, cfg.max_grad_norm or math.inf)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.monitor.add(together.mean(total))
    if learner.average:
        learner.average.update(learner.parameters, done)
    return norm


def batch_error(
    learner: LoraLearner, cfg: LoraConfig, batch: Batch, unet: UNet, *, weighted: bool = True
) -> Float[Tensor, " b"]:
    """Compute the error of each image's prediction, weighted by min-SNR if `weighted` and the config has it."""
    with learner.autocast():
        texts = learner.conditioning(batch.captions, cfg.clip_skip)
        return noise_error(
            unet,
            learner.pipe.scheduler,
            batch.latents,
            batch.noise,
            batch.timesteps,
            unet_arguments(texts, batch.size[::-1]),
            min_snr_gamma=cfg.min_snr_gamma if weighted else None,
            dtype=learner.dtype,
        )


@torch.no_grad()
def evaluate(learner: LoraLearner, cfg: LoraConfig, batches: Sequence[Batch]) -> float:
    """Compute the mean unweighted error over a fixed grid of images, timesteps and noise, by all processes."""
    together = learner.processes
    total = torch.zeros((), device=together.device)
    for batch in progress.track(batches[together.index :: together.count], "evaluated"):
        total += batch_error(learner, cfg, batch, learner.pipe.unet, weighted=False).sum()
    return together.mean(total).item() * together.count / sum(len(batch.captions) for batch in batches)


def validate_and_sample(
    out: Path, cfg: LoraConfig, learner: LoraLearner, data: LoraData, log: MetricsLog | None, done: int
) -> None:
    """Log the validation loss and write the sample grid, at the config's steps, of the weights that would be kept."""
    with learner.kept_weights():
        if data.grids and (done % cfg.validate_every == 0 or done == cfg.steps):
            losses = {name: evaluate(learner, cfg, batches) for name, batches in data.grids.items()}
            _write(log, done, **losses)
            score = -losses["validation_loss"]
            if cfg.keep == "best" and done and score > learner.best.score:
                learner.best.offer(score, done, learner.adapters)
        if cfg.samples and learner.processes.first and (done % cfg.samples.every == 0 or done == cfg.steps):
            with learner.autocast():
                draw_samples(out, learner.pipe, cfg, learner.conditioning, data.losses["lora"], step=done)
    learner.processes.wait()


def check_training(pipe: Pipeline, cfg: LoraConfig, images: Examples, together: Processes, *, validated: bool) -> None:
    """Check that a LoRA can be trained.

    Raises:
        LoraError: if an image has no caption, the backbone predicts neither noise nor velocity, keep=best has no
            validation images, or the processes cannot share a batch evenly.
    """
    if not len(images.pictures) or len(images.pictures) != len(images.captions):
        raise LoraError(f"{len(images.pictures)} images and {len(images.captions)} captions: every image needs one")
    kind = pipe.scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise LoraError(f"the backbone's prediction_type is '{kind}'; 'epsilon' and 'v_prediction' can be trained")
    if cfg.keep == "best" and not validated:
        raise LoraError("keep=best chooses by the loss on held-out patients, and there are none: use keep=last")
    parts = together.count * cfg.accumulation
    if cfg.batch_size % parts:
        raise LoraError(
            f"batch_size={cfg.batch_size} cannot be shared by {together.count} processes in {cfg.accumulation} parts: "
            f"use a multiple of {parts}"
        )


def _read(
    pipe: Pipeline,
    cfg: LoraConfig,
    together: Processes,
    images: Examples,
    validation: Examples | None,
    prior: Examples | None,
) -> LoraData:
    pipe.vae.to(together.device)
    losses = {name: encode_examples(pipe.vae, item, cfg) for name, item in (("lora", images), ("prior", prior)) if item}
    evaluated = {"seen_loss": images, "validation_loss": validation} if validation else {}
    grids = {name: build_evaluation_grid(pipe, item, cfg) for name, item in evaluated.items() if item}
    pipe.vae.to("cpu")
    return LoraData(losses, grids)


def _probe(learner: LoraLearner, cfg: LoraConfig, data: LoraData, unet: UNet) -> None:
    together = learner.processes
    batch = draw_batch(data.losses["lora"], cfg, learner.pipe.scheduler, 0, "lora")
    for part in batch.parts(together.index, together.count, cfg.accumulation):
        batch_error(learner, cfg, part, unet).mean().backward()  # type: ignore[no-untyped-call]
    learner.optimizer.zero_grad(set_to_none=True)


def _norm(learner: LoraLearner, norm: Float[Tensor, ""]) -> dict[str, float]:
    """Return the gradients' norm for the log, unless they overflowed and fp16's scaler skips the step."""
    skipped = learner.scaler.is_enabled() and not norm.isfinite()
    return {} if skipped else {"grad_norm": norm.item()}


def _write(log: MetricsLog | None, done: int, **values: float) -> None:
    """Write to the log and, if there is no progress bar, such as in a batch job, to standard error."""
    if log is not None:
        log.write(done, **values)
        if not progress.shown():
            progress.note(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))


def _write_last_good(out: Path, learner: LoraLearner, cfg: LoraConfig, facts: TrainingFacts) -> str:
    state = load_checkpoint(out)
    if state is None:
        return "it came before the first checkpoint"
    if learner.processes.first:
        learner.adapters.load_state_dict(state["learner"]["lora"])
        save_lora(learner.pipe, out / LAST_GOOD, cfg=cfg, facts=replace(facts, step=int(state["step"])))
    return f"the weights after step {state['step']}, the last good ones, are in {out / LAST_GOOD}"


def _finish(out: Path, learner: LoraLearner, cfg: LoraConfig, facts: TrainingFacts) -> int:
    done = learner.best.step or cfg.steps
    if learner.processes.first:
        with learner.kept_weights():
            if learner.best.weights:
                learner.adapters.load_state_dict(learner.best.weights)
            save_lora(learner.pipe, out / FILE, cfg=cfg, facts=replace(facts, step=done))
        remove_checkpoint(out)
    return done
