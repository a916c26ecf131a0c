"""Download of the published data sets from Zenodo: resumed, verified and extracted; or from files copied by hand.

`pooch.retrieve` verifies checksums and moves complete files into place, but restarts each time; so its downloader is
`resumable_download.resume`. File names, sizes and checksums are those of the records; None if they are not confirmed.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fulora import progress
from fulora.files import locked, move_into_place
from fulora.intake.download.archives import check_extracted, extract
from fulora.intake.download.dataset_names import DatasetName
from fulora.intake.download.resumable_download import DownloadError, OfflineError, resume

PARTIAL = ".download.partial"
LOCK = "lock"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a record.

    Attributes:
        checksum: "md5:..." or "sha256:..."; None if unknown.
        folder: the folder to extract it to; None for a file that is not an archive.
    """

    name: str
    url: str
    size_bytes: int | None
    checksum: str | None
    folder: str | None

    def describe(self) -> str:
        """Return its size and checksum, if known."""
        size = "unknown size" if self.size_bytes is None else f"{self.size_bytes:,} bytes"
        return f"{size}, {self.checksum or 'unknown checksum'}"


@dataclass(frozen=True)
class Dataset:
    """A published data set.

    Attributes:
        reads: the folder, below that of the download, which the reader of this source needs.
    """

    name: DatasetName
    title: str
    record: str
    page: str
    licence: str
    citation: str
    reads: str
    files: tuple[RemoteFile, ...]


def _zenodo(
    name: DatasetName, title: str, number: int, citation: str, reads: str, *files: tuple[str, int | None, str | None]
) -> Dataset:
    page = f"https://zenodo.org/records/{number}"
    listed = tuple(
        RemoteFile(file, f"{page}/files/{file}?download=1", size, checksum, _folder(file, reads))
        for file, size, checksum in files
    )
    return Dataset(name, title, f"Zenodo {number}", page, "CC BY 4.0", citation, reads, listed)


def _folder(file: str, reads: str) -> str | None:
    archive = re.fullmatch(r"(.+?)\.(zip|tar|tar\.gz|tar\.xz)", file)
    return None if archive is None else archive[1] if reads == "." else reads


_PUBLISHED = (
    _zenodo(
        "fetal_planes",
        "FETAL_PLANES_DB: common maternal-fetal ultrasound images",
        3904280,
        "Burgos-Artizzu et al., Sci Rep 10:10200, 2020, doi 10.1038/s41598-020-67076-5",
        "FETAL_PLANES_DB",
        ("FETAL_PLANES_ZENODO.zip", 2_088_522_169, "md5:2a5fcc2cefb789bcc0f6c1f73e0ea43f"),
    ),
    _zenodo(
        "african",
        "Maternal fetal ultrasound planes from five African countries",
        7540448,
        "Sendra-Balcells et al., Sci Rep 13:2728, 2023, doi 10.1038/s41598-023-29490-3",
        "african_planes",
        ("Zenodo_dataset.tar.xz", None, None),
    ),
    _zenodo(
        "hc18",
        "HC18: automated measurement of fetal head circumference",
        1327317,
        "van den Heuvel et al., PLoS ONE 13(8):e0200412, 2018, doi 10.1371/journal.pone.0200412",
        ".",
        ("training_set_pixel_size_and_HC.csv", 33_688, "md5:c0761518fece2bd2d2ad4218f2cd9777"),
        ("test_set_pixel_size.csv", 9_096, "md5:8476dc198cc6542f26c57e87faeee033"),
        ("training_set.zip", 132_926_838, "md5:00eb8198b9a505b2b3a6dfc740382497"),
        ("test_set.zip", 43_518_463, "md5:8402af5d137ef40a2888c1011ef3fe7e"),
    ),
    _zenodo(
        "psfhs",
        "PSFHS: pubic symphysis and fetal head in ultrasound during labour",
        10969427,
        "Chen et al., Sci Data 11:436, 2024, doi 10.1038/s41597-024-03266-4",
        "PSFHS",
        ("PSFHS.zip", None, "sha256:3f4a8126c84640e4d1b8a4e296d0dfd599cea6529b64b9ee00e5489bfd17ea95"),
    ),
)
DATASETS: Mapping[DatasetName, Dataset] = {one.name: one for one in _PUBLISHED}


def _print(message: str) -> None:
    progress.console.print(message, soft_wrap=True)


def download(
    dataset: Dataset, to: Path, *, base_url: str | None = None, report: Callable[[str], None] = _print
) -> list[Path]:
    """Download a data set into a folder; existing files are verified and kept, so that a second call changes nothing.

    Args:
        to: created if it does not exist. Archives are kept; they may be removed after extraction.
        base_url: of a mirror, instead of the record.

    Raises:
        OfflineError: if the server cannot be reached; the files can be copied to `to` by hand.
        DownloadError: if the server's answer or a file is wrong, the connection breaks, the disk is full, or the folder
            cannot be written or is used by another download.
        ArchiveError: if an archive cannot be extracted, or a folder does not hold what was extracted.
    """
    try:
        to.mkdir(parents=True, exist_ok=True)
        with _alone(to):
            return [_provide(dataset, file, to, base_url, report) for file in dataset.files]
    except OSError as error:
        raise DownloadError(f"{to}: cannot be written ({error}); choose another folder or free some space") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock a folder against other downloads; a read-only folder needs no lock."""
    if not os.access(folder, os.W_OK):
        yield
        return
    work = folder / PARTIAL
    with locked(work / LOCK, wait=False) as is_alone:
        if not is_alone:
            raise DownloadError(f"{folder}: another download works on it; wait until it is done")
        parts: list[Path] = []
        try:
            yield
        except BaseException:
            parts = [path for path in work.iterdir() if path.name != LOCK]
            raise
        finally:
            if not parts:
                shutil.rmtree(work, ignore_errors=True)


def _provide(dataset: Dataset, file: RemoteFile, to: Path, base_url: str | None, report: Callable[[str], None]) -> Path:
    path, folder = to / file.name, None if file.folder is None else to / file.folder
    if folder is not None and folder.exists() and not path.exists():
        check_extracted(folder, file.checksum)
        return folder
    if not path.exists():
        url = file.url if base_url is None else f"{base_url.rstrip('/')}/{file.name}"
        _fetch(dataset, file, to, url)
        digest = file.checksum or _digest(path, "md5")
    else:
        digest = _check(dataset, file, path)
    if file.checksum is None:
        report(f"{file.name}: unknown checksum; {dataset.page} lists it, and this file has {digest}")
    if folder is None:
        return path
    if folder.exists():
        check_extracted(folder, digest)
    else:
        extract(path, folder, digest)
    return folder


def _digest(path: Path, algorithm: str) -> str:
    import pooch

    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def _check(dataset: Dataset, file: RemoteFile, path: Path) -> str:
    """Verify an existing file, which is never removed, and return its checksum."""
    again = f"it is damaged, incomplete or another file; remove it and download it again ({dataset.page})"
    size = path.stat().st_size
    if not path.is_file() or file.size_bytes not in (None, size):
        raise DownloadError(f"{path} has {size:,} bytes; {file.name} is a file of {file.describe()}: {again}")
    digest = _digest(path, file.checksum.split(":")[0] if file.checksum else "md5")
    if file.checksum not in (None, digest):
        raise DownloadError(f"{path} has the checksum {digest}; expected {file.checksum}: {again}")
    return digest


def _by_hand(dataset: Dataset, to: Path) -> str:
    wanted = [(file, to / file.name, to / (file.folder or file.name)) for file in dataset.files]
    missing = [file for file, path, made in wanted if not path.exists() and not made.exists()]
    lines = [f"  {file.name} ({file.describe()}) to {to / file.name}" for file in missing]
    first = f"Without a network: open {dataset.page} on another machine, download and copy"
    return "\n".join([first, *lines, "and run the command again."])


def _fetch(dataset: Dataset, file: RemoteFile, to: Path, url: str) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    work = to / PARTIAL
    what = f"{dataset.title} ({dataset.record}), {file.name}"
    try:
        part = work / f"{file.name}.part"
        resumed = partial(resume, part=part, size_bytes=file.size_bytes)
        pooch.retrieve(url, file.checksum, file.name, str(work), downloader=resumed)
    except requests.RequestException as error:
        raise OfflineError(f"{what}: {url} cannot be reached ({error})\n{_by_hand(dataset, to)}") from error
    except DownloadError as error:
        raise type(error)(f"{what}: {error}\n{_by_hand(dataset, to)}") from error
    except ValueError as error:  # of pooch, for a wrong checksum
        advice = f"Run the command again; if it fails again, compare with the checksum on {dataset.page}"
        raise DownloadError(f"{what}: {error} {advice}") from error
    move_into_place(work / file.name, to / file.name)
