"""What may be curated, and how."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator

from fulora.config import Config
from fulora.data.labels import PLANES, SPLITS, Plane, Split

Role = Literal["train", "validation", "test", "train+validation", "train+validation+test"]


class SourceConfig(Config):
    """What all sources share.

    Attributes:
        role: the split its images go to, or the splits that its patients are divided among.
        validation_share, test_share: of the patients of each site, where its role names that split beside others.
    """

    role: Role = "train"
    validation_share: float = Field(default=0.2, gt=0, lt=0.5)
    test_share: float = Field(default=0.3, gt=0, lt=0.5)

    def shares(self) -> dict[Split, float]:
        """The share of the patients in each split; all of them where the role is one split."""
        given: dict[Split, float] = {"validation": self.validation_share, "test": self.test_share}
        named = [split for split in SPLITS if split in self.role.split("+")]
        held_out = {split: given[split] for split in named if split in given and len(named) > 1}
        return {named[0]: 1.0 - sum(held_out.values()), **held_out}


class FolderSourceConfig(SourceConfig):
    """A source that is a folder under the study's `data_root`. `limit` keeps only its first so many images."""

    folder: str
    limit: PositiveInt | None = None


class PhantomsConfig(SourceConfig):
    """Phantoms of one population: `per_plane` images of each plane at each site.

    Attributes:
        sites: names of `fulora.intake.sources.phantoms.SITES`: base1..3, A, B, C, D.
        first_patient: number of the first patient, so that two sources of one site share none.
    """

    kind: Literal["phantoms"] = "phantoms"
    sites: tuple[str, ...] = Field(min_length=1)
    planes: tuple[Plane, ...] = PLANES
    per_plane: PositiveInt
    images_per_patient: PositiveInt = 2
    first_patient: int = Field(default=0, ge=0)
    seed: int = 0


class LoraPlanesConfig(FolderSourceConfig):
    """FU-LoRA's 100 Spanish training planes: one folder a plane (FETAL_PLANES_DB, Zenodo 3904280)."""

    kind: Literal["lora_planes"] = "lora_planes"
    folder: str = "fetal_planes_lora"


class AfricanPlanesConfig(FolderSourceConfig):
    """Planes from five African countries with their list (Sendra-Balcells 2023, Zenodo 7540448)."""

    kind: Literal["african_planes"] = "african_planes"
    folder: str = "african/african_train"


class Hc18Config(FolderSourceConfig):
    """Heads with masks, pixel sizes and reference circumferences (HC18, Zenodo 1327317)."""

    kind: Literal["hc18"] = "hc18"
    folder: str = "hc18"


class PsfhsConfig(FolderSourceConfig):
    """Intrapartum views with pubic symphysis and fetal head masks (PSFHS, Zenodo 10969427)."""

    kind: Literal["psfhs"] = "psfhs"
    folder: str = "psfhs"
    block: PositiveInt = 20


AnySource = Annotated[
    PhantomsConfig | LoraPlanesConfig | AfricanPlanesConfig | Hc18Config | PsfhsConfig, Field(discriminator="kind")
]


class CurateConfig(Config):
    """Which sources make one image set, and the size its images get.

    Attributes:
        image_size_px: width and height of every image.
        fit: `letterbox` keeps the whole picture on a black square, `crop` keeps its central square; neither distorts.
        split_seed: decides which patients validate.
    """

    sources: tuple[AnySource, ...] = Field(min_length=1)
    image_size_px: PositiveInt = 64
    fit: Literal["letterbox", "crop"] = "letterbox"
    split_seed: int = 0

    @field_validator("image_size_px")
    @classmethod
    def _multiple_of_32(cls, value: int) -> int:
        if value % 32:
            raise ValueError("must be a multiple of 32, which the networks need")
        return value

    def check_splits(self) -> None:
        """Raise ValueError where no source fills one of the three splits, which a study needs."""
        missing = [split for split in SPLITS if not any(split in source.shares() for source in self.sources)]
        if missing:
            raise ValueError(f"no source has the role {' or '.join(missing)}; a study needs {', '.join(SPLITS)}")

    def folders(self) -> tuple[str, ...]:
        """Folders under `data_root` that the sources read."""
        return tuple(source.folder for source in self.sources if isinstance(source, FolderSourceConfig))
