"""Read sources into one checked image set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.intake.config import CurateConfig
from fulora.intake.source_config import SourceInputs
from fulora.stage import Source, stage

Outside = Sequence[Mapping[str, Source]]
"""The inputs of every source: `folder`, `split_file`, `key_file`, those that it has."""


def readable(config: CurateConfig, inputs: Outside) -> None:
    """Check the patients, and decode every image and mask of the sources once, before any stage runs.

    Raises:
        SourceError: if an image cannot be read and such images are not left out, or the layout is not the source's.
        SplitError, SameNumberError: if a patient would be in two splits, under one name or two.
        LabelSetError: if the classes are unknown, or are not a label set.
        NoDetectorError: if the requested text detector is not installed.
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
    if not all(item.path.exists() for source in inputs for item in source.values()):
        return  # a set of the hub, which is fetched first: its errors are reported when it is read
    paths = _paths(config, inputs)
    resolve_label_set(config, paths)
    images = read_and_check_patients(config, paths)
    if config.unusable == "stop":
        for _ in threaded(decode, track(images, "images checked")):
            pass


@stage(version=5, check=readable)
def curate(out: Path, config: CurateConfig, inputs: Outside) -> ImageSet:
    """Clean, resize, split by patient, and write the images of all sources.

    Also writes `split-<n>-<kind>.json` of every source, and `audit/` with removed text, images left out, and near
    duplicates of two patients.
    """
    from fulora.data.patient_numbers import note_different_patients
    from fulora.intake.curate.curate import Curation, text_detector
    from fulora.intake.deidentify.audit import CurationAudit
    from fulora.intake.deidentify.burned_in_text import describe_search
    from fulora.intake.image_set_labels import resolve_label_set
    from fulora.intake.sources.imagefolder import AUDIT
    from fulora.progress import note, track

    region = None if config.deidentify == "nothing" else config.deidentify
    audit = CurationAudit(out / AUDIT, describe_search(region, text_detector(config)))
    paths = _paths(config, inputs)
    curation = Curation(config, paths, seen=audit.note)
    labels = resolve_label_set(config, paths)
    if paths[0].labels is None:
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


def _paths(config: CurateConfig, inputs: Outside) -> list[SourceInputs]:
    from fulora.intake.image_set_labels import source_inputs

    return source_inputs(config, [{name: item.path for name, item in one.items()} for one in inputs])
