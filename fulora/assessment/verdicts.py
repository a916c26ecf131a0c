"""Verdicts: the objections to the synthetic images of each plane, with the evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from fulora.assessment.assessed_sets import ALL_PLANES, reported_planes
from fulora.assessment.encoder_figures import EncoderFigures, PlaneFigures
from fulora.assessment.label_truth import Truth
from fulora.assessment.screening import CalibratedFilter
from fulora.assessment.shortcuts import TOGETHER, Shortcut
from fulora.words import counted

LEVEL = 0.05
LEAST_REAL_AGREEMENT = 0.5
"""Least agreement of a model on real images of a plane for its result on synthetic ones to count."""
DISTINGUISHABLE_AUC, AUC_MARGIN = 0.9, 0.1
"""AUC above which synthetic images count as distinguishable from real ones, and its margin over real images'."""
MOST = 0.5
"""Share of images that a filter rejects above which that is an objection of its own."""
PERFECT_AUC = 0.995


@dataclass(frozen=True)
class Verdict:
    """The objections to the images of a plane, or of all, and the evidence."""

    plane: str
    objections: tuple[str, ...]
    evidence: str

    @property
    def summary(self) -> str:
        """The verdict in words."""
        return "; ".join(self.objections) or "no objection found"

    def __str__(self) -> str:
        return f"{self.plane}: {self.summary}. {self.evidence}"


@dataclass(frozen=True)
class VerdictInputs:
    """The results that verdicts are derived from; `counts` are synthetic images by plane."""

    counts: dict[str, int]
    encoders: Sequence[EncoderFigures]
    truths: Sequence[Truth]
    shortcuts: Sequence[Shortcut]
    filters: Sequence[CalibratedFilter]
    false_reject: float


def verdicts(inputs: VerdictInputs) -> tuple[Verdict, ...]:
    """Return the verdicts on all images, then on each plane."""
    rules = (_copies, _labels, _alike, _distinguishable, _rejected)
    return tuple(
        Verdict(plane, tuple(line for rule in rules for line in rule(plane, inputs)), _evidence(plane, inputs))
        for plane in reported_planes(inputs.counts)
    )


def _copies(plane: str, inputs: VerdictInputs) -> Iterator[str]:
    if plane == ALL_PLANES:
        for one in inputs.encoders:
            if one.memorisation is not None and one.memorisation.p <= LEVEL:
                yield f"evidence that training patients were memorised ({one.encoder}, p = {one.memorisation.p:.4f})"
    for calibrated in inputs.filters:
        if calibrated.name == "memorised":
            failed, n = _failed(plane, calibrated, inputs)
            if n and stats.binomtest(failed, n, inputs.false_reject, alternative="greater").pvalue <= LEVEL:
                yield (
                    f"{failed} of {counted(n, 'image')} are as near to one training patient and as far from all others "
                    f"as at most {inputs.false_reject:.0%} of real images are"
                )


def _failed(plane: str, one: CalibratedFilter, inputs: VerdictInputs) -> tuple[int, int]:
    if plane == ALL_PLANES:
        return sum(one.rejected.values()), sum(inputs.counts.values())
    return one.rejected.get(plane, 0), inputs.counts[plane]


def _words(one: CalibratedFilter) -> str:
    return one.name.replace("_", " ")


def _model(truth: Truth) -> str:
    return {"clip": "CLIP"}.get(truth.by, truth.by)


def _labels(plane: str, inputs: VerdictInputs) -> Iterator[str]:
    for truth in inputs.truths:
        real = truth.real_agreement
        if truth.plane == plane and real is not None and real >= LEAST_REAL_AGREEMENT and truth.high < truth.real_low:
            yield (
                f"the {_model(truth)} sees the plane in {truth.agreement:.0%} of images "
                f"[{truth.low:.0%}, {truth.high:.0%}] and in {real:.0%} of {truth.real_n} real ones"
            )


def _alike(plane: str, inputs: VerdictInputs) -> Iterator[str]:
    for one in inputs.encoders:
        for figures in one.planes:
            made = figures.synthetic
            if figures.plane == plane and made.vendi < figures.vendi_held_out / 2:
                yield (
                    f"the images are too alike: {made.n} are worth {made.vendi:.1f} different ones, as many real ones "
                    f"{figures.vendi_held_out:.1f} ({one.encoder})"
                )


def _distinguishable(plane: str, inputs: VerdictInputs) -> Iterator[str]:
    lines = [line for line in inputs.shortcuts if line.plane == plane]
    together = next((line for line in lines if line.cue == TOGETHER), None)
    if together is None or together.auc < DISTINGUISHABLE_AUC or together.auc < (together.real_auc or 0.5) + AUC_MARGIN:
        return
    best = max((line for line in lines if line.cue != TOGETHER), key=lambda line: line.auc)
    how = "perfectly" if together.auc >= PERFECT_AUC else "almost always"
    beside = "" if together.real_auc is None else f"; real against real {together.real_auc:.2f}"
    yield (
        f"a classifier separates synthetic from real {how} (AUC {together.auc:.2f}{beside}; by {best.cue} alone "
        f"{best.auc:.2f})"
    )


def _rejected(plane: str, inputs: VerdictInputs) -> Iterator[str]:
    for one in inputs.filters:
        failed, n = _failed(plane, one, inputs)
        if n and failed / n > MOST:
            yield f"the filter {_words(one)} rejects {failed} of {counted(n, 'image')}"


def _evidence(plane: str, inputs: VerdictInputs) -> str:
    parts = [f"{_failed(plane, one, inputs)[0]} {_words(one)}" for one in inputs.filters]
    n = sum(inputs.counts.values()) if plane == ALL_PLANES else inputs.counts[plane]
    words = [f"Filters would reject of {n}: {', '.join(parts)}"] if parts else []
    words += [
        f"the {_model(truth)} sees the plane in {truth.agreement:.0%}"
        for truth in inputs.truths
        if truth.plane == plane and truth.real_agreement is not None
    ]
    words += [_closeness(one, figures) for one in inputs.encoders for figures in one.planes if figures.plane == plane]
    return "; ".join(words) + "."


def _closeness(one: EncoderFigures, figures: PlaneFigures) -> str:
    made, real = figures.synthetic, figures.real
    beside = "" if real is None else f" (real {real.kid:.4f} ± {real.kid_sd:.4f})"
    recall = "" if real is None else f" ({real.manifold.recall:.2f})"
    return (
        f"{one.encoder}: KID {made.kid:.4f} ± {made.kid_sd:.4f}{beside}, recall {made.manifold.recall:.2f}{recall}, "
        f"{made.vendi:.1f} different images ({figures.vendi_held_out:.1f})"
    )


def describe_memorisation(encoders: Sequence[EncoderFigures]) -> Iterator[str]:
    """Describe the test of memorisation, one line an encoder."""
    for one in encoders:
        if (test := one.memorisation) is None:
            continue
        word = "Evidence" if test.p <= LEVEL else "No evidence"
        yield (
            f"{word} that training patients were memorised ({one.encoder}, p = {test.p:.4f}): {test.bulk.share:.1%} "
            f"of {test.bulk.votes} synthetic images are nearest to one of them ({test.bulk.expected:.1%} by chance, "
            f"95 % of chance {test.bulk.low:.1%} to {test.bulk.high:.1%}), and of the {test.tail.votes} that are "
            f"suspiciously near {test.tail.share:.1%}."
        )
