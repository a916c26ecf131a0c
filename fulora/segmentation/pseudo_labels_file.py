"""`pseudo_labels.json` of an image set: which images were added, with masks that a model predicted. Torch-free."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from fulora.data.image_set import ImageSet
from fulora.json_files import read_json

PSEUDO = "pseudo_labels.json"
"""File of an image set with pseudo-labels: the ids of the images with predicted masks, among others."""


@dataclass
class AdditionRecord:
    """`pseudo_labels.json`: candidates, accepted images and rejections.

    Attributes:
        wanted: maximum number of images to add.
        offered: number of candidates.
        least_confidence: a mask of lower confidence is rejected.
        looked_at: number of candidates that were tested.
        accepted: ids of the added images.
        calibration: results of the calibration of `least_confidence`, if any.
    """

    wanted: int
    offered: int
    least_confidence: float = 0.0
    looked_at: int = 0
    accepted: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    calibration: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the file; `accept_rate` is the fraction of the tested candidates."""
        rate = len(self.accepted) / self.looked_at if self.looked_at else 0.0
        (folder / PSEUDO).write_text(json.dumps(vars(self) | {"accept_rate": rate}, indent=1) + "\n", encoding="utf-8")


class _PseudoLabels(BaseModel):
    accepted: list[str]


def pseudo_labelled(images: ImageSet) -> frozenset[str]:
    """Return the ids of the images with masks that a model predicted."""
    path = images.path / PSEUDO
    return frozenset(read_json(path, _PseudoLabels).accepted) if path.is_file() else frozenset()
