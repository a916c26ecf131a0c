"""The report of a study, from the records of its parts."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fulora.report.assessment import assessment_sections
from fulora.report.classification import classification_section
from fulora.report.forgetting import forgetting_section
from fulora.report.generation import generation_section
from fulora.report.page import Section, write_report
from fulora.report.parts import (
    AssessmentPart,
    ClassificationPart,
    ForgettingPart,
    GenerationPart,
    ReportPart,
    SegmentationPart,
    TrainingPart,
)
from fulora.report.provenance import provenance
from fulora.report.segmentation import segmentation_section
from fulora.report.summary import key_numbers, read_scores, summarize, warnings_of
from fulora.report.training import training_sections
from fulora.stage import Artifact


def write_study_report(out: Path, parts: Sequence[ReportPart], *, title: str, about: str) -> None:
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
        provenance=provenance(_sources(parts)),
        cards=key_numbers(read_scores(parts)),
    )


def _build_sections(part: ReportPart) -> list[Section]:
    match part:
        case GenerationPart():
            return [generation_section(part)]
        case AssessmentPart():
            return assessment_sections(part)
        case ClassificationPart():
            return [classification_section(part)]
        case ForgettingPart():
            return [forgetting_section(part)]
        case SegmentationPart():
            return [segmentation_section(part)]
        case TrainingPart():
            return training_sections(part)


def _sources(parts: Sequence[ReportPart]) -> Iterable[Artifact]:
    """The artifacts whose provenance is listed: images and assessments, then scores, then what was trained."""
    for part in parts:
        match part:
            case GenerationPart():
                yield from (part.real, *part.synthetic.values())
            case AssessmentPart():
                yield from (part.held_out, *part.synthetic.values(), *part.assessments.values())
    for part in parts:
        if isinstance(part, GenerationPart | ClassificationPart | SegmentationPart):
            yield part.scores
    for part in parts:
        if isinstance(part, TrainingPart):
            yield from (*([part.images] if part.images is not None else []), *part.curves.values())
