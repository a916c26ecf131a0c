"""The sets of prompts that a job names: files, texts on the command line, those of the label set; and their classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.clip.prompts import PromptSet, prompts_of, read_prompts
from fulora.config import validated
from fulora.data.label_class import NAME, LabelClass
from fulora.data.label_set import LabelSet

OF_LABELS = "labels"
"""The name of the prompts of the images' label set."""
UNNAMED = "prompts"
FORM = '"CLASS=PROMPT; CLASS=PROMPT", or NAME: before it'

PromptsReference = str | Path | PromptSet | Mapping[str, str | Sequence[str]]


class PromptSetError(ValueError):
    """Prompts that cannot be used as they are given. The message says what to write."""


@dataclass(frozen=True)
class NamedPrompts:
    """A set of prompts.

    Attributes:
        name: in tables and names of files.
        own: custom prompts; None for those of the images' label set.
    """

    name: str
    own: PromptSet | None


def named_prompts(references: Sequence[PromptsReference]) -> tuple[NamedPrompts, ...]:
    """Return the sets of prompts of references; without any, that of the images' label set.

    A reference is `[NAME=]FILE.yaml`; a text `[NAME: ]CLASS=PROMPT; CLASS=PROMPT`, in which a class that is repeated
    has several prompts; `labels`; or in Python a mapping of classes to prompts, or a `PromptSet`. Files are called
    after their `name:`, or else the file.

    Raises:
        PromptSetError: if a reference is none of these, a name is not possible, or two sets have one name.
        ConfigError: if a file is missing or not valid.
    """
    sets = [_named(reference) for reference in references or (OF_LABELS,)]
    unnamed = [number for number, one in enumerate(sets) if not one.name]
    for number in unnamed:
        sets[number] = _unnamed(sets[number], f"{UNNAMED} {number + 1}" if len(unnamed) > 1 else UNNAMED)
    names = [one.name for one in sets]
    for name in names:
        if not NAME.fullmatch(name):
            raise PromptSetError(f'{name!r}: a name of prompts has 1 to 80 characters, none of / \\ : * ? " < > |')
        if names.count(name) > 1:
            raise PromptSetError(f"two sets of prompts are called {name!r}: name them, as NAME=FILE.yaml or {FORM}")
    return tuple(sets)


def classes_of_prompts(prompts: Sequence[NamedPrompts], labels: LabelSet | None) -> LabelSet:
    """Return the classes that the prompts predict: those of the label set where they are the same.

    Args:
        labels: of the images; None if they are unlabelled.

    Raises:
        PromptSetError: if two sets have different classes, or there are neither prompts nor a label set.
        LabelSetError: if distractors do not suit the classes.
    """
    if labels is None and any(one.own is None for one in prompts):
        raise PromptSetError("the images have no labels, and so no classes and prompts of their own: give prompts")
    of_labels = () if labels is None else labels.names
    classes = {one.name: of_labels if one.own is None else tuple(one.own.classes) for one in prompts}
    (first, names), *others = classes.items()
    for name, other in others:
        if set(other) != set(names):
            raise PromptSetError(
                f"prompts {first} and {name} have different classes, so their predictions cannot be compared:\n"
                f"  {first}: {', '.join(names)}\n  {name}: {', '.join(other)}\nGive them the same classes, or run each "
                "alone"
            )
    predicted = labels if labels is not None and set(labels.names) == set(names) else _label_set(first, names, labels)
    for one in prompts:
        prompts_of(predicted, one.own)
    return predicted


def _label_set(name: str, names: Sequence[str], labels: LabelSet | None) -> LabelSet:
    """The classes of prompts, with what the label set of the images says of them."""
    known = () if labels is None else labels.names
    classes = [labels.of(one) if labels and one in known else LabelClass(name=one) for one in names]
    return validated(LabelSet, {"name": name, "classes": classes}, where=f"prompts {name}")


def _named(reference: PromptsReference) -> NamedPrompts:
    if isinstance(reference, PromptSet):
        return NamedPrompts(reference.name, reference)
    if isinstance(reference, Mapping):
        texts = {name: (text,) if isinstance(text, str) else tuple(text) for name, text in reference.items()}
        return NamedPrompts("", validated(PromptSet, {"classes": texts}, where="prompts"))
    text = str(reference)
    if text == OF_LABELS:
        return NamedPrompts(OF_LABELS, None)
    if text.endswith((".yaml", ".yml")):
        name, equals, rest = text.partition("=")
        named = bool(equals) and not Path(text).exists()
        own = read_prompts(rest if named else text)
        title = own.name if "name" in own.model_fields_set else Path(text).stem
        return NamedPrompts(name if named else title, own)
    return _inline(text)


def _inline(text: str) -> NamedPrompts:
    head, colon, rest = text.partition(":")
    named = bool(colon) and "=" not in head
    classes: dict[str, list[str]] = {}
    for part in filter(None, map(str.strip, (rest if named else text).split(";"))):
        name, equals, prompt = (item.strip() for item in part.partition("="))
        if not equals or not name or not prompt:
            raise PromptSetError(f"{part!r}: prompts are a .yaml file, {OF_LABELS}, or a text {FORM}")
        classes.setdefault(name, []).append(prompt)
    if not classes:
        raise PromptSetError(f"{text!r}: no prompts; write {FORM}")
    values = {"classes": classes, **({"name": head.strip()} if named else {})}
    return NamedPrompts(head.strip() if named else "", validated(PromptSet, values, where="prompts"))


def _unnamed(one: NamedPrompts, name: str) -> NamedPrompts:
    return NamedPrompts(name, one.own if one.own is None else one.own.changed(name=name))
