"""A Hugging Face data set: on this machine (parquet, `save_to_disk`, imagefolder), or on the hub at a revision.

`datasets` opens it. Its table is memory-mapped, rows are listed without their pictures, and each picture is loaded by
its row when it is needed: they are never all in memory. Nothing is downloaded for a folder.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fulora.config import Config
from fulora.data.column_types import Plane, Split
from fulora.data.tables.cells import text_of
from fulora.intake.formats.gray_picture import read_real_picture
from fulora.intake.huggingface_tables import TableFiles, column_reader, label_reader, open_splits
from fulora.intake.masks.validation import read_valid_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.published_lists import number_in
from fulora.intake.raw_image import OnSkip, PixelsAndMask, RawImage, SourceError, convert_each, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs, SplitRule
from fulora.intake.sources.imagefolder import RANGES, SPLIT_OF

REVISION = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Columns(Config):
    """Names of the columns; "" where there is none.

    Attributes:
        image: pictures.
        label: classes: a ClassLabel or text.
        mask: pictures of masks.
        patient: patients.
        site: hospitals.
        machine: scanners.
        pixel_size_mm: mm per pixel.
        hc_mm: head circumference, mm.
    """

    image: str = Field(default="image", min_length=1)
    label: str = "label"
    mask: str = ""
    patient: str = ""
    site: str = ""
    machine: str = ""
    pixel_size_mm: str = ""
    hc_mm: str = ""


class HuggingfaceConfig(FolderSourceConfig):
    """A data set that `datasets` opens, on this machine or on the hub.

    Attributes:
        folder: its path under `data_root`; or
        hub, revision: its name on the hub, `owner/name`, and the commit, 40 hexadecimal digits, since a name alone does
            not fix the content.
        subset: which of its configurations, if it has several.
        part: read only this split, and divide it by `split`. Without it all splits are read, and if there are several,
            they are kept.
        columns: names of its columns.
        plane: the class of all images, if no column holds it (columns: {label: ""}).
        patients_unknown: set it if no column holds the patient; splits may then leak.
        site, source: defaults for rows without them.
    """

    kind: Literal["huggingface"] = "huggingface"
    folder: str = ""
    hub: str = ""
    revision: str = ""
    subset: str | None = None
    part: str = ""
    columns: Columns = Field(default_factory=Columns)
    plane: Plane = ""
    patients_unknown: bool = False
    split: SplitRule = "as_listed"
    site: str = ""
    source: str = "huggingface"

    @model_validator(mode="after")
    def _check_location(self) -> "HuggingfaceConfig":
        if bool(self.folder) == bool(self.hub):
            raise ValueError("give either folder, a data set on this machine, or hub, its name on the hub")
        if self.hub and not (REPOSITORY.fullmatch(self.hub) and REVISION.fullmatch(self.revision)):
            raise ValueError(
                f"hub={self.hub} revision={self.revision}: a data set on the hub is owner/name, with its commit, 40 "
                "hexadecimal digits (its page shows it under Files, History)"
            )
        if self.revision and not self.hub:
            raise ValueError("revision goes with hub; a folder is identified by its content")
        return self

    @model_validator(mode="after")
    def _check_classes_and_patients(self) -> "HuggingfaceConfig":
        if bool(self.columns.label) == bool(self.plane):
            raise ValueError(
                f"columns.label={self.columns.label} plane={self.plane}: give the column of the class, or "
                "the plane of all images and no columns.label"
            )
        if bool(self.columns.patient) == self.patients_unknown:
            raise ValueError(
                "patients are unknown: set columns.patient, or patients_unknown=true (splits may then leak)"
            )
        return self

    def source_classes(self) -> tuple[str, ...] | None:
        """Return the class of all images; None where a column holds it."""
        return (self.plane,) if self.plane else None

    def has_masks(self) -> bool:
        """Return whether a column holds masks."""
        return bool(self.columns.mask)

    def hub_dataset(self) -> tuple[str, str] | None:
        """Return its name and revision, if it is on the hub."""
        return (self.hub, self.revision) if self.hub else None

    def input_paths(self) -> dict[str, Path]:
        """Return the folder, unless it is on the hub, and the paths of every source."""
        paths = super().input_paths()
        return paths if self.folder else {name: path for name, path in paths.items() if name != "folder"}

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every row with a picture; unusable rows are passed to `on_skip`.

        Raises:
            SourceError: if `datasets` cannot open it, or a split or column is missing or of another type.
        """
        if inputs.folder is None and self.hub:
            raise SourceError(f"{self.hub}: not downloaded yet, so its classes are unknown; name them by label_set=")
        folder = inputs.required_folder
        tables = open_splits(folder, self.subset)
        if self.part and self.part not in tables:
            raise SourceError(f"{folder}: has no split {self.part}; its splits: {', '.join(tables)}")
        chosen = {self.part: tables[self.part]} if self.part else tables
        masks = {name: _masks(self, folder, name, table) for name, table in chosen.items()}
        values = source_mask_values(folder, [path for paths in masks.values() for path in paths.values()])
        for name, table in chosen.items():
            published = SPLIT_OF.get(name.casefold()) if len(chosen) > 1 else None
            pictures = column_reader(table, self.columns.image, folder)
            convert = partial(self._image, folder, name, pictures, masks[name], values, published)
            yield from convert_each(enumerate(_read_rows(self, folder, table)), convert, on_skip)

    def _image(
        self,
        folder: Path,
        split: str,
        pictures: Any,
        masks: Mapping[int, Path],
        values: MaskValues,
        published: Split | None,
        item: tuple[int, Mapping[str, object]],
    ) -> RawImage:
        number, row = item
        name, where = f"{split}/{number:06d}", f"{folder}, {split}, row {number}"
        plane = self.plane or text_of(row["label"])
        patient = name if self.patients_unknown else text_of(row["patient"])
        for what, text in (("class", plane), ("patient", patient)):
            if not text:
                raise SourceError(f"{where}: has no {what}")
        return RawImage(
            name,
            plane,
            self.source,
            text_of(row.get("site")) or self.site,
            patient,
            partial(_load, pictures, number, where, TableFiles(folder), masks.get(number), values),
            machine=text_of(row.get("machine")),
            pixel_size_mm=_measure(row, "pixel_size_mm", where),
            hc_mm=_measure(row, "hc_mm", where),
            mask_path=masks.get(number),
            published=published,
        )


def _read_rows(config: HuggingfaceConfig, folder: Path, table: Any) -> Iterator[Mapping[str, object]]:
    """Yield the metadata of every row, under fulora's names, without its picture."""
    names = {ours: theirs for ours, theirs in dict(config.columns).items() if theirs and ours not in ("image", "mask")}
    missing = sorted({config.columns.image, config.columns.mask, *names.values()} - {"", *table.column_names})
    if missing:
        raise SourceError(
            f"{folder}: no column {missing[0]}; its columns: {', '.join(table.column_names)}: set columns: {{...}}"
        )
    label = label_reader(table, names["label"], folder) if "label" in names else None
    if not names:
        yield from ({} for _ in range(len(table)))
        return
    for row in table.select_columns(list(dict.fromkeys(names.values()))):
        values = {ours: row[theirs] for ours, theirs in names.items()}
        yield values if label is None else {**values, "label": label(values["label"])}


def _masks(config: HuggingfaceConfig, folder: Path, name: str, table: Any) -> dict[int, Path]:
    if not config.columns.mask or config.columns.mask not in table.column_names:
        return {}
    read, files = column_reader(table, config.columns.mask, folder), TableFiles(folder)
    paths = {number: files.file(read(number), f"{name}-{number:06d}") for number in range(len(table))}
    return {number: path for number, path in paths.items() if path is not None}


def _measure(row: Mapping[str, object], column: str, where: str) -> float | None:
    text = text_of(row.get(column))
    return number_in(text, f"{where}: {column}", *RANGES[column]) if text and float(text) else None


def _load(
    pictures: Any, number: int, where: str, files: TableFiles, mask: Path | None, values: MaskValues
) -> PixelsAndMask:
    content = files.content(pictures(number))
    if content is None:
        raise SourceError(f"{where}: has no picture")
    pixels = read_real_picture(Path(where), content)
    return pixels, read_valid_mask(pixels, mask, values)
