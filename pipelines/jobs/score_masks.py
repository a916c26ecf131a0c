"""`score_masks`: scores with intervals of predicted masks, and rankings of several predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulora.mask_folders import score as mask_scores
from fulora.mask_folders.score import SegmentationScores
from fulora.segmentation.protocols import MEASURED, Protocol
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image


@dataclass(frozen=True)
class ScoredMasks:
    """Scores of one or several predictions of masks."""

    result: SegmentationScores

    @property
    def facts(self) -> dict[str, Any]:
        """All figures: of each prediction the scores, failures, agreement; the rankings if there are several."""
        return self.result.facts

    @property
    def table(self) -> Table:
        """The mean of each score with its interval, by prediction."""
        rows: list[dict[str, Cell]] = [
            {"prediction": name, "score": score}
            | {key: row[key] for key in ("mean", "low", "high", "median", "worst_5", "unit")}
            for name, prediction in self.facts["predictions"].items()
            for score, row in prediction["metrics"].items()
        ]
        return Table(f"{self.facts['reference']}: {self.facts['cases']} cases, {self.facts['patients']} patients", rows)

    def to_pandas(self) -> "DataFrame":
        """Return the scores of each case of each prediction."""
        import pandas

        return pandas.json_normalize(
            [{"prediction": name, **asdict(case)} for name, cases in self.result.cases.items() for case in cases]
        )

    def to_json(self) -> dict[str, Any]:
        """Return all figures, with those of each case."""
        return self.result.to_json()

    def figure(self) -> "Image":
        """Return the rankings, or of one prediction its Bland-Altman plot."""
        from PIL import Image as Pil

        return Pil.open(BytesIO(self.png()))

    def png(self) -> bytes:
        """Return the figure as a PNG file.

        Raises:
            ValueError: of a single prediction whose protocol measures nothing.
        """
        if self.result.rankings is not None:
            from fulora.report.ranking import plot_rankings

            return plot_rankings(list(self.result.cases), self.result.rankings)
        if self.result.protocol not in MEASURED:
            raise ValueError("a figure shows rankings, angles or circumferences; plain needs two or more predictions")
        from fulora.report.figures import plot_bland_altman

        quantity = MEASURED[self.result.protocol]
        cases = self.facts["cases"]
        measured, true = self.result.measured_pairs()
        return plot_bland_altman(
            measured, true, quantity.unit, f"{quantity.name}: {cases - len(measured)} of {cases} failed"
        )

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def score_masks(
    reference: str | Path,
    predictions: str | Path | Sequence[str | Path],
    protocol: Protocol,
    *,
    pixel_sizes: str | Path | None = None,
    label: int | None = None,
    patient_pattern: str = "",
    values: Mapping[int, int] | None = None,
    draws: int = 1000,
    seed: int = 0,
    workers: int = 2,
) -> ScoredMasks:
    """Score predicted masks; every reference counts, and one without a prediction counts as the worst.

    Example:

        scores = fu.score_masks("reference", ["ours", "theirs"], "psfhs")

    Args:
        reference: folder of reference masks.
        predictions: a folder of predicted masks, or several, which are ranked.
        protocol: psfhs (the challenge's rules), hc18 (mm, HC) or plain (any classes).
        pixel_sizes: CSV: filename, pixel size(mm). Required by hc18; gives plain distances in mm.
        label: hc18: class number of the head if masks hold several.
        patient_pattern: regular expression with one group, the patient in a name.
        values: the class of each value of the masks; inferred if None.
        draws: bootstrap draws of patients.

    Raises:
        ValueError: if a folder or an option cannot be used.
    """
    folders = [predictions] if isinstance(predictions, str | Path) else predictions
    return ScoredMasks(
        mask_scores.score_masks(
            Path(reference),
            [Path(folder) for folder in folders],
            protocol,
            pixel_sizes=None if pixel_sizes is None else Path(pixel_sizes),
            label=label,
            patient_pattern=patient_pattern,
            values=values,
            draws=draws,
            seed=seed,
            workers=workers,
        )
    )
