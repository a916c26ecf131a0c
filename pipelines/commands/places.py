"""Where a command is told to write: a file in the way is named before anything is made."""

from pathlib import Path

FOLDERS = ("work", "to", "cache", "report")
"""Options that name a folder to write in."""

OUT_IS_FOLDER = ("segment", "export")
"""Commands whose `--out` is a folder; those of others are files, or checked by themselves."""

PLACES = (*FOLDERS, "out", "overlays", "submission", "json_file", "destination")
"""Options that name a folder or a file to write."""


def check_place(command: str, option: str, path: Path) -> None:
    """Refuse a path in or at which nothing can be written, for a file is in its way.

    Args:
        command, option: the names of the command's function and of its argument.

    Raises:
        NotADirectoryError: a folder above it, or itself where the option names a folder, is a file.
    """
    folder = option in FOLDERS or (option == "out" and command in OUT_IS_FOLDER)
    places = (path, *path.parents) if folder else path.parents
    there = next((place for place in places if place.exists()), None)
    if there is not None and not there.is_dir():
        name = {"json_file": "--json", "destination": "the destination"}.get(option, f"--{option}")
        what = "a folder" if folder else "a file or folder, not one in a file"
        raise NotADirectoryError(f"{path}: {there} is a file; {name} names {what}: give another path, or move the file")
