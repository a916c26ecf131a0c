"""The table of label truth: which class models predict for synthetic images."""

from collections.abc import Sequence

from fulora.assessment.label_truth import Truth
from fulora.report.number_format import MISSING
from fulora.report.tables import Table

WIDEST = 12
"""Most classes that have a column each; of more, the most frequent predictions share one column."""
MOST_FREQUENT = 3
CAPTION = (
    "The class that models predict for each synthetic image, with 95 % Wilson intervals over images. judge: a "
    "classifier that was trained on real images, but not on the patient the image is nearest to; clip: the CLIP by "
    "prompts."
)


def label_truth_table(truths: Sequence[Truth], classes: Sequence[str], suffix: str) -> Table | None:
    """Return a line for each model and requested class; None without any. `suffix` is the end of the title."""
    many = len(classes) > WIDEST
    seen_as = ("Most often predicted",) if many else tuple(f"as {name}" for name in classes)
    header = ("Model", "Requested class", "n", "Agreement", "Of real images", "n, real", *seen_as)
    rows = tuple(
        (
            truth.by,
            truth.plane,
            str(truth.n),
            f"{truth.agreement:.3f} [{truth.low:.3f}, {truth.high:.3f}]",
            MISSING if truth.real_agreement is None else f"{truth.real_agreement:.3f}",
            str(truth.real_n),
            *((_most_frequent(truth.seen, classes),) if many else map(str, truth.seen)),
        )
        for truth in truths
    )
    return Table(f"Label truth{suffix}", CAPTION, header, rows) if rows else None


def _most_frequent(counts: Sequence[int], classes: Sequence[str]) -> str:
    ranked = sorted(range(len(classes)), key=lambda place: -counts[place])[:MOST_FREQUENT]
    return ", ".join(f"{classes[place]} {counts[place]}" for place in ranked if counts[place]) or MISSING
