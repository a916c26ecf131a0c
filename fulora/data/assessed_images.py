"""Results of the assessment of a synthetic set, image by image."""

from dataclasses import dataclass

from pydantic import BaseModel, Field

from fulora.config import Config
from fulora.data.hybrid import FilterName
from fulora.data.results import TABLE
from fulora.json_files import read_json, read_json_lines
from fulora.stage import Artifact

FINDINGS = "findings.json"


class AssessedImage(Config):
    """Results of one synthetic image.

    Attributes:
        fails: the filters that reject it.
        seen: by model, the predicted plane.
        margin: by model, the score of the requested plane minus the highest of the others.
        nearest: by encoder, the id of the nearest real image.
        ratio: distance to that image over the distance to the nearest other patient: near 0 for a copy.
    """

    image_id: str
    plane: str
    fails: tuple[FilterName, ...]
    seen: dict[str, str] = Field(default_factory=dict)
    margin: dict[str, float] = Field(default_factory=dict)
    nearest: dict[str, str] = Field(default_factory=dict)
    ratio: dict[str, float] = Field(default_factory=dict)


class _Filter(BaseModel):
    name: FilterName


class _Findings(BaseModel):
    """The part of `findings.json` that is read here."""

    filters: list[_Filter]


@dataclass(frozen=True)
class Assessment(Artifact):
    """The assessment of a synthetic set: `table.jsonl` of each image, `findings.json` of all (`fulora.assessment`)."""

    def filters(self) -> list[FilterName]:
        """Read the names of the calibrated filters."""
        return [one.name for one in read_json(self.path / FINDINGS, _Findings).filters]

    def rows(self) -> list[AssessedImage]:
        """Read the results, one row an image."""
        return read_json_lines(self.path / TABLE, AssessedImage)
