"""The table of the leak check: what the tested models were trained on, and its overlap with the test set."""

from collections.abc import Sequence

from fulora.data.leak_check import Overlap
from fulora.report.origin import describe_weights
from fulora.report.tables import Table

CAPTION = "What test images and patients each training input shares. A study with any such overlap is refused."
UNKNOWN = " What an input was trained on is not known where a row says so: its overlap cannot be checked."


def leak_table(leaks: Sequence[Overlap], title: str = "Leak check") -> Table:
    """Return a line for each training input: its size, and the test images and patients in it."""
    rows = tuple(
        (
            describe_weights(row.trained_on),
            *(f"{row.images:,}", f"{row.patients:,}", str(len(row.shared_images)), str(len(row.shared_patients))),
        )
        if row.known
        else (row.trained_on, *["not known"] * 4)
        for row in leaks
    )
    header = ("Training input", "Images", "Patients", "Shared test images", "Shared test patients")
    return Table(title, CAPTION + ("" if all(row.known for row in leaks) else UNKNOWN), header, rows)
