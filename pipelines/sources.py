"""What a study reads from outside, checked and digested before anything runs."""

from pathlib import Path

from fulora.data.label_set import LabelSet, label_set
from fulora.data.manifest import ImageSet
from fulora.intake.config import AnySource, CurateConfig, DicomConfig, FolderSourceConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.stages.curate import curate

HINT = "Set data_root=FOLDER to the folder that holds it; published sets can be had by `fulora data download`."


def curated(config: CurateConfig, data_root: Path, work: Workspace) -> ImageSet:
    """The image set of a config.

    Raises:
        MissingInputError: a folder or file that it reads is not there.
    """
    return work.run(curate, config, inputs=[_read(source, data_root, work) for source in config.sources])


def labels_of(config: CurateConfig, data_root: Path) -> LabelSet:
    """The classes of the image set that a config makes, known before it is made."""
    return label_set("fetal_planes").joined(label_set("intrapartum"))


def _read(source: AnySource, data_root: Path, work: Workspace) -> dict[str, Source]:
    found: dict[str, Source] = {}
    if isinstance(source, FolderSourceConfig):
        found["folder"] = work.read(data_root / source.folder, hint=HINT)
    if source.split_file is not None:
        found["split_file"] = work.read(data_root / source.split_file, hint="Or leave out split_file.")
    if isinstance(source, DicomConfig):
        found["key_file"] = work.read(data_root / source.key_file, hint="It holds the secret of the pseudonyms.")
    return found
