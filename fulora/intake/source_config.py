"""What all sources share: their configs' base, what a source says of itself, and what its reader is given.

A source is one module of `fulora.intake.sources`: a config class with the fields of its YAML, and its method
`read(inputs, on_skip)`. One line, in `AnySource` of `fulora.intake.config`, makes it known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config, Runtime
from fulora.data.label_class import plain
from fulora.data.label_set import LabelSet
from fulora.data.labels import SPLITS, Split
from fulora.data.splits import Member
from fulora.intake.raw_image import SourceError

Role = Literal["train", "validation", "test", "train+validation", "train+test", "train+validation+test"]
SplitRule = Literal["stratified", "patients", "blocks", "published", "as_listed"]


@dataclass(frozen=True)
class SourceInputs:
    """What a source is given to read.

    Attributes:
        folder, split_file, key_file: what `SourceConfig.input_paths` names, where it is on this machine.
        size_px: width and height that phantoms are drawn at.
        labels: the classes of the image set that is made; None while they are not known.
    """

    folder: Path | None = None
    split_file: Path | None = None
    key_file: Path | None = None
    size_px: int = 64
    labels: LabelSet | None = None

    @property
    def required_folder(self) -> Path:
        """The folder.

        Raises:
            SourceError: none is given.
        """
        if self.folder is None:
            raise SourceError("a source that is a folder needs a folder under data_root")
        return self.folder


class SourceConfig(Config):
    """What all sources share: which splits its images go to, by which rule, and what they show.

    Attributes:
        role: the split its images go to, or the splits that its patients are divided among.
        validation_share, test_share: of the patients of each site, where its role names that split beside others.
        split: `stratified` keeps the shares in every plane and site; `patients` counts patients only, and moves few
            when some are added; `blocks` keeps neighbouring patient numbers together; `published` is the source's own,
            and takes validation patients from its training half where it has none; `as_listed` is `published` where the
            source names the split of any image, and else `stratified`.
        gap: with `blocks`, how many patients beside a border are left out.
        left_out_site: all of this site is the test split; the others are divided among the rest of the role.
        split_file: a saved split (JSON under `data_root`) that decides instead of all rules.
        images_per_plane, patients_per_plane: keep only so many of each plane in the training split (few-shot).
        classes: the source's own names of classes, and the names that they get; those with an empty name are left out.
    """

    role: Role = "train"
    validation_share: float = Field(default=0.2, gt=0, lt=0.5)
    test_share: float = Field(default=0.3, gt=0, lt=0.5)
    split: SplitRule = "stratified"
    gap: int = Field(default=0, ge=0)
    left_out_site: str = ""
    split_file: Annotated[Path | None, Runtime] = None
    images_per_plane: PositiveInt | None = None
    patients_per_plane: PositiveInt | None = None
    classes: dict[str, str] = Field(default_factory=dict)

    @field_validator("classes", mode="before")
    @classmethod
    def _numbers_are_names_too(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {str(name) if type(name) is int else name: new for name, new in value.items()}

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Self:
        if self.left_out_site and "+test" not in self.role:
            raise ValueError(f"left_out_site={self.left_out_site} is tested on: use a role with +test")
        if self.gap and self.split != "blocks":
            raise ValueError("gap goes with split=blocks")
        if self.images_per_plane and self.patients_per_plane:
            raise ValueError("images_per_plane and patients_per_plane are two ways to keep a few: give one")
        return self

    @model_validator(mode="after")
    def _each_class_renamed_once(self) -> Self:
        keys = [plain(name) for name in self.classes]
        twice = [name for name in self.classes if keys.count(plain(name)) > 1]
        if twice:
            raise ValueError(f"classes: {' and '.join(twice)} are one name but for case, blanks, _ or -; give one")
        return self

    def split_shares(self) -> dict[Split, float]:
        """The share of the patients in each split; all of them where the role is one split."""
        given: dict[Split, float] = {"validation": self.validation_share, "test": self.test_share}
        named = [split for split in SPLITS if split in self.role.split("+")]
        held_out = {split: given[split] for split in named if split in given and len(named) > 1}
        return {named[0]: 1.0 - sum(held_out.values()), **held_out}

    # What a source says of itself; a source that knows more answers itself.

    def source_classes(self) -> tuple[str, ...] | None:
        """The classes that it can show, as its reader names them; None where its folders or lists decide."""
        return None

    def class_names(self) -> tuple[str, ...] | None:
        """The classes that it can show, as `classes` renames them; None where its folders or lists decide."""
        own = self.source_classes()
        return None if own is None else tuple(dict.fromkeys(filter(None, map(self.rename_class, own))))

    def rename_class(self, name: str) -> str:
        """What a class of its own is called; "" where its images are left out."""
        return {plain(own): new for own, new in self.classes.items()}.get(plain(name), name)

    def has_masks(self) -> bool | None:
        """Whether its images have masks; None where its lists decide."""
        return False

    def has_patients(self) -> bool:
        """Whether its pictures are of patients, who must be kept apart and whose names must be removed."""
        return True

    def source_label_set(self, folder: Path | None) -> LabelSet | None:
        """The label set that it comes with; None where the names of its classes are all that is known.

        Args:
            folder: what it reads, as in `SourceInputs`.
        """
        return None

    def members(self) -> Iterator[Member] | None:
        """What a split knows of its images, where that is known without reading anything; else None."""
        return None

    def hub_dataset(self) -> tuple[str, str] | None:
        """The name and revision of a data set of the hub that is fetched before it is read; else None."""
        return None

    def input_paths(self) -> dict[str, Path]:
        """What it reads under the study's `data_root`, by its name in `SourceInputs`."""
        return {} if self.split_file is None else {"split_file": self.split_file}


class FolderSourceConfig(SourceConfig):
    """A source that is a folder under the study's `data_root`. `limit` keeps only its first so many images."""

    folder: str
    limit: PositiveInt | None = None

    def input_paths(self) -> dict[str, Path]:
        """The folder, and what every source may read."""
        return {"folder": Path(self.folder), **super().input_paths()}
