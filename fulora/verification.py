"""Every file of artifacts hashed and compared with the list that was written when they were made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.digests import mismatches_in_cache
from fulora.integrity import LIST, DamagedArtifactError, differences, lacks_list, read_list, remedy
from fulora.progress import track
from fulora.stage import RECORD, fingerprint_in_name

DIGESTS = ".digests.json"
"""The digests that a workspace keeps of outside data."""
SHOWN = 20
"""Files of an artifact that are named; the others are counted."""


@dataclass(frozen=True)
class VerifiedArtifact:
    """An artifact: how many files of how many bytes it has, and what is wrong with it, a line each."""

    folder: Path
    files: int
    bytes: int
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What was verified.

    Attributes:
        unfinished: folders of artifacts that a stopped run has begun, which is no error.
        wrong_digests: errors in the digests that workspaces keep of outside data.
    """

    artifacts: tuple[VerifiedArtifact, ...]
    unfinished: tuple[Path, ...]
    wrong_digests: tuple[str, ...]

    @property
    def errors(self) -> list[str]:
        """All errors, a line each."""
        return [*(line for artifact in self.artifacts for line in artifact.errors), *self.wrong_digests]


def verify(folders: Sequence[Path]) -> Verification:
    """Hash every file of artifacts, or of workspaces of them, and compare it with what was made.

    Raises:
        ValueError: if a folder is neither an artifact nor a workspace.
    """
    return Verification(
        tuple(_verify(folder) for folder in track(_artifacts(folders), "verified")),
        tuple(_unfinished(folders)),
        tuple(line for folder in folders for line in _wrong_digests(folder / DIGESTS)),
    )


def _artifacts(folders: Sequence[Path]) -> list[Path]:
    artifacts: list[Path] = []
    for folder in folders:
        if _is_artifact(folder):
            artifacts.append(folder)
            continue
        inside = [path for path in sorted(folder.glob("*")) if not path.name.startswith(".") and _is_artifact(path)]
        if not inside and not _unfinished([folder]) and not (folder / DIGESTS).is_file():
            problem = "holds no artifacts" if folder.is_dir() else "is a file" if folder.is_file() else "does not exist"
            raise ValueError(f"{folder}: {problem}; give a workspace (--work) or an artifact's folder")
        artifacts += inside
    return artifacts


def _is_artifact(folder: Path) -> bool:
    if (folder / LIST).is_file() or (folder / RECORD).is_file() or lacks_list(folder):
        return True
    return folder.is_dir() and fingerprint_in_name(folder) != ""


def _unfinished(folders: Sequence[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob(".*.partial")) if path.is_dir()]


def _verify(folder: Path) -> VerifiedArtifact:
    try:
        listed, wrong = read_list(folder), differences(folder, thorough=True)
    except DamagedArtifactError as error:
        return VerifiedArtifact(folder, 0, 0, (str(error),))
    errors = [f"{folder / one.name}: {one.what}" for one in wrong[:SHOWN]]
    if len(wrong) > SHOWN:
        errors.append(f"{folder}: {len(wrong) - SHOWN} more files")
    if wrong:
        only_added = all(one.what == "added" for one in wrong)
        errors.append(f"Move away the files that were added to {folder}" if only_added else remedy(folder))
    return VerifiedArtifact(folder, len(listed), sum(entry.size for entry in listed.values()), tuple(errors))


def _wrong_digests(cache: Path) -> list[str]:
    return [
        f"{path}: its content is not what {cache} says of it, though size and times are; remove {cache}, and outside "
        "data are read again"
        for path in mismatches_in_cache(cache)
    ]
