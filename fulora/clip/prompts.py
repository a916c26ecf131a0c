"""The words of CLIP: prompts that classes are asked for with, captions that a CLIP is trained with. Data, no torch.

Both are those of the label set. They share a vocabulary and no sentence: zero-shot asks in other words than those
learned from. Prompts of one's own may take the place of the label set's.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import Field, field_validator

from fulora.config import Config, ConfigError, read_yaml, validated
from fulora.data.label_class import LabelClass
from fulora.data.label_set import LabelSet, LabelSetError


class PromptSet(Config):
    """Prompts of one's own, in place of those of the label set.

    Attributes:
        classes: any number of prompts for each class; their directions are averaged.
        distractors: further views by name, each with its prompts, that count as the negative class.
    """

    name: str = "of one's own"
    classes: Mapping[str, tuple[str, ...]] = Field(min_length=1)
    distractors: Mapping[str, tuple[str, ...]] = {}

    @field_validator("classes", "distractors")
    @classmethod
    def _complete(cls, prompts: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        empty = [name for name, texts in prompts.items() if not texts or not all(text.strip() for text in texts)]
        if empty:
            raise ValueError(f"{', '.join(empty)}: each has one prompt or more, and none is empty")
        return prompts

    def texts(self, *, distractors: bool = False) -> dict[str, tuple[str, ...]]:
        """The prompts of the classes, in order, and then of the distractors if asked for."""
        return {**self.classes, **self.distractors} if distractors else {**self.classes}


def prompts_of(labels: LabelSet, own: PromptSet | None = None) -> PromptSet:
    """The prompts to ask for the classes of a label set with, in its order: the label set's, or those of one's own.

    Raises:
        LabelSetError: prompts of one's own for other classes, or distractors where none of the classes is negative.
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
    """The prompts in a YAML file.

    Raises:
        ConfigError: no such file, or no prompts.
    """
    if not Path(path).is_file():
        raise ConfigError(
            f"{path}: no file of prompts; give the path of a .yaml file, or leave prompts out for the label set's"
        )
    return validated(PromptSet, read_yaml(Path(path)), where=path)


def parse_prompts(value: object) -> object:
    """For validators of config fields: prompts by the path of their file, or as they stand there."""
    if not isinstance(value, str):
        return value
    try:
        return read_prompts(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


_MODALITIES = (
    "ultrasound",
    "an ultrasound image",
    "B-mode ultrasound",
    "a sonogram",
    "a prenatal scan",
    "ultrasound scan",
)


def pretraining_captions(one: LabelClass) -> list[str]:
    """Captions of a class to train a CLIP with: its own, and every modality x name x visible anatomy.

    A class without further names is called by its own.
    """
    names = one.names or (one.name,)
    varied = [f"{how} of {name}, {parts}" for how in _MODALITIES for name in names for parts in one.anatomy]
    return [one.caption, *(f"{how} of {name}" for how in _MODALITIES for name in names), *varied]
