"""A Hugging Face data set: on this machine (parquet, `save_to_disk`, imagefolder), or of the hub at a revision.

`datasets` opens it. Its table is mapped from the disk, rows are listed without their pictures, and a picture is taken
out by its row when it is asked for: never are all of them in memory. Nothing is fetched for a folder.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, model_validator

from fulora.config import Config
from fulora.data.labels import Plane, Split
from fulora.data.tables.cells import text_of
from fulora.intake.folders import read_real_picture
from fulora.intake.huggingface_tables import TableFiles, column_reader, label_reader, open_splits
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs, SplitRule
from fulora.intake.sources.imagefolder import RANGES, SPLIT_OF
from fulora.intake.tables import number_in

REVISION = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Columns(Config):
    """The names of its columns; "" where there is none. `label` is a ClassLabel or text, `mask` a picture."""

    image: str = Field(default="image", min_length=1)
    label: str = "label"
    mask: str = ""
    patient: str = ""
    site: str = ""
    machine: str = ""
    pixel_size_mm: str = ""
    hc_mm: str = ""


class HuggingfaceConfig(FolderSourceConfig):
    """A data set that `datasets` opens, on this machine or of the hub.

    Attributes:
        folder: where it is under `data_root`; or
        hub, revision: its name on the hub, `owner/name`, and the commit, 40 hexadecimal digits, for a name alone says
            nothing of what is read tomorrow.
        subset: which of its configurations, where it has several.
        part: read this split of it alone, and divide it by `split`. Without it all are read, and where there are
            several, their names are obeyed.
        columns: their names.
        plane: the class that all images show, where no column says it (columns: {label: ""}).
        patients_unknown: say so where no column tells patients apart; splits may then leak.
        site, source: what images get whose row does not say it.
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
    def _one_place(self) -> "HuggingfaceConfig":
        if bool(self.folder) == bool(self.hub):
            raise ValueError("give folder, a data set on this machine, or hub, its name there: one of the two")
        if self.hub and not (REPOSITORY.fullmatch(self.hub) and REVISION.fullmatch(self.revision)):
            raise ValueError(
                f"hub={self.hub} revision={self.revision}: a set of the hub is owner/name, with the commit that is "
                "read, 40 hexadecimal digits (its page shows it under Files, History)"
            )
        if self.revision and not self.hub:
            raise ValueError("revision goes with hub; a folder is known by its content")
        return self

    @model_validator(mode="after")
    def _classes_and_patients_said(self) -> "HuggingfaceConfig":
        if bool(self.columns.label) == bool(self.plane):
            raise ValueError(
                f"columns.label={self.columns.label} plane={self.plane}: give the column of the class, or "
                "the plane that all images show and no columns.label"
            )
        if bool(self.columns.patient) == self.patients_unknown:
            raise ValueError(
                "it must be said whose images these are: give columns.patient, or patients_unknown=true where nothing "
                "tells (splits may then leak)"
            )
        return self

    def source_classes(self) -> tuple[str, ...] | None:
        """The class that all images show; None where a column says it."""
        return (self.plane,) if self.plane else None

    def has_masks(self) -> bool:
        """Where a column holds them."""
        return bool(self.columns.mask)

    def hub_dataset(self) -> tuple[str, str] | None:
        """Its name and revision, where it is on the hub."""
        return (self.hub, self.revision) if self.hub else None

    def input_paths(self) -> dict[str, Path]:
        """The folder, where it is not on the hub, and what every source may read."""
        found = super().input_paths()
        return found if self.folder else {name: path for name, path in found.items() if name != "folder"}

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every row with a picture; those that cannot be used are told to `on_skip`.

        Raises:
            SourceError: what `datasets` cannot open, a split or column that it has not, or a column of another type.
        """
        if inputs.folder is None and self.hub:
            raise SourceError(
                f"{self.hub}: a set of the hub is read once it is fetched; name its classes by label_set="
            )
        return _read(self, inputs.required_folder, on_skip)


def _read(config: HuggingfaceConfig, folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    tables = open_splits(folder, config.subset)
    if config.part and config.part not in tables:
        raise SourceError(f"{folder}: has no split {config.part}; it has {', '.join(tables)}")
    chosen = {config.part: tables[config.part]} if config.part else tables
    told = len(chosen) > 1
    masks = {name: _masks(config, folder, name, table) for name, table in chosen.items()}
    values = source_mask_values(folder, [path for found in masks.values() for path in found.values()])
    for name, table in chosen.items():
        pictures = column_reader(table, config.columns.image, folder)
        published = SPLIT_OF.get(name.casefold()) if told else None
        for place, row in enumerate(_listed(config, folder, table)):
            where = f"{folder}, {name}, row {place}"
            try:
                load = partial(_load, pictures, place, where, TableFiles(folder), masks[name].get(place), values)
                yield _image(config, f"{name}/{place:06d}", row, where, published, load, masks[name].get(place))
            except SourceError as error:
                on_skip(str(error))


def _listed(config: HuggingfaceConfig, folder: Path, table: Any) -> Iterator[Mapping[str, object]]:
    """Every row's facts, by our names, without its picture."""
    names = {ours: theirs for ours, theirs in dict(config.columns).items() if theirs and ours not in ("image", "mask")}
    missing = sorted({config.columns.image, config.columns.mask, *names.values()} - {"", *table.column_names})
    if missing:
        raise SourceError(
            f"{folder}: no column {missing[0]}; it has {', '.join(table.column_names)}: say columns: {{...}}"
        )
    label = label_reader(table, names["label"], folder) if "label" in names else None
    if not names:
        yield from ({} for _ in range(len(table)))
        return
    for row in table.select_columns(list(dict.fromkeys(names.values()))):
        found = {ours: row[theirs] for ours, theirs in names.items()}
        yield found if label is None else {**found, "label": label(found["label"])}


def _masks(config: HuggingfaceConfig, folder: Path, name: str, table: Any) -> dict[int, Path]:
    """The masks of a split as files, by row."""
    if not config.columns.mask or config.columns.mask not in table.column_names:
        return {}
    read, files = column_reader(table, config.columns.mask, folder), TableFiles(folder)
    made = {place: files.file(read(place), f"{name}-{place:06d}") for place in range(len(table))}
    return {place: path for place, path in made.items() if path is not None}


def _image(
    config: HuggingfaceConfig,
    name: str,
    row: Mapping[str, object],
    where: str,
    published: Split | None,
    load: Any,
    mask: Path | None,
) -> RawImage:
    plane = config.plane or text_of(row["label"])
    patient = name if config.patients_unknown else text_of(row["patient"])
    for what, text in (("class", plane), ("patient", patient)):
        if not text:
            raise SourceError(f"{where}: has no {what}")
    return RawImage(
        name,
        plane,
        config.source,
        text_of(row.get("site")) or config.site,
        patient,
        load,
        machine=text_of(row.get("machine")),
        pixel_size_mm=_measure(row, "pixel_size_mm", where),
        hc_mm=_measure(row, "hc_mm", where),
        mask_path=mask,
        published=published,
    )


def _measure(row: Mapping[str, object], column: str, where: str) -> float | None:
    text = text_of(row.get(column))
    return number_in(text, f"{where}: {column}", *RANGES[column]) if text and float(text) else None


def _load(
    pictures: Any, place: int, where: str, files: TableFiles, mask: Path | None, values: MaskValues
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]:
    content = files.content(pictures(place))
    if content is None:
        raise SourceError(f"{where}: has no picture")
    pixels = read_real_picture(Path(where), content)
    return pixels, None if mask is None else validate_mask(pixels, values.read(mask), mask)
