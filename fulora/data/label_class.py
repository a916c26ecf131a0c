"""`LabelClass`: one class: its words, and the meaning of the class numbers in its masks. Torch-free."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fulora.config import Config

CAPTION = "a photo of {name}"
"""Default caption and prompt of a class."""

NAME = re.compile(r"[^\x00-\x1f/\\:*?\"<>|]{1,80}")
"""Allowed class names: they become part of file names, on any system."""

MOST_BYTES = 200
"""Of a class name in UTF-8: with what file names add to it, file systems take 255."""

Measured = Literal["ellipse", "angle", "nothing"]
MOST = 15
"""The largest class number of masks, whose larger values are shades of gray."""

UNITS: Mapping[Measured, tuple[str, ...]] = {"ellipse": ("mm", "px"), "angle": ("deg",), "nothing": ("1",)}


class Structure(Config):
    """The meaning of a class number in masks; in YAML the number alone if only overlap is measured.

    Attributes:
        number: its value in masks.
        measured: its overlap always; beside it an `ellipse` (circumference and diameters, mm, or px where no pixel size
            is known), or the `angle` between the two structures that say so, in the order of their class numbers: the
            long axis of the first, the tangent to the second (angle of progression, degrees).
        unit: of what is measured; by default mm, deg, or 1 where it is nothing.
    """

    number: int
    measured: Measured = "nothing"
    unit: Literal["", "mm", "px", "deg", "1"] = ""

    @model_validator(mode="before")
    @classmethod
    def _usual_unit(cls, values: object) -> object:
        if isinstance(values, int | str):
            values = {"number": values}
        if isinstance(values, dict) and not values.get("unit") and values.get("measured", "nothing") in UNITS:
            return {**values, "unit": UNITS[values.get("measured", "nothing")][0]}
        return values

    @field_validator("number")
    @classmethod
    def _class_number(cls, value: int) -> int:
        if not 1 <= value <= MOST:
            raise ValueError(
                f"a class number is 1 to {MOST} (0 is background); shades of gray in masks are numbered in order: "
                "255 alone is class 1, of 127 and 255 the darker is 1 and the lighter 2"
            )
        return value

    @model_validator(mode="after")
    def _unit_fits(self) -> Self:
        if self.unit not in UNITS[self.measured]:
            raise ValueError(f"unit={self.unit}: measured={self.measured} is in {' or '.join(UNITS[self.measured])}")
        return self


class LabelClass(Config):
    """One class.

    Attributes:
        name: the value of `plane` in rows and tables.
        caption: for training a generator, and for generation.
        prompts: for a CLIP; their text embeddings are averaged. By default the caption.
        folders: names of class folders that hold it, beside its own.
        aliases: other words for it in lists and tables.
        negative: the class of images that show none of the others; at most one in a set.
        names, anatomy: words for it and for what it shows, of which a small CLIP's training captions are made.
        structures: by name, what its masks hold; 0 is background. Empty where it has no masks.
    """

    name: str
    caption: str = ""
    prompts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    negative: bool = False
    names: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()
    structures: dict[str, Structure] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _usual_words(cls, values: object) -> object:
        if isinstance(values, str):
            values = {"name": values}
        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            return values
        caption = values.get("caption") or CAPTION.format(name=values["name"])
        return {**values, "caption": caption, "prompts": values.get("prompts") or (caption,)}

    @field_validator("name")
    @classmethod
    def _file_name_anywhere(cls, value: str) -> str:
        if not NAME.fullmatch(value) or value.strip(" .") != value or len(value.encode()) > MOST_BYTES:
            raise ValueError(
                'a class name has 1 to 80 characters without control characters or / \\ : * ? " < > |, neither begins '
                f"nor ends with a blank or a dot, and takes {MOST_BYTES} bytes at most in UTF-8"
            )
        if comparable_word(value) == "all":
            raise ValueError(f"{value!r} is no name of a class: tables call all of them so")
        return value

    @field_validator("prompts", "names", "anatomy", "folders", "aliases")
    @classmethod
    def _no_empty_words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text.strip() for text in value):
            raise ValueError("an empty text; leave it out")
        return value

    @model_validator(mode="after")
    def _structures_fit(self) -> Self:
        wrong = [name for name in self.structures if name == "all" or not NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"structures: {wrong[0]!r} is no name of a structure ('all' is what is no background)")
        numbers = [one.number for one in self.structures.values()]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"structures {', '.join(self.structures)}: each has a class number of its own")
        angles = [name for name, one in self.structures.items() if one.measured == "angle"]
        if len(angles) not in (0, 2):
            raise ValueError(f"an angle is measured between two structures; {len(angles)} say measured: angle")
        return self

    def words(self) -> tuple[str, ...]:
        """Return all words that name the class in folders and lists."""
        return (self.name, *self.folders, *self.aliases)

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Return the class numbers of each structure, in order; with several, "all" is everything but background."""
        ordered = sorted(self.structures.items(), key=lambda item: item[1].number)
        found: dict[str, tuple[int, ...]] = {name: (one.number,) for name, one in ordered}
        return found if len(found) < 2 else {**found, "all": tuple(one.number for _, one in ordered)}


def comparable_word(text: str) -> str:
    """Return a word as it is compared: NFC, case-folded, `_` and `-` as blanks, stripped."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", text)).strip().casefold()
