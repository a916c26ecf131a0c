"""The table of the leak check: what the tested models were trained on, and its overlap with the test set."""

from collections.abc import Sequence

from fulora.data.leak_check import Overlap
from fulora.report.tables import Table

CAPTION = "A study with an overlap is refused. What external weights were trained on is not known."


def leak_table(leaks: Sequence[Overlap], title: str = "Leak check") -> Table:
    """Return a line for each training input: its size, and the test images and patients in it."""
    rows = tuple(
        (row.trained_on, str(row.images), str(row.patients), str(len(row.shared_images)), str(len(row.shared_patients)))
        if row.known
        else (row.trained_on, *["unknown"] * 4)
        for row in leaks
    )
    header = ("Training input", "Images", "Patients", "Shared test images", "Shared test patients")
    return Table(title, CAPTION, header, rows)
