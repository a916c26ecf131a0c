"""The whole assessment of one synthetic set: figures, label truth, shortcuts, filters and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from pydantic import TypeAdapter

from fulora.assessment.assessed_sets import ALL_PLANES, AssessedSets, EncodedSets, NearestImages, find_nearest
from fulora.assessment.config import AssessConfig
from fulora.assessment.encoder_figures import EncoderFigures, compute_figures
from fulora.assessment.encoders import load_encoder
from fulora.assessment.judges import check_judges, judge, judged
from fulora.assessment.label_truth import ClassScores, Truth, compute_truths, known_planes, margins
from fulora.assessment.loaded_pictures import Pictures
from fulora.assessment.screening import CalibratedFilter, causes, screen
from fulora.assessment.shortcuts import Shortcut, compute_shortcuts
from fulora.assessment.trusted_encoders import check_trusted
from fulora.assessment.verdicts import Verdict, VerdictInputs, verdicts
from fulora.data.assessed_images import FINDINGS, AssessedImage
from fulora.data.hybrid import FilterName


@dataclass(frozen=True)
class SetSize:
    """Numbers of images and patients of a set."""

    images: int
    patients: int
    patients_known: bool


@dataclass(frozen=True)
class AssessmentFindings:
    """The results of an assessment.

    Attributes:
        classes: of the images, in the order of `Truth.seen`; empty if unknown.
    """

    classes: tuple[str, ...]
    synthetic: SetSize
    held_out: SetSize
    train: SetSize | None
    encoders: tuple[EncoderFigures, ...]
    truths: tuple[Truth, ...]
    shortcuts: tuple[Shortcut, ...]
    false_reject: float
    filters: tuple[CalibratedFilter, ...]
    verdicts: tuple[Verdict, ...]


def assess(
    sets: AssessedSets,
    config: AssessConfig,
    *,
    prompts: Mapping[str, Sequence[str]],
    clip: Path | None = None,
    judges: Path | None = None,
    cache: Path | None = None,
) -> tuple[AssessmentFindings, list[AssessedImage]]:
    """Assess a synthetic set and each of its images.

    Too few images are not an error: then no filter rejects any image, and the verdict says why.

    Args:
        prompts: for the CLIP, by class of `sets`, in their order; empty if the classes are unknown.
        clip: the CLIP of the encoder `clip`; the embedded one if None.
        judges: a folder of `train_judges`.
        cache: a folder for features.

    Raises:
        EncoderError: if an encoder cannot be loaded.
        UntrustedEncoderError: for a TorchScript encoder that `config.trusted_encoders` does not name.
        LabelSetError, PicturesError: if the judges have other classes, or the classes are unknown.
        DeviceError: if there is no device `config.device`.
    """
    check_trusted(config.encoders, config.trusted_encoders)
    if judges is not None:
        check_judges(judges, sets.labels)
    if sets.lacking:
        return _without_verdicts(sets, config, judged_too=judges is not None)
    encoded = [_encoded(name, sets, prompts, clip, cache, config) for name in config.encoders]
    near = [images for one in encoded if (images := find_nearest(sets, one)) is not None]
    opinions = _opinions(sets, encoded, near, judges, config.device)
    figures = tuple(
        compute_figures(sets, one, images, pairs=config.pairs, draws=config.draws, seed=config.seed)
        for one, images in zip_longest(encoded, near)
    )
    filters, rejected = screen(sets, encoded, near, opinions, config.false_reject)
    label_truths = compute_truths(known_planes(sets.synthetic.planes, sets.classes), opinions, sets.classes)
    shortcuts = compute_shortcuts(sets, config.seed)
    counts = {str(name): int(n) for name, n in zip(*np.unique(sets.synthetic.planes, return_counts=True), strict=True)}
    findings = replace(
        _without_figures(sets, config),
        encoders=figures,
        truths=label_truths,
        shortcuts=shortcuts,
        filters=tuple(filters),
        verdicts=verdicts(VerdictInputs(counts, figures, label_truths, shortcuts, filters, config.false_reject)),
    )
    return findings, _screened(sets, encoded, near, opinions, list(causes(filters, rejected)))


def _without_figures(sets: AssessedSets, config: AssessConfig) -> AssessmentFindings:
    sizes = (_count(sets.synthetic), _count(sets.held_out), None if sets.train is None else _count(sets.train))
    return AssessmentFindings(sets.classes, *sizes, (), (), (), config.false_reject, (), ())


def _without_verdicts(
    sets: AssessedSets, config: AssessConfig, *, judged_too: bool
) -> tuple[AssessmentFindings, list[AssessedImage]]:
    names: list[FilterName] = ["brightness", "near_duplicate", "memorised"]
    names += ["clip"] if "clip" in config.encoders else []
    names += ["plane"] if judged_too else []
    findings = replace(
        _without_figures(sets, config),
        filters=tuple(CalibratedFilter(name, (), (), len(sets.held_out), {}) for name in names),
        verdicts=(Verdict(ALL_PLANES, (f"no verdict: {sets.lacking}",), "No filter rejects any image."),),
    )
    made = zip(sets.synthetic.ids.tolist(), sets.synthetic.planes.tolist(), strict=True)
    return findings, [AssessedImage(image_id=image_id, plane=plane, fails=()) for image_id, plane in made]


def write_findings(folder: Path, findings: AssessmentFindings) -> None:
    """Write `findings.json`."""
    (folder / FINDINGS).write_bytes(as_json(findings))


def as_json(findings: AssessmentFindings) -> bytes:
    """Return the findings as JSON."""
    return TypeAdapter(AssessmentFindings).dump_json(findings, indent=1) + b"\n"


def read_findings(folder: Path) -> AssessmentFindings:
    """Read `findings.json`."""
    return TypeAdapter(AssessmentFindings).validate_json((folder / FINDINGS).read_bytes())


def _encoded(
    name: str,
    sets: AssessedSets,
    prompts: Mapping[str, Sequence[str]],
    clip: Path | None,
    cache: Path | None,
    config: AssessConfig,
) -> EncodedSets:
    encoder = load_encoder(name, clip, config.trusted_encoders, config.device)
    made, held_out = (encoder.views(part.pixels, cache) for part in (sets.synthetic, sets.held_out))
    train = None if sets.train is None else encoder.views(sets.train.pixels, cache)
    planes = encoder.directions(prompts) if encoder.directions and prompts else None
    return EncodedSets(name, made, held_out, train, planes)


def _count(pictures: Pictures) -> SetSize:
    return SetSize(len(pictures), len(set(pictures.patients)), pictures.patients_known)


def _opinions(
    sets: AssessedSets,
    encoded: Sequence[EncodedSets],
    near: Sequence[NearestImages],
    judges: Path | None,
    device: str,
) -> list[ClassScores]:
    requested, labels = known_planes(sets.synthetic.planes, sets.classes), sets.labels
    if labels is None or len(labels.names) < 2 or not (requested >= 0).any():
        return []
    scores = [_by_prompts(one, one.planes, sets) for one in encoded if one.encoder == "clip" and one.planes is not None]
    if judges is not None:
        chosen = sets.real.of(judged(judges, sets.real) & (known_planes(sets.real.planes, labels.names) >= 0))
        shown = known_planes(chosen.planes, labels.names)
        scores.append(judge(judges, sets.synthetic, _nearest_patient(sets, near), chosen, shown, device))
    return scores


def _by_prompts(encoded: EncodedSets, planes: Float[np.ndarray, "planes d"], sets: AssessedSets) -> ClassScores:
    shown = known_planes(sets.held_out.planes, sets.classes)
    known = np.flatnonzero(shown >= 0)
    made, real = encoded.synthetic.plain @ planes.T, encoded.held_out.plain[known] @ planes.T
    return ClassScores("clip", made, real, shown[known])


def _nearest_patient(sets: AssessedSets, near: Sequence[NearestImages]) -> Shaped[np.ndarray, " n"]:
    """Return the patient nearest to each synthetic picture, by the encoder with the lowest ratio."""
    if sets.train is None or not near:
        return np.array([""] * len(sets.synthetic))
    most = np.argmin([one.made.ratio for one in near], axis=0)
    places = np.array([one.made.nearest for one in near])[most, np.arange(len(most))]
    return np.asarray(sets.real.patients[places])


def _screened(
    sets: AssessedSets,
    encoded: Sequence[EncodedSets],
    near: Sequence[NearestImages],
    opinions: Sequence[ClassScores],
    fails: Sequence[tuple[str, ...]],
) -> list[AssessedImage]:
    made, requested = sets.synthetic, known_planes(sets.synthetic.planes, sets.classes)
    ids = sets.real.ids
    beside = {one.by: margins(one.made, requested) for one in opinions}
    by = list(zip(encoded, near, strict=False))
    return [
        AssessedImage.model_validate(
            {
                "image_id": str(made.ids[n]),
                "plane": str(made.planes[n]),
                "fails": fails[n],
                "seen": {one.by: sets.classes[int(one.made[n].argmax())] for one in opinions},
                "margin": {name: float(values[n]) for name, values in beside.items() if np.isfinite(values[n])},
                "nearest": {one.encoder: str(ids[images.made.nearest[n]]) for one, images in by},
                "ratio": {one.encoder: float(images.made.ratio[n]) for one, images in by},
            }
        )
        for n in range(len(made))
    ]
