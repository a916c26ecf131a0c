"""The classes of an image set: those of its label set, of its sources, or of their folders and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fulora.data.label_class import CAPTION, LabelClass, comparable_word
from fulora.data.label_set import MOST_CLASSES, LabelSet, LabelSetError, refuse_other_classes
from fulora.intake.config import CurateConfig
from fulora.intake.patient_pattern import PATIENT
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.progress import silent

EXAMPLES = 5
"""Number of names in a message."""


def source_inputs(config: CurateConfig, paths: Sequence[Mapping[str, Path]]) -> list[SourceInputs]:
    """Return the input of every source's reader.

    Args:
        paths: for every source, the paths that `SourceConfig.input_paths` names.

    Raises:
        LabelSetError: if sources have different label sets.
    """
    values: list[dict[str, Any]] = [{"size_px": config.image_size_px, **files} for files in paths]
    inputs = [SourceInputs(**one) for one in values]
    labels = named_label_set(config, inputs)
    return [replace(one, labels=labels) for one in inputs]


def inputs_under(config: CurateConfig, root: Path) -> list[SourceInputs]:
    """Return the input of every source's reader under one `data_root`; raises as `source_inputs`."""
    return source_inputs(config, [{k: root / path for k, path in one.input_paths().items()} for one in config.sources])


def named_label_set(config: CurateConfig, inputs: Sequence[SourceInputs]) -> LabelSet | None:
    """Return the label set of the config, or of its sources; None if there is none.

    Raises:
        LabelSetError: if sources have different label sets.
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
        refuse_other_classes(labels, other, name=whose, other_name=name)
    if config.caption != CAPTION:
        raise LabelSetError(f"caption={config.caption!r} is for classes without a label set, but {whose} has one")
    return labels


def resolve_label_set(config: CurateConfig, inputs: Sequence[SourceInputs]) -> LabelSet:
    """Return the classes of a config's image set; lists and folders are read, but no picture.

    Raises:
        SourceError: if a folder does not have its source's layout.
        LabelSetError: as `named_label_set` and `derive_label_set`.
    """
    named = named_label_set(config, inputs)
    if named is not None:
        return named
    with silent():
        names = dict.fromkeys(
            image.plane
            for source, one in zip(config.sources, inputs, strict=True)
            for image in read_source(source, one, lambda message: None)  # reported when the images are read
        )
    return derive_label_set(tuple(names), config.caption)


def derive_label_set(names: Sequence[str], caption: str = CAPTION) -> LabelSet:
    """Return a label set of the names of folders or labels.

    Raises:
        LabelSetError: if there is no name, an invalid one, two that differ only in case, blanks, `_` or `-`, or too
            many, or all look like patients.
    """
    advice = "rename it, or set its class: classes: {its name: NAME}; or set label_set=..."
    if not names:
        raise LabelSetError("no image can be used, so there are no classes; see the messages about files")
    spelled: dict[str, str] = {}
    for name in names:
        try:
            LabelClass(name=name)
        except ValidationError as error:
            raise LabelSetError(f"{name!r}: {error.errors()[0]['msg']}; {advice}") from error
        if spelled.setdefault(comparable_word(name), name) != name:
            raise LabelSetError(
                f"{spelled[comparable_word(name)]!r} and {name!r} differ only in case, blanks, _ or -; {advice}"
            )
    if len(names) > MOST_CLASSES or all(map(PATIENT.fullmatch, names)):
        raise LabelSetError(
            f"{len(names)} classes, such as {', '.join(names[:EXAMPLES])}; at most {MOST_CLASSES} are possible, and "
            "not all may look like patients: put one folder per class above those of patients, or set label_set=..."
        )
    return LabelSet.derived(names, caption)
