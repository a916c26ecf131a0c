"""How far synthetic images are from people of the study's population who trained nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from fulora.config import Config
from fulora.data.labels import PLANES, Split
from fulora.data.manifest import ImageSet
from fulora.data.results import Score, Scores, write_table
from fulora.stage import stage

if TYPE_CHECKING:
    import numpy as np


class GenerationScoreConfig(Config):
    """`seed` draws the `folds` of the domain classifier (at most one a patient); `level` is that of the intervals."""

    seed: int = 0
    folds: int = Field(default=5, ge=2)
    level: float = Field(default=0.95, gt=0, lt=1)


@dataclass(frozen=True)
class Sample:
    """Features (n, d) of a set of images, and the group of each: its patient, or the synthetic image itself."""

    features: "np.ndarray"
    groups: "np.ndarray"


@stage(version=1)
def score_generation(
    out: Path, config: GenerationScoreConfig, real: ImageSet, synthetic: Mapping[str, ImageSet]
) -> Scores:
    """MMD² and domain AUC of each synthetic set, and of the real training images, against held-out real patients.

    The reference is the validation split: patients of the training population that no weight was fitted to. Features
    are `pixel_features`, so the figures speak of texture and intensity, not of anatomy. One kernel bandwidth (the
    median distance of real training and reference images) serves all rows. All pictures are seen at the height of the
    synthetic ones, whole on black.

    Raises:
        OverlapError, SameNumberError: a generator, or a parent of it, was fitted to a validation image or patient.
    """
    from fulora.data.overlap import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.metrics.fidelity import median_distance

    generators = [images.provenance() for images in synthetic.values()]
    told_apart = different_patients(real.path)
    refuse_leaks(generators, real.rows("validation"), uses=("fitted",), told_apart=told_apart)
    side = max(row.height for images in synthetic.values() for row in images.rows("train"))
    reference, train = _sample(real, "validation", side), _sample(real, "train", side)
    bandwidth = median_distance(train.features, reference.features)
    drawn = {name: _sample(images, "train", side) for name, images in synthetic.items()}
    sets = {"real training images": train} | drawn
    rows = [row for name, found in sets.items() for row in _against(name, found, reference, bandwidth, config)]
    write_table(out, [*rows, _closer(sets["base"], sets["LoRA"], reference, bandwidth, config)])
    return Scores(out, "")


def _sample(images: ImageSet, split: Split, side_px: int) -> Sample:
    import numpy as np

    from fulora.data.loaders import load_squares
    from fulora.metrics.fidelity import pixel_features

    rows = [row for row in images.rows(split) if row.plane in PLANES]
    groups = np.array([row.patient_key or row.image_id for row in rows])
    return Sample(pixel_features(load_squares(images, rows, side_px, "letterbox")), groups)


def _against(
    name: str, found: Sample, reference: Sample, bandwidth: float, config: GenerationScoreConfig
) -> list[Score]:
    from fulora.metrics.fidelity import domain_auc, mmd2_jackknife

    distance = mmd2_jackknife(
        found.features, found.groups, reference.features, reference.groups, bandwidth=bandwidth, level=config.level
    )
    groups = min(len(set(found.groups)), len(set(reference.groups)))
    auc = domain_auc(
        found.features,
        reference.features,
        found.groups,
        reference.groups,
        seed=config.seed,
        folds=min(config.folds, groups),
    )
    about = Score.of(
        distance,
        name="MMD² to unseen patients of the study population",
        arm=name,
        protocol="generation",
        note="RBF kernel on pixel features, unbiased; jackknife over patients and synthetic images; 0 is best",
    )
    note = "logistic regression on pixel features, folds grouped by patient; 0.5 is best"
    domain = {"name": "AUC of telling the set from unseen patients", "value": auc, "low": None, "high": None}
    return [about, about.model_copy(update=domain | {"note": note})]


def _closer(base: Sample, lora: Sample, reference: Sample, bandwidth: float, config: GenerationScoreConfig) -> Score:
    from fulora.metrics.fidelity import mmd2_difference

    change = mmd2_difference(
        base.features, base.groups, lora.features, lora.groups, reference.features, reference.groups,
        bandwidth=bandwidth, level=config.level,
    )  # fmt: skip
    return Score.of(
        change,
        name="MMD² of base minus MMD² of LoRA",
        arm="base - LoRA",
        protocol="generation",
        note="above 0: the LoRA's images are closer to the study population than the base's",
    )
