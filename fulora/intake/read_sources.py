"""Reading the sources of a config: their images, under the names of the image set's classes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import UInt8

from fulora.data.label_class import LabelClass, plain
from fulora.data.label_set import LabelSet
from fulora.data.structures import StructureError, check_numbers
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.raw_image import FolderError, OnSkip, PassedOver, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

Rows = Sequence[Sequence[RawImage]]
"""The raw images of every source of a config, without their pixels."""


def read_all_sources(
    config: CurateConfig, inputs: Sequence[SourceInputs], on_skip: OnSkip = refuse
) -> list[list[RawImage]]:
    """The raw images of every source; what cannot be used is told to `on_skip`.

    Raises:
        SourceError: a folder has not the source's layout.
    """
    return [list(read_source(source, one, on_skip)) for source, one in zip(config.sources, inputs, strict=True)]


def read_source(source: AnySource, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
    """The raw images of one source, under the names that `classes` and the label set give them.

    What cannot be used is told to `on_skip`, images of an unknown class at the end, once for each class.

    Raises:
        SourceError: the folder has not the source's layout.
    """
    counts = Counter[str]()
    first: dict[str, RawImage] = {}
    planes: dict[str, str] = {}
    images = source.read(inputs, on_skip)
    left = source.limit if isinstance(source, FolderSourceConfig) else None
    while left != 0 and (image := next(images, None)) is not None:
        own = image.plane
        counts[own] += 1
        if own not in first:
            first[own], planes[own] = image, set_class(source, own, inputs)
        if planes[own]:
            yield _in_class(image, planes[own], inputs.labels)
            left = None if left is None else left - 1
    if left != 0:
        _check_renamed(source, tuple(counts))
    for own, image in first.items():
        if not planes[own]:
            on_skip(_not_used(source, image, counts[own], inputs))


def _in_class(image: RawImage, plane: str, labels: LabelSet | None) -> RawImage:
    """The image as one of a class; if that says what its masks hold, the mask is checked when it is loaded."""
    shows = None if labels is None else labels.of(plane)
    load = image.load if shows is None or not shows.structures else partial(_load_named, image, shows)
    return replace(image, plane=plane, load=load)


def _load_named(image: RawImage, shows: LabelClass) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]:
    pixels, mask = image.load()
    try:
        if mask is not None:
            check_numbers(mask, shows, str(image.mask_path or image.name))
    except StructureError as error:
        raise SourceError(str(error)) from error
    return pixels, mask


def set_class(source: AnySource, own: str, inputs: SourceInputs) -> str:
    """The class of the image set that a source calls by a name of its own; "" where there is none."""
    new = source.rename_class(own)
    return new if inputs.labels is None or not new else inputs.labels.named(new) or ""


def _not_used(source: AnySource, image: RawImage, count: int, inputs: SourceInputs) -> str:
    where, new = image.path or image.name, source.rename_class(image.plane)
    if not new:
        return PassedOver(f"{where}: left out with all {count} images of {image.plane!r}, as classes says")
    labels = inputs.labels
    known = "" if labels is None else f"{', '.join(labels.names)} (label set {labels.name})"
    name = new if new == image.plane else f"{new} (so called by classes, for {image.plane})"
    return (
        f"{where}: unknown class {name!r}, of {count} images; rename it to one of {known}, or say which it is: "
        f"classes: {{{image.plane}: NAME}}; an empty NAME leaves them out"
    )


def _check_renamed(source: AnySource, read: Sequence[str]) -> None:
    """Refuse a class in `classes` that the source has not: it is a slip of the pen."""
    known = dict.fromkeys((*read, *(source.source_classes() or ())))
    there = set(map(plain, known))
    for name in source.classes:
        if plain(name) not in there:
            raise FolderError(f"classes: source {source.kind} has no class {name!r}; it has {', '.join(known)}")
