"""Configs of CLIP: pre-training a tiny one, and asking any of them by prompts."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fulora.clip.prompts import PromptSet, parse_prompts, prompts_of
from fulora.config import Config, Runtime
from fulora.data.label_set import LabelSet, LabelSetError


class ClipPretrainConfig(Config):
    """A tiny CLIP, trained from random weights on images and the captions of their classes.

    The image tower is CLIP's ResNet: on phantoms, from random weights, it learned in 250 steps what a vision
    transformer of the same size had not in 400, at less than half the cost a step.
    The text tower is narrow because its vocabulary is not ours to choose: open_clip's tokenizer has 49 408 tokens, so
    every unit of `text_width` costs 49 408 parameters.

    Attributes:
        classes: of the image set, that it learns; all of them where none is named.
        width: of the image tower's first layers; its last has 32 times as many channels.
        blocks: residual blocks of each of its four stages.
        batch_size: images a step, each with one caption drawn for its class.
        crop: smallest side of a random crop, as a share of the image.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
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
                f"image_size_px={self.image_size_px} is not a multiple of 32: the tower halves it five times"
            )
        if self.text_width % 16:
            raise ValueError(f"text_width={self.text_width} is not a multiple of 16, the width of an attention head")
        return self


class ZeroShotConfig(Config):
    """Classification by prompts.

    Attributes:
        prompts: one's own, as the path of a YAML file or as they stand here; by default those of the label set.
        other: how the negative class is decided: by its `prompts` and those of distractors; by a `threshold` on the
            largest probability among the other classes; or by the `energy` of their logits. Thresholds are chosen on
            the validation split, by balanced accuracy of the negative class against the rest.
        distractors: whether the prompts' further views are asked for too, and count as the negative class.
    """

    prompts: PromptSet | None = None
    distractors: bool = False
    other: Literal["prompts", "threshold", "energy"] = "prompts"

    def asked(self, labels: LabelSet) -> PromptSet:
        """The prompts for the classes of a label set.

        Raises:
            LabelSetError: prompts for other classes; a rule for, or distractors of, a negative class that is not there.
        """
        found = prompts_of(labels, self.prompts)
        if self.other != "prompts" and labels.negative is None:
            raise LabelSetError(
                f"other={self.other} is a rule for the negative class, and the label set {labels.name} has none "
                f"({', '.join(labels.names)}); set other=prompts, or mark a class with negative: true"
            )
        if self.other == "threshold" and len(labels.names) == 2:
            raise LabelSetError(
                f"other=threshold: of the label set {labels.name} one class alone is not negative, and its probability "
                "among itself is always 1; set other=energy or other=prompts"
            )
        if self.distractors and not found.distractors:
            raise LabelSetError(f"distractors=true, and prompts {found.name} have none; set distractors=false")
        return found

    _named = field_validator("prompts", mode="before")(parse_prompts)


class TuneClipConfig(Config):
    """Adapting a CLIP to the classes of an image set.

    Attributes:
        method: `ce` is cross-entropy against the text classifier of the prompts, whose text tower stays as it is;
            `flyp` the contrastive loss with captions drawn anew each step, both towers learning, all captions of an
            image's class right (Goyal et al., CVPR 2023; Yang et al., CVPR 2022); `lora` is `ce` with low-rank
            adapters on the image tower, merged at the end (peft).
        wise_ft: share of the tuned weights in what is kept, the rest is the CLIP as it was (Wortsman et al. 2022).
        crop: smallest side of a random crop, as a share of the image.
        balanced: every class equally often in a batch.
        select: what chooses the step on the validation split; `last`, or no validation images, takes the last one.
    """

    method: Literal["ce", "flyp", "lora"] = "ce"
    prompts: PromptSet | None = None
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

    _named = field_validator("prompts", mode="before")(parse_prompts)


class ProbeConfig(Config):
    """A head on the embeddings of a CLIP that stays as it is. What is chosen is chosen on the validation split.

    Attributes:
        head: `linear` is logistic regression; `tip` adds a cache of the training embeddings to the prompts' logits
            (Tip-Adapter, Zhang et al., ECCV 2022, equation 5).
        strengths: of the regression's inverse regularisation C.
        alphas, betas: weights and sharpness of the cache.
    """

    head: Literal["linear", "tip"] = "linear"
    prompts: PromptSet | None = None
    strengths: tuple[PositiveFloat, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    alphas: tuple[PositiveFloat, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    betas: tuple[PositiveFloat, ...] = (1.0, 3.0, 5.5, 10.0)

    _named = field_validator("prompts", mode="before")(parse_prompts)


class ForgettingConfig(Config):
    """`alphas`: shares of the tuned weights between a CLIP and the tuned one."""

    prompts: PromptSet | None = None
    alphas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0, 0.25, 0.5, 0.75, 1.0)

    _named = field_validator("prompts", mode="before")(parse_prompts)
