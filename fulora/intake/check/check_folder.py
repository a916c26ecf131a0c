"""Check a folder of images, or of lists, whatever its layout: before anything is trained on it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.config import ConfigError, validated
from fulora.data.label_set import LabelSetError
from fulora.data.patient_numbers import different_patients
from fulora.intake.check.across_sets import CheckedSet, check_across
from fulora.intake.check.find_data_sets import DataSetFolders, find_data_sets
from fulora.intake.check.findings import Check, Finding, finding
from fulora.intake.check.image_facts import read_image_facts
from fulora.intake.check.image_findings import check_images
from fulora.intake.check.list_findings import check_lists, find_lists, listed_without_images
from fulora.intake.check.patient_numbers import number_findings
from fulora.intake.config import KINDS, CurateConfig, SourceKind
from fulora.intake.folders import PATIENT, list_files, list_folder
from fulora.intake.image_set_labels import derive_label_set, inputs_under
from fulora.intake.key_file import ADVICE
from fulora.intake.layout_detection import detect_layout
from fulora.intake.raw_image import RawImage, SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.sources.fu_lora_lists import LISTS
from fulora.progress import track

SHOWN = 10


def curate_config(folder: Path, values: Mapping[str, object]) -> tuple[CurateConfig, Path]:
    """The config that curates one folder, and the `data_root` it goes with.

    Args:
        values: fields of `CurateConfig` or of the source's config; `kind` is told by the folder where it is not given.

    Raises:
        SourceError: a folder whose layout is not known, or that holds several data sets; DICOM files without a key.
        ConfigError: everything that is wrong with the values.
    """
    _refuse_several(folder, values)
    return _config_of_set(folder, values)


def _config_of_set(folder: Path, values: Mapping[str, object]) -> tuple[CurateConfig, Path]:
    given = {name: value for name, value in values.items() if name in CurateConfig.model_fields}
    of_source = {name: value for name, value in values.items() if name not in given}
    if "kind" not in of_source:
        of_source["kind"], folder = detect_layout(folder)
    elif not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    if "folder" in of_source:
        raise SourceError(f"folder={of_source['folder']}: the folder is named by the command's first argument")
    folder = folder.resolve()
    source = dict(of_source) | {"folder": folder.name}
    if source["kind"] == "dicom" and "key_file" not in source:
        raise SourceError(
            f"{folder}: DICOM files; give key_file=FILE, the secret of the patients' pseudonyms. {ADVICE}"
        )
    for name in ("key_file", "split_file"):
        if name in source:
            source[name] = str(Path(str(source[name])).resolve())
    return validated(CurateConfig, given | {"sources": [source]}, where=str(folder)), folder.parent


def check_folder(folder: Path, values: Mapping[str, object] | None = None) -> Check:
    """Everything that would leak or mislead in a folder; of one that holds several data sets, in each and across them.

    Args:
        values: as for `curate_config`. Where there are several sets, each gets those that its kind knows.

    Raises:
        SourceError: a folder whose layout is not known.
        ConfigError: a value that cannot be, or that no set knows.
    """
    given = values or {}
    sets = DataSetFolders((folder,)) if "kind" in given else find_data_sets(folder)
    _refuse_patient_folders(folder, sets, given)
    if sets.folders == (folder,):
        return _inspected(folder, folder.name, given).check
    known = [{} if _only_lists(path) else settings_of_kind(detect_layout(path)[0], given) for path in sets.folders]
    unknown = given.keys() - set().union(*known)
    if unknown:
        raise ConfigError(f"{folder}: none of its data sets has a setting {', '.join(sorted(unknown))}")
    names = [path.relative_to(folder).as_posix() for path in sets.folders]
    each = [_inspected(*one) for one in zip(sets.folders, names, known, strict=True)]
    strays = [path.name for path in list_folder(folder) if not path.is_dir()]
    return check_across(each, [path.relative_to(folder) for path in sets.others], strays)


def _refuse_several(folder: Path, values: Mapping[str, object]) -> None:
    """Refuse to take a folder for one data set that holds several.

    Raises:
        SourceError: no such folder, no layout that is known, or several data sets.
    """
    if "kind" in values:
        return
    sets = find_data_sets(folder)
    _refuse_patient_folders(folder, sets, values)
    if len(sets.folders) > 1:
        names = [path.relative_to(folder).as_posix() for path in sets.folders]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise SourceError(
            f"{folder}: holds {len(names)} data sets: {', '.join(names[:SHOWN])}{more}; curate each by itself"
        )


def _refuse_patient_folders(folder: Path, sets: DataSetFolders, values: Mapping[str, object]) -> None:
    """Refuse folders of patients with the classes below them, which look like one data set a patient.

    Raises:
        SourceError: each set is of class folders, and its own folder names a patient.
    """
    names = [path.name for path in sets.folders if path != folder]
    pattern = str(values.get("patient_pattern", ""))
    if not names or any(detect_layout(path)[0] != "class_folders" for path in sets.folders if not _only_lists(path)):
        return
    if all(PATIENT.fullmatch(path.name) or _names_patient(pattern, path) for path in sets.folders):
        raise SourceError(
            f"{folder}: {len(names)} folders such as {names[0]} have folders of classes in them, as if each were a "
            f"data set. If they are patients, put the classes on top, liver/{names[0]}/a.png for "
            f"{names[0]}/liver/a.png; if they are data sets, check and curate each by itself"
        )


def _names_patient(pattern: str, folder: Path) -> bool:
    """Whether a pattern finds a patient in the name of a folder, and in none of the files below it."""
    try:
        below = [path.relative_to(folder).as_posix() for path in list_files(folder)]
        return bool(pattern and re.search(pattern, f"{folder.name}/{below[0]}")) and not any(
            re.search(pattern, name) for name in below
        )
    except re.error:
        return False  # told where the images are read


def settings_of_kind(kind: SourceKind, values: Mapping[str, object]) -> dict[str, object]:
    """Those of some values that curation or a kind of source has a setting for."""
    fields = CurateConfig.model_fields.keys() | KINDS[kind].model_fields.keys()
    return {name: value for name, value in values.items() if name in fields}


def _only_lists(folder: Path) -> bool:
    """Whether a folder holds lists whose images are elsewhere."""
    return folder.is_dir() and bool(find_lists(folder)) and not any(path.is_dir() for path in list_folder(folder))


def _inspected(folder: Path, name: str, values: Mapping[str, object]) -> CheckedSet:
    if not values and _only_lists(folder):
        return CheckedSet(name, check_lists(find_lists(folder)), (), numbered=False)
    config, root = _config_of_set(folder, values)
    source = config.sources[0]
    (inputs,) = inputs_under(config, root)
    path = inputs.folder or root
    told: list[str] = []
    images = list(read_source(source, inputs, told.append))
    facts = list(read_image_facts(track(images, "images")))
    beside = path / LISTS["lora"]
    more = listed_without_images(beside, path, told.append) if beside.is_file() else []
    classes = [] if inputs.labels else _classes(config, images)
    numbered = not (
        config.same_numbers == "different_patients"
        or getattr(source, "patients_unknown", False)
        or different_patients(path)
    )
    found = number_findings(facts) if numbered else []
    return CheckedSet(name, check_images(source.kind, facts, told, [*classes, *more, *found]), facts, numbered)


def _classes(config: CurateConfig, images: Sequence[RawImage]) -> list[Finding]:
    """What is wrong with the names of classes where folders and labels alone name them."""
    try:
        derive_label_set(tuple(dict.fromkeys(image.plane for image in images)), config.caption)
    except LabelSetError as error:
        return finding("misleading", "classes that cannot be", "label sets cannot be made of the classes", [str(error)])
    return []
