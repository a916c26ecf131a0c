"""Read the images of the sources of a config, with the class names of the image set."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from fulora.data.label_class import LabelClass, comparable_word
from fulora.data.label_set import LabelSet
from fulora.data.structures import StructureError, check_numbers
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.raw_image import FolderError, OnSkip, PassedOver, PixelsAndMask, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

Rows = Sequence[Sequence[RawImage]]
"""The images of every source of a config; pixels are loaded later."""


def read_all_sources(
    config: CurateConfig, inputs: Sequence[SourceInputs], on_skip: OnSkip = refuse
) -> list[list[RawImage]]:
    """Read the images of every source; unusable files and rows are passed to `on_skip`.

    Raises:
        SourceError: if a folder does not have the source's layout.
    """
    return [list(read_source(source, one, on_skip)) for source, one in zip(config.sources, inputs, strict=True)]


def read_source(source: AnySource, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
    """Yield the images of one source, with the class names of `classes` and the label set.

    Unusable files and rows are passed to `on_skip`; images of an unknown class at the end, once per class.

    Raises:
        SourceError: if the folder does not have the source's layout.
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
            yield _with_class(image, planes[own], inputs.labels)
            left = None if left is None else left - 1
    if left != 0:
        _check_renamed(source, tuple(counts))
    for own, image in first.items():
        if not planes[own]:
            on_skip(_not_used(source, image, counts[own], inputs))


def _with_class(image: RawImage, plane: str, labels: LabelSet | None) -> RawImage:
    """Return the image with a class; if the class defines the structures of masks, the mask is checked on loading."""
    label = None if labels is None else labels.of(plane)
    load = image.load if label is None or not label.structures else partial(_load_checked, image, label)
    return replace(image, plane=plane, load=load)


def _load_checked(image: RawImage, label: LabelClass) -> PixelsAndMask:
    pixels, mask = image.load()
    try:
        if mask is not None:
            check_numbers(mask, label, str(image.mask_path or image.name))
    except StructureError as error:
        raise SourceError(str(error)) from error
    return pixels, mask


def set_class(source: AnySource, own: str, inputs: SourceInputs) -> str:
    """Return the class of the image set for a class name of the source; "" if there is none."""
    new = source.rename_class(own)
    return new if inputs.labels is None or not new else inputs.labels.named(new) or ""


def _not_used(source: AnySource, image: RawImage, count: int, inputs: SourceInputs) -> str:
    where, new = image.path or image.name, source.rename_class(image.plane)
    if not new:
        return PassedOver(f"{where}: left out with all {count} images of {image.plane!r}, by classes")
    labels = inputs.labels
    known = "" if labels is None else f"{', '.join(labels.names)} (label set {labels.name})"
    name = new if new == image.plane else f"{new} (renamed by classes from {image.plane})"
    return (
        f"{where}: unknown class {name!r}, of {count} images; rename it to one of {known}, or set its "
        f"class: classes: {{{image.plane}: NAME}}; an empty NAME leaves them out"
    )


def _check_renamed(source: AnySource, read: Sequence[str]) -> None:
    known = dict.fromkeys((*read, *(source.source_classes() or ())))
    plain_names = set(map(comparable_word, known))
    for name in source.classes:
        if comparable_word(name) not in plain_names:
            raise FolderError(f"classes: source {source.kind} has no class {name!r}; its classes: {', '.join(known)}")
