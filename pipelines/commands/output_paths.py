"""Checks of the paths that a command writes to, before anything is computed."""

from pathlib import Path

FOLDERS = ("work", "to", "cache", "report")
"""Options that name a folder to write in."""

OUT_IS_FOLDER = (
    "segment",
    "export",
    "mix",
    "assess",
    "zero_shot",
    "classify",
    "train_classifier",
    "tune_clip",
    "train_unet",
)
"""Commands whose `--out` is a folder; for other commands it is a file, or they check it themselves."""

PLACES = (*FOLDERS, "out", "overlays", "submission", "json_file", "destination")
"""Options that name a folder or a file to write."""


def check_output_path(command: str, option: str, path: Path) -> None:
    """Refuse a path that cannot be written because a file is where a folder is needed.

    Args:
        command, option: the names of the command's function and of its argument.

    Raises:
        NotADirectoryError: if a folder above the path, or the path itself if the option names a folder, is a file.
    """
    folder = option in FOLDERS or (option == "out" and command in OUT_IS_FOLDER)
    places = (path, *path.parents) if folder else path.parents
    existing = next((place for place in places if place.exists()), None)
    if existing is not None and not existing.is_dir():
        name = {"json_file": "--json", "destination": "the destination"}.get(option, f"--{option}")
        kind = "a folder" if folder else "a file or folder, not one in a file"
        raise NotADirectoryError(
            f"{path}: {existing} is a file; {name} names {kind}: give another path, or move the file"
        )
