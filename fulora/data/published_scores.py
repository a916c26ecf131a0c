"""Published results, as data to compare with.

`published/fu_lora_table1.csv` holds the 20 rows of FU-LoRA's Table 1 (Wang et al. 2024, arXiv:2407.20072), from
`assests/overall_performance.csv` of the authors' repository 13204942/FU-LoRA: trained on Spanish images, tested on 233
African images of 66 women that show four planes. `ES` are 6,148 real images, `HB` 1,150 real and 5,000 synthetic ones.
One training run a row. Its AUC column is not an area under a ROC curve (`fulora.metrics.legacy_auc`), and four of its
values cannot be, given accuracy and recall of the same row.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

TABLE_1 = Path(__file__).parent / "published" / "fu_lora_table1.csv"

FU_LORA_SUPPORT = {"abdomen": 65, "brain": 65, "femur": 64, "thorax": 39}
"""Images of each plane in the test set of the table."""


@dataclass(frozen=True)
class PublishedRow:
    """A row of the table. Accuracy, macro recall, precision and F over four planes, and "AUC" in percent."""

    training_set: str
    augmented: bool
    model: str
    real_images: int
    synthetic_images: int
    patients: int
    accuracy: float
    recall: float
    precision: float
    f_score: float
    auc: float


def fu_lora_table() -> list[PublishedRow]:
    """The 20 rows of FU-LoRA's Table 1, in the published order."""
    with TABLE_1.open(encoding="utf-8", newline="") as lines:
        return [_row(row) for row in csv.DictReader(lines)]


def _row(row: dict[str, str]) -> PublishedRow:
    return PublishedRow(
        training_set=row["training_set"],
        augmented=row["augmented"] == "yes",
        model=row["model"],
        real_images=int(row["real_images"]),
        synthetic_images=int(row["synthetic_images"]),
        patients=int(row["patients"]),
        accuracy=float(row["accuracy"]),
        recall=float(row["recall"]),
        precision=float(row["precision"]),
        f_score=float(row["f_score"]),
        auc=float(row["auc"]),
    )
