"""What a study reads from outside, checked and digested before anything runs."""

from pathlib import Path

from fulora.intake.config import CurateConfig, FolderSourceConfig
from fulora.stage import Source
from fulora.workspace import Workspace


def read_folders(config: CurateConfig, data_root: Path, work: Workspace) -> list[Source | None]:
    """The folder of every source, None for phantoms.

    Raises:
        MissingInputError: a folder is not there.
    """
    hint = "Set data_root=FOLDER to the folder that holds it; each source's own page says where its data are published."
    return [
        work.read(data_root / source.folder, hint=hint) if isinstance(source, FolderSourceConfig) else None
        for source in config.sources
    ]
