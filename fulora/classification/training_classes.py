"""How many images of each class a classifier was trained on, in a file beside its weights. Torch-free."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import NonNegativeInt

from fulora.config import Config
from fulora.data.image import Image
from fulora.data.label_set import LabelSet
from fulora.data.provenance import EarlierVersionError
from fulora.data.results import PredictionFacts, places_of, protocol_of
from fulora.files import write_atomic
from fulora.json_files import read_json

FILE = "training_classes.json"


class TrainingClasses(Config):
    """The training images of a classifier, counted.

    Attributes:
        images: number of images of each class, in the order of the label set.
        balanced: training sampled all classes equally often.
        places: (source, site) of the real images.
    """

    images: tuple[NonNegativeInt, ...]
    balanced: bool
    places: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, rows: Sequence[Image], labels: LabelSet, *, balanced: bool) -> Self:
        """Count the training images of a classifier."""
        counts = Counter(row.plane for row in rows)
        return cls(
            images=tuple(counts[name] for name in labels.names),
            balanced=balanced,
            places=tuple(sorted(places_of(rows))),
        )

    def facts(self, tested_on: Sequence[Image]) -> PredictionFacts:
        """Return the facts of predictions of other images: the protocol, and the training prior."""
        shares = [float(count > 0) if self.balanced else float(count) for count in self.images]
        prior = tuple(share / sum(shares) for share in shares)
        return PredictionFacts(protocol=protocol_of(set(self.places), tested_on), training_prior=prior)

    def write(self, folder: Path) -> None:
        """Write `training_classes.json` into the folder of a classifier."""
        write_atomic(folder / FILE, self.model_dump_json() + "\n")


def read_training_classes(folder: Path) -> TrainingClasses:
    """Read the file of a classifier's folder.

    Raises:
        EarlierVersionError: if an earlier version of fulora trained it, which did not write it down.
        DamagedFileError: if the file is damaged.
    """
    if not (folder / FILE).is_file():
        raise EarlierVersionError(
            f"{folder}: has no {FILE}, which counts its training images: an earlier version of fulora trained this "
            "classifier. Run the same command or study again"
        )
    return read_json(folder / FILE, TrainingClasses)
