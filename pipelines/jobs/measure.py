"""`measure`: head circumference in mm, or the angle of progression in degrees, of a folder of masks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

from fulora.biometry.agreement import AgreementStatistics
from fulora.biometry.measurement_rows import AngleRow, HeadRow
from fulora.biometry.side import Side
from fulora.mask_folders.measure import measure_angles, measure_heads, write_hc18_submission, write_measurements
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = {"hc": "hc_mm", "aop": "aop_deg"}


@dataclass(frozen=True)
class Measured:
    """What was measured in a folder of masks.

    Attributes:
        quantity: `hc` (head circumference, with BPD and OFD; mm) or `aop` (angle of progression, degrees).
        rows: one for each mask; one that could not be measured has its failure.
        agreement: with the reference circumferences of the list of pixel sizes; None without any.
    """

    quantity: Literal["hc", "aop"]
    rows: Sequence[HeadRow | AngleRow]
    agreement: AgreementStatistics | None = None

    @property
    def table(self) -> Table:
        """How many masks were measured, their median, and the failures and warnings by kind."""
        column = COLUMNS[self.quantity]
        values = [getattr(row, column) for row in self.rows if not row.failure]
        counts: list[dict[str, Cell]] = [
            {"": "measured", "masks": len(values), f"median {column}": median(values) if values else None}
        ]
        kinds = Counter(f"failure {row.failure}" for row in self.rows if row.failure)
        kinds += Counter(f"warning {word}" for row in self.rows for word in row.warnings.split())
        counts += [{"": kind, "masks": number, f"median {column}": None} for kind, number in kinds.most_common()]
        return Table(f"{len(self.rows)} masks", counts)

    def write(self, path: str | Path) -> None:
        """Write all rows as a CSV file."""
        write_measurements(Path(path), self.rows)

    def write_hc18_submission(self, path: str | Path) -> None:
        """Write the heads as a submission file of the HC18 challenge.

        Raises:
            ValueError: as `fulora.mask_folders.measure.write_hc18_submission`.
        """
        write_hc18_submission(Path(path), [row for row in self.rows if isinstance(row, HeadRow)])

    def to_pandas(self) -> "DataFrame":
        """Return a row for each mask."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in self.rows])

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def measure(
    masks: str | Path,
    quantity: Literal["hc", "aop"] = "hc",
    *,
    pixel_sizes: str | Path | None = None,
    label: int | None = None,
    inset_px: float = 0.0,
    symphysis: int | None = None,
    head: int | None = None,
    inferior: Side = "right",
    original_size: tuple[int, int] | None = None,
    values: Mapping[int, int] | None = None,
    workers: int = 2,
) -> Measured:
    """Measure every mask of a folder. For research only, never for patient care.

    Example:

        heads = fu.measure("masks", "hc", pixel_sizes="pixel_sizes.csv")

    Args:
        masks: folder of masks: PNG, MHA or NIfTI.
        pixel_sizes: hc: CSV list with `filename` and `pixel size(mm)`.
        label, inset_px: hc, as `fulora.mask_folders.measure.measure_heads`.
        symphysis, head, inferior, original_size: aop, as `fulora.mask_folders.measure.measure_angles`.
        values: the class of each value of the masks; inferred if None.
        workers: threads.

    Raises:
        ValueError: if the folder, the list or the classes cannot be used, or hc has no list of pixel sizes.
    """
    folder = Path(masks)
    if quantity == "aop":
        rows = measure_angles(
            folder,
            symphysis=symphysis,
            head=head,
            inferior=inferior,
            original_size=original_size,
            values=values,
            workers=workers,
        )
        return Measured("aop", rows)
    if pixel_sizes is None:
        raise ValueError("hc is in mm and needs pixel_sizes: a CSV list with `filename` and `pixel size(mm)`")
    heads = measure_heads(folder, Path(pixel_sizes), label=label, inset_px=inset_px, values=values, workers=workers)
    return Measured("hc", heads.rows, heads.agreement)
