"""Predict the plane of every test image with a head on a CLIP's embeddings (protocol: transfer, or few-shot)."""

from pathlib import Path

from fulora.clip.config import ProbeConfig
from fulora.data.embeddings import Embeddings
from fulora.data.label_set import label_set
from fulora.data.manifest import ImageSet
from fulora.data.results import PredictionFacts, Predictions, protocol_of, write_predictions
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
    """Fit on the training split of `images`, choose on its validation split, predict the test split of `tested_on`.

    Args:
        embeddings, test_embeddings: of the two sets, by this CLIP.

    Raises:
        OverlapError: the CLIP or the head was fitted to a test image or patient.
        SameNumberError: a test patient may have been trained on under another name.
    """
    from fulora.clip.embed import text_directions
    from fulora.clip.loading import load_clip
    from fulora.clip.model import scale_of
    from fulora.clip.probe import Embedded, linear_probe, tip_adapter
    from fulora.data.loaders import plane_indices
    from fulora.data.overlap import overlaps, refuse_trained_on
    from fulora.data.patient_numbers import different_patients

    rows = tested_on.rows("test")
    told_apart = different_patients(tested_on.path) or different_patients(images.path)
    refuse_trained_on(clip.path, rows, told_apart=told_apart)
    training, held_out = images.rows("train"), images.rows("validation")
    overlaps({"the head": [*training, *held_out]}, (), rows, ("the head",) if told_apart else ())
    train, seen = (Embedded(embeddings.of(found), plane_indices(found)) for found in (training, held_out))
    test = test_embeddings.of(rows)
    if config.head == "linear":
        found, about = linear_probe(train, seen, test, config)
    else:
        model = load_clip(clip.path)
        texts = text_directions(model.model, model.tokenizer, config.prompts.classes()).numpy()
        scale = scale_of(model.model)
        found, about = tip_adapter(train, seen, test, texts, scale, config)
    facts = PredictionFacts(protocol=protocol_of(training, rows), about=about)
    write_predictions(out, rows, found, facts, label_set("fetal_planes"))
    return Predictions(out, "")
