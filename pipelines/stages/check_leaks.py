"""The leak gate of a study, before anything is trained: what its models will learn from, against its test."""

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
    """One row for everything that is learned from: how much it holds, and what it shares with the test split (nothing).

    Args:
        trained_on: the sets whose training splits, or the pictures made from them, some model is fitted to, and whose
            validation splits choose a checkpoint.
        pretrained_on: the sets whose training splits a backbone is fitted to. Nobody in the validation split of
            `tested_on` may be in them, whom its pictures are compared with.
        weights: that the study begins with, by what they are; theirs may not know the validation split either.

    Raises:
        OverlapError: somebody or something of the test split is learned from.
        SameNumberError: a test patient may be learned from under another name.
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
