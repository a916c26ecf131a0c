"""The section on whether synthetic images can be trusted, and a page of its own for `fulora assess`."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fulora.assessment.assess import AssessmentFindings, as_json, read_findings
from fulora.assessment.figures import EncoderFigures, PlaneFigures, SetFigures
from fulora.assessment.sets import AssessedSets
from fulora.assessment.verdicts import describe_memorisation
from fulora.config import identity
from fulora.data.assessed_images import AssessedImage, Assessment
from fulora.report.curves import plot_percentiles
from fulora.report.figures import plot_image_grid
from fulora.report.label_truth import truth_tables
from fulora.report.numbers import MISSING
from fulora.report.page import Figure, ProvenanceRow, Section, file_words, write_report
from fulora.report.pairs import plot_pairs
from fulora.report.tables import Table

IN_A_GRID = 20
TEXT = (
    "An encoder's name stands beside every figure. Real images of other patients than the held-out ones stand beside "
    "synthetic ones, at equal numbers where numbers matter. A test that finds nothing is no evidence of copies; it is "
    "no proof of privacy."
)


def write_page(
    folder: Path, sets: AssessedSets, found: AssessmentFindings, rows: Sequence[AssessedImage], title: str
) -> None:
    """Write the assessment of one set as a report of its own."""
    digest = hashlib.sha256(as_json(found)).hexdigest()
    counts = {"synthetic": found.synthetic, "held_out": found.held_out, "train": found.train}
    settings = {name: identity(None if count is None else vars(count)) for name, count in counts.items()}
    write_report(
        folder,
        title=title,
        summary=[f"{found.verdicts[0].said}.", _sizes(found)],
        sections=[assessment_section("", sets, found, rows)],
        provenance=[ProvenanceRow("assess", title, digest[:16], digest[:16], {}, 1, settings)],
    )


def assessment_sections(sets: Mapping[str, AssessedSets], assessments: Mapping[str, Assessment]) -> list[Section]:
    """A section for each assessed set of a study, beside the images that it may hold copies of."""
    words = file_words(assessments)
    return [
        assessment_section(name, sets[name], read_findings(item.path), item.rows(), words[name])
        for name, item in assessments.items()
    ]


def assessment_section(
    name: str, sets: AssessedSets, found: AssessmentFindings, rows: Sequence[AssessedImage], word: str = ""
) -> Section:
    """Verdicts, tables and pictures of one synthetic set.

    Args:
        name: of the set, where a report tells of several; it stands in every title.
        word: what tells figures of several sets apart.
    """
    of = f" ({name})" if name else ""
    tables = [
        _verdicts(found, of),
        *_closeness(found, of),
        *_copies(found, of),
        *_diversity(found, of),
        *truth_tables(found.truths, found.classes, of),
        *_shortcuts(found, of),
        *_filters(found, of),
        *_shares(found, of),
    ]
    return Section(
        f"Can the synthetic images be trusted?{of}",
        (TEXT, _sizes(found), *describe_memorisation(found.encoders)),
        tuple(tables),
        tuple(_figures(sets, found, rows, of, f"-{word}" if word else "")),
    )


def _sizes(found: AssessmentFindings) -> str:
    said = f"{found.synthetic.images} synthetic images; {found.held_out.images} real ones of {found.held_out.patients} "
    said += "patients who trained nothing" if found.held_out.patients_known else "files (patients are not told apart)"
    if found.train is not None:
        said += f"; {found.train.images} images of {found.train.patients} patients trained the generator"
    return f"{said}."


def _verdicts(found: AssessmentFindings, of: str) -> Table:
    rows = tuple((one.plane, one.said, one.evidence) for one in found.verdicts)
    caption = (
        "Objections: more near copies than real images give; a model sees the plane less often than in real images; "
        "half as many different images as real ones are; told from real images with an AUC of 0.9 or more."
    )
    return Table(f"Verdicts{of}", caption, ("Plane", "Verdict", "Evidence"), rows)


def _lines(found: AssessmentFindings) -> Iterator[tuple[EncoderFigures, PlaneFigures, str, SetFigures]]:
    for one in found.encoders:
        for figures in one.planes:
            yield one, figures, "synthetic", figures.synthetic
            if figures.real is not None:
                yield one, figures, "real, trained on", figures.real


def _closeness(found: AssessmentFindings, of: str) -> Iterator[Table]:
    header = (
        "Encoder",
        "Plane",
        "Images",
        "n",
        "KID",
        "SD",
        "p",
        "CMMD",
        "Frechet",
        "Precision",
        "Recall",
        "Density",
        "Coverage",
    )
    rows = tuple(
        (
            one.encoder,
            figures.plane,
            which,
            str(near.n),
            f"{near.kid:.4f}",
            f"{near.kid_sd:.4f}",
            f"{near.p:.3f}",
            MISSING if near.cmmd is None else f"{near.cmmd:.3f}",
            f"{near.frechet:.2f}",
            *(f"{getattr(near.manifold, key):.2f}" for key in ("precision", "recall", "density", "coverage")),
        )
        for one, figures, which, near in _lines(found)
    )
    caption = (
        "Each against as many held-out images. KID: mean and SD over random subsets; p of a permutation test "
        "that both are of one distribution, one image a patient. The Frechet distance grows as n "
        "falls, whatever the images: read it only beside the value of real images."
    )
    if rows:
        yield Table(f"Closeness to held-out patients{of}", caption, header, rows)


def _copies(found: AssessmentFindings, of: str) -> Iterator[Table]:
    rows = tuple(
        (
            one.encoder,
            f"{test.bulk.share:.1%}",
            f"{test.bulk.expected:.1%} [{test.bulk.low:.1%}, {test.bulk.high:.1%}]",
            f"{test.p:.4f}",
            f"{test.share_suspicious:.1%}",
            f"{test.share_expected:.1%}",
            MISSING if test.below_same_patient is None else f"{test.below_same_patient:.1%}",
            f"{min(one.ratios):.2f}",
        )
        for one in found.encoders
        if (test := one.memorisation) is not None
    )
    header = (
        "Encoder",
        "Nearest to who trained",
        "By chance",
        "p",
        "Suspiciously near",
        "Of real images",
        "Nearer than a patient's own images",
        "Least ratio",
    )
    caption = (
        "Share of synthetic images nearest to a patient who trained, and 95 % of random divisions of patients; p of "
        "that and of the suspiciously near, Bonferroni. Nearer than a patient's own images: than half of the real ones "
        "are to another one of their patient and plane. Least ratio: of the distance to the nearest patient to that to "
        "the next; near 0 for a copy."
    )
    if rows:
        yield Table(f"Copies of patients{of}", caption, header, rows)


def _diversity(found: AssessmentFindings, of: str) -> Iterator[Table]:
    header = (
        "Encoder",
        "Plane",
        "n",
        "Vendi, synthetic",
        "Vendi, held-out",
        "Median distance, synthetic",
        "Median distance, held-out",
        "Near duplicates",
    )
    rows = tuple(
        (
            one.encoder,
            figures.plane,
            str(figures.synthetic.n),
            f"{figures.synthetic.vendi:.1f}",
            f"{figures.vendi_held_out:.1f}",
            f"{figures.synthetic.spread:.3f}",
            f"{figures.spread_held_out:.3f}",
            f"{figures.synthetic.near_duplicates:.1%}",
        )
        for one in found.encoders
        for figures in one.planes
    )
    caption = (
        "Vendi: effective number of different images among n. Near duplicates: nearer to another synthetic image than "
        "99 % of held-out images are to another patient's."
    )
    if rows:
        yield Table(f"Diversity{of}", caption, header, rows)


def _shortcuts(found: AssessmentFindings, of: str) -> Iterator[Table]:
    planes = list(dict.fromkeys(line.plane for line in found.shortcuts))
    cells = {(line.cue, line.plane): line for line in found.shortcuts}
    rows = []
    for cue in dict.fromkeys(line.cue for line in found.shortcuts):
        lines = [cells.get((cue, plane)) for plane in planes]
        rows.append((cue, *(MISSING if line is None else f"{line.auc:.2f}{_beside(line.real_auc)}" for line in lines)))
    caption = (
        "AUC of telling synthetic from held-out real images by one cue alone, on patients not fitted to; in brackets "
        "of telling training images from held-out ones. 0.5 is best."
    )
    if rows:
        yield Table(f"What gives synthetic images away{of}", caption, ("Cue", *planes), tuple(rows))


def _beside(real: float | None) -> str:
    return "" if real is None else f" [real {real:.2f}]"


def _filters(found: AssessmentFindings, of: str) -> Iterator[Table]:
    planes = sorted({plane for one in found.filters for plane in one.rejected})
    rows = tuple(
        (
            one.name,
            *(str(one.rejected.get(plane, 0)) for plane in planes),
            str(sum(one.rejected.values())),
            str(one.calibrated_on),
            "yes" if one.thresholds and None not in one.thresholds else "too few",
        )
        for one in found.filters
    )
    caption = (
        f"How many synthetic images each filter would reject. Thresholds are ranks of real images: each filter rejects "
        f"{found.false_reject:.0%} of real ones at most. `mix.filters` chooses which are used."
    )
    header = ("Filter", *planes, "All", "Calibrated on", "Enough for the rate")
    if rows:
        yield Table(f"Filters{of}", caption, header, rows, raw=_thresholds(found))


def _thresholds(found: AssessmentFindings) -> tuple[tuple[str, ...], ...]:
    lines = [("filter", "score", "threshold", "calibrated_on", "rejected")]
    for one in found.filters:
        for about, limit in zip(one.scores, one.thresholds, strict=True):
            total = str(sum(one.rejected.values()))
            lines.append((one.name, about, "" if limit is None else repr(limit), str(one.calibrated_on), total))
    return tuple(lines)


def _shares(found: AssessmentFindings, of: str) -> Iterator[Table]:
    rows = tuple(
        (one.encoder, share.kind, share.name, f"{share.of_training:.1%}", f"{share.of_nearest:.1%}")
        for one in found.encoders
        for share in one.shares
    )
    caption = "Share of a site or machine among training images, and among those that synthetic images are nearest to."
    if rows:
        yield Table(f"Sites and machines{of}", caption, ("Encoder", "", "Name", "Training", "Nearest"), rows)


def _figures(
    sets: AssessedSets, found: AssessmentFindings, rows: Sequence[AssessedImage], of: str, word: str
) -> Iterator[Figure]:
    if found.train is None or not found.encoders:
        return
    yield Figure(
        f"typical{word}",
        _grid(sets, rows),
        (
            "Synthetic images of each plane from typical to suspicious: by the least ratio of the distance to the "
            f"nearest patient to that to the next{of}."
        ),
    )
    curves = {
        one.encoder: {"synthetic": one.distances.synthetic, "held-out patients": one.distances.held_out}
        for one in found.encoders
        if one.distances is not None
    }
    yield Figure(
        f"distances{word}",
        plot_percentiles(curves, "distance to the nearest training image"),
        (
            f"Distance to the nearest training image, of synthetic and of held-out images{of}. "
            "Copies lie far to the left."
        ),
    )
    if sets.train is not None:
        yield Figure(
            f"pairs{word}",
            plot_pairs(sets.synthetic, sets.train, sets.held_out, found.encoders),
            (f"The most suspicious synthetic images, each above the real image that it is nearest to{of}."),
        )


def _grid(sets: AssessedSets, rows: Sequence[AssessedImage]) -> bytes:
    least = np.array([min(row.ratio.values(), default=1.0) for row in rows])
    shown = {}
    for plane in sorted(set(sets.synthetic.planes)):
        own = np.flatnonzero(sets.synthetic.planes == plane)
        ranked = own[np.argsort(-least[own], kind="stable")]
        chosen = ranked[np.linspace(0, len(ranked) - 1, min(IN_A_GRID, len(ranked))).round().astype(int)]
        shown[str(plane)] = [sets.synthetic.pixels[place] for place in chosen]
    return plot_image_grid(shown)
