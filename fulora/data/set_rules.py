"""The rules of an image set, held against rows that are not written yet."""

from collections.abc import Iterable

from fulora.data.image import Image
from fulora.data.image_set import refuse
from fulora.data.image_set_rules import RuleChecker
from fulora.data.provenance import Provenance


def check(rows: Iterable[Image], provenance: Provenance | None = None) -> None:
    """Check the rules of a set, in one pass.

    Args:
        provenance: whom the generators and models behind its images learned from.

    Raises:
        ImageSetError: every breach found, one a line (at most ten of a kind).
    """
    ledger = RuleChecker(provenance)
    for row in rows:
        ledger.add(row)
    refuse(ledger)
