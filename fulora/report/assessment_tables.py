"""The tables of an assessment: verdicts, closeness, copies, diversity, labels, shortcuts, filters and sites."""

from collections.abc import Iterator

from fulora.assessment.assess import AssessmentFindings
from fulora.assessment.encoder_figures import EncoderFigures, PlaneFigures, SetFigures
from fulora.report.label_truth import label_truth_table
from fulora.report.number_format import MISSING
from fulora.report.tables import Table


def assessment_tables(findings: AssessmentFindings, suffix: str) -> list[Table]:
    """Return the tables of one synthetic set that have any row.

    Args:
        suffix: the end of every title.
    """
    tables = (
        _verdicts(findings, suffix),
        _closeness(findings, suffix),
        _copies(findings, suffix),
        _diversity(findings, suffix),
        label_truth_table(findings.truths, findings.classes, suffix),
        _shortcuts(findings, suffix),
        _filters(findings, suffix),
        _shares(findings, suffix),
    )
    return [table for table in tables if table is not None]


def _verdicts(findings: AssessmentFindings, suffix: str) -> Table:
    rows = tuple((one.plane, one.summary, one.evidence) for one in findings.verdicts)
    caption = (
        "What counts as an objection: more near copies than real images give; a model sees the plane less often than "
        "in real images; the images are worth half as many different ones as real ones are; a classifier separates "
        "them from real ones with an AUC of 0.9 or more; a filter rejects more than half of them."
    )
    return Table(f"Verdicts{suffix}", caption, ("Plane", "Verdict", "Evidence"), rows)


def _closeness(findings: AssessmentFindings, suffix: str) -> Table | None:
    numbers = ("n", "KID", "SD", "p", "CMMD", "Frechet", "Precision", "Recall", "Density", "Coverage")
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
        for one, figures, which, near in _compared_sets(findings)
    )
    caption = (
        "Each against as many held-out images. KID: mean and SD over random subsets; p of a permutation test "
        "that both are of one distribution, one image a patient. The Frechet distance grows as n "
        "falls, whatever the images: read it only beside the value of real images."
    )
    header = ("Encoder", "Plane", "Images", *numbers)
    return Table(f"Closeness to held-out patients{suffix}", caption, header, rows) if rows else None


def _compared_sets(findings: AssessmentFindings) -> Iterator[tuple[EncoderFigures, PlaneFigures, str, SetFigures]]:
    for one in findings.encoders:
        for figures in one.planes:
            yield one, figures, "synthetic", figures.synthetic
            if figures.real is not None:
                yield one, figures, "real, trained on", figures.real


def _copies(findings: AssessmentFindings, suffix: str) -> Table | None:
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
        for one in findings.encoders
        if (test := one.memorisation) is not None
    )
    near = ("Nearest to a training patient", "By chance", "p", "Suspiciously near", "Of real images")
    header = ("Encoder", *near, "Nearer than a patient's own images", "Least ratio")
    caption = (
        "Share of synthetic images nearest to a training patient, and 95 % of random divisions of patients; p of "
        "that and of the suspiciously near, Bonferroni. Nearer than a patient's own images: than half of the real ones "
        "are to another one of their patient and plane. Least ratio: of the distance to the nearest patient to that to "
        "the next; near 0 for a copy."
    )
    return Table(f"Copies of patients{suffix}", caption, header, rows) if rows else None


def _diversity(findings: AssessmentFindings, suffix: str) -> Table | None:
    pairs = ("Vendi, synthetic", "Vendi, held-out", "Median distance, synthetic", "Median distance, held-out")
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
        for one in findings.encoders
        for figures in one.planes
    )
    caption = (
        "Vendi: effective number of different images among n. Near duplicates: nearer to another synthetic image than "
        "99 % of held-out images are to another patient's."
    )
    header = ("Encoder", "Plane", "n", *pairs, "Near duplicates")
    return Table(f"Diversity{suffix}", caption, header, rows) if rows else None


def _shortcuts(findings: AssessmentFindings, suffix: str) -> Table | None:
    planes = list(dict.fromkeys(line.plane for line in findings.shortcuts))
    cells = {
        (line.cue, line.plane): f"{line.auc:.2f}" + ("" if line.real_auc is None else f" [real {line.real_auc:.2f}]")
        for line in findings.shortcuts
    }
    cues = dict.fromkeys(line.cue for line in findings.shortcuts)
    rows = tuple((cue, *(cells.get((cue, plane), MISSING) for plane in planes)) for cue in cues)
    caption = (
        "AUC of distinguishing synthetic from held-out real images by one cue alone, on patients not fitted to; in "
        "brackets that of distinguishing training images from held-out ones. 0.5 is best."
    )
    title = f"Shortcuts that distinguish synthetic from real images{suffix}"
    return Table(title, caption, ("Cue", *planes), rows) if rows else None


def _filters(findings: AssessmentFindings, suffix: str) -> Table | None:
    planes = sorted({plane for one in findings.filters for plane in one.rejected})
    rows = tuple(
        (
            one.name,
            *(str(one.rejected.get(plane, 0)) for plane in planes),
            str(sum(one.rejected.values())),
            str(one.calibrated_on),
            "yes" if one.thresholds and None not in one.thresholds else "too few",
        )
        for one in findings.filters
    )
    caption = (
        f"How many synthetic images each filter would reject. Thresholds are ranks of real images: each filter rejects "
        f"{findings.false_reject:.0%} of real ones at most. `mix.filters` chooses which are used."
    )
    header = ("Filter", *planes, "All", "Calibrated on", "Enough for the rate")
    return Table(f"Filters{suffix}", caption, header, rows, raw=_thresholds(findings)) if rows else None


def _thresholds(findings: AssessmentFindings) -> tuple[tuple[str, ...], ...]:
    lines = [("filter", "score", "threshold", "calibrated_on", "rejected")]
    for one in findings.filters:
        for score, limit in zip(one.scores, one.thresholds, strict=True):
            rejected = str(sum(one.rejected.values()))
            lines.append((one.name, score, "" if limit is None else repr(limit), str(one.calibrated_on), rejected))
    return tuple(lines)


def _shares(findings: AssessmentFindings, suffix: str) -> Table | None:
    rows = tuple(
        (one.encoder, share.kind, share.name, f"{share.of_training:.1%}", f"{share.of_nearest:.1%}")
        for one in findings.encoders
        for share in one.shares
    )
    caption = "Share of a site or machine among training images, and among the nearest neighbours of synthetic images."
    header = ("Encoder", "Kind", "Name", "Training", "Nearest")
    return Table(f"Sites and machines{suffix}", caption, header, rows) if rows else None
