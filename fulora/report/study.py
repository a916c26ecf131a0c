"""The report of a study, from its parts."""

from collections.abc import Sequence
from pathlib import Path

from fulora.report import parts as report_parts
from fulora.report.assessment import trust_section
from fulora.report.classification import classification_section
from fulora.report.design import design_sections
from fulora.report.forgetting import forgetting_section
from fulora.report.page import Section, write_report
from fulora.report.provenance import provenance
from fulora.report.segmentation import segmentation_section
from fulora.report.summary import key_numbers, primary_figure, read_scores, summarize, warnings_of
from fulora.report.training import training_sections
from fulora.stage import artifacts_in

ORDER = (
    report_parts.ClassificationPart,
    report_parts.ForgettingPart,
    report_parts.GenerationPart,
    report_parts.AssessmentPart,
    report_parts.SegmentationPart,
    report_parts.TrainingPart,
)
"""Kinds of parts in the order of the page."""


def write_study_report(out: Path, parts: Sequence[report_parts.ReportPart], *, title: str, about: str) -> None:
    """Write `report.html`, `report.md`, the tables as CSV and the figures as PNG, with a section for each part.

    Args:
        about: a description of the data, at the end of the summary.
    """
    ordered = sorted(parts, key=lambda part: ORDER.index(type(part)))
    scores = read_scores(ordered)
    write_report(
        out,
        title=title,
        warnings=warnings_of(ordered),
        summary=[*summarize(ordered), about],
        figures=primary_figure(scores),
        sections=study_sections(ordered),
        provenance=provenance(artifact for _, artifact in artifacts_in("parts", parts)),
        cards=key_numbers(scores),
    )


def study_sections(parts: Sequence[report_parts.ReportPart]) -> list[Section]:
    """Return the sections of a page in their order: design, does it help, trust, segmentation, training."""
    generated = [part for part in parts if isinstance(part, report_parts.GenerationPart)]
    assessed = [part for part in parts if isinstance(part, report_parts.AssessmentPart)]
    trust = [trust_section(generated, assessed)] if generated or assessed else []
    by_kind = {kind: [s for part in parts if isinstance(part, kind) for s in _build_sections(part)] for kind in ORDER}
    return [
        *design_sections(parts),
        *by_kind[report_parts.ClassificationPart],
        *by_kind[report_parts.ForgettingPart],
        *trust,
        *by_kind[report_parts.SegmentationPart],
        *by_kind[report_parts.TrainingPart],
    ]


def _build_sections(part: report_parts.ReportPart) -> list[Section]:
    match part:
        case report_parts.ClassificationPart():
            return [classification_section(part)]
        case report_parts.ForgettingPart():
            return [forgetting_section(part)]
        case report_parts.SegmentationPart():
            return [segmentation_section(part)]
        case report_parts.TrainingPart():
            return training_sections(part)
        case _:
            return []
