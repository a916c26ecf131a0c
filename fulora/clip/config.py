"""Configs of CLIP: pre-training, zero-shot classification, fine-tuning, probes and interpolation of weights."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fulora.clip.prompts import Prompts, PromptSet, prompts_of
from fulora.config import Config, Runtime
from fulora.data.label_set import LabelSet, LabelSetError


class ClipPretrainConfig(Config):
    """A tiny CLIP, trained from random weights on images and the captions of their classes.

    The image tower is CLIP's ResNet: on phantoms it learned in 250 steps what a vision transformer of the same size had
    not in 400, at less than half the cost per step. The text tower is narrow because each unit of `text_width` costs
    49,408 parameters, the tokens of open_clip's tokenizer.

    Attributes:
        classes: the classes of the image set to train on; by default all.
        image_size_px: side of the images, px; a multiple of 32.
        width: channels of the image tower's first layers; its last has 32 times as many.
        blocks: residual blocks of each of the image tower's four stages.
        embed_dim: length of an embedding.
        text_width: units of the text tower, a multiple of 16.
        text_layers: of the text tower.
        context_length: tokens of a caption at most.
        steps: updates of the weights.
        batch_size: images per step, each with a random caption of its class.
        learning_rate: after warm-up.
        weight_decay: of the optimizer.
        warmup_steps: steps in which the learning rate rises linearly.
        crop: smallest side of a random crop, as a fraction of the image.
        seed: of all random draws; equal seeds give equal results.
        log_every: steps between two lines of `metrics.jsonl`.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    classes: tuple[str, ...] = ()
    image_size_px: PositiveInt = 64
    width: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2, 2)
    embed_dim: PositiveInt = 64
    text_width: PositiveInt = 32
    text_layers: PositiveInt = 2
    context_length: PositiveInt = 32
    steps: PositiveInt = 500
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_steps: Annotated[int, Field(ge=0)] = 30
    crop: Annotated[float, Field(gt=0, le=1)] = 0.75
    seed: int = 0
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"

    @model_validator(mode="after")
    def _fits(self) -> "ClipPretrainConfig":
        if self.image_size_px % 32:
            raise ValueError(
                f"image_size_px={self.image_size_px} is not a multiple of 32: the image tower halves it five times"
            )
        if self.text_width % 16:
            raise ValueError(f"text_width={self.text_width} is not a multiple of 16, the width of an attention head")
        return self


class ZeroShotConfig(Config):
    """Zero-shot classification by prompts.

    Attributes:
        prompts: custom prompts, inline or as the path of a YAML file; by default those of the label set.
        other: how the negative class is decided: by its `prompts` and those of distractors; by a `threshold` on the
            largest probability of the other classes; or by the `energy` of their logits. Thresholds maximise the
            balanced accuracy of the negative class against the rest on the validation split.
        distractors: also use the prompts' distractor views, which count as the negative class.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    prompts: Prompts = None
    distractors: bool = False
    other: Literal["prompts", "threshold", "energy"] = "prompts"
    device: Annotated[str, Runtime] = "auto"

    def asked(self, labels: LabelSet) -> PromptSet:
        """Return the prompts for the classes of a label set.

        Raises:
            LabelSetError: if the prompts are for other classes, or `other` or `distractors` need a negative class that
                the label set does not have.
        """
        prompts = prompts_of(labels, self.prompts)
        if self.other != "prompts" and labels.negative is None:
            raise LabelSetError(
                f"other={self.other} is a rule for the negative class, and the label set {labels.name} has none "
                f"({', '.join(labels.names)}); set other=prompts, or mark a class with negative: true"
            )
        if self.other == "threshold" and len(labels.names) == 2:
            raise LabelSetError(
                f"other=threshold: the label set {labels.name} has only one class that is not negative; its "
                "probability is always 1; set other=energy or other=prompts"
            )
        if self.distractors and not prompts.distractors:
            raise LabelSetError(f"distractors=true, and prompts {prompts.name} have none; set distractors=false")
        return prompts


class TuneClipConfig(Config):
    """Fine-tuning a CLIP on the classes of an image set.

    Attributes:
        method: `ce` is cross-entropy against the text classifier of the prompts, with a frozen text tower; `flyp` the
            contrastive loss with new random captions each step, both towers trained, where all captions of an image's
            class match it (Goyal et al., CVPR 2023; Yang et al., CVPR 2022); `lora` is `ce` with low-rank adapters on
            the image tower, merged at the end (peft).
        prompts: custom prompts, inline or as the path of a YAML file; by default those of the label set.
        steps: updates of the weights.
        batch_size: images in an update.
        learning_rate: after warm-up, from where it falls as a half cosine.
        weight_decay: of the optimizer.
        warmup_steps: steps in which the learning rate rises linearly.
        lora_rank, lora_alpha: of method=lora: the adapters add `lora_alpha / lora_rank * B A`.
        wise_ft: weight of the fine-tuned weights in the interpolation with the original ones (Wortsman et al. 2022).
        crop: smallest side of a random crop, as a fraction of the image.
        synthetic_weight: weight of a synthetic image in the loss; a real one weighs 1.
        balanced: sample every class equally often.
        select: the validation metric that selects the step; `last`, or no validation images, takes the last one.
        evaluate_every: steps between validations.
        seed: of all random draws; equal seeds give equal results.
        log_every: steps between two lines of `metrics.jsonl`.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    method: Literal["ce", "flyp", "lora"] = "ce"
    prompts: Prompts = None
    steps: PositiveInt = 200
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: PositiveFloat = 1e-5
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    lora_rank: PositiveInt = 4
    lora_alpha: PositiveFloat = 4.0
    wise_ft: Annotated[float, Field(ge=0, le=1)] = 1.0
    crop: Annotated[float, Field(gt=0, le=1)] = 0.75
    synthetic_weight: PositiveFloat = 1.0
    balanced: bool = True
    select: Literal["macro_f1", "loss", "last"] = "macro_f1"
    evaluate_every: PositiveInt = 20
    seed: int = 0
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"


class ProbeConfig(Config):
    """A head on the embeddings of a frozen CLIP. Hyperparameters are selected on the validation split.

    Attributes:
        head: `linear` is logistic regression; `tip` adds a cache of the training embeddings to the prompts' logits
            (Tip-Adapter, Zhang et al., ECCV 2022, equation 5).
        prompts: custom prompts, inline or as the path of a YAML file; by default those of the label set.
        strengths: values of the regression's inverse regularisation C to try.
        alphas, betas: values of the cache's weight and sharpness to try.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    head: Literal["linear", "tip"] = "linear"
    prompts: Prompts = None
    strengths: tuple[PositiveFloat, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    alphas: tuple[PositiveFloat, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    betas: tuple[PositiveFloat, ...] = (1.0, 3.0, 5.5, 10.0)
    device: Annotated[str, Runtime] = "auto"


class ForgettingConfig(Config):
    """Interpolation between a CLIP and its fine-tuned weights.

    Attributes:
        prompts: custom prompts, inline or as the path of a YAML file; by default those of the label set.
        alphas: weights of the fine-tuned weights, from 0 (the original CLIP) to 1 (the fine-tuned one).
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    prompts: Prompts = None
    alphas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    device: Annotated[str, Runtime] = "auto"
