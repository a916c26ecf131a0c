"""Check a folder of images or lists of any layout before anything is trained on it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.config import ConfigError, validated
from fulora.data.label_set import LabelSetError
from fulora.data.patient_numbers import different_patients
from fulora.intake.check.across_sets import CheckedSet, check_across
from fulora.intake.check.find_data_sets import DataSetFolders, find_data_sets
from fulora.intake.check.findings import Check, Finding, misleading
from fulora.intake.check.image_facts import read_image_facts
from fulora.intake.check.image_findings import check_images
from fulora.intake.check.list_findings import check_lists, find_lists, listed_without_images
from fulora.intake.check.patient_number_findings import check_numbers
from fulora.intake.check.synthetic_images import check_generators, has_added_copies, synthetic_images
from fulora.intake.config import KINDS, CurateConfig, SourceKind
from fulora.intake.image_set_labels import derive_label_set, inputs_under
from fulora.intake.key_file import ADVICE
from fulora.intake.layout_detection import detect_layout
from fulora.intake.patient_pattern import PATIENT
from fulora.intake.picture_files import list_files, list_folder
from fulora.intake.raw_image import MARKED_SYNTHETIC, RawImage, SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.sources.fu_lora_lists import LISTS
from fulora.progress import track

SHOWN = 10


def curate_config(folder: Path, values: Mapping[str, object]) -> tuple[CurateConfig, Path]:
    """Return the config that curates one folder, and its `data_root`.

    Args:
        values: fields of `CurateConfig` or of the source's config; without `kind` the layout is detected.

    Raises:
        SourceError: if the layout is unknown, the folder holds several data sets, or there are DICOM files and no key.
        ConfigError: if a value is invalid.
    """
    _refuse_several(folder, values)
    return _config_of_set(folder, values)


def _config_of_set(folder: Path, values: Mapping[str, object]) -> tuple[CurateConfig, Path]:
    curation = {name: value for name, value in values.items() if name in CurateConfig.model_fields}
    source = {name: value for name, value in values.items() if name not in curation}
    if "kind" not in source:
        source["kind"], folder = detect_layout(folder)
    elif not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    if "folder" in source:
        raise SourceError(f"folder={source['folder']}: the folder is given by the command's first argument")
    folder = folder.resolve()
    source["folder"] = folder.name
    if source["kind"] == "dicom" and "key_file" not in source:
        raise SourceError(f"{folder}: DICOM files; set key_file=FILE, the key of the patients' pseudonyms. {ADVICE}")
    for name in ("key_file", "split_file"):
        if name in source:
            source[name] = str(Path(str(source[name])).resolve())
    return validated(CurateConfig, curation | {"sources": [source]}, where=str(folder)), folder.parent


def check_folder(folder: Path, values: Mapping[str, object] | None = None) -> Check:
    """Find leaks and misleading properties of a folder; if it holds several data sets, in each and across them.

    Args:
        values: as for `curate_config`. If there are several sets, each gets the settings of its kind.

    Raises:
        SourceError: if the layout is unknown.
        ConfigError: if a value is invalid, or a setting of none of the sets.
    """
    given = values or {}
    sets = DataSetFolders((folder,)) if "kind" in given else find_data_sets(folder)
    _refuse_patient_folders(folder, sets, given)
    if sets.folders == (folder,):
        return _check_set(folder, folder.name, given).check
    settings = [{} if _only_lists(path) else settings_of_kind(detect_layout(path)[0], given) for path in sets.folders]
    unknown = given.keys() - set().union(*settings)
    if unknown:
        raise ConfigError(f"{folder}: none of its data sets has a setting {', '.join(sorted(unknown))}")
    names = [path.relative_to(folder).as_posix() for path in sets.folders]
    checked = [_check_set(*one) for one in zip(sets.folders, names, settings, strict=True)]
    strays = [path.name for path in list_folder(folder) if not path.is_dir()]
    return check_across(checked, [path.relative_to(folder) for path in sets.others], strays)


def _refuse_several(folder: Path, values: Mapping[str, object]) -> None:
    if "kind" in values:
        return
    sets = find_data_sets(folder)
    _refuse_patient_folders(folder, sets, values)
    if len(sets.folders) > 1:
        names = [path.relative_to(folder).as_posix() for path in sets.folders]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise SourceError(
            f"{folder}: holds {len(names)} data sets: {', '.join(names[:SHOWN])}{more}; curate each alone"
        )


def _refuse_patient_folders(folder: Path, sets: DataSetFolders, values: Mapping[str, object]) -> None:
    """Raise SourceError if classes are below folders of patients, which look like one data set per patient."""
    names = [path.name for path in sets.folders if path != folder]
    pattern = str(values.get("patient_pattern", ""))
    if not names or any(detect_layout(path)[0] != "class_folders" for path in sets.folders if not _only_lists(path)):
        return
    if all(PATIENT.fullmatch(path.name) or _names_patient(pattern, path) for path in sets.folders):
        raise SourceError(
            f"{folder}: {len(names)} folders such as {names[0]} contain class folders, as if each were a data "
            f"set. If they are patients, move the classes to the top, liver/{names[0]}/a.png for "
            f"{names[0]}/liver/a.png; if they are data sets, check and curate each separately"
        )


def _names_patient(pattern: str, folder: Path) -> bool:
    """Return whether a pattern finds a patient in the name of a folder, but not in the files below it."""
    try:
        below = [path.relative_to(folder).as_posix() for path in list_files(folder)]
        return bool(pattern and re.search(pattern, f"{folder.name}/{below[0]}")) and not any(
            re.search(pattern, name) for name in below
        )
    except re.error:
        return False  # reported when the images are read


def settings_of_kind(kind: SourceKind, values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that are settings of curation or of a kind of source."""
    fields = CurateConfig.model_fields.keys() | KINDS[kind].model_fields.keys()
    return {name: value for name, value in values.items() if name in fields}


def _only_lists(folder: Path) -> bool:
    return folder.is_dir() and bool(find_lists(folder)) and not any(path.is_dir() for path in list_folder(folder))


def _check_set(folder: Path, name: str, values: Mapping[str, object]) -> CheckedSet:
    if not values and _only_lists(folder):
        return CheckedSet(name, check_lists(find_lists(folder)), (), numbered=False)
    config, root = _config_of_set(folder, values)
    source = config.sources[0]
    (inputs,) = inputs_under(config, root)
    path = inputs.folder or root
    messages: list[str] = []
    images = list(read_source(source, inputs, messages.append))
    synthetic = synthetic_images(path) if source.kind == "imagefolder" else []
    if synthetic:
        messages = [message for message in messages if MARKED_SYNTHETIC not in message]
        images += synthetic
    facts = list(read_image_facts(track(images, "images")))
    more = [] if inputs.labels else _check_class_names(config, images)
    more += check_generators(path) if synthetic else []
    if (path / LISTS["lora"]).is_file():
        more.append(listed_without_images(path / LISTS["lora"], path, messages.append))
    unnumbered = config.same_numbers == "different_patients" or getattr(source, "patients_unknown", False)
    numbered = not (unnumbered or different_patients(path))
    if numbered:
        more.append(check_numbers(facts))
    return CheckedSet(
        name, check_images(source.kind, facts, messages, more, mixed=has_added_copies(path)), facts, numbered
    )


def _check_class_names(config: CurateConfig, images: Sequence[RawImage]) -> list[Finding]:
    """Find invalid names of classes that come from folders or labels alone."""
    try:
        derive_label_set(tuple(dict.fromkeys(image.plane for image in images)), config.caption)
    except LabelSetError as error:
        return [misleading("classes that cannot be", "classes do not make a label set", [str(error)])]
    return []
