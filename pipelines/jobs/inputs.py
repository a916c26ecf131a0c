"""What users hand to a job: folders, image sets and results, as the artifacts that stages take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from fulora import progress
from fulora.data.column_types import SPLITS
from fulora.data.image import METADATA, ImageSetError
from fulora.data.image_set import ImageSet
from fulora.engine import InProcess
from fulora.intake.check.check_folder import curate_config
from fulora.integrity import check, content_digest
from fulora.stage import RECORD, Artifact, Source, read_record
from fulora.workspace import Workspace
from pipelines.study_inputs import curated

A = TypeVar("A", bound=Artifact)

WORK = Path("work")
"""The default folder of curated images and digests."""


class HasPath(Protocol):
    """The result of a job."""

    @property
    def path(self) -> Path:
        """The folder that the job wrote."""


Place = str | Path | HasPath
"""What a job takes for a folder: its path, or the result of the job that wrote it."""


def path_of(place: Place) -> Path:
    """Return the folder that is meant."""
    return Path(place) if isinstance(place, str | Path) else place.path


def open_artifact(folder: Path, kind: type[A], work: Path = WORK) -> A:
    """Return the artifact in a folder: with its fingerprint if a stage made it, else with the digest of its content.

    Raises:
        FileNotFoundError: if the folder does not exist; the message says what belongs there.
        DamagedArtifactError: if its files have changed since it was made.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder; a folder of {kind.__name__} is needed")
    check(folder)
    if (folder / RECORD).is_file():
        return kind(folder, read_record(folder)["fingerprint"])
    return kind(folder, content_digest(folder, work / ".digests.json")[:16])


def open_source(path: Path, work: Path = WORK, *, hint: str = "") -> Source:
    """Return weights or data from outside, identified by the digest of their content.

    Raises:
        MissingInputError: if the path does not exist; the message ends with `hint` (what to place where).
    """
    return Workspace(work, InProcess()).read(path, hint=hint)


def open_images(
    folder: Path, settings: Mapping[str, object] | None = None, work: Path = WORK, *, command: str = ""
) -> ImageSet:
    """Return the image set in a folder; any other folder of images is curated first, once, into `work`.

    Args:
        settings: of the curation, as for `fulora data curate`; with any, the folder is always curated.
        command: makes the curated images again; messages about damage contain it.

    Raises:
        SourceError, ConfigError: if the layout of the folder is unknown, or a setting is invalid.
        DamagedArtifactError: if files of the set have changed since it was made.
    """
    given = settings or {}
    if not given and is_image_set(folder):
        return open_artifact(folder, ImageSet, work)
    config, root = curate_config(folder, {"fit": "native", **given})
    images = curated(config, root, Workspace(work, InProcess(), command=command))
    progress.note(f"curated: {images.path}")
    return images


def is_image_set(folder: Path) -> bool:
    """Return whether a folder is an image set of fulora, and not an imagefolder of another tool."""
    images = ImageSet(folder, "")
    splits = [split for split in SPLITS if (folder / split / METADATA).is_file()]
    try:
        for split in splits:
            next(images.iter_rows(split), None)
    except ImageSetError:
        return False
    return bool(splits)
