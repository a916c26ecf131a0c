"""Predict the class of every test image with a head on a CLIP's embeddings (protocol: transfer, or few-shot)."""

from pathlib import Path

from fulora.clip.config import ProbeConfig
from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet
from fulora.data.results import PredictionFacts, Predictions, places_of, protocol_of, write_predictions
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=2)
def probe_clip(
    out: Path,
    config: ProbeConfig,
    images: ImageSet,
    tested_on: ImageSet,
    clip: ClipWeights | Source,
    embeddings: Embeddings,
    test_embeddings: Embeddings,
) -> Predictions:
    """Fit on the training split of `images`, select on its validation split, predict the test split of `tested_on`.

    Args:
        embeddings, test_embeddings: of the two sets, by this CLIP.

    Raises:
        LabelSetError: if the two sets, or the tuned CLIP, have different classes, or the prompts do not match.
        OverlapError, SameNumberError: if the CLIP, the head, or a parent of them, learned from a test image or patient.
    """
    from fulora.clip.embed import text_directions
    from fulora.clip.loading import load_clip
    from fulora.clip.model import logit_scale
    from fulora.clip.probe import LabelledFeatures, linear_probe, tip_adapter
    from fulora.clip.prompts import prompts_of
    from fulora.clip.tuned_classes import refuse_tuned_on_others
    from fulora.data.label_set import refuse_other_classes
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.model_provenance import build_model_provenance
    from fulora.data.patient_numbers import different_patients
    from fulora.data.pictures.loaders import class_indices
    from fulora.data.provenance import provenance_of

    rows, labels = tested_on.rows("test"), tested_on.label_set()
    tested = f"the images {tested_on.path.name}"
    refuse_other_classes(labels, images.label_set(), name=tested, other_name=f"the head's images {images.path.name}")
    refuse_tuned_on_others(clip.path, labels, whose=tested)
    training, held_out = images.rows("train"), images.rows("validation")
    of_clip = provenance_of(clip.path, f"CLIP {clip.path.name}")
    head = build_model_provenance("the head", images, training, held_out, parents=[of_clip])
    refuse_leaks([head], rows, distinct_patients=different_patients(tested_on.path))
    train, seen = (LabelledFeatures(embeddings.of(part), class_indices(part, labels)) for part in (training, held_out))
    test = test_embeddings.of(rows)
    if config.head == "linear":
        probabilities, about = linear_probe(train, seen, test, len(labels.names), config)
    else:
        model = load_clip(clip.path).on(config.device)
        texts = text_directions(model.model, model.tokenizer, prompts_of(labels, config.prompts).texts()).cpu().numpy()
        scale = logit_scale(model.model)
        probabilities, about = tip_adapter(train, seen, test, texts, scale, config)
    facts = PredictionFacts(protocol=protocol_of(places_of(training), rows), about=about)
    write_predictions(out, rows, probabilities, facts, labels)
    return Predictions(out, "")
