"""Whose images may be apart: checks of patients that need no picture, made before any is decoded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fulora.data.labels import Split
from fulora.data.patient_numbers import WAYS_OUT, Name, SameNumberError, lines, same_numbers
from fulora.data.set_leaks import id_key
from fulora.data.split_file import SplitFile
from fulora.data.splits import SplitError
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.raw_image import RawImage, SourceError, refuse
from fulora.intake.read_sources import Rows, read_source
from fulora.intake.source_config import SourceInputs

SHOWN = 10


def read_and_check_patients(config: CurateConfig, inputs: Sequence[SourceInputs]) -> list[RawImage]:
    """Check the patients of a config's sources by their rows alone, without decoding a picture.

    Returns:
        The rows: every picture of a person.

    Raises:
        SourceError: a folder that has not the source's layout; a row that cannot be used, where the config says to
            stop at one.
        SplitError, SameNumberError: as `check_patients`.
    """
    on_skip = refuse if config.unusable == "stop" else _pass_over
    people = [
        list(read_source(source, given, on_skip)) if source.has_patients() else []
        for source, given in zip(config.sources, inputs, strict=True)
    ]
    check_patients(config, people, load_saved_splits(inputs))
    return [image for images in people for image in images]


def _pass_over(message: str) -> None:
    """Rows that are left out are listed when the set is written."""


def load_saved_splits(inputs: Sequence[SourceInputs]) -> list[SplitFile | None]:
    """The saved split of every source that has one."""
    return [None if given.split_file is None else SplitFile.load(given.split_file) for given in inputs]


def patient_images(config: CurateConfig, rows: Rows) -> Iterator[tuple[AnySource, RawImage]]:
    """The images of all sources but phantoms, each with its source."""
    for source, images in zip(config.sources, rows, strict=True):
        if source.has_patients():
            yield from ((source, image) for image in images)


def possible_splits(source: AnySource, image: RawImage, saved: SplitFile | None) -> frozenset[Split]:
    """The splits that an image may get, as far as that is known before the patients are divided."""
    named = frozenset(source.split_shares())
    if saved is not None:
        known = saved.patients.get(image.patient_key)
        return frozenset() if known is None else frozenset({known})
    if source.left_out_site:
        tested: frozenset[Split] = frozenset({"test"})
        return tested if image.site == source.left_out_site else named - tested
    if source.split in ("published", "as_listed") and image.published is not None:
        mine = {image.published, *(("validation",) if image.published == "train" else ())}
        return named & mine
    return named


def patient_image_splits(config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]) -> frozenset[Split]:
    """All splits that a picture of a person may get."""
    return frozenset().union(*(splits for *_, splits in _possible(config, rows, saved)))


def check_patients(config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]) -> None:
    """Refuse a woman who would stand in two splits, under one name or under two.

    Patients of published sets are told apart by their documented numbers, those of images whose patients are said to
    be unknown by nothing.

    Raises:
        SourceError: two images of one id.
        SplitError: a patient in two sources that go to different splits.
        SameNumberError: one patient number under two sites or sources, in splits that may differ, where the config
            does not say that they are different patients.
    """
    by_source: dict[str, dict[int, set[Split]]] = defaultdict(lambda: defaultdict(set))
    known: dict[Name, set[Split]] = defaultdict(set)
    said: dict[Name, str] = {}
    files: dict[Name, Path | None] = {}
    for number, source, image, splits in _possible(config, rows, saved):
        if not getattr(source, "patients_unknown", False):
            by_source[image.patient_key][number] |= splits
            name = image.patient_name
            known[name] |= splits
            said.setdefault(name, _said(number, source))
            files.setdefault(name, image.path)
    _in_one_split(by_source)
    if config.same_numbers == "stop":
        names = [name for name, splits in known.items() if splits]
        doubtful = [pair for pair in same_numbers(names, names) if len(known[pair[0]] | known[pair[1]]) > 1]
        if doubtful:
            raise SameNumberError("\n".join([*lines(doubtful, said, files), f"{WAYS_OUT}."]))
    _ids_once(config, rows)


def _possible(
    config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]
) -> Iterator[tuple[int, AnySource, RawImage, frozenset[Split]]]:
    """The pictures of people with the number of their source, the source, and the splits that they may get."""
    for number, (source, images, split) in enumerate(zip(config.sources, rows, saved, strict=True)):
        if source.has_patients():
            for image in images:
                yield number, source, image, possible_splits(source, image, split)


def _ids_once(config: CurateConfig, rows: Rows) -> None:
    first: dict[str, RawImage] = {}
    twice = []
    for _, image in patient_images(config, rows):
        other = first.setdefault(id_key(image.image_id), image)
        if other is not image:
            twice.append(f"{image.image_id}: {other.path} and {image.path}")
    if twice:
        more = [f"... and {len(twice) - SHOWN} more"] if len(twice) > SHOWN else []
        advice = "Give each folder a `source` name of its own, or other file names."
        raise SourceError("\n".join([f"{len(twice)} ids are of two images:", *twice[:SHOWN], *more, advice]))


def _in_one_split(by_source: Mapping[str, Mapping[int, set[Split]]]) -> None:
    wrong = []
    for key, of in by_source.items():
        sets = [splits for splits in of.values() if splits]
        if len(sets) > 1 and not set.intersection(*sets):
            places = ", ".join(f"source {n} ({'+'.join(sorted(splits))})" for n, splits in of.items() if splits)
            wrong.append(f"{key}: {places}")
    if wrong:
        more = [f"... and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise SplitError(
            "\n".join(
                [
                    f"{len(wrong)} patients are in sources that go to different splits; a patient belongs to one:",
                    *wrong[:SHOWN],
                    *more,
                    "Take their images out of one of the sources, or divide one source by its role. If they are "
                    "different patients, give the sources another `site`, and say `same_numbers: different_patients`.",
                ]
            )
        )


def _said(number: int, source: AnySource) -> str:
    folder = f" '{source.input_paths()['folder']}'" if "folder" in source.input_paths() else ""
    return f", sources[{number}]{folder}, role {source.role}"
