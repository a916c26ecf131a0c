"""The leak check of a study: its training data against its test split, before anything is trained."""

from collections.abc import Mapping
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.results import LeakTable
from fulora.data.weights import Backbone, ClipWeights
from fulora.stage import Source, stage


@stage(version=2)
def check_leaks(
    out: Path,
    tested_on: ImageSet,
    trained_on: Mapping[str, ImageSet],
    pretrained_on: Mapping[str, ImageSet],
    weights: Mapping[str, Backbone | ClipWeights | Source],
) -> LeakTable:
    """Write a row for each source of training data: its size, and its overlap with the test split (none).

    Args:
        trained_on: sets whose training splits, or images made from them, a model is fitted to, and whose validation
            splits select checkpoints.
        pretrained_on: sets whose training splits a backbone is fitted to. Its images are compared with the validation
            patients of `tested_on`, who must not be in them.
        weights: external weights by kind, which must not be trained on validation patients either.

    Raises:
        OverlapError, SameNumberError: if a test image or patient is in the training data.
    """
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.model_provenance import build_model_provenance
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import provenance_of
    from fulora.data.results import write_table

    distinct_patients = different_patients(tested_on.path)
    models = [
        build_model_provenance(name, images, images.rows("train"), images.rows("validation"))
        for name, images in trained_on.items()
    ]
    first = [build_model_provenance(name, images, images.rows("train")) for name, images in pretrained_on.items()]
    first += [provenance_of(item.path, f"{kind} {item.path.name}") for kind, item in weights.items()]
    rows = refuse_leaks([*models, *first], tested_on.rows("test"), distinct_patients=distinct_patients)
    refuse_leaks(first, tested_on.rows("validation"), uses=("fitted",), distinct_patients=distinct_patients)
    write_table(out, rows)
    return LeakTable(out, "")
