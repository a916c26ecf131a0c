"""The synthetic images that users hand to a job: sets of fulora, and folders of other tools, as one image set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.provenance import Provenance
from fulora.engine import InProcess
from fulora.intake.sources.imagefolder import GENERATED
from fulora.intake.synthetic_folder import list_synthetic
from fulora.progress import note
from fulora.workspace import Workspace
from pipelines.jobs.inputs import is_image_set, open_artifact, open_source
from pipelines.stages.import_synthetic import import_synthetic
from pipelines.stages.join_synthetic import join_synthetic

COMPLETE = "gate.json"
"""The file of a set of `fulora generate` that is written last."""


class SyntheticSetError(ValueError):
    """A folder that holds no finished synthetic images, or two of one name."""


@dataclass(frozen=True)
class SyntheticImages:
    """One set of synthetic images.

    Attributes:
        folders: that it was made of, by name.
        fingerprints: by which an assessment may name it: its own, and that of the only folder it was imported from.
    """

    images: ImageSet
    folders: Mapping[str, Path]
    fingerprints: tuple[str, ...]


def open_synthetic(
    folders: Sequence[Path], labels: LabelSet, work: Path, *, generator: str = "", command: str = ""
) -> SyntheticImages:
    """Return the synthetic images of one or more folders as one image set; what has to be written is kept in `work`.

    The ids of several sets begin with the names of their folders. A folder that is no image set is imported: its
    pictures lie in folders named after classes, and whom their generator was trained on is unknown.

    Args:
        labels: the classes of the real images.
        generator: name of the generator of folders that are imported; by default that of the folder.

    Raises:
        FileNotFoundError: if a folder does not exist.
        SyntheticSetError: if a folder holds an unfinished set or no synthetic image, or two have the same name.
        SourceError: if a picture of an imported folder is in no class folder.
        LabelSetError: if sets have different classes.
    """
    named = _by_name(folders)
    space = Workspace(work, InProcess(), command=command)
    fingerprints: list[str] = []
    sets: dict[str, ImageSet] = {}
    for name, folder in named.items():
        if is_image_set(_required(folder)):
            sets[name] = open_artifact(folder, ImageSet, work)
            fingerprints.append(sets[name].fingerprint)
        else:
            source = open_source(folder, work)
            sets[name] = space.run(import_synthetic, generator or name, labels, source)
            fingerprints += [source.fingerprint, sets[name].fingerprint]
            note(
                f"{folder}: imported; whom its generator was trained on is unknown, and so is whether it was tested on"
            )
        if not _count(sets[name]):
            raise SyntheticSetError(f"{folder}: holds no synthetic images")
    (only, *others) = sets.values()
    if not others and all(row.origin == "synthetic" for row in only.iter_rows()):
        return SyntheticImages(only, named, tuple(fingerprints))
    joined = space.run(join_synthetic, sets)
    return SyntheticImages(joined, named, (joined.fingerprint,))


def count_synthetic(folders: Sequence[Path], labels: LabelSet) -> Counter[str]:
    """Return the number of synthetic images of each class, without writing anything; raises as `open_synthetic`."""
    counts = Counter[str]()
    for folder in _by_name(folders).values():
        if is_image_set(_required(folder)):
            counts += _count(ImageSet(folder, ""))
        else:
            counts += Counter(list_synthetic(folder, labels).values())
    return counts


def provenance_of_sets(folders: Sequence[Path]) -> Provenance:
    """Return the provenance of the generators of all folders."""
    sets = [
        ImageSet(folder, "").provenance() if is_image_set(folder) else Provenance.unknown(f"the generator of {name}")
        for name, folder in _by_name(folders).items()
    ]
    return Provenance().joined(*sets)


def _by_name(folders: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.absolute().name
        if name in named:
            raise SyntheticSetError(
                f"{named[name]} and {folder}: two folders of synthetic images are named {name}, with which the ids of "
                "their images begin; rename one, or give it once"
            )
        named[name] = folder
    return named


def _required(folder: Path) -> Path:
    """Return the folder if it can hold synthetic images."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; a folder of synthetic images is needed")
    if (folder / GENERATED).is_file() and not (folder / COMPLETE).is_file():
        raise SyntheticSetError(f"{folder}: is not finished; run its `fulora generate` again, which continues it")
    return folder


def _count(images: ImageSet) -> Counter[str]:
    return Counter(row.plane for row in images.iter_rows("train") if row.origin == "synthetic")
