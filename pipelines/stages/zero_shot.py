"""Predict the plane of every test image by text prompts (protocol: prompt; adapted where the CLIP was tuned)."""

from pathlib import Path

from fulora.clip.config import ZeroShotConfig
from fulora.data.embeddings import Embeddings
from fulora.data.manifest import ImageSet
from fulora.data.results import PredictionFacts, Predictions, write_predictions
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=4)
def zero_shot(
    out: Path, config: ZeroShotConfig, images: ImageSet, clip: ClipWeights | Source, embeddings: Embeddings
) -> Predictions:
    """Probabilities of the five planes for the test split, from a CLIP.

    Args:
        embeddings: of `images`, by this CLIP.

    Raises:
        OverlapError: the CLIP was tuned on a test image or patient.
        SameNumberError: a test patient may have been trained on under another name.
    """
    from fulora.clip.loading import load_clip
    from fulora.clip.zero_shot import by_prompts, by_rule, choose_rule, prompt_logits
    from fulora.data.loaders import plane_indices
    from fulora.data.overlap import TRAINED_ON, refuse_trained_on
    from fulora.data.patient_numbers import different_patients

    rows = images.rows("test")
    refuse_trained_on(clip.path, rows, told_apart=different_patients(images.path))
    model, classes = load_clip(clip.path), config.prompts.classes(distractors=config.distractors)
    logits = prompt_logits(model, classes, embeddings.of(rows))
    about = f"prompts {config.prompts.name}, {len(classes)} classes"
    if config.other == "prompts":
        found = by_prompts(logits)
    else:
        held_out = images.rows("validation")
        seen = prompt_logits(model, classes, embeddings.of(held_out))
        rule = choose_rule(seen, plane_indices(held_out), config.other)
        found, about = by_rule(logits, rule), f"{about}; {rule}"
    tuned = (clip.path / TRAINED_ON).is_file()
    write_predictions(out, rows, found, PredictionFacts(protocol="adapted" if tuned else "prompt", about=about))
    return Predictions(out, "")
