"""Distance of synthetic images from held-out patients of the study's population, by their pixels alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fulora.assessment.config import ClosenessConfig
from fulora.data.column_types import Split
from fulora.data.image_set import ImageSet
from fulora.data.label_set import refuse_other_classes
from fulora.data.pictures.loaders import load_squares
from fulora.data.score import Score
from fulora.metrics.fidelity import Sample, domain_auc, median_distance, mmd2_jackknife, pixel_features

REAL = "real training images"
"""The row of the real training images."""


@dataclass(frozen=True)
class HeldOutReference:
    """Images of held-out patients, and the kernel bandwidth of all comparisons with them."""

    sample: Sample
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
    rows = [row for name, sample in ({REAL: train} | sets).items() for row in _against(name, sample, reference)]
    return [*rows, *_closer_than_baseline(sets, reference)]


def _sample(images: ImageSet, split: Split, side_px: int) -> Sample:
    rows = images.rows(split)
    groups = np.array([row.patient_key or row.image_id for row in rows])
    return Sample(pixel_features(load_squares(images, rows, side_px, "letterbox")), groups)


def _against(name: str, sample: Sample, reference: HeldOutReference) -> list[Score]:
    config, held_out = reference.config, reference.sample
    distance = mmd2_jackknife(sample, held_out, bandwidth=reference.bandwidth, level=config.level)
    folds = min(config.folds, len(set(sample.groups)), len(set(held_out.groups)))
    auc = domain_auc(sample, held_out, seed=config.seed, folds=folds)
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


def _closer_than_baseline(sets: Mapping[str, Sample], reference: HeldOutReference) -> Iterator[Score]:
    baseline, level = reference.config.baseline, reference.config.level
    for name, sample in sets.items():
        if baseline is None or name == baseline:
            continue
        change = mmd2_jackknife(sets[baseline], reference.sample, sample, bandwidth=reference.bandwidth, level=level)
        yield Score.of(
            change,
            quantity="MMD²",
            arm=baseline,
            baseline=name,
            protocol="generation",
            note=f"above 0: the images of {name} are closer to the study population than those of {baseline}",
        )
