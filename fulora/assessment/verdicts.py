"""One line a plane: what speaks against its synthetic images, with the evidence, and no more than the figures say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from fulora.assessment.figures import EncoderFigures, PlaneFigures
from fulora.assessment.label_truth import Truth
from fulora.assessment.screening import CalibratedFilter
from fulora.assessment.sets import ALL_PLANES, reported_planes
from fulora.assessment.shortcuts import TOGETHER, Shortcut

LEVEL = 0.05
LEAST_REAL_AGREEMENT = 0.5
"""Least agreement with real images of a plane for a model's word on synthetic ones to count."""
DISTINGUISHABLE_AUC, AUC_MARGIN = 0.9, 0.1
"""AUC above which synthetic images count as told from real ones, and how much above that of real images."""


@dataclass(frozen=True)
class Verdict:
    """Of a plane, or of all: the objections found, and what was looked at."""

    plane: str
    objections: tuple[str, ...]
    evidence: str

    @property
    def said(self) -> str:
        """The verdict in words."""
        return "; ".join(self.objections) or "no objection found"

    def __str__(self) -> str:
        return f"{self.plane}: {self.said}. {self.evidence}"


@dataclass(frozen=True)
class VerdictInputs:
    """All that verdicts rest on; `counts` are synthetic images by plane."""

    counts: dict[str, int]
    encoders: Sequence[EncoderFigures]
    truths: Sequence[Truth]
    shortcuts: Sequence[Shortcut]
    filters: Sequence[CalibratedFilter]
    false_reject: float


def verdicts(found: VerdictInputs) -> tuple[Verdict, ...]:
    """Of all images, then of each plane."""
    return tuple(
        Verdict(
            plane,
            tuple(
                [*_copies(plane, found), *_labels(plane, found), *_alike(plane, found), *_distinguishable(plane, found)]
            ),
            _evidence(plane, found),
        )
        for plane in reported_planes(found.counts)
    )


def _copies(plane: str, found: VerdictInputs) -> Iterator[str]:
    if plane == ALL_PLANES:
        for one in found.encoders:
            if one.memorisation is not None and one.memorisation.p <= LEVEL:
                yield f"evidence that patients who trained were memorised ({one.encoder}, p = {one.memorisation.p:.4f})"
    for gate in found.filters:
        if gate.name == "memorised":
            failed, n = _failed(plane, gate, found)
            if n and stats.binomtest(failed, n, found.false_reject, alternative="greater").pvalue <= LEVEL:
                yield (
                    f"{failed} of {n} images are as near to one training patient and as far from others as at most "
                    f"{found.false_reject:.0%} of real images are"
                )


def _failed(plane: str, one: CalibratedFilter, found: VerdictInputs) -> tuple[int, int]:
    if plane == ALL_PLANES:
        return sum(one.rejected.values()), sum(found.counts.values())
    return one.rejected.get(plane, 0), found.counts[plane]


def _labels(plane: str, found: VerdictInputs) -> Iterator[str]:
    for truth in found.truths:
        real = truth.real_agreement
        if truth.plane == plane and real is not None and real >= LEAST_REAL_AGREEMENT and truth.high < truth.real_low:
            yield (
                f"the {truth.by} sees the plane in {truth.agreement:.0%} of images "
                f"[{truth.low:.0%}, {truth.high:.0%}] and in {real:.0%} of {truth.real_n} real ones"
            )


def _alike(plane: str, found: VerdictInputs) -> Iterator[str]:
    for one in found.encoders:
        for figures in one.planes:
            made = figures.synthetic
            if figures.plane == plane and made.vendi < figures.vendi_held_out / 2:
                yield (
                    f"{made.vendi:.1f} different images in {made.n}, of real ones {figures.vendi_held_out:.1f} "
                    f"({one.encoder})"
                )


def _distinguishable(plane: str, found: VerdictInputs) -> Iterator[str]:
    mine = [line for line in found.shortcuts if line.plane == plane]
    together = next((line for line in mine if line.cue == TOGETHER), None)
    if together is None or together.auc < DISTINGUISHABLE_AUC or together.auc < (together.real_auc or 0.5) + AUC_MARGIN:
        return
    best = max((line for line in mine if line.cue != TOGETHER), key=lambda line: line.auc)
    beside = "" if together.real_auc is None else f"; real images of other patients {together.real_auc:.2f}"
    yield f"told from real images with an AUC of {together.auc:.2f}{beside}, by {best.cue} alone {best.auc:.2f}"


def _evidence(plane: str, found: VerdictInputs) -> str:
    parts = [f"{_failed(plane, one, found)[0]} {one.name}" for one in found.filters]
    n = sum(found.counts.values()) if plane == ALL_PLANES else found.counts[plane]
    words = [f"Filters would reject of {n}: {', '.join(parts)}"] if parts else []
    words += [
        f"seen by the {truth.by} in {truth.agreement:.0%}"
        for truth in found.truths
        if truth.plane == plane and truth.real_agreement is not None
    ]
    words += [_closeness(one, figures) for one in found.encoders for figures in one.planes if figures.plane == plane]
    return "; ".join(words) + "."


def _closeness(one: EncoderFigures, figures: PlaneFigures) -> str:
    made, real = figures.synthetic, figures.real
    beside = "" if real is None else f" (real {real.kid:.4f} +- {real.kid_sd:.4f})"
    recall = "" if real is None else f" ({real.manifold.recall:.2f})"
    return (
        f"{one.encoder}: KID {made.kid:.4f} +- {made.kid_sd:.4f}{beside}, recall {made.manifold.recall:.2f}{recall}, "
        f"{made.vendi:.1f} different images ({figures.vendi_held_out:.1f})"
    )


def describe_memorisation(encoders: Sequence[EncoderFigures]) -> Iterator[str]:
    """The test of memorisation in words, one line an encoder."""
    for one in encoders:
        if (test := one.memorisation) is None:
            continue
        word = "evidence" if test.p <= LEVEL else "no evidence"
        yield (
            f"{word} that patients who trained were memorised ({one.encoder}, p = {test.p:.4f}): {test.bulk.share:.1%} "
            f"of {test.bulk.votes} synthetic images are nearest to one of them ({test.bulk.expected:.1%} by chance, "
            f"95 % of chance {test.bulk.low:.1%} to {test.bulk.high:.1%}), and of the {test.tail.votes} that are "
            f"suspiciously near {test.tail.share:.1%}"
        )
