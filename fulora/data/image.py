"""`Image`: the project's only image schema. One row of an image set's `metadata.jsonl`, and its rules.

Every split has the same columns of the same types, because `datasets` refuses anything else: unknown text is "" and an
unknown measure is 0.0 on disk, `None` in Python. (`mask_file` is not called `..._file_name` because `datasets` would
open it as an image, and fail if there is none.)
"""

import re
from typing import Self

from pydantic import field_validator, model_validator

from fulora.config import Config
from fulora.data.column_types import Origin, Plane, Split
from fulora.data.tables.cells import is_missing

METADATA = "metadata.jsonl"
MEASURES = ("pixel_size_mm", "hc_mm", "aop_deg")

ID = re.compile(r"[^\x00-\x1f\\:*?\"<>|]{1,200}")
"""Allowed ids: they become file names, on any system."""


class ImageSetError(ValueError):
    """An image row or an image set that breaks a rule. The message lists every violation."""


class Image(Config):
    """One image: its class, its patient and its source.

    A patient is known by (source, site, patient): patient numbers are unique only within a site. A synthetic image
    has no patient of its own; `ImageSet.provenance` lists the training patients of its generator, and `recipe` holds
    the settings of its generation, as JSON (`fulora.diffusion.sampling.recipe`).
    """

    file_name: str
    image_id: str
    plane: Plane
    split: Split
    origin: Origin
    source: str
    site: str
    patient: str
    machine: str = ""
    mask_file: str = ""
    pixel_size_mm: float | None = None
    hc_mm: float | None = None
    aop_deg: float | None = None
    caption: str = ""
    seed: str = ""
    generator: str = ""
    recipe: str = ""
    width: int
    height: int
    sha256: str

    @field_validator("image_id")
    @classmethod
    def _file_name_anywhere(cls, value: str) -> str:
        if not ID.fullmatch(value) or value.strip(" .") != value:
            raise ValueError(
                'an id is 1 to 200 characters without control characters or \\ : * ? " < > |, and neither begins nor '
                "ends with a blank or a dot"
            )
        return value

    @field_validator(*MEASURES)
    @classmethod
    def _positive(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("a measure is positive, or None where it is unknown")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.origin == "real" and is_missing(self.patient):
            written = f"; '{self.patient}' means that it is unknown" if self.patient else ""
            raise ValueError(f"{self.image_id}: a real image needs a patient{written}")
        if self.origin == "synthetic" and not (self.generator and self.seed):
            raise ValueError(f"{self.image_id}: a synthetic image needs its generator's fingerprint and its seed")
        if self.origin == "synthetic" and self.split != "train":
            raise ValueError(f"{self.image_id}: a synthetic image may only be in 'train', not in '{self.split}'")
        return self

    @property
    def patient_key(self) -> str:
        """`source/site/patient`, unique over all sources; "" for a synthetic image."""
        return f"{self.source}/{self.site}/{self.patient}" if self.origin == "real" else ""

    def to_json(self) -> dict[str, str | int | float]:
        """Return the row as stored in `metadata.jsonl`: `file_name` first, no nulls."""
        return {key: (0.0 if key in MEASURES and value is None else value) for key, value in self.model_dump().items()}

    @classmethod
    def from_json(cls, row: object) -> Self:
        """Read a row of `metadata.jsonl`; a measure that is 0, or missing in any spelling, becomes None.

        Raises:
            ValueError: if it is not a row.
        """
        if not isinstance(row, dict):
            raise ValueError(f"a row is an object of JSON, and this is a {type(row).__name__}")
        return cls.model_validate(
            {k: (None if k in MEASURES and (v == 0.0 or is_missing(v)) else v) for k, v in row.items()}
        )
