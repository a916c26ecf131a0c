"""What may be curated, and how."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config, Runtime
from fulora.data.labels import PLANES, SPLITS, Plane, Split

Role = Literal["train", "validation", "test", "train+validation", "train+test", "train+validation+test"]
SplitRule = Literal["stratified", "patients", "blocks", "published"]


class SourceConfig(Config):
    """What all sources share: which splits its images go to, and by which rule.

    Attributes:
        role: the split its images go to, or the splits that its patients are divided among.
        validation_share, test_share: of the patients of each site, where its role names that split beside others.
        split: `stratified` keeps the shares in every plane and site; `patients` counts patients only, and moves few
            when some are added; `blocks` keeps neighbouring patient numbers together; `published` is the source's own,
            and takes validation patients from its training half where it has none.
        gap: with `blocks`, how many patients beside a border are left out.
        left_out_site: all of this site is the test split; the others are divided among the rest of the role.
        split_file: a saved split (JSON under `data_root`) that decides instead of all rules.
        images_per_plane, patients_per_plane: keep only so many of each plane in the training split (few-shot).
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

    @model_validator(mode="after")
    def _one_way_to_split(self) -> "SourceConfig":
        if self.left_out_site and "+test" not in self.role:
            raise ValueError(f"left_out_site={self.left_out_site} is tested on: use a role with +test")
        if self.gap and self.split != "blocks":
            raise ValueError("gap goes with split=blocks")
        if self.images_per_plane and self.patients_per_plane:
            raise ValueError("images_per_plane and patients_per_plane are two ways to keep a few: give one")
        return self

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


class FetalPlanesConfig(FolderSourceConfig):
    """FETAL_PLANES_DB as published (Burgos-Artizzu 2020, Zenodo 3904280).

    Attributes:
        list_file: another list of its folder.
        half: only the published training or test half.
    """

    kind: Literal["fetal_planes"] = "fetal_planes"
    folder: str = "fetal_planes_db"
    list_file: str | None = None
    half: Literal["train", "test"] | None = None


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
    part: Literal["training_set", "test_set"] = "training_set"


class PsfhsConfig(FolderSourceConfig):
    """Intrapartum views with pubic symphysis and fetal head masks (PSFHS, Zenodo 10969427)."""

    kind: Literal["psfhs"] = "psfhs"
    folder: str = "psfhs"
    block: PositiveInt = 20


class ClassFoldersConfig(FolderSourceConfig):
    """Your own images, one folder a plane.

    Attributes:
        patient_pattern: a regular expression with one group that finds the patient, and no folder, in an image's
            relative path.
        patients_unknown: say so where nothing tells patients apart; splits may then leak.
        site, source: what the images are called by.
        mask_suffix: `_mask` where `x.png` has its mask in `x_mask.png`; None without masks.
    """

    kind: Literal["class_folders"] = "class_folders"
    patient_pattern: str | None = None
    patients_unknown: bool = False
    site: str = ""
    source: str = "own"
    mask_suffix: str | None = None


class ImageFolderConfig(FolderSourceConfig):
    """A Hugging Face imagefolder with `metadata.jsonl` or `metadata.csv`, fulora's own image sets among them."""

    kind: Literal["imagefolder"] = "imagefolder"
    site: str = ""
    source: str = "imagefolder"


class KohyaConfig(FolderSourceConfig):
    """kohya's training folders (`20_fetal`) with captions.

    Attributes:
        words: which word of a caption or folder means which plane.
        patient_pattern, patients_unknown, site, source: as in `class_folders`.
    """

    kind: Literal["kohya"] = "kohya"
    words: dict[str, Plane] = Field(default_factory=lambda: dict(zip(map(str, PLANES), PLANES, strict=True)))
    patient_pattern: str | None = None
    patients_unknown: bool = False
    site: str = ""
    source: str = "own"


class DicomConfig(FolderSourceConfig):
    """DICOM files as a hospital exports them; patients get keyed pseudonyms.

    Ultrasound images only: files that hold none (DICOMDIR, reports, other modalities, viewers) are passed over and
    listed.

    Attributes:
        plane: what all of them show; None takes it from the name of their folder.
        key_file: a file outside the data with the secret that pseudonyms are made with.
    """

    kind: Literal["dicom"] = "dicom"
    plane: Plane | None = None
    key_file: Annotated[Path, Runtime]


AnySource = Annotated[
    PhantomsConfig
    | FetalPlanesConfig
    | LoraPlanesConfig
    | AfricanPlanesConfig
    | Hc18Config
    | PsfhsConfig
    | ClassFoldersConfig
    | ImageFolderConfig
    | KohyaConfig
    | DicomConfig,
    Field(discriminator="kind"),
]
SourceKind = Literal[
    "phantoms", "fetal_planes", "lora_planes", "african_planes", "hc18", "psfhs", "class_folders", "imagefolder",
    "kohya", "dicom",
]  # fmt: skip
KINDS: tuple[SourceKind, ...] = get_args(SourceKind)


class CurateConfig(Config):
    """Which sources make one image set, and what its images become.

    Attributes:
        image_size_px: width and height of every image; with fit=native, only the size that phantoms are drawn at.
        fit: `letterbox` keeps the whole picture on a black square, `crop` keeps its central square, `native` leaves
            every picture at its own size; none distorts.
        deidentify: what is done to burned-in text and marks of pictures of people: `outside` blanks what lies outside
            the insonated sector, `everywhere` also paints over calipers and text inside it, `nothing` leaves pictures
            as they are.
        text_detector: `rapidocr` also removes words wherever they stand, on tissue too (`pip install 'fulora[text]'`).
        unusable: `stop` at the first image or row that cannot be used, or `leave_out` such ones and list them.
        split_seed: decides which patients validate and are tested on.
        near_duplicates: what is done with pictures of two patients that are the same, or nearly: `together` keeps such
            patients in one split, and stops where their splits are fixed (by two roles, a saved or published split);
            with split=blocks it leaves out images instead. `leave_out` leaves out the patient who is nearer to
            training where the two are in two splits; test images are never left out. `ignore` keeps all, and says so.
        same_numbers: `stop` where one patient number is at two sites or sources, or in two spellings (`0012`, `12`), in
            splits that may differ: it may be one woman under two names; or say that they are `different_patients`.
            Published sets are never asked for.
    """

    sources: tuple[AnySource, ...] = Field(min_length=1)
    image_size_px: PositiveInt = 64
    fit: Literal["letterbox", "crop", "native"] = "letterbox"
    deidentify: Literal["outside", "everywhere", "nothing"] = "outside"
    text_detector: Literal["none", "rapidocr"] = "none"
    unusable: Literal["stop", "leave_out"] = "stop"
    split_seed: int = 0
    near_duplicates: Literal["together", "leave_out", "ignore"] = "together"
    same_numbers: Literal["stop", "different_patients"] = "stop"

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
