"""`read_images`: any folder of images as an image set that shows itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.column_types import SPLITS, Origin
from fulora.data.image_set import ImageSet
from pipelines.jobs.inputs import WORK, open_images
from pipelines.jobs.set_notes import describe_set
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from datasets import DatasetDict
    from pandas import DataFrame
    from PIL.Image import Image

ORIGINS: tuple[Origin, ...] = ("real", "synthetic")

SHOWN = 8
"""How many images of each class a figure shows."""


@dataclass(frozen=True)
class Images:
    """An image set as the result of a job.

    Attributes:
        artifact: the set on disk, an imagefolder of Hugging Face.
        notes: what the job reports beside the table, after how the set was made.
    """

    artifact: ImageSet
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The folder of the set."""
        return self.artifact.path

    @property
    def table(self) -> Table:
        """Images by class, split and origin; real patients by split; how a hybrid or generated set was made."""
        rows = self.artifact.rows()
        counts = Counter((row.plane, f"{row.split}, {row.origin}") for row in rows)
        totals = Counter(f"{row.split}, {row.origin}" for row in rows)
        parts = [f"{split}, {origin}" for split in SPLITS for origin in ORIGINS if totals[f"{split}, {origin}"]]
        by_class: list[dict[str, Cell]] = [
            {"class": plane, **{part: counts[plane, part] for part in parts}} for plane in self._planes()
        ]
        total: dict[str, Cell] = {"class": "all", **{part: totals[part] for part in parts}}
        patients = {split: {row.patient_key for row in rows if row.split == split} - {""} for split in SPLITS}
        of_patients = ", ".join(f"{split} {len(keys)}" for split, keys in patients.items() if keys)
        notes = ((f"patients: {of_patients}",) if of_patients else ()) + describe_set(self.path) + self.notes
        return Table(f"{len(rows)} images in {self.path}", [*by_class, total], notes)

    def to_pandas(self) -> "DataFrame":
        """Return a row for each image, with the columns of `metadata.jsonl`."""
        import pandas

        return pandas.DataFrame([row.model_dump() for row in self.artifact.rows()])

    def to_datasets(self) -> "DatasetDict":
        """Return the set as Hugging Face `datasets` opens it, a data set for each split."""
        from datasets import load_dataset

        opened: DatasetDict = load_dataset("imagefolder", data_dir=str(self.path))
        return opened

    def figure(self) -> "Image":
        """Return a picture of a few images of each class, real and synthetic ones in rows of their own."""
        from PIL import Image as Pil

        from fulora.report.figures import plot_image_grid

        rows = self.artifact.rows()
        parts = {
            f"{plane}, {origin}": list(
                islice((row for row in rows if (row.plane, row.origin) == (plane, origin)), SHOWN)
            )
            for plane in self._planes()
            for origin in ORIGINS
        }
        grid = {name: [self.artifact.pixels(row) for row in part] for name, part in parts.items() if part}
        return Pil.open(BytesIO(plot_image_grid(grid)))

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def _planes(self) -> list[str]:
        shown = {row.plane for row in self.artifact.iter_rows()}
        return [name for name in self.artifact.label_set().names if name in shown]


def read_images(folder: str | Path, settings: Mapping[str, object] | None = None, *, work: str | Path = WORK) -> Images:
    """Return the image set in a folder; any other folder of images is curated first, once, into `work`.

    Args:
        folder: an image set of fulora, or any folder that `fulora data check` reads.
        settings: of the curation, such as `{"patient_pattern": r"Patient(\\d+)", "role": "test"}`.

    Raises:
        SourceError, ConfigError: if the layout of the folder is unknown, or a setting is invalid.
        DamagedArtifactError: if files of the set have changed since it was made.
    """
    return Images(open_images(Path(folder), settings, Path(work)))
