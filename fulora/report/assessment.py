"""The section on whether synthetic images can be trusted, and a report of its own for `fulora assess`."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fulora.assessment.assess import AssessmentFindings, as_json, read_findings
from fulora.assessment.assessed_sets import AssessedSets, read_sets
from fulora.assessment.verdicts import describe_memorisation
from fulora.config import identity
from fulora.data.assessed_images import AssessedImage
from fulora.report.assessment_tables import assessment_tables
from fulora.report.curves import plot_percentiles
from fulora.report.figures import plot_image_grid
from fulora.report.page import Figure, ProvenanceRow, Section, file_stems, write_report
from fulora.report.parts import AssessmentPart
from fulora.report.suspicious_pairs import plot_pairs

IN_A_GRID = 20
TEXT = (
    "Every figure names its encoder. Synthetic images are compared with real images of other patients than the "
    "held-out ones, at equal numbers where numbers matter. A test that finds nothing is not evidence of copies, and "
    "not a proof of privacy."
)


def write_assessment_report(
    folder: Path, sets: AssessedSets, findings: AssessmentFindings, rows: Sequence[AssessedImage], title: str
) -> None:
    """Write the assessment of one set as a report of its own."""
    digest = hashlib.sha256(as_json(findings)).hexdigest()
    counts = {"synthetic": findings.synthetic, "held_out": findings.held_out, "train": findings.train}
    settings = {name: identity(None if count is None else vars(count)) for name, count in counts.items()}
    write_report(
        folder,
        title=title,
        summary=[f"{findings.verdicts[0].summary}.", _describe_sizes(findings)],
        sections=[assessment_section("", sets, findings, rows)],
        provenance=[ProvenanceRow("assess", title, digest[:16], digest[:16], {}, 1, settings)],
    )


def assessment_sections(part: AssessmentPart) -> list[Section]:
    """Return a section for each assessed set."""
    sections, stems = [], file_stems(part.assessments)
    for name, item in part.assessments.items():
        sets = read_sets(part.synthetic[name], part.trained_on[name], part.held_out)
        sections.append(assessment_section(name, sets, read_findings(item.path), item.rows(), stems[name]))
    return sections


def verdict_sentences(part: AssessmentPart) -> list[str]:
    """Return the verdict on all images of each assessed set, a sentence a set."""
    return [f"{name}: {read_findings(item.path).verdicts[0].summary}." for name, item in part.assessments.items()]


def assessment_section(
    name: str, sets: AssessedSets, findings: AssessmentFindings, rows: Sequence[AssessedImage], stem: str = ""
) -> Section:
    """Return the verdicts, tables and figures of one synthetic set.

    Args:
        name: of the set, in every title; empty in a report on one set.
        stem: the end of the figures' file names.
    """
    suffix = f" ({name})" if name else ""
    return Section(
        f"Can the synthetic images be trusted?{suffix}",
        (TEXT, _describe_sizes(findings), *describe_memorisation(findings.encoders)),
        tuple(assessment_tables(findings, suffix)),
        tuple(_figures(sets, findings, rows, suffix, f"-{stem}" if stem else "")),
    )


def _describe_sizes(findings: AssessmentFindings) -> str:
    held_out, train = findings.held_out, findings.train
    owners = "held-out patients" if held_out.patients_known else "files (their patients are not known)"
    text = f"{findings.synthetic.images} synthetic images; {held_out.images} real ones of {held_out.patients} {owners}"
    if train is not None:
        text += f"; {train.images} images of {train.patients} patients trained the generator"
    return f"{text}."


def _figures(
    sets: AssessedSets, findings: AssessmentFindings, rows: Sequence[AssessedImage], suffix: str, stem: str
) -> Iterator[Figure]:
    if findings.train is None or not findings.encoders:
        return
    yield Figure(
        f"typical{stem}",
        _grid(sets, rows),
        "Synthetic images of each plane from typical to suspicious: by the least ratio of the distance to the "
        f"nearest patient to that to the next{suffix}.",
    )
    curves = {
        one.encoder: {"synthetic": one.distances.synthetic, "held-out patients": one.distances.held_out}
        for one in findings.encoders
        if one.distances is not None
    }
    yield Figure(
        f"distances{stem}",
        plot_percentiles(curves, "distance to the nearest training image"),
        f"Distance to the nearest training image, of synthetic and of held-out images{suffix}. "
        "Copies lie far to the left.",
    )
    if sets.train is not None:
        yield Figure(
            f"pairs{stem}",
            plot_pairs(sets.synthetic, sets.train, sets.held_out, findings.encoders),
            f"The most suspicious synthetic images, each above the real image that it is nearest to{suffix}.",
        )


def _grid(sets: AssessedSets, rows: Sequence[AssessedImage]) -> bytes:
    least = np.array([min(row.ratio.values(), default=1.0) for row in rows])
    images = {}
    for plane in sorted(set(sets.synthetic.planes)):
        indices = np.flatnonzero(sets.synthetic.planes == plane)
        ranked = indices[np.argsort(-least[indices], kind="stable")]
        chosen = ranked[np.linspace(0, len(ranked) - 1, min(IN_A_GRID, len(ranked))).round().astype(int)]
        images[str(plane)] = [sets.synthetic.pixels[index] for index in chosen]
    return plot_image_grid(images)
