"""The assessment of a folder of synthetic images against folders of real ones: sets read, leaks refused, assessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.assessment.assess import AssessmentFindings, assess
from fulora.assessment.assessed_sets import AssessedSets
from fulora.assessment.config import AssessConfig
from fulora.assessment.loaded_pictures import UNKNOWN, Pictures, PicturesError, of_rows, read_pictures
from fulora.assessment.trusted_encoders import check_trusted
from fulora.clip.prompts import prompts_of, read_prompts
from fulora.data.assessed_images import AssessedImage
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, label_set, refuse_other_classes
from fulora.data.leak_check import ImageIdentity, describe_unknown, refuse_leaked_identities
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.provenance import provenance_of
from fulora.progress import note


@dataclass(frozen=True)
class FolderAssessment:
    """An assessment: the compared sets, what was found of them, and a row for each synthetic image."""

    sets: AssessedSets
    findings: AssessmentFindings
    rows: Sequence[AssessedImage]


def assess_folders(
    synthetic: Path,
    real: Path,
    config: AssessConfig,
    *,
    train: Path | None = None,
    labels: str | None = None,
    prompts: str = "",
    clip: Path | None = None,
    judges: Path | None = None,
    cache: Path | None = None,
) -> FolderAssessment:
    """Assess fidelity, diversity, copies, label truth and shortcuts of synthetic images.

    Args:
        synthetic: image set or folder of synthetic images.
        real: real images of held-out patients.
        train: the images that trained the generator; then copies are looked for. One image set for `real` and `train`
            is divided by its splits.
        labels: a label set by its name or file; by default that of the image sets, else the names of class folders.
        prompts: file of prompts; by default those of the label set.
        clip: open_clip folder of the encoder `clip`; the embedded one if None.
        judges: folder of a study's `train_judges`.
        cache: folder that keeps features.

    Raises:
        UntrustedEncoderError: if a TorchScript encoder is not trusted.
        LabelSetError, ConfigError: if a label set does not exist, or two of them have different classes.
        PicturesError: if a folder has no images, or a set lacks a split.
        OverlapError: if the generator, or a model that it is based on, was fitted to a real image or its patient.
    """
    check_trusted(config.encoders, config.trusted_encoders)
    sets = read_sets(synthetic, real, train, labels)
    _refuse_leaks(synthetic, sets.held_out)
    texts = {} if sets.labels is None else prompts_of(sets.labels, read_prompts(prompts) if prompts else None).texts()
    findings, rows = assess(sets, config, prompts=texts, clip=clip, judges=judges, cache=cache)
    return FolderAssessment(sets, findings, rows)


def read_sets(synthetic: Path, real: Path, train: Path | None, labels: str | None) -> AssessedSets:
    """Read the images of image sets or folders; arguments as for `assess_folders`."""
    folders = [synthetic, real, *([] if train is None else [train])]
    classes = _label_set(labels, folders)
    generated, (held_out, trained) = read_pictures(synthetic, classes), _read_real(real, train, classes)
    if classes is None:
        parts = (generated, held_out, *([] if trained is None else [trained]))
        names = {str(plane) for part in parts for plane in part.planes} - {UNKNOWN}
        classes = LabelSet.derived(names) if names else None
        if names:
            note(f"classes by the names of folders: {', '.join(sorted(names))}; --labels gives them prompts")
    return AssessedSets(generated, held_out, trained, classes)


def _label_set(named: str | None, folders: Sequence[Path]) -> LabelSet | None:
    by_origin = {} if named is None else {f"--labels {named}": label_set(named)}
    sets = (ImageSet(folder, "") for folder in dict.fromkeys(folders))
    by_origin |= {str(images.path): images.label_set() for images in sets if next(images.iter_rows(), None) is not None}
    first = next(iter(by_origin), "")
    for origin, labels in list(by_origin.items())[1:]:
        refuse_other_classes(by_origin[first], labels, name=first, other_name=origin)
    return by_origin.get(first)


def _read_real(real: Path, train: Path | None, labels: LabelSet | None) -> tuple[Pictures, Pictures | None]:
    if train is None:
        return read_pictures(real, labels), None
    if real.resolve() != train.resolve():
        return read_pictures(real, labels), read_pictures(train, labels)
    images = ImageSet(real, "")
    trained, held_out = images.rows("train"), images.rows("validation") or images.rows("test")
    if not trained or not held_out:
        raise PicturesError(f"{real}: has no training split beside others; give --real and --train as two sets")
    return of_rows(images, held_out), of_rows(images, trained)


def _refuse_leaks(synthetic: Path, held_out: Pictures) -> None:
    images = ImageSet(synthetic, "")
    if next(images.iter_rows(), None) is not None:
        provenance = images.provenance()
    else:
        provenance = provenance_of(synthetic, f"the generator of {synthetic.name}")
    patients = held_out.patients.tolist() if held_out.patients_known else [""] * len(held_out)
    identities = map(ImageIdentity, held_out.ids.tolist(), map(pixel_digest, held_out.pixels), patients)
    for line in describe_unknown(refuse_leaked_identities([provenance], list(identities), uses=("fitted",))):
        note(line)
