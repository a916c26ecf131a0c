"""What a network is trained from, before it is trained (`--dry-run`) and after: images, counts, the selected step."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.image_set import ImageSet
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import is_image_set, open_images
from pipelines.jobs.tables import Cell, Table
from pipelines.jobs.trainings import Training

ROLE = "train+validation"
"""Splits of a folder that is curated for a training: a fifth of its patients select the weights."""


def training_images(
    images: str | Path | Images, curation: Mapping[str, object] | None, work: Path, *, command: str = ""
) -> ImageSet:
    """Return the image set to train on; any other folder is curated first, a fifth of its patients for validation.

    Args:
        curation: settings of the curation; with any, the folder is always curated. `role=train` validates on nobody.

    Raises:
        SourceError, ConfigError: if the layout of the folder is unknown, or a setting is invalid.
        DamagedArtifactError: if files of the set have changed since it was made.
    """
    folder = images.path if isinstance(images, Images) else Path(images)
    if not curation and is_image_set(folder):
        return open_images(folder, None, work)
    return open_images(folder, {"role": ROLE, **(curation or {})}, work, command=command)


def plan_tables(images: ImageSet, title: str, facts: Mapping[str, Cell]) -> list[Table]:
    """Return what `--dry-run` prints: images by class, split and origin; and the facts of the training, a row each."""
    return [Images(images).table, Table(title, [{"": name, "planned": value} for name, value in facts.items()])]


def describe_validation(images: ImageSet, metric: str, evaluate_every: int) -> str:
    """Return how the weights are selected."""
    count = len(images.rows("validation"))
    if not metric or not count:
        return f"{count} validation images; the last step's weights are kept"
    return f"{metric} on {count} validation images, every {evaluate_every} steps, selects the weights"


def with_selected_step(training: Training, metric: str) -> Training:
    """Return the training with a note on the step whose weights were kept.

    Args:
        metric: the logged value that selected it, lower if it is a loss; "" if none did.
    """
    points = [(row[metric], int(row["step"])) for row in training.log if metric in row]
    return Training(training.name, training.path, (*training.notes, _describe_selected(points, metric)))


def _describe_selected(points: Sequence[tuple[float, int]], metric: str) -> str:
    """The step with the best value; of equals the last, as in training."""
    if not points:
        return "the last step's weights are kept: no validation selected others"
    sign = -1 if "loss" in metric else 1
    value, step = max(points, key=lambda point: (sign * point[0], point[1]))
    return (
        f"the weights after step {step} are kept: {metric} was {value:.4g}, its {'lowest' if sign < 0 else 'highest'}"
    )
