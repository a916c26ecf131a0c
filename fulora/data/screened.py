"""What the assessment of a synthetic set found of each of its images."""

import json
from dataclasses import dataclass

from pydantic import Field

from fulora.config import Config
from fulora.data.hybrid import FilterName
from fulora.data.results import read_lines
from fulora.stage import Artifact

FINDINGS = "findings.json"


class Screened(Config):
    """What the assessment found of one synthetic image.

    Attributes:
        fails: the filters that would reject it.
        seen: by each model that was asked, the plane it takes the image for.
        margin: by how much the plane that was asked for beats the others there.
        nearest: by each encoder, the id of the nearest real image.
        ratio: distance to that image over the distance to the nearest other patient: near 0 for a copy.
    """

    image_id: str
    plane: str
    fails: tuple[FilterName, ...]
    seen: dict[str, str] = Field(default_factory=dict)
    margin: dict[str, float] = Field(default_factory=dict)
    nearest: dict[str, str] = Field(default_factory=dict)
    ratio: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class Assessment(Artifact):
    """Of a synthetic set: `table.jsonl` about each image, `findings.json` about all (`fulora.assessment`)."""

    def filters(self) -> list[FilterName]:
        """The filters that were calibrated."""
        found = json.loads((self.path / FINDINGS).read_bytes())["filters"]
        return [one["name"] for one in found]

    def rows(self) -> list[Screened]:
        """One row an image."""
        return [Screened.model_validate_json(line) for line in read_lines(self.path)]
