"""`LabelSet`: the classes of a data set as data, with their words and what their masks hold. Torch-free.

A label set is shipped (`fulora/assets/label_sets`), a YAML file of the user, or derived from the names of class
folders. Image sets, predictions and models carry theirs in `label_set.json`; different ones cannot be combined.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

import fulora
from fulora.config import Config, ConfigError, read_yaml, validated
from fulora.data.label_class import CAPTION, LabelClass, comparable_word
from fulora.files import write_atomic
from fulora.json_files import read_json

SHIPPED = Path(fulora.__file__).parent / "assets" / "label_sets"
FILE = "label_set.json"
"""The file of classes beside images, predictions and weights."""

MOST_CLASSES = 200


class LabelSetError(ValueError):
    """Label sets that do not fit together, or a class that a label set does not have."""


class LabelSet(Config):
    """Classes in order: that of every probability vector and table.

    Attributes:
        distractors: further views by name, each with prompts, that count as the negative class.
    """

    name: str = Field(min_length=1)
    classes: tuple[LabelClass, ...] = Field(min_length=1, max_length=MOST_CLASSES)
    distractors: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _words_are_unique(self) -> Self:
        owners: dict[str, str] = {}
        for one in self.classes:
            for word in {comparable_word(word) for word in one.words()}:
                if owners.setdefault(word, one.name) != one.name:
                    raise ValueError(f"{word!r} names both {owners[word]} and {one.name}; give it to one of them")
        if len({comparable_word(one.name) for one in self.classes}) < len(self.classes):
            raise ValueError(f"classes {', '.join(self.names)}: each has a name of its own, whatever its case")
        negative = [one.name for one in self.classes if one.negative]
        if len(negative) > 1:
            raise ValueError(f"negative: {', '.join(negative)}; one class at most is what is none of the others")
        if self.distractors and not negative:
            raise ValueError("distractors count as the negative class, and none of the classes is one")
        return self

    @classmethod
    def derived(cls, names: Iterable[str], caption: str = CAPTION, name: str = "derived") -> Self:
        """Return a label set of names alone, such as those of class folders, in alphabetical order ignoring case.

        Args:
            caption: of each class, with `{name}` in the place of its name.
        """
        ordered = sorted(set(names), key=lambda text: (text.casefold(), text))
        classes = [{"name": name, "caption": caption.replace("{name}", name)} for name in ordered]
        return cls.model_validate({"name": name, "classes": classes})

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names, in order."""
        return tuple(one.name for one in self.classes)

    @property
    def captions(self) -> dict[str, str]:
        """The caption of each class."""
        return {one.name: one.caption for one in self.classes}

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """The prompts of each class."""
        return {one.name: one.prompts for one in self.classes}

    @property
    def negative(self) -> str | None:
        """The name of the negative class; None if there is none."""
        return next((one.name for one in self.classes if one.negative), None)

    def of(self, name: str) -> LabelClass:
        """Return the class of a name.

        Raises:
            LabelSetError: if there is no such class.
        """
        for one in self.classes:
            if one.name == name:
                return one
        raise LabelSetError(f"{name!r} is no class of the label set {self.name}; it has {', '.join(self.names)}")

    def named(self, text: str) -> str | None:
        """Return the class that a word of a folder or list names, ignoring case; None if there is none."""
        word = comparable_word(text)
        return next((one.name for one in self.classes if word in map(comparable_word, one.words())), None)

    def places(self, names: Sequence[str]) -> list[int]:
        """Return the index of each name in the order of the classes.

        Raises:
            LabelSetError: if a name is not a class.
        """
        place = {name: number for number, name in enumerate(self.names)}
        return [place[name] if name in place else self.names.index(self.of(name).name) for name in names]

    def require(self, names: Iterable[str], *, where: str) -> None:
        """Refuse names that are not classes.

        Args:
            where: the source of the names, such as `generate.planes`, for the message.

        Raises:
            LabelSetError: if a name is not a class.
        """
        unknown = ", ".join(repr(name) for name in names if name not in self.names)
        if unknown:
            raise LabelSetError(
                f"{where}: {unknown}: no class of the label set {self.name}; it has {', '.join(self.names)}"
            )

    def captioned(self) -> Self:
        """Return the classes with their captions only, without the words for folders, lists and CLIPs."""
        classes = [{"name": one.name, "caption": one.caption, "negative": one.negative} for one in self.classes]
        return type(self).model_validate({"name": self.name, "classes": classes})

    def only(self, names: Iterable[str]) -> Self:
        """Return the label set of some of the classes, in its own order.

        Raises:
            LabelSetError: if a name is not a class.
        """
        kept = set(names)
        self.places(sorted(kept))
        classes = [one for one in self.classes if one.name in kept]
        distractors = self.distractors if any(one.negative for one in classes) else {}
        return self.changed(classes=classes, distractors=distractors)

    def joined(self, *others: "LabelSet") -> "LabelSet":
        """Merge with other label sets; the classes of this one come first.

        Raises:
            LabelSetError: if they contradict each other.
        """
        classes: list[LabelClass] = []
        for one in (one for labels in (self, *others) for one in labels.classes):
            classes += [] if one in classes else [one]
        distractors = {name: texts for labels in (self, *others) for name, texts in labels.distractors.items()}
        names = list(dict.fromkeys(labels.name for labels in (self, *others)))
        try:
            return LabelSet(name="+".join(names), classes=tuple(classes), distractors=distractors)
        except ValueError as error:
            raise LabelSetError(f"label sets {', '.join(names)} do not fit into one: {error}") from error

    def write(self, folder: Path) -> None:
        """Write `label_set.json` into a folder of images, predictions or weights."""
        write_atomic(folder / FILE, self.model_dump_json(indent=1) + "\n")


def read_label_set(folder: Path) -> LabelSet:
    """Read the label set of a folder of images, predictions or weights.

    Raises:
        LabelSetError: if it has none: an earlier version of fulora or another program made it.
        DamagedFileError: if the file is not a label set.
    """
    if not (folder / FILE).is_file():
        raise LabelSetError(
            f"{folder}: has no {FILE}, which says its classes; an earlier version of fulora made it. Run the same "
            "command or study again: what it needs is made anew"
        )
    return read_json(folder / FILE, LabelSet)


def shipped() -> dict[str, Path]:
    """Return the files of the shipped label sets, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


@cache
def label_set(name: str) -> LabelSet:
    """Return a shipped label set by its name, or read one from a YAML file.

    Raises:
        LabelSetError: if it is neither.
        ConfigError: if the file is not a label set.
    """
    path = shipped().get(name, Path(name))
    if not path.is_file():
        known = ", ".join(shipped())
        raise LabelSetError(f"{name}: no label set; shipped: {known}, or give the path of a .yaml file")
    return validated(LabelSet, read_yaml(path, shipped()), where=str(path))


def shipped_class(text: str) -> str | None:
    """Return the class that a word names in a shipped label set; None if there is none."""
    return next((name for known in shipped() if (name := label_set(known).named(text))), None)


def as_label_set(value: object) -> object:
    """Return the label set that a config field names, by name or file; other values unchanged. For validators."""
    if not isinstance(value, str):
        return value
    try:
        return label_set(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


ONE_LABEL_SET = (
    "Give both one label set: curate one of them with label_set=NAME and, where classes have other names there, "
    "classes: {their name: its name here}"
)


def refuse_other_classes(
    labels: LabelSet, others: LabelSet, *, name: str, other_name: str, advice: str = ONE_LABEL_SET
) -> None:
    """Refuse two label sets that differ in their classes, the order of the classes, or the negative class.

    Args:
        name, other_name: what they belong to, for the message.
        advice: what to do, the last line of the message.

    Raises:
        LabelSetError: if they differ.
    """
    if (labels.names, labels.negative) == (others.names, others.negative):
        return
    raise LabelSetError(
        f"{name} and {other_name} have different classes:\n"
        f"  {name}: {_describe_classes(labels)}\n  {other_name}: {_describe_classes(others)}\n{advice}"
    )


def _describe_classes(labels: LabelSet) -> str:
    negative = f" (negative: {labels.negative})" if labels.negative else ""
    return f"{', '.join(labels.names)}{negative}, label set {labels.name}"
