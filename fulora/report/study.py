"""The report of a study, from its parts."""

from collections.abc import Sequence
from pathlib import Path

from fulora.report import parts as report_parts
from fulora.report.assessment import assessment_sections
from fulora.report.classification import classification_section
from fulora.report.forgetting import forgetting_section
from fulora.report.generation import generation_section
from fulora.report.page import Section, write_report
from fulora.report.provenance import provenance
from fulora.report.segmentation import segmentation_section
from fulora.report.summary import key_numbers, read_scores, summarize, warnings_of
from fulora.report.training import training_sections
from fulora.stage import artifacts_in


def write_study_report(out: Path, parts: Sequence[report_parts.ReportPart], *, title: str, about: str) -> None:
    """Write `report.html`, `report.md`, the tables as CSV and the figures as PNG, with a section for each part.

    Args:
        about: a description of the data, at the end of the summary.
    """
    write_report(
        out,
        title=title,
        warnings=warnings_of(parts),
        summary=[*summarize(parts), about],
        sections=[section for part in parts for section in _build_sections(part)],
        provenance=provenance(artifact for _, artifact in artifacts_in("parts", parts)),
        cards=key_numbers(read_scores(parts)),
    )


def _build_sections(part: report_parts.ReportPart) -> list[Section]:
    match part:
        case report_parts.GenerationPart():
            return [generation_section(part)]
        case report_parts.AssessmentPart():
            return assessment_sections(part)
        case report_parts.ClassificationPart():
            return [classification_section(part)]
        case report_parts.ForgettingPart():
            return [forgetting_section(part)]
        case report_parts.SegmentationPart():
            return [segmentation_section(part)]
        case report_parts.TrainingPart():
            return training_sections(part)
