"""The scope of a score: its images, and the rule by which a class was decided. Standard library only."""

from dataclasses import dataclass
from typing import Literal

GroupKind = Literal["all", "class", "site", "machine", "without duplicates"]
"""`without duplicates`: without images whose pixels also occur in another row."""

RuleKind = Literal[
    "own decision", "among the labels", "prior-adjusted", "probabilities", "probabilities among the labels"
]
"""The most probable of all classes; of the labels alone; after Bayes' rule for another prior; and, of scores that need
no decision, the probabilities as given or given that the class is one of the labels."""


Better = Literal["", "higher", "lower"]
"""Which values of a metric are better; "" where neither is, as of a bias."""


@dataclass(frozen=True)
class ImageGroup:
    """Some of the images: their kind, and which of that kind (a class, a site, a machine)."""

    kind: GroupKind = "all"
    name: str = ""


ALL_IMAGES = ImageGroup()
