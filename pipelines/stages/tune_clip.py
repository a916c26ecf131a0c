"""Tune a CLIP on the images of one arm; the result is an ordinary open_clip bundle."""

from pathlib import Path

from fulora.clip.config import TuneClipConfig
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=2, resumes=True)
def tune_clip(out: Path, config: TuneClipConfig, images: ImageSet, clip: ClipWeights | Source) -> ClipWeights:
    """Tune on the training split, real and synthetic alike; the validation patients select the step.

    `provenance.json` lists its patients and images, which must not be tested on; `label_set.json` its classes.

    Raises:
        LabelSetError: if the CLIP was tuned on other classes before, or the prompts are for others.
    """
    import numpy as np

    from fulora.clip.loading import load_clip
    from fulora.clip.model import FIT, RESAMPLING, image_size_px
    from fulora.clip.tune import TuningImages, fit
    from fulora.clip.tuned_classes import refuse_tuned_on_others
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.pictures.loaders import class_indices, load_squares
    from fulora.data.provenance import provenance_of

    labels = images.label_set()
    refuse_tuned_on_others(clip.path, labels, whose=f"the images {images.path.name}")
    start = load_clip(clip.path)
    size = image_size_px(start.model)
    rows, held_out = images.rows("train"), images.rows("validation")
    train, seen = (
        TuningImages(load_squares(images, part, size, FIT, RESAMPLING), class_indices(part, labels))
        for part in (rows, held_out)
    )
    fit(out, config, labels, start, train, np.array([row.origin == "synthetic" for row in rows]), seen)
    parents = [provenance_of(clip.path, f"CLIP {clip.path.name}")]
    write_model_provenance(out, "tuned CLIP", images, rows, held_out, parents=parents)
    return ClipWeights(out, "")
