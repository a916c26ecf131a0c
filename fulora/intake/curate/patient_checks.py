"""Checks of patients that need no pixels, made before any image is decoded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fulora.data.column_types import Split
from fulora.data.image_set_rules import comparable_id
from fulora.data.patient_numbers import WAYS_OUT, PatientName, SameNumberError, describe_pairs, same_numbers
from fulora.data.split_file import SplitFile
from fulora.data.splits import SplitError
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.message_lines import shorten_lines
from fulora.intake.raw_image import RawImage, SourceError, refuse
from fulora.intake.read_sources import Rows, read_source
from fulora.intake.source_config import SourceInputs


def read_and_check_patients(config: CurateConfig, inputs: Sequence[SourceInputs]) -> list[RawImage]:
    """Check the patients of a config's sources without decoding an image.

    Raises:
        SourceError: if a folder does not have the source's layout, or a row is unusable, and `unusable` is "stop".
        SplitError, SameNumberError: as `check_patients`.
    """
    on_skip = refuse if config.unusable == "stop" else lambda message: None  # reported when the set is written
    rows = [
        list(read_source(source, given, on_skip)) if source.has_patients() else []
        for source, given in zip(config.sources, inputs, strict=True)
    ]
    check_patients(config, rows, load_saved_splits(inputs))
    return [image for images in rows for image in images]


def load_saved_splits(inputs: Sequence[SourceInputs]) -> list[SplitFile | None]:
    """Load the saved split of every source that has one."""
    return [None if given.split_file is None else SplitFile.load(given.split_file) for given in inputs]


def patient_images(config: CurateConfig, rows: Rows) -> Iterator[tuple[AnySource, RawImage]]:
    """Yield the images of all sources but phantoms, each with its source."""
    for source, images in zip(config.sources, rows, strict=True):
        if source.has_patients():
            yield from ((source, image) for image in images)


def possible_splits(source: AnySource, image: RawImage, saved: SplitFile | None) -> frozenset[Split]:
    """Return the splits that an image may get, as far as known before the patients are divided."""
    named = frozenset(source.split_shares())
    if saved is not None:
        known = saved.patients.get(image.patient_key)
        return frozenset() if known is None else frozenset({known})
    if source.left_out_site:
        tested: frozenset[Split] = frozenset({"test"})
        return tested if image.site == source.left_out_site else named - tested
    if source.split in ("published", "as_listed") and image.published is not None:
        return named & {image.published, *(("validation",) if image.published == "train" else ())}
    return named


def patient_image_splits(config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]) -> frozenset[Split]:
    """Return all splits that an image of a patient may get."""
    return frozenset().union(*(splits for *_, splits in _possible(config, rows, saved)))


def check_patients(config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]) -> None:
    """Refuse patients who would be in two splits, under one name or two.

    Sources with `patients_unknown` are not checked.

    Raises:
        SourceError: if two images have one id.
        SplitError: if a patient is in two sources that go to different splits.
        SameNumberError: if one patient number is at two sites or sources, in splits that may differ, and the config
            does not declare that they are different patients.
    """
    by_source: dict[str, dict[int, set[Split]]] = defaultdict(lambda: defaultdict(set))
    known: dict[PatientName, set[Split]] = defaultdict(set)
    places: dict[PatientName, str] = {}
    files: dict[PatientName, Path | None] = {}
    for number, source, image, splits in _possible(config, rows, saved):
        if not getattr(source, "patients_unknown", False):
            by_source[image.patient_key][number] |= splits
            name = image.patient_name
            known[name] |= splits
            places.setdefault(name, _describe_source(number, source))
            files.setdefault(name, image.path)
    _refuse_two_splits(by_source)
    if config.same_numbers == "stop":
        names = [name for name, splits in known.items() if splits]
        doubtful = [pair for pair in same_numbers(names, names) if len(known[pair[0]] | known[pair[1]]) > 1]
        if doubtful:
            raise SameNumberError("\n".join([*describe_pairs(doubtful, places, files), f"{WAYS_OUT}."]))
    _refuse_duplicate_ids(config, rows)


def _possible(
    config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]
) -> Iterator[tuple[int, AnySource, RawImage, frozenset[Split]]]:
    """Yield the images of patients with the number of their source, the source, and their possible splits."""
    for number, (source, images, split) in enumerate(zip(config.sources, rows, saved, strict=True)):
        if source.has_patients():
            for image in images:
                yield number, source, image, possible_splits(source, image, split)


def _refuse_duplicate_ids(config: CurateConfig, rows: Rows) -> None:
    first: dict[str, RawImage] = {}
    duplicates = []
    for _, image in patient_images(config, rows):
        other = first.setdefault(comparable_id(image.image_id), image)
        if other is not image:
            duplicates.append(f"{image.image_id}: {other.path} and {image.path}")
    if duplicates:
        title = f"{len(duplicates)} ids are used for two images:"
        advice = "Give each folder a `source` name of its own, or other file names."
        raise SourceError("\n".join([title, *shorten_lines(duplicates), advice]))


def _refuse_two_splits(by_source: Mapping[str, Mapping[int, set[Split]]]) -> None:
    wrong = []
    for key, of in by_source.items():
        sets = [splits for splits in of.values() if splits]
        if len(sets) > 1 and not set.intersection(*sets):
            places = ", ".join(f"source {n} ({'+'.join(sorted(splits))})" for n, splits in of.items() if splits)
            wrong.append(f"{key}: {places}")
    if wrong:
        title = f"{len(wrong)} patients are in sources that go to different splits; a patient belongs to one:"
        advice = (
            "Remove their images from one of the sources, or divide one source by its role. If they are different "
            "patients, give the sources another `site`, and set `same_numbers: different_patients`."
        )
        raise SplitError("\n".join([title, *shorten_lines(wrong), advice]))


def _describe_source(number: int, source: AnySource) -> str:
    folder = f" '{source.input_paths()['folder']}'" if "folder" in source.input_paths() else ""
    return f", sources[{number}]{folder}, role {source.role}"
