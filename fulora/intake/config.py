"""The configuration of curation."""

from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config
from fulora.data.label_class import CAPTION
from fulora.data.label_set import LabelSet, as_label_set
from fulora.data.labels import SPLITS
from fulora.intake.source_config import SourceConfig
from fulora.intake.sources.african_planes import AfricanPlanesConfig
from fulora.intake.sources.class_folders import ClassFoldersConfig
from fulora.intake.sources.dicom import DicomConfig
from fulora.intake.sources.fetal_planes import FetalPlanesConfig
from fulora.intake.sources.hc18 import Hc18Config
from fulora.intake.sources.huggingface import HuggingfaceConfig
from fulora.intake.sources.imagefolder import ImageFolderConfig
from fulora.intake.sources.kohya import KohyaConfig
from fulora.intake.sources.lora_planes import LoraPlanesConfig
from fulora.intake.sources.parallel_folders import ParallelFoldersConfig
from fulora.intake.sources.phantoms import PhantomsConfig
from fulora.intake.sources.psfhs import PsfhsConfig
from fulora.intake.sources.unlabelled import UnlabelledConfig

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
    | DicomConfig
    | ParallelFoldersConfig
    | HuggingfaceConfig
    | UnlabelledConfig,
    Field(discriminator="kind"),
]
SourceKind = str
"""`kind` of one of the sources: one of `KINDS`."""

KINDS: dict[SourceKind, type[SourceConfig]] = {
    one.model_fields["kind"].default: one for one in get_args(get_args(AnySource)[0])
}


class CurateConfig(Config):
    """The sources of one image set, and the processing of its images.

    Attributes:
        image_size_px: width and height of every image; with fit=native, only of phantoms.
        fit: `letterbox` keeps the whole image on a black square, `crop` its central square, `native` its own size; none
            distorts.
        deidentify: removal of burned-in text and marks from images of patients: `outside` blanks all outside of the
            insonated sector, `everywhere` also paints over calipers and text inside it, `nothing` changes nothing.
        text_detector: `rapidocr` also removes words anywhere, on tissue too (`pip install 'fulora[text]'`).
        unusable: `stop` at the first unusable image or row, or `leave_out` such ones and list them.
        split_seed: seed of the division of patients.
        near_duplicates: treatment of identical or nearly identical images of two patients: `together` keeps such
            patients in one split, and stops if their splits are fixed (by two roles, a saved or published split); with
            split=blocks it leaves out images instead. `leave_out` leaves out the patient nearer to training if the two
            are in two splits; test images are never left out. `ignore` keeps all, and reports it.
        same_numbers: `stop` if one patient number is at two sites or sources, or in two spellings (`0012`, `12`), in
            splits that may differ, since it may be one patient; `different_patients` allows it. Published sets are not
            checked.
        label_set: the classes of the set: the name of a shipped label set, the path of a YAML file, an inline label
            set, or a list of those, which are joined. None uses that of its published sources and phantoms, or else
            makes every class folder or label a class.
        caption: of classes without a label set; `{name}` is replaced by the name.
    """

    sources: tuple[AnySource, ...] = Field(min_length=1)
    label_set: LabelSet | None = None
    caption: str = CAPTION
    image_size_px: PositiveInt = 64
    fit: Literal["letterbox", "crop", "native"] = "letterbox"
    deidentify: Literal["outside", "everywhere", "nothing"] = "outside"
    text_detector: Literal["none", "rapidocr"] = "none"
    unusable: Literal["stop", "leave_out"] = "stop"
    split_seed: int = 0
    near_duplicates: Literal["together", "leave_out", "ignore"] = "together"
    same_numbers: Literal["stop", "different_patients"] = "stop"

    @field_validator("label_set", mode="before")
    @classmethod
    def _load_label_set(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return as_label_set(value)
        if not value:
            raise ValueError("an empty list; leave it out, or give one label set or several")
        first, *others = [LabelSet.model_validate(as_label_set(one)) for one in value]
        return first.joined(*others)

    @model_validator(mode="after")
    def _check_caption(self) -> "CurateConfig":
        if "{name}" not in self.caption:
            raise ValueError(f"caption: {self.caption!r} needs {{name}}, the placeholder for the name of a class")
        if self.label_set is not None and self.caption != CAPTION:
            raise ValueError("caption is for classes without a label set; write captions into the label set")
        return self

    @field_validator("image_size_px")
    @classmethod
    def _check_image_size(cls, value: int) -> int:
        if value % 32:
            raise ValueError("must be a multiple of 32, as the networks require")
        return value

    def check_splits(self) -> None:
        """Raise ValueError if a split is empty by the roles of the sources: a study needs all three."""
        missing = [split for split in SPLITS if not any(split in source.split_shares() for source in self.sources)]
        if missing:
            raise ValueError(f"no source has the role {' or '.join(missing)}; a study needs {', '.join(SPLITS)}")

    def folders(self) -> tuple[str, ...]:
        """Return the folders under `data_root` that the sources read."""
        return tuple(path.as_posix() for source in self.sources if (path := source.input_paths().get("folder")))
