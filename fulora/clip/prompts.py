"""Prompts for zero-shot classification, and captions for training a CLIP. Torch-free.

Both come from the label set; no prompt is also a caption. Custom prompts can replace those of the label set.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from fulora.config import Config, ConfigError, read_yaml, validated
from fulora.data.label_class import LabelClass
from fulora.data.label_set import LabelSet, LabelSetError


class PromptSet(Config):
    """Custom prompts, in place of those of the label set.

    Attributes:
        classes: one or more prompts for each class; their embeddings are averaged.
        distractors: prompts of further views by name, which count as the negative class.
    """

    name: str = "of one's own"
    classes: Mapping[str, tuple[str, ...]] = Field(min_length=1)
    distractors: Mapping[str, tuple[str, ...]] = {}

    @field_validator("classes", "distractors")
    @classmethod
    def _complete(cls, prompts: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        empty = [name for name, texts in prompts.items() if not texts or not all(text.strip() for text in texts)]
        if empty:
            raise ValueError(f"{', '.join(empty)}: each needs one or more prompts, none of them empty")
        return prompts

    def texts(self, *, distractors: bool = False) -> dict[str, tuple[str, ...]]:
        """Return the prompts of the classes, in order, then those of the distractors if requested."""
        return {**self.classes, **self.distractors} if distractors else {**self.classes}


def prompts_of(labels: LabelSet, own: PromptSet | None = None) -> PromptSet:
    """Return the prompts for the classes of a label set, in its order: its own, or custom ones.

    Raises:
        LabelSetError: if custom prompts are for other classes, or have distractors without a negative class.
    """
    if own is None:
        return PromptSet(name=labels.name, classes=labels.prompts, distractors=labels.distractors)
    if set(own.classes) != set(labels.names):
        raise LabelSetError(
            f"prompts {own.name} and label set {labels.name} have different classes:\n"
            f"  prompts {own.name}: {', '.join(own.classes)}\n  label set {labels.name}: {', '.join(labels.names)}\n"
            "Give prompts for exactly the classes of the label set, under their names"
        )
    if own.distractors and labels.negative is None:
        raise LabelSetError(
            f"prompts {own.name}: distractors {', '.join(own.distractors)} count as the negative class, and the label "
            f"set {labels.name} has none; leave them out, or mark a class with negative: true"
        )
    if both := sorted(set(own.distractors) & set(labels.names)):
        raise LabelSetError(f"prompts {own.name}: {', '.join(both)} is a class, and cannot be a distractor too")
    return PromptSet(
        name=own.name, classes={name: own.classes[name] for name in labels.names}, distractors=own.distractors
    )


@cache
def read_prompts(path: str) -> PromptSet:
    """Read the prompts in a YAML file.

    Raises:
        ConfigError: if the file is missing or invalid.
    """
    if not Path(path).is_file():
        raise ConfigError(
            f"{path}: no file of prompts; give the path of a .yaml file, or leave prompts out for the label set's"
        )
    return validated(PromptSet, read_yaml(Path(path)), where=path)


def parse_prompts(value: object) -> object:
    """Return the prompts of a config field: read from a file if the value is its path, else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return read_prompts(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


Prompts = Annotated[PromptSet | None, BeforeValidator(parse_prompts)]
"""A config field: custom prompts, inline or as the path of a YAML file; None for those of the label set."""

_MODALITIES = [
    "ultrasound",
    "an ultrasound image",
    "B-mode ultrasound",
    "a sonogram",
    "a prenatal scan",
    "ultrasound scan",
]


def pretraining_captions(one: LabelClass) -> list[str]:
    """Return the training captions of a class: its own, and all combinations of modality, name and visible anatomy."""
    names = one.names or (one.name,)
    varied = [f"{how} of {name}, {parts}" for how in _MODALITIES for name in names for parts in one.anatomy]
    return [one.caption, *(f"{how} of {name}" for how in _MODALITIES for name in names), *varied]
