"""Read sources from outside into one checked image set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.manifest import ImageSet
from fulora.intake.config import CurateConfig
from fulora.stage import Source, stage

if TYPE_CHECKING:
    from fulora.intake.read import Inputs

Outside = Sequence[Mapping[str, Source]]
"""For every source, what it reads: `folder`, `split_file`, `key_file`, as far as it has them."""


def readable(config: CurateConfig, inputs: Outside) -> None:
    """Check patients by their rows, and decode every image and mask of the sources once, before any stage runs.

    Raises:
        SourceError: the first picture that cannot be read, unless such ones are left out; or a layout that is not the
            source's.
        SplitError, SameNumberError: a woman who would be in two splits, under one name or two (`patients_apart`).
        NoDetectorError: a text detector is asked for that is not installed.
    """
    from fulora.engine import threaded
    from fulora.intake.patient_checks import patients_apart
    from fulora.intake.raw import RawImage
    from fulora.intake.words import need_detector
    from fulora.progress import track

    def decode(image: RawImage) -> None:
        image.load()

    if config.text_detector != "none":
        need_detector()
    people = patients_apart(config, _paths(inputs))
    if config.unusable == "stop":
        for _ in threaded(decode, track(people, "images checked")):
            pass


@stage(version=5, check=readable)
def curate(out: Path, config: CurateConfig, inputs: Outside) -> ImageSet:
    """Clean, resize, split by patient, and write the images of all sources.

    Beside the image set: `split-<n>-<kind>.json` of every source, and `audit/` with what was removed and left out, and
    which pictures of two patients are nearly the same.
    """
    from fulora.data.label_set import label_set
    from fulora.data.patient_numbers import note_different_patients
    from fulora.intake.audit import Audit
    from fulora.intake.curation import Curation, words_of
    from fulora.intake.deidentify import searched
    from fulora.intake.sources.imagefolder import AUDIT
    from fulora.progress import note, track

    where = None if config.deidentify == "nothing" else config.deidentify
    audit = Audit(out / AUDIT, searched(where, words_of(config)))
    curation = Curation(config, _paths(inputs), seen=audit.note)
    labels = label_set("fetal_planes").joined(label_set("intrapartum"))
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


def _paths(inputs: Outside) -> "list[Inputs]":
    from fulora.intake.read import Inputs

    return [Inputs(**{name: item.path for name, item in given.items()}) for given in inputs]
