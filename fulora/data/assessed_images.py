"""What the assessment of a synthetic set found of each of its images."""

from dataclasses import dataclass

from pydantic import BaseModel, Field

from fulora.config import Config
from fulora.data.hybrid import FilterName
from fulora.data.results import TABLE
from fulora.json_files import read_json, read_json_lines
from fulora.stage import Artifact

FINDINGS = "findings.json"


class AssessedImage(Config):
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


class _Filter(BaseModel):
    name: FilterName


class _Findings(BaseModel):
    """What of `findings.json` is read here."""

    filters: list[_Filter]


@dataclass(frozen=True)
class Assessment(Artifact):
    """Of a synthetic set: `table.jsonl` about each image, `findings.json` about all (`fulora.assessment`)."""

    def filters(self) -> list[FilterName]:
        """The filters that were calibrated."""
        return [one.name for one in read_json(self.path / FINDINGS, _Findings).filters]

    def rows(self) -> list[AssessedImage]:
        """One row an image."""
        return read_json_lines(self.path / TABLE, AssessedImage)
