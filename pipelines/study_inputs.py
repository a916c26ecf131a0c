"""The inputs of a study, checked and digested before anything runs."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.intake.config import CurateConfig
from fulora.workspace import Workspace
from pipelines.stages.curate import curate
from pipelines.stages.fetch import HubRepository, fetch_data

HINTS = {
    "folder": "Set data_root=FOLDER to the folder that holds it; `fulora data download` gets published sets.",
    "split_file": "Or leave out split_file.",
    "key_file": "It holds the secret of the pseudonyms.",
}
"""What to do about a missing input of a source."""


def curated(config: CurateConfig, data_root: Path, work: Workspace) -> ImageSet:
    """Return the image set of a config.

    Raises:
        MissingInputError: if a folder or file that it reads does not exist.
    """
    inputs = []
    for source in config.sources:
        paths = source.input_paths().items()
        files = {name: work.read(data_root / path, hint=HINTS.get(name, "")) for name, path in paths}
        if hub := source.hub_dataset():
            files["folder"] = work.run(fetch_data, HubRepository(name=hub[0], revision=hub[1]))
        inputs.append(files)
    return work.run(curate, config, inputs=inputs)


def labels_of(config: CurateConfig, data_root: Path) -> LabelSet:
    """Return the classes of a config's image set before curation; at most folders and lists are read.

    Raises:
        SourceError: if a folder does not have the layout of its source.
        LabelSetError: if sources have different label sets, or class folders are not one.
    """
    from fulora.intake.image_set_labels import inputs_under, resolve_label_set

    return resolve_label_set(config, inputs_under(config, data_root))
