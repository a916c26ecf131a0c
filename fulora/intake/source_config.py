"""What all sources share: the base of their configs, and the input of their readers.

A source is one module of `fulora.intake.sources`: a config class with the fields of its YAML, and its method
`read(inputs, on_skip)`. One line, in `AnySource` of `fulora.intake.config`, registers it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config, Runtime
from fulora.data.column_types import SPLITS, Split
from fulora.data.label_class import comparable_word
from fulora.data.label_set import LabelSet, label_set
from fulora.data.splits import Member
from fulora.intake.raw_image import SourceError

Role = Literal["train", "validation", "test", "train+validation", "train+test", "train+validation+test"]
SplitRule = Literal["stratified", "patients", "blocks", "published", "as_listed"]


@dataclass(frozen=True)
class SourceInputs:
    """The input of a source's reader.

    Attributes:
        folder, split_file, key_file: the paths that `SourceConfig.input_paths` names, on this machine.
        size_px: width and height of phantoms.
        labels: the classes of the image set; None while they are not known.
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
            SourceError: if there is none.
        """
        if self.folder is None:
            raise SourceError("a source that is a folder needs a folder under data_root")
        return self.folder


class SourceConfig(Config):
    """Settings that all sources share: the splits of its images, how patients are divided, and its classes.

    Attributes:
        role: the split of its images, or the splits among which its patients are divided.
        validation_share, test_share: of the patients of each site, where `role` names that split beside others.
        split: `stratified` keeps the shares in every plane and site; `patients` counts patients only, and moves few
            when some are added; `blocks` keeps neighbouring patient numbers together; `published` uses the source's own
            split, and takes validation patients from its training half if it has none; `as_listed` is `published` if
            the source assigns a split to any image, otherwise `stratified`.
        gap: with `blocks`, how many patients at each border are left out.
        left_out_site: all of this site is the test split; the others are divided among the rest of the role.
        split_file: a saved split (JSON under `data_root`), which replaces all rules.
        images_per_plane, patients_per_plane: keep only so many per plane in the training split (few-shot).
        classes: maps the source's class names to new names; classes with an empty name are left out.
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

    shipped_labels: ClassVar[str] = ""
    """Name of the shipped label set of a published source."""

    @field_validator("classes", mode="before")
    @classmethod
    def _accept_numbers_as_names(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {str(name) if type(name) is int else name: new for name, new in value.items()}

    @model_validator(mode="after")
    def _check_split_settings(self) -> Self:
        if self.left_out_site and "+test" not in self.role:
            raise ValueError(f"left_out_site={self.left_out_site} is the test split: use a role with +test")
        if self.gap and self.split != "blocks":
            raise ValueError("gap goes with split=blocks")
        if self.images_per_plane and self.patients_per_plane:
            raise ValueError("images_per_plane and patients_per_plane exclude each other: give one")
        return self

    @model_validator(mode="after")
    def _check_class_names(self) -> Self:
        keys = [comparable_word(name) for name in self.classes]
        duplicates = [name for name in self.classes if keys.count(comparable_word(name)) > 1]
        if duplicates:
            raise ValueError(f"classes: {' and '.join(duplicates)} differ only in case, blanks, _ or -; give one")
        return self

    def split_shares(self) -> dict[Split, float]:
        """Return the share of the patients in each split; 1 where the role is one split."""
        shares: dict[Split, float] = {"validation": self.validation_share, "test": self.test_share}
        splits = [split for split in SPLITS if split in self.role.split("+")]
        held_out = {split: shares[split] for split in splits if split in shares and len(splits) > 1}
        return {splits[0]: 1.0 - sum(held_out.values()), **held_out}

    def rename_class(self, name: str) -> str:
        """Return the new name of one of its classes; "" if its images are left out."""
        return {comparable_word(own): new for own, new in self.classes.items()}.get(comparable_word(name), name)

    def class_names(self) -> tuple[str, ...] | None:
        """Return its possible classes, renamed by `classes`; None where its folders or lists decide."""
        own = self.source_classes()
        return None if own is None else tuple(dict.fromkeys(filter(None, map(self.rename_class, own))))

    # Facts about a source, known before it is read; sources override what differs.

    def source_classes(self) -> tuple[str, ...] | None:
        """Return its possible classes, as its reader names them; None where its folders or lists decide."""
        return label_set(self.shipped_labels).names if self.shipped_labels else None

    def source_label_set(self, folder: Path | None) -> LabelSet | None:
        """Return the label set that comes with it; None where only the names of its classes are known."""
        return label_set(self.shipped_labels) if self.shipped_labels else None

    def has_masks(self) -> bool | None:
        """Return whether its images have masks; None where its lists decide."""
        return False

    def has_patients(self) -> bool:
        """Return whether its images show patients, who must be kept apart, and whose names must be removed."""
        return True

    def members(self) -> Iterator[Member] | None:
        """Yield its images as a split needs them, where they are known without reading anything; else None."""
        return None

    def hub_dataset(self) -> tuple[str, str] | None:
        """Return name and revision of a data set of the hub, which is downloaded before it is read; else None."""
        return None

    def input_paths(self) -> dict[str, Path]:
        """Return the paths that it reads under the study's `data_root`, by their names in `SourceInputs`."""
        return {} if self.split_file is None else {"split_file": self.split_file}


class FolderSourceConfig(SourceConfig):
    """A source that is a folder under the study's `data_root`.

    Attributes:
        folder: its path under `data_root`.
        limit: keep only so many images, the first ones.
    """

    folder: str
    limit: PositiveInt | None = None

    def input_paths(self) -> dict[str, Path]:
        """Return the folder, and the paths of every source."""
        return {"folder": Path(self.folder), **super().input_paths()}


class OwnImagesConfig(FolderSourceConfig):
    r"""A folder of the user's own images, whose patients are found by the names of files.

    Attributes:
        patient_pattern: a regular expression with one group, the patient, searched in an image's path below the folder
            of the images: `Patient(\d+)`. It must not match the class's folder.
        patients_unknown: without a pattern, treat every image as a patient of its own. Images of one patient
            may then be in training and test, so that scores are too high.
        site, source: names given to its images; two folders whose patient numbers may coincide need different names.
    """

    patient_pattern: str | None = None
    patients_unknown: bool = False
    site: str = ""
    source: str = "own"
