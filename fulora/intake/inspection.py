"""Check a folder of images, or of lists, whatever its layout: before anything is trained on it."""

from collections.abc import Mapping
from pathlib import Path

from fulora.config import validated
from fulora.intake.checks import check
from fulora.intake.config import AnySource, CurateConfig, DicomConfig, FolderSourceConfig
from fulora.intake.findings import Check
from fulora.intake.folders import inside
from fulora.intake.list_checks import check_lists, listed_without_images, lists_in
from fulora.intake.raw import SourceError
from fulora.intake.read import Inputs, read_source
from fulora.intake.recognise import recognise
from fulora.intake.sources.fu_lora_lists import LISTS
from fulora.intake.survey import survey
from fulora.progress import track


def curate_config(folder: Path, values: Mapping[str, object]) -> tuple[CurateConfig, Path]:
    """The config that curates one folder, and the `data_root` it goes with.

    Args:
        values: fields of `CurateConfig` or of the source's config; `kind` is told by the folder where it is not given.

    Raises:
        SourceError: a folder whose layout is not known.
        ConfigError: everything that is wrong with the values.
    """
    given = {name: value for name, value in values.items() if name in CurateConfig.model_fields}
    of_source = {name: value for name, value in values.items() if name not in given}
    if "kind" not in of_source:
        of_source["kind"], folder = recognise(folder)
    elif not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    if "folder" in of_source:
        raise SourceError(f"folder={of_source['folder']}: the folder is named by the command's first argument")
    folder = folder.resolve()
    source = dict(of_source) | {"folder": folder.name}
    for name in ("key_file", "split_file"):
        if name in source:
            source[name] = str(Path(str(source[name])).resolve())
    return validated(CurateConfig, given | {"sources": [source]}, where=str(folder)), folder.parent


def inspect(folder: Path, values: Mapping[str, object] | None = None) -> Check:
    """Everything that would leak or mislead in a folder.

    Args:
        values: as for `curate_config`.

    Raises:
        SourceError: a folder whose layout is not known.
    """
    lists = lists_in(folder) if folder.is_dir() and not values else []
    if lists and not any(path.is_dir() for path in inside(folder)):
        return check_lists(lists)
    config, root = curate_config(folder, values or {})
    source = config.sources[0]
    told: list[str] = []
    images = list(read_source(source, _inputs(source, root), config.image_size_px, told.append))
    facts = list(survey(track(images, "images")))
    path = root / source.folder if isinstance(source, FolderSourceConfig) else root
    beside = path / LISTS["lora"]
    more = listed_without_images(beside, path, told.append) if beside.is_file() else []
    return check(source.kind, facts, told, more)


def _inputs(source: AnySource, root: Path) -> Inputs:
    folder = root / source.folder if isinstance(source, FolderSourceConfig) else None
    return Inputs(folder, key_file=root / source.key_file if isinstance(source, DicomConfig) else None)
