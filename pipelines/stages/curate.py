"""Read sources from outside into one checked image set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.image_set import ImageSet
from fulora.intake.config import CurateConfig
from fulora.stage import Source, stage

if TYPE_CHECKING:
    from fulora.intake.source_config import SourceInputs

Outside = Sequence[Mapping[str, Source]]
"""For every source, what it reads: `folder`, `split_file`, `key_file`, as far as it has them."""


def readable(config: CurateConfig, inputs: Outside) -> None:
    """Check patients by their rows, and decode every image and mask of the sources once, before any stage runs.

    Raises:
        SourceError: the first picture that cannot be read, unless such ones are left out; or a layout that is not the
            source's.
        SplitError, SameNumberError: a woman who would be in two splits, under one name or two.
        LabelSetError: classes that cannot be known, or make no label set.
        NoDetectorError: a text detector is asked for that is not installed.
    """
    from fulora.engine import threaded
    from fulora.intake.curate.patient_checks import read_and_check_patients
    from fulora.intake.deidentify.text_detection import require_detector
    from fulora.intake.image_set_labels import resolve_label_set
    from fulora.intake.raw_image import RawImage
    from fulora.progress import track

    def decode(image: RawImage) -> None:
        image.load()

    if config.text_detector != "none":
        require_detector()
    if not all(item.path.exists() for given in inputs for item in given.values()):
        return  # a set of the hub, which is fetched first: what is wrong with it is told when it is read
    read = _given(config, inputs)
    resolve_label_set(config, read)
    people = read_and_check_patients(config, read)
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
    from fulora.intake.curate.curate import Curation, text_detector
    from fulora.intake.deidentify.audit import CurationAudit
    from fulora.intake.deidentify.burned_in_text import describe_search
    from fulora.intake.image_set_labels import resolve_label_set
    from fulora.intake.sources.imagefolder import AUDIT
    from fulora.progress import note, track

    where = None if config.deidentify == "nothing" else config.deidentify
    audit = CurationAudit(out / AUDIT, describe_search(where, text_detector(config)))
    read = _given(config, inputs)
    curation = Curation(config, read, seen=audit.note)
    labels = resolve_label_set(config, read)
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


def _given(config: CurateConfig, inputs: Outside) -> "list[SourceInputs]":
    from fulora.intake.image_set_labels import source_inputs

    return source_inputs(config, [{name: item.path for name, item in one.items()} for one in inputs])
