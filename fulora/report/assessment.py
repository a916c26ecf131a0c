"""The section on whether synthetic images can be trusted, and a report of its own for `fulora assess`."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fulora.assessment.assess import AssessmentFindings, as_json, read_findings
from fulora.assessment.assessed_sets import AssessedSets, read_sets
from fulora.assessment.verdicts import describe_memorisation
from fulora.config import identity
from fulora.data.assessed_images import AssessedImage
from fulora.report.assessment_tables import assessment_tables
from fulora.report.curves import plot_percentiles
from fulora.report.figures import plot_image_grid
from fulora.report.generation import generation_section
from fulora.report.origin import TRAINED, Origin, find_origin
from fulora.report.page import Figure, ProvenanceRow, Section, file_stems, write_report
from fulora.report.parts import AssessmentPart, GenerationPart
from fulora.report.suspicious_pairs import plot_pairs
from fulora.words import counted

IN_A_GRID = 20
TITLE = "Can the synthetic images be trusted?"
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
        summary=[_sentence(findings.verdicts[0].summary), _describe_sizes(findings, TRAINED)],
        sections=[assessment_section("", sets, findings, rows)],
        provenance=[ProvenanceRow("assess", title, digest[:16], digest[:16], {}, 1, settings)],
    )


def trust_section(generated: Sequence[GenerationPart], assessed: Sequence[AssessmentPart]) -> Section:
    """Return the section on synthetic images: beside real ones, then an assessment of each set.

    Sets of a generator that saw no training image, such as the backbone alone, come last and folded.
    """
    sections = [generation_section(part) for part in generated]
    sets = [(one, part) for part in assessed for one in assessment_sections(part)]
    seen = [section for section, _ in sets if not section.folded]
    folded = [replace(section, folded=bool(seen or sections)) for section, _ in sets if section.folded]
    return Section(TITLE, (TEXT,) if sets else (), (), (), (*sections, *seen, *folded))


def assessment_sections(part: AssessmentPart) -> list[Section]:
    """Return a section for each assessed set; folded, if its generator saw none of the training images."""
    sections, stems = [], file_stems(part.assessments)
    for name, item in part.assessments.items():
        made, trained_on = part.synthetic[name], part.trained_on[name]
        sets = read_sets(made, trained_on, part.held_out)
        origin = find_origin(made, trained_on)
        section = assessment_section(name, sets, read_findings(item.path), item.rows(), stems[name], origin)
        sections.append(replace(section, folded=origin.is_untrained))
    return sections


def verdict_sentences(part: AssessmentPart) -> list[str]:
    """Return the verdict on all images of each assessed set, a sentence a set."""
    return [f"{name}: {read_findings(item.path).verdicts[0].summary}." for name, item in part.assessments.items()]


def assessment_section(
    name: str,
    sets: AssessedSets,
    findings: AssessmentFindings,
    rows: Sequence[AssessedImage],
    stem: str = "",
    origin: Origin = TRAINED,
) -> Section:
    """Return the verdicts, tables and figures of one synthetic set.

    Args:
        name: of the set, in every title; empty in a report on one set.
        stem: the end of the figures' file names.
        origin: what its generator saw.
    """
    suffix = f" ({name})" if name else ""
    first, *others = assessment_tables(findings, suffix)
    figures = list(_figures(sets, findings, rows, suffix, f"-{stem}" if stem else ""))
    shown = [figure for figure in figures if not figure.name.startswith("distances")]
    hidden = tuple(figure for figure in figures if figure not in shown)
    details = Section(f"All tests of the synthetic images{suffix}", (), tuple(others), hidden, (), folded=True)
    title = f"Images of {name}" if name else TITLE
    if name and origin.is_untrained:
        title = f"For comparison: images of {name}, which no LoRA has changed"
    return Section(
        title,
        (*([] if name else [TEXT]), _describe_sizes(findings, origin), *describe_memorisation(findings.encoders)),
        (first,),
        tuple(shown),
        (details,) if others or hidden else (),
    )


def _describe_sizes(findings: AssessmentFindings, origin: Origin) -> str:
    held_out, train = findings.held_out, findings.train
    owners = counted(held_out.patients, "held-out patient" if held_out.patients_known else "file")
    unknown = "" if held_out.patients_known else " (their patients are not known)"
    real = f"{counted(held_out.images, 'real one')} of {owners}{unknown}"
    text = f"{counted(findings.synthetic.images, 'synthetic image')}; {real}"
    if train is not None:
        text += f"; {counted(train.images, 'image')} of {counted(train.patients, 'patient')} {origin.role}"
    return f"{text}.{origin.note}"


def _figures(
    sets: AssessedSets, findings: AssessmentFindings, rows: Sequence[AssessedImage], suffix: str, stem: str
) -> Iterator[Figure]:
    if findings.train is None or not findings.encoders:
        return
    planes = ", ".join(sorted(set(map(str, sets.synthetic.planes))))
    yield Figure(
        f"typical{stem}",
        _grid(sets, rows),
        "Synthetic images of each plane from typical to suspicious: by the least ratio of the distance to the "
        f"nearest patient to that to the next{suffix}.",
        f"Grid of synthetic images{suffix}, a row for each of {planes}; "
        f"the most suspicious, with the least ratio {min(_least_ratios(rows)):.2f}, on the right.",
    )
    curves = {
        one.encoder: {"synthetic": one.distances.synthetic, "held-out patients": one.distances.held_out}
        for one in findings.encoders
        if one.distances is not None
    }
    medians = "; ".join(
        f"{encoder}: " + ", ".join(f"{name} {values[len(values) // 2]:.3g}" for name, values in lines.items())
        for encoder, lines in curves.items()
    )
    yield Figure(
        f"distances{stem}",
        plot_percentiles(curves, "distance to the nearest training image"),
        f"Distance to the nearest training image, of synthetic and of held-out images{suffix}. "
        "Copies lie far to the left.",
        f"Cumulative curves of the distance to the nearest training image{suffix}; medians by encoder: {medians}.",
    )
    if sets.train is not None:
        counts = ", ".join(f"{len(one.pairs)} by {one.encoder}" for one in findings.encoders)
        yield Figure(
            f"pairs{stem}",
            plot_pairs(sets.synthetic, sets.train, sets.held_out, findings.encoders),
            f"The most suspicious synthetic images, each above the real image that it is nearest to{suffix}.",
            f"Pairs of a synthetic image and the real image it is nearest to{suffix}: {counts}.",
        )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _grid(sets: AssessedSets, rows: Sequence[AssessedImage]) -> bytes:
    least = _least_ratios(rows)
    images = {}
    for plane in sorted(set(sets.synthetic.planes)):
        indices = np.flatnonzero(sets.synthetic.planes == plane)
        ranked = indices[np.argsort(-least[indices], kind="stable")]
        chosen = ranked[np.linspace(0, len(ranked) - 1, min(IN_A_GRID, len(ranked))).round().astype(int)]
        images[str(plane)] = [sets.synthetic.pixels[index] for index in chosen]
    return plot_image_grid(images)


def _least_ratios(rows: Sequence[AssessedImage]) -> Float[np.ndarray, " n"]:
    return np.array([min(row.ratio.values(), default=1.0) for row in rows])
