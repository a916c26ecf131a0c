"""Predict the plane of every test image with a head on a CLIP's embeddings (protocol: transfer, or few-shot)."""

from pathlib import Path

from fulora.clip.config import ProbeConfig
from fulora.data.embeddings import Embeddings
from fulora.data.manifest import ImageSet
from fulora.data.results import PredictionFacts, Predictions, protocol_of, write_predictions
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=1)
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
        OverlapError: the CLIP, the head, or a parent of them, learned from a test image or patient.
        SameNumberError: they may have learned from a test patient under another name.
    """
    from fulora.clip.embed import text_directions
    from fulora.clip.loading import load_clip
    from fulora.clip.model import scale_of
    from fulora.clip.probe import Embedded, linear_probe, tip_adapter
    from fulora.data.loaders import plane_indices
    from fulora.data.overlap import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import learned, provenance_of

    rows = tested_on.rows("test")
    training, held_out = images.rows("train"), images.rows("validation")
    of_clip = provenance_of(clip.path, f"CLIP {clip.path.name}")
    head = learned("the head", images, training, held_out, parents=[of_clip])
    refuse_leaks([head], rows, told_apart=different_patients(tested_on.path))
    train, seen = (Embedded(embeddings.of(found), plane_indices(found)) for found in (training, held_out))
    test = test_embeddings.of(rows)
    if config.head == "linear":
        found, about = linear_probe(train, seen, test, config)
    else:
        model = load_clip(clip.path)
        texts = text_directions(model.model, model.tokenizer, config.prompts.classes()).numpy()
        scale = scale_of(model.model)
        found, about = tip_adapter(train, seen, test, texts, scale, config)
    write_predictions(out, rows, found, PredictionFacts(protocol=protocol_of(training, rows), about=about))
    return Predictions(out, "")
