"""Zero-shot accuracy of weights interpolated between a CLIP and its fine-tuned version."""

from functools import partial

import numpy as np

from fulora.clip.config import ForgettingConfig
from fulora.clip.embed import image_directions
from fulora.clip.loading import Clip, copy_weights
from fulora.clip.prompts import prompts_of
from fulora.clip.tune import interpolate_weights
from fulora.clip.zero_shot import prompt_logits
from fulora.data.column_types import Split
from fulora.data.image_set import ImageSet
from fulora.data.pictures.loaders import class_indices
from fulora.data.results import AlphaScore
from fulora.metrics.statistics import RIGHT_OR_WRONG, weighted_bootstrap
from fulora.metrics.weighted_scores import mean

POPULATIONS: dict[Split, str] = {
    "validation": "own population, patients not trained on",
    "test": "population never seen",
}
DRAWS = 2000


def score_interpolations(before: Clip, after: Clip, images: ImageSet, cfg: ForgettingConfig) -> list[AlphaScore]:
    """Return the zero-shot accuracy at each alpha, on the validation and test split, with patient-clustered intervals.

    It is computed where `before` is.

    Raises:
        ClipError: if the two have different architectures.
        LabelSetError: if custom prompts are for other classes than those of `images`.
    """
    old, new = copy_weights(before.model), copy_weights(after.model)
    scores = []
    for alpha in cfg.alphas:
        before.model.load_state_dict(interpolate_weights(old, new, alpha))
        scores += [row for split in POPULATIONS for row in _score(before, alpha, images, split, cfg)]
    return scores


def _score(clip: Clip, alpha: float, images: ImageSet, split: Split, cfg: ForgettingConfig) -> list[AlphaScore]:
    rows = images.rows(split)
    if not rows:
        return []
    features = image_directions(clip.model, len(rows), lambda number: images.pixels(rows[number])).numpy()
    labels = images.label_set()
    logits = prompt_logits(clip, prompts_of(labels, cfg.prompts).texts(), features)
    is_correct = (logits.argmax(axis=1) == class_indices(rows, labels)).astype(float)
    interval = weighted_bootstrap(
        [partial(mean, is_correct)],
        np.array([row.patient_key for row in rows]),
        strata=np.array([row.site for row in rows]),
        draws=DRAWS,
        seed=0,
        span=RIGHT_OR_WRONG,
    )
    return [
        AlphaScore(
            alpha=alpha,
            population=POPULATIONS[split],
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n_images=interval.n,
            n_patients=interval.clusters,
        )
    ]
