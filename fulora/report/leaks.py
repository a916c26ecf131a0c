"""What the tested models learned from, and what of the test was in it, as a table."""

from collections.abc import Sequence

from fulora.data.leak_check import Overlap
from fulora.report.tables import Table

CAPTION = "A study with an overlap is refused. Nobody here knows what weights from outside were trained on."


def leak_table(leaks: Sequence[Overlap], title: str = "Leak gate") -> Table:
    """How much each training input holds, and how much of the test set was in it."""
    rows = tuple(
        (row.trained_on, str(row.images), str(row.patients), str(len(row.shared_images)), str(len(row.shared_patients)))
        if row.known
        else (row.trained_on, *["unknown"] * 4)
        for row in leaks
    )
    header = ("Trained on it", "Images", "Patients", "Test images among them", "Test patients among them")
    return Table(title, CAPTION, header, rows)
