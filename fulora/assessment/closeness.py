"""Distance of synthetic images from held-out patients of the study's population, by their pixels alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from fulora.assessment.config import ClosenessConfig
from fulora.data.image_set import ImageSet
from fulora.data.label_set import refuse_other_classes
from fulora.data.labels import Split
from fulora.data.pictures.loaders import load_squares
from fulora.data.score import Score
from fulora.metrics.fidelity import domain_auc, median_distance, mmd2_difference, mmd2_jackknife, pixel_features

REAL = "real training images"
"""The row of the real training images."""


@dataclass(frozen=True)
class GroupedFeatures:
    """Features of a set of images, and the group of each: its patient, or the synthetic image itself."""

    features: Float[np.ndarray, "n d"]
    groups: Shaped[np.ndarray, " n"]


@dataclass(frozen=True)
class HeldOutReference:
    """Images of held-out patients, and the kernel bandwidth of all comparisons with them."""

    sample: GroupedFeatures
    bandwidth: float
    config: ClosenessConfig


def closeness(real: ImageSet, synthetic: Mapping[str, ImageSet], config: ClosenessConfig) -> list[Score]:
    """Compute MMD² and domain AUC of each synthetic set, and of real training images, against held-out patients.

    The reference is the validation split: patients of the training population that no weight was fitted to. Features
    are `pixel_features`, so the figures speak of texture and intensity, not of anatomy. One kernel bandwidth (the
    median distance of real training and reference images) is used for all rows. All pictures are letterboxed to
    the height of the synthetic ones.

    Args:
        real: with a training and a validation split.
        synthetic: sets by the name of their generator, any number of them.

    Returns:
        Two scores for the real training images, then two for each synthetic set; then, if `config.baseline` names one
        of them, how much closer each other set is.

    Raises:
        ValueError: if there is no synthetic set, or `config.baseline` is not one of them.
        LabelSetError: if a synthetic set shows other classes than the real images.
    """
    if not synthetic:
        raise ValueError("closeness: there are no synthetic images; give one set of them or more, by name")
    if config.baseline is not None and config.baseline not in synthetic:
        raise ValueError(
            f"baseline: {config.baseline!r} is not one of the synthetic sets ({', '.join(synthetic)}); give one, or "
            "null"
        )
    for name, images in synthetic.items():
        refuse_other_classes(
            real.label_set(), images.label_set(), name="real images", other_name=f"synthetic images {name}"
        )
    side = max(row.height for images in synthetic.values() for row in images.rows("train"))
    held_out, train = _sample(real, "validation", side), _sample(real, "train", side)
    reference = HeldOutReference(held_out, median_distance(train.features, held_out.features), config)
    sets = {name: _sample(images, "train", side) for name, images in synthetic.items()}
    rows = [row for name, found in ({REAL: train} | sets).items() for row in _against(name, found, reference)]
    return [*rows, *_closer_than_baseline(sets, reference)]


def _sample(images: ImageSet, split: Split, side_px: int) -> GroupedFeatures:
    rows = images.rows(split)
    groups = np.array([row.patient_key or row.image_id for row in rows])
    return GroupedFeatures(pixel_features(load_squares(images, rows, side_px, "letterbox")), groups)


def _against(name: str, found: GroupedFeatures, reference: HeldOutReference) -> list[Score]:
    config, theirs = reference.config, reference.sample
    distance = mmd2_jackknife(
        found.features,
        found.groups,
        theirs.features,
        theirs.groups,
        bandwidth=reference.bandwidth,
        level=config.level,
    )
    folds = min(config.folds, len(set(found.groups)), len(set(theirs.groups)))
    auc = domain_auc(found.features, theirs.features, found.groups, theirs.groups, seed=config.seed, folds=folds)
    about = Score.of(
        distance,
        quantity="MMD²",
        arm=name,
        protocol="generation",
        note="RBF kernel on pixel features, unbiased; jackknife over patients and synthetic images; 0 is best",
    )
    note = "logistic regression on pixel features, folds grouped by patient; 0.5 is best"
    domain = about.changed(quantity="AUC of telling from unseen patients", value=auc, low=None, high=None, note=note)
    return [about.changed(rank=1, better="lower"), domain.changed(rank=2)]


def _closer_than_baseline(sets: Mapping[str, GroupedFeatures], reference: HeldOutReference) -> Iterator[Score]:
    baseline, theirs = reference.config.baseline, reference.sample
    for name, found in sets.items():
        if baseline is None or name == baseline:
            continue
        change = mmd2_difference(
            sets[baseline].features,
            sets[baseline].groups,
            found.features,
            found.groups,
            theirs.features,
            theirs.groups,
            bandwidth=reference.bandwidth,
            level=reference.config.level,
        )
        yield Score.of(
            change,
            quantity="MMD²",
            arm=baseline,
            baseline=name,
            protocol="generation",
            note=f"above 0: the images of {name} are closer to the study population than those of {baseline}",
        )
