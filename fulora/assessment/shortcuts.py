"""Shortcuts: how well single cues distinguish synthetic images from real ones.

A classifier that is trained on both can learn the cue instead of the anatomy, above all if the cue differs between
planes. For comparison the same probe is applied to real images of two groups of patients.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from fulora.assessment.assessed_sets import LEAST, AssessedSets, places_of, reported_planes
from fulora.assessment.loaded_pictures import Pictures
from fulora.data.pictures.resize import to_square
from fulora.intake.deidentify.burned_in_text import remove_overlays
from fulora.metrics.fidelity import PIXEL_FEATURE_NAMES, Sample, domain_auc, pixel_features

SIDE_PX, FRAME, BLACK, FOLDS, MOST = 64, 0.05, 0.02, 5, 1000
TOGETHER = "all cues"
Cues = Mapping[str, Float[np.ndarray, "_ _"]]


@dataclass(frozen=True)
class Shortcut:
    """AUC of distinguishing synthetic from held-out real images of a plane by one cue, cross-validated by patient.

    Attributes:
        auc: 0.5 is best; 1 is perfectly distinguishable.
        real_auc: of the generator's training images against held-out ones; None if there are too few.
        n: images of both sides.
    """

    plane: str
    cue: str
    auc: float
    real_auc: float | None
    n: int


def compute_shortcuts(sets: AssessedSets, seed: int = 0) -> tuple[Shortcut, ...]:
    """Probe every cue, and all together, on all planes and on each plane with enough images."""
    parts = [_thinned(pictures, seed) for pictures in (sets.synthetic, sets.held_out)]
    parts += [] if sets.train is None else [_thinned(sets.train, seed)]
    seen = [(pictures, cues(pictures)) for pictures in parts]
    planes = reported_planes(sets.synthetic.planes.tolist())
    return tuple(line for plane in planes for line in _of_plane(plane, seen, seed))


def cues(pictures: Pictures) -> Cues:
    """Compute the features of each cue.

    noise spectrum, gray levels, layout: the parts of `pixel_features` at 64 px. border: means of the outer twentieth
    of each side, their spread, and how much of it is black. text: share of pixels that de-identification finds
    burned in. tint: of a colour file. size: height and shape.
    """
    squares = np.stack([to_square(picture, SIDE_PX, "letterbox") for picture in pictures.pixels])
    features = pixel_features(squares)
    kinds = np.array([name.split("_")[0] for name in PIXEL_FEATURE_NAMES])
    shapes = np.array([picture.shape for picture in pictures.pixels], np.float64)
    return {
        "noise spectrum": features[:, kinds == "spectrum"],
        "gray levels": features[:, kinds == "histogram"],
        "layout": features[:, kinds == "intensity"],
        "border": np.array([_border(square) for square in squares]),
        "text": np.array([_text(picture) for picture in pictures.pixels]),
        "tint": pictures.tints,
        "size": np.log(np.stack([shapes[:, 0], shapes[:, 1] / shapes[:, 0]], axis=1)),
    }


def _border(square: UInt8[np.ndarray, "h w"]) -> tuple[float, ...]:
    width = max(1, round(len(square) * FRAME))
    sides = [side / 255.0 for side in (square[:width], square[-width:], square[:, :width], square[:, -width:])]
    everything = np.concatenate([side.ravel() for side in sides])
    return *(float(side.mean()) for side in sides), float(everything.std()), float((everything < BLACK).mean())


def _text(picture: UInt8[np.ndarray, "h w"]) -> tuple[float, float]:
    overlays = remove_overlays(picture, "everywhere")
    return float(overlays.outside.mean()), float(overlays.inside.mean())


def _thinned(pictures: Pictures, seed: int) -> Pictures:
    chosen: Int[np.ndarray, " m"] = np.sort(np.random.default_rng(seed).permutation(len(pictures))[:MOST])
    return pictures.of(chosen)


def _of_plane(plane: str, seen: list[tuple[Pictures, Cues]], seed: int) -> Iterator[Shortcut]:
    sides = []
    for pictures, values_by_cue in seen:
        places = places_of(plane, pictures)
        of_cue = {cue: values[places] for cue, values in values_by_cue.items()}
        of_cue[TOGETHER] = np.concatenate(list(of_cue.values()), axis=1)
        patients = pictures.patients[places]
        sides.append({cue: Sample(values, patients) for cue, values in of_cue.items()})
    made, held_out, *train = sides
    images, patients = made[TOGETHER].groups, held_out[TOGETHER].groups
    if min(len(images), len(patients)) < LEAST or len(set(patients)) < 2:
        return
    for cue in held_out:
        auc = _auc(made[cue], held_out[cue], seed)
        real = None
        if train and len(train[0][cue].groups) >= LEAST and len(set(train[0][cue].groups)) > 1:
            real = _auc(train[0][cue], held_out[cue], seed)
        if auc is not None:
            yield Shortcut(plane, cue, auc, real, len(images) + len(patients))


def _auc(x: Sample, y: Sample, seed: int) -> float | None:
    """Compute the AUC; None if patients are too few or too uneven for folds."""
    if np.ptp(np.concatenate([x.features, y.features]), axis=0).max() == 0:
        return 0.5
    try:
        return domain_auc(x, y, seed=seed, folds=min(FOLDS, len(set(x.groups)), len(set(y.groups))))
    except ValueError:
        return None
