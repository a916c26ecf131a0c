"""LoRA fine-tuning: written out, resumed exactly, clipped for real, validated on people it does not train on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fulora import progress
from fulora.config import digest, identity
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import LoraError
from fulora.diffusion.lora.files import FILE, save_lora
from fulora.diffusion.lora.training_facts import TrainingFacts, input_digests
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.compiling import UNet, choose_unet
from fulora.diffusion.models.conditioning import unet_arguments
from fulora.diffusion.models.noise_schedules import training_schedule
from fulora.diffusion.training.batches import Batch, EncodedExamples, build_evaluation_grid, draw_batch, encode_examples
from fulora.diffusion.training.examples import Examples, add_image_counts
from fulora.diffusion.training.learner import Best, Learner, build_learner, cast_and_adapt
from fulora.diffusion.training.objective import noise_error
from fulora.diffusion.training.optimizers import rate
from fulora.diffusion.training.preview import draw_samples
from fulora.stage import PreemptedError
from fulora.training.averages import put
from fulora.training.checkpoints import CheckpointError, load_checkpoint, remove_checkpoint, save_checkpoint
from fulora.training.learning_rate import set_rate
from fulora.training.metrics_log import MetricsLog, TrainingDivergedError
from fulora.training.preemption import preemption
from fulora.training.processes import Processes, processes

LAST_GOOD = "last_good.safetensors"
ASKED_EVERY = 10
"""Steps after which several processes agree whether one of them was told to stop."""


@dataclass(frozen=True)
class Data:
    """What a training reads.

    Attributes:
        losses: what the losses are of: `lora` and, where images are not to be forgotten, `prior`.
        grids: what is evaluated: `validation_loss` on people not trained on, `seen_loss` on people trained on.
    """

    losses: Mapping[str, EncodedExamples]
    grids: Mapping[str, Sequence[Batch]]

    @property
    def captions(self) -> list[str]:
        """Every caption that is embedded, once."""
        found = {caption for part in self.losses.values() for caption in part.captions}
        found |= {caption for batches in self.grids.values() for batch in batches for caption in batch.captions}
        return sorted(found)


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
    """Train a LoRA into `out`: `lora.safetensors`, `metrics.jsonl`, `samples/` if asked for. Returns its weights' step.

    A run that was killed goes on from its last checkpoint in `out`; on a CPU it ends as an undisturbed one, bit by bit.
    Launched together (`accelerate launch`), processes share every batch, and the first one writes.

    Args:
        pipe: a backbone without LoRA, on the CPU in fp32; it is changed.
        validation: images of other patients, for the validation loss.
        prior: images that the LoRA must not unlearn, such as the base's own (Ruiz et al. 2023).
        facts: for the file's header; what can be counted here is.

    Raises:
        LoraError: images, backbone and config that do not go together.
        CheckpointError: the checkpoint in `out` is damaged, or of another training.
        TrainingDivergedError: a loss is not finite, or a spike; `last_good.safetensors` holds the last good weights.
        PreemptedError: SIGTERM or SIGHUP came; a checkpoint was written.
    """
    together = processes(cfg.device)
    check_training(pipe, cfg, images, together, validated=validation is not None)
    facts = add_image_counts(facts or TrainingFacts(), images, validation, prior)
    cast_and_adapt(pipe, cfg)
    pipe.scheduler = training_schedule(pipe.scheduler.config)
    data = _read(pipe, cfg, together, images, validation, prior)
    learner = build_learner(pipe, cfg, data.captions, together)
    run = digest([identity(cfg), *input_digests(facts)])
    start = _resume(out, learner, run)
    log = MetricsLog(out, start) if together.first else None
    if together.count > 1 and together.first:
        progress.note(f"{together.count} processes share every batch")
    learner.unet = choose_unet(
        pipe.unet, lambda unet: _probe(learner, cfg, data, unet), cfg.steps - start, cfg.compile, together.device
    )
    if start == 0:
        look(out, cfg, learner, data, log, 0)
    try:
        with preemption() as asked:
            for done in progress.track(range(start + 1, cfg.steps + 1), "LoRA", start=start):
                norm = step(learner, cfg, data, done)
                if done % cfg.log_every == 0 or done == cfg.steps:
                    _write(log, done, loss=learner.watch.mean(done), **_norm(learner, norm))
                look(out, cfg, learner, data, log, done)
                stop = (together.count == 1 or done % ASKED_EVERY == 0) and together.any(asked())
                if done % cfg.checkpoint_every == 0 or stop:
                    _save(out, learner, done, run)
                if stop:
                    raise PreemptedError(f"stopped after step {done} of {cfg.steps}; a checkpoint is in {out}")
    except TrainingDivergedError as error:
        raise TrainingDivergedError(f"{error}; {_last_good(out, learner, cfg, facts)}") from error
    return _finish(out, learner, cfg, facts)


def step(learner: Learner, cfg: LoraConfig, data: Data, done: int) -> Float[Tensor, ""]:
    """One update, the `done`th, by all processes. Returns the norm of the gradients before they are clipped."""
    together, weights = learner.processes, {"lora": 1.0, "prior": cfg.prior_weight}
    learner.optimizer.zero_grad(set_to_none=True)
    set_rate(learner.optimizer, rate(cfg, done - 1))
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
    learner.watch.add(together.mean(total))
    if learner.average:
        learner.average.update(learner.parameters, done)
    return norm


def batch_error(
    learner: Learner, cfg: LoraConfig, batch: Batch, unet: UNet, *, weighted: bool = True
) -> Float[Tensor, " b"]:
    """The error of each image's prediction, weighted by min-SNR where the config says so."""
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
def evaluate(learner: Learner, cfg: LoraConfig, batches: Sequence[Batch]) -> float:
    """The unweighted error over a fixed grid of images, timesteps and noise, shared among the processes."""
    together = learner.processes
    total = torch.zeros((), device=together.device)
    for batch in batches[together.index :: together.count]:
        total += batch_error(learner, cfg, batch, learner.pipe.unet, weighted=False).sum()
    return together.mean(total).item() * together.count / sum(len(batch.captions) for batch in batches)


def look(out: Path, cfg: LoraConfig, learner: Learner, data: Data, log: MetricsLog | None, done: int) -> None:
    """The validation loss and the sample grid, where it is time for them, of the weights that would be kept."""
    with learner.kept_weights():
        if data.grids and (done % cfg.validate_every == 0 or done == cfg.steps):
            found = {name: evaluate(learner, cfg, batches) for name, batches in data.grids.items()}
            _write(log, done, **found)
            loss = found["validation_loss"]
            if cfg.keep == "best" and done and (learner.best is None or loss < learner.best.loss):
                learner.best = Best(loss, done, [parameter.detach().clone() for parameter in learner.parameters])
        if cfg.samples and learner.processes.first and (done % cfg.samples.every == 0 or done == cfg.steps):
            with learner.autocast():
                draw_samples(out, learner.pipe, cfg, learner.conditioning, data.losses["lora"], step=done)
    learner.processes.wait()


def check_training(pipe: Pipeline, cfg: LoraConfig, images: Examples, together: Processes, *, validated: bool) -> None:
    """Refuse what no loop could train.

    Raises:
        LoraError: not a caption for every image; a backbone that predicts neither noise nor velocity; keep=best without
            validation images; a batch that the processes cannot share evenly.
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
) -> Data:
    """Everything encoded; the autoencoder then makes room for the UNet."""
    pipe.vae.to(together.device)
    losses = {name: encode_examples(pipe.vae, item, cfg) for name, item in (("lora", images), ("prior", prior)) if item}
    looked_at = {"seen_loss": images, "validation_loss": validation} if validation else {}
    grids = {name: build_evaluation_grid(pipe, item, cfg) for name, item in looked_at.items() if item}
    pipe.vae.to("cpu")
    return Data(losses, grids)


def _probe(learner: Learner, cfg: LoraConfig, data: Data, unet: UNet) -> None:
    """Forward and backward of the first step, without an update."""
    together = learner.processes
    batch = draw_batch(data.losses["lora"], cfg, learner.pipe.scheduler, 0, "lora")
    for part in batch.parts(together.index, together.count, cfg.accumulation):
        batch_error(learner, cfg, part, unet).mean().backward()  # type: ignore[no-untyped-call]
    learner.optimizer.zero_grad(set_to_none=True)


def _resume(out: Path, learner: Learner, run: str) -> int:
    """Continue from the last checkpoint. Returns the steps done, 0 without a checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(out)
    if state is None:
        return 0
    if state["run"] != run:
        raise CheckpointError(
            f"{out}: its checkpoint is of another training (other images, another backbone or other settings): give "
            "another folder, or remove this one's checkpoints/"
        )
    learner.restore(state)
    return int(state["step"])


def _save(out: Path, learner: Learner, done: int, run: str) -> None:
    """A checkpoint of weights that are known to be good."""
    learner.watch.read(done)
    norms = torch.stack([parameter.detach().norm() for parameter in learner.parameters])
    if not norms.isfinite().all():
        raise TrainingDivergedError(f"the weights are not finite after step {done}: lower the learning rates")
    if learner.processes.first:
        save_checkpoint(out, done, {"run": run, **learner.state()})


def _norm(learner: Learner, norm: Float[Tensor, ""]) -> dict[str, float]:
    """The gradients' norm for the log; not of a step that fp16's scaler skips because they overflowed."""
    skipped = learner.scaler.is_enabled() and not norm.isfinite()
    return {} if skipped else {"grad_norm": norm.item()}


def _write(log: MetricsLog | None, done: int, **values: float) -> None:
    """Into the log; where no bar is drawn, such as in a batch job, onto standard error as well."""
    if log is not None:
        log.write(done, **values)
        if not progress.shown():
            progress.note(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))


def _last_good(out: Path, learner: Learner, cfg: LoraConfig, facts: TrainingFacts) -> str:
    state = load_checkpoint(out)
    if state is None:
        return "it came before the first checkpoint"
    if learner.processes.first:
        put(learner.parameters, state["lora"])
        save_lora(learner.pipe, out / LAST_GOOD, cfg=cfg, facts=replace(facts, step=int(state["step"])))
    return f"the weights after step {state['step']}, the last good ones, are in {out / LAST_GOOD}"


def _finish(out: Path, learner: Learner, cfg: LoraConfig, facts: TrainingFacts) -> int:
    """Write the weights that are kept, and remove what only a resumed run would need. Returns the weights' step."""
    done = learner.best.step if learner.best else cfg.steps
    if learner.processes.first:
        with learner.kept_weights():
            if learner.best:
                put(learner.parameters, learner.best.weights)
            save_lora(learner.pipe, out / FILE, cfg=cfg, facts=replace(facts, step=done))
        remove_checkpoint(out)
    return done
