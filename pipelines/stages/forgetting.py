"""Accuracy of a prompted CLIP along the path from its original to its tuned weights."""

from pathlib import Path

from fulora.clip.config import ForgettingConfig
from fulora.data.image_set import ImageSet
from fulora.data.results import Forgetting
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=2)
def forgetting(
    out: Path, config: ForgettingConfig, images: ImageSet, before: ClipWeights | Source, after: ClipWeights
) -> Forgetting:
    """Write the accuracy at every share of the tuned weights, on the validation and on the test split of `images`.

    Raises:
        LabelSetError: if one of the CLIPs was tuned on other classes, or the prompts are for others.
        OverlapError, SameNumberError: if one of the CLIPs, or a parent of it, learned from a test image or
            patient, or was fitted to a validation image or patient.
    """
    from fulora.clip.forgetting import score_interpolations
    from fulora.clip.loading import load_clip
    from fulora.clip.tuned_classes import refuse_tuned_on_others
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import provenance_of
    from fulora.data.results import write_table

    for clip in (before, after):
        refuse_tuned_on_others(clip.path, images.label_set(), whose=f"the images {images.path.name}")
    learned = [provenance_of(clip.path, f"CLIP {clip.path.name}") for clip in (before, after)]
    distinct_patients = different_patients(images.path)
    refuse_leaks(learned, images.rows("validation"), uses=("fitted",), distinct_patients=distinct_patients)
    refuse_leaks(learned, images.rows("test"), distinct_patients=distinct_patients)
    original = load_clip(before.path).on(config.device)
    write_table(out, score_interpolations(original, load_clip(after.path), images, config))
    return Forgetting(out, "")
