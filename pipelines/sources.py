"""What a study reads from outside, checked and digested before anything runs."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.intake.config import AnySource, CurateConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.stages.curate import curate
from pipelines.stages.fetch import HubRepository, fetch_data

FOLDER_HINT = "Set data_root=FOLDER to the folder that holds it; published sets can be had by `fulora data download`."


HINTS = {
    "folder": FOLDER_HINT,
    "split_file": "Or leave out split_file.",
    "key_file": "It holds the secret of the pseudonyms.",
}
"""What to do about something that a source reads and that is not there."""


def curated(config: CurateConfig, data_root: Path, work: Workspace) -> ImageSet:
    """The image set of a config.

    Raises:
        MissingInputError: a folder or file that it reads is not there.
    """
    inputs = [
        {name: work.read(data_root / path, hint=HINTS.get(name, "")) for name, path in source.input_paths().items()}
        | _fetched(source, work)
        for source in config.sources
    ]
    return work.run(curate, config, inputs=inputs)


def _fetched(source: AnySource, work: Workspace) -> dict[str, Source]:
    """The folder of a set of the hub, which a stage brings here."""
    of_hub = source.hub_dataset()
    return {} if of_hub is None else {"folder": work.run(fetch_data, HubRepository(name=of_hub[0], revision=of_hub[1]))}


def labels_of(config: CurateConfig, data_root: Path) -> LabelSet:
    """The classes of the image set that a config makes, known before it is made: folders and lists are read at most.

    Raises:
        SourceError: a folder has not its source's layout.
        LabelSetError: sources that come with different label sets, or class folders that make none.
    """
    from fulora.intake.image_set_labels import inputs_under, resolve_label_set

    return resolve_label_set(config, inputs_under(config, data_root))
