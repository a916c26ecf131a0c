"""Which classes an image set will have: those of its label set, of its sources, or of their folders and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fulora.data.label_class import CAPTION, LabelClass, plain
from fulora.data.label_set import MOST_CLASSES, LabelSet, LabelSetError, refuse_other_classes
from fulora.intake.config import CurateConfig
from fulora.intake.folders import PATIENT
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.progress import silent

SHOWN = 5
"""Names that a message gives as examples."""


def source_inputs(config: CurateConfig, paths: Sequence[Mapping[str, Path]]) -> list[SourceInputs]:
    """What the reader of every source is given.

    Args:
        paths: for every source, what it reads, as `SourceConfig.input_paths` names it.

    Raises:
        LabelSetError: sources that come with different label sets.
    """
    values: list[dict[str, Any]] = [{"size_px": config.image_size_px, **files} for files in paths]
    found = [SourceInputs(**one) for one in values]
    labels = named_label_set(config, found)
    return [replace(one, labels=labels) for one in found]


def inputs_under(config: CurateConfig, root: Path) -> list[SourceInputs]:
    """What the reader of every source is given, under one `data_root`.

    Raises:
        LabelSetError: sources that come with different label sets.
    """
    return source_inputs(
        config, [{name: root / path for name, path in one.input_paths().items()} for one in config.sources]
    )


def named_label_set(config: CurateConfig, inputs: Sequence[SourceInputs]) -> LabelSet | None:
    """The label set that the config names, or that its sources come with; None where there is none.

    Raises:
        LabelSetError: sources that come with different ones.
    """
    if config.label_set is not None:
        return config.label_set
    own = [
        (f"sources.{number} ({source.kind})", labels)
        for number, (source, one) in enumerate(zip(config.sources, inputs, strict=True))
        if (labels := source.source_label_set(one.folder)) is not None
    ]
    if not own:
        return None
    (whose, labels), *others = own
    for name, other in others:
        refuse_other_classes(labels, other, who=whose, whom=name)
    if config.caption != CAPTION:
        raise LabelSetError(f"caption={config.caption!r} is of classes without a label set, and {whose} comes with one")
    return labels


def resolve_label_set(config: CurateConfig, inputs: Sequence[SourceInputs]) -> LabelSet:
    """The classes of the image set that a config makes; lists and folders are read, and no picture.

    Args:
        inputs: as `source_inputs` makes them.

    Raises:
        SourceError: a folder has not its source's layout.
        LabelSetError: as `named_label_set` and `derive_label_set`.
    """
    named = named_label_set(config, inputs)
    if named is not None:
        return named
    with silent():
        names = dict.fromkeys(
            image.plane
            for source, one in zip(config.sources, inputs, strict=True)
            for image in read_source(source, one, _later)
        )
    return derive_label_set(tuple(names), config.caption)


def _later(message: str) -> None:
    """What cannot be used is told when the images are read, as notes are."""


def derive_label_set(names: Sequence[str], caption: str = CAPTION) -> LabelSet:
    """The label set of class folders and labels, of which no other word is known.

    Raises:
        LabelSetError: no name; one that no class can have; two that are the same but for case, blanks, `_` or `-`; too
            many; all named as patients are.
    """
    advice = "rename it, or say which class it is: classes: {its name: NAME}; or name a label set: label_set=..."
    if not names:
        raise LabelSetError("no image can be used, so there are no classes; see what is said of the files")
    spelled: dict[str, str] = {}
    for name in names:
        try:
            LabelClass(name=name)
        except ValidationError as error:
            raise LabelSetError(f"{name!r}: {error.errors()[0]['msg']}; {advice}") from error
        if spelled.setdefault(plain(name), name) != name:
            raise LabelSetError(
                f"{spelled[plain(name)]!r} and {name!r} are the same but for case, blanks, _ or -, and would be two "
                f"classes; {advice}"
            )
    if len(names) > MOST_CLASSES or all(map(PATIENT.fullmatch, names)):
        raise LabelSetError(
            f"{len(names)} classes, such as {', '.join(names[:SHOWN])}; possible are {MOST_CLASSES}, and none may be "
            "named as patients are: put one folder a class on top of theirs, or name a label set: label_set=..."
        )
    return LabelSet.derived(names, caption)
