"""Read sources from outside into one checked image set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.image_set import ImageSet
from fulora.intake.config import CurateConfig
from fulora.stage import Source, stage

if TYPE_CHECKING:
    from fulora.intake.source_config import Inputs

Outside = Sequence[Mapping[str, Source]]
"""For every source, what it reads: `folder`, `split_file`, `key_file`, as far as it has them."""


def readable(config: CurateConfig, inputs: Outside) -> None:
    """Check patients by their rows, and decode every image and mask of the sources once, before any stage runs.

    Raises:
        SourceError: the first picture that cannot be read, unless such ones are left out; or a layout that is not the
            source's.
        SplitError, SameNumberError: a woman who would be in two splits, under one name or two (`patients_apart`).
        LabelSetError: classes that cannot be known, or make no label set.
        NoDetectorError: a text detector is asked for that is not installed.
    """
    from fulora.engine import threaded
    from fulora.intake.curate.patient_checks import patients_apart
    from fulora.intake.deidentify.text_detection import need_detector
    from fulora.intake.image_set_labels import labels_of
    from fulora.intake.raw_image import RawImage
    from fulora.progress import track

    def decode(image: RawImage) -> None:
        image.load()

    if config.text_detector != "none":
        need_detector()
    if not all(item.path.exists() for given in inputs for item in given.values()):
        return  # a set of the hub, which is fetched first: what is wrong with it is told when it is read
    read = _given(config, inputs)
    labels_of(config, read)
    people = patients_apart(config, read)
    if config.unusable == "stop":
        for _ in threaded(decode, track(people, "images checked")):
            pass


@stage(version=5, check=readable)
def curate(out: Path, config: CurateConfig, inputs: Outside) -> ImageSet:
    """Clean, resize, split by patient, and write the images of all sources.

    Beside the image set: `split-<n>-<kind>.json` of every source, and `audit/` with what was removed and left out, and
    which pictures of two patients are nearly the same.
    """
    from fulora.data.patient_numbers import note_different_patients
    from fulora.intake.curate.curate import Curation, words_of
    from fulora.intake.deidentify.audit import Audit
    from fulora.intake.deidentify.burned_in_text import searched
    from fulora.intake.image_set_labels import labels_of
    from fulora.intake.sources.imagefolder import AUDIT
    from fulora.progress import note, track

    where = None if config.deidentify == "nothing" else config.deidentify
    audit = Audit(out / AUDIT, searched(where, words_of(config)))
    read = _given(config, inputs)
    curation = Curation(config, read, seen=audit.note)
    labels = labels_of(config, read)
    if read[0].labels is None:
        note(f"  {len(labels.names)} classes, by their folders or labels: {', '.join(labels.names)}")
    ImageSet.write(out, track(curation.pictures(), "images"), labels=labels)
    audit.write(curation.left_out, curation.noted)
    curation.near_duplicates.write(out / AUDIT)
    for line in curation.near_duplicates.lines():
        note(line)
    if config.same_numbers == "different_patients":
        note_different_patients(out)
    if audit.sites:
        note(f"  {audit.summary()}; sheets in {AUDIT}/ of the set")
    for number, (source, split) in enumerate(zip(config.sources, curation.splits, strict=True)):
        split.save(out / f"split-{number}-{source.kind}.json")
    return ImageSet(out, "")


def _given(config: CurateConfig, inputs: Outside) -> "list[Inputs]":
    from fulora.intake.image_set_labels import given

    return given(config, [{name: item.path for name, item in one.items()} for one in inputs])
