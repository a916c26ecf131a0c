"""A page about a training alone: what was trained on, the losses, the samples, and where each comes from."""

from collections.abc import Mapping
from pathlib import Path

from fulora.config import Config
from fulora.data.image_set import ImageSet
from fulora.data.results import Report
from fulora.stage import Artifact, stage


class ReportTrainingConfig(Config):
    """The page's title, and what it says of its data."""

    title: str
    about: str


@stage(version=2)
def report_training(
    out: Path, config: ReportTrainingConfig, images: ImageSet, curves: Mapping[str, Artifact]
) -> Report:
    """Write `report.html`, `report.md`, the table as CSV and the figures as PNG.

    Args:
        curves: artifacts with a `metrics.jsonl` and, where some were drawn, `samples/`, by name.
    """
    from fulora.report.page import write_report
    from fulora.report.sections import provenance
    from fulora.report.training import images_section, training_section

    training = training_section(curves)
    write_report(
        out,
        title=config.title,
        summary=[*training.text[1:], config.about],
        sections=[images_section(images), training],
        provenance=provenance([images, *curves.values()]),
    )
    return Report(out, "")
