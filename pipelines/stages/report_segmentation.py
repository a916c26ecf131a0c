"""One self-contained page about segmentation: what was trained on, scores, overlays, curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.config import Config
from fulora.data.image_set import ImageSet
from fulora.data.results import LeakTable, MaskSet, Measurements, Report, Scores
from fulora.stage import Artifact, stage


class ReportSegmentationConfig(Config):
    """The page's title, what it says of its data, and of which arms it shows pictures (all, where none is named)."""

    title: str
    about: str
    shown: tuple[str, ...] = ()


@stage(version=3)
def report_segmentation(
    out: Path,
    config: ReportSegmentationConfig,
    images: ImageSet,
    masks: Mapping[str, MaskSet],
    measurements: Mapping[str, Sequence[Measurements]],
    scores: Scores,
    curves: Mapping[str, Artifact],
    sweep: Mapping[str, Mapping[str, ImageSet]],
    leaks: LeakTable,
) -> Report:
    """Write `report.html`, `report.md`, the tables as CSV and the figures as PNG.

    Args:
        masks: by arm, the first seed's.
        measurements: by arm, one a training seed.
        curves: artifacts with a `metrics.jsonl`, by name.
        sweep: by curve, its arms and the labelled images of each, whose number is where it stands.
        leaks: what every training input shares with the test set.
    """
    from fulora.report.comparisons import summarize_comparisons
    from fulora.report.page import write_report
    from fulora.report.sections import key_numbers, provenance
    from fulora.report.segmentation import segmentation_section
    from fulora.report.training import training_section

    rows = scores.rows()
    tables = {arm: [item.rows() for item in seeds] for arm, seeds in measurements.items()}
    shown = {arm: masks[arm] for arm in (config.shown or masks)}
    places = {
        curve: {arm: float(len(known.rows("train"))) for arm, known in arms.items()} for curve, arms in sweep.items()
    }
    declared = summarize_comparisons([score for score in rows if score.role == "declared"])
    section = segmentation_section(images, shown, tables, rows, places, leaks.rows())
    write_report(
        out,
        title=config.title,
        summary=[*declared, config.about],
        sections=[section, training_section(curves)],
        provenance=provenance([images, scores, *curves.values()]),
        cards=key_numbers(rows),
    )
    return Report(out, "")
