"""What models take synthetic images for, as a table."""

from collections.abc import Iterator, Sequence

from fulora.assessment.label_truth import Truth
from fulora.report.numbers import MISSING
from fulora.report.tables import Table

WIDEST = 12
"""Most classes that have a column each; of more, the most frequent ones are told in one."""
TOLD = 3
CAPTION = (
    "What models take each synthetic image for, with 95 % Wilson intervals over images. judge: a classifier of real "
    "images that never saw the patient the image is nearest to; clip: the CLIP by prompts."
)


def truth_tables(truths: Sequence[Truth], classes: Sequence[str], of: str) -> Iterator[Table]:
    """One line a model and class; no table without any.

    Args:
        classes: of the models, in the order of their counts.
        of: what the title says of the set.
    """
    if not truths:
        return
    seen_as = ("Most often seen as",) if len(classes) > WIDEST else tuple(f"as {name}" for name in classes)
    header = ("Seen by", "Asked for", "n", "Agreement", "Of real images", "n, real", *seen_as)
    rows = tuple(
        (
            truth.by,
            truth.plane,
            str(truth.n),
            f"{truth.agreement:.3f} [{truth.low:.3f}, {truth.high:.3f}]",
            MISSING if truth.real_agreement is None else f"{truth.real_agreement:.3f}",
            str(truth.real_n),
            *(map(str, truth.seen) if len(classes) <= WIDEST else (_most(truth.seen, classes),)),
        )
        for truth in truths
    )
    yield Table(f"Label truth{of}", CAPTION, header, rows)


def _most(seen: Sequence[int], classes: Sequence[str]) -> str:
    ranked = sorted(range(len(classes)), key=lambda place: -seen[place])[:TOLD]
    return ", ".join(f"{classes[place]} {seen[place]}" for place in ranked if seen[place]) or MISSING
