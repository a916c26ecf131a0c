"""Predict the class of every test image by text prompts (protocol: prompt, or adapted if the CLIP was tuned)."""

from pathlib import Path

from fulora.clip.config import ZeroShotConfig
from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet
from fulora.data.results import PredictionFacts, Predictions, write_predictions
from fulora.data.score import Protocol
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=4)
def zero_shot(
    out: Path, config: ZeroShotConfig, images: ImageSet, clip: ClipWeights | Source, embeddings: Embeddings
) -> Predictions:
    """Write the class probabilities of the test split by a CLIP.

    Args:
        embeddings: of `images`, by this CLIP.

    Raises:
        LabelSetError: if the CLIP was tuned on other classes, or the prompts or the rule do not match `images`.
        OverlapError, SameNumberError: if the CLIP, or a parent of it, learned from a test image or patient.
    """
    from fulora.clip.loading import load_clip
    from fulora.clip.tuned_classes import refuse_tuned_on_others, tuned_on
    from fulora.clip.zero_shot import choose_rule, classify_by_prompts, classify_by_rule, prompt_logits
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.pictures.loaders import class_indices
    from fulora.data.provenance import provenance_of

    rows, labels = images.rows("test"), images.label_set()
    refuse_tuned_on_others(clip.path, labels, whose=f"the images {images.path.name}")
    learned = provenance_of(clip.path, f"CLIP {clip.path.name}")
    refuse_leaks([learned], rows, distinct_patients=different_patients(images.path))
    model, prompts = load_clip(clip.path).on(config.device), config.asked(labels)
    texts = prompts.texts(distractors=config.distractors)
    logits = prompt_logits(model, texts, embeddings.of(rows))
    about = f"prompts {prompts.name}, {len(texts)} classes"
    if config.other == "prompts":
        probabilities = classify_by_prompts(logits, labels)
    else:
        held_out = images.rows("validation")
        seen = prompt_logits(model, texts, embeddings.of(held_out))
        rule = choose_rule(seen, class_indices(held_out, labels), labels, config.other)
        probabilities = classify_by_rule(logits, labels, rule)
        about = f"{about}; {rule}"
    protocol: Protocol = "adapted" if tuned_on(clip.path) else "prompt"
    write_predictions(out, rows, probabilities, PredictionFacts(protocol=protocol, about=about), labels)
    return Predictions(out, "")
