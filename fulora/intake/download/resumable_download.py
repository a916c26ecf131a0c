"""Resumable download of one file over HTTP by range requests."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from fulora import progress
from fulora.files import move_into_place
from fulora.intake.download.archives import describe_lack_of_space

if TYPE_CHECKING:
    from requests import Response

CHUNK = 1 << 14
"""Bytes written at once, and so the most that a broken connection loses."""
TIMEOUT_S = (15, 60)
"""Timeouts of the connection, and of the next bytes."""


class DownloadError(ValueError):
    """A file that could not be downloaded, or is not the published one."""


class OfflineError(DownloadError):
    """The server cannot be reached; the message explains how to continue without a network."""


class InterruptedDownloadError(DownloadError):
    """The connection broke; the received part is kept."""


def resume(url: str, output: str, _: object, *, part: Path, size_bytes: int | None) -> None:
    """Downloader for pooch: continue `part`, retry while each attempt makes progress, then move it to `output`.

    `<part>.seen` beside `part` stores the ETag or date and the size of the file on the server. The rest is requested
    only if the server still has that file; otherwise, or without support of ranges, the download restarts.

    Raises:
        InterruptedDownloadError: if the connection broke, and the last attempt made no progress.
        DownloadError: if the server's answer is not the file, its size is wrong, or the disk is full.
        requests.RequestException: if the server cannot be reached.
    """
    best = _size(part)
    while True:
        try:
            while not _transfer(url, part, size_bytes):
                _seen(part).unlink(missing_ok=True)
            break
        except InterruptedDownloadError:
            if _size(part) <= best:
                raise
            best = _size(part)
    move_into_place(part, Path(output))
    _seen(part).unlink()


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _seen(part: Path) -> Path:
    return part.with_name(f"{part.name}.seen")


def _transfer(url: str, part: Path, size_bytes: int | None) -> bool:
    """Send one request; return False if the server has another file now, and the download must restart."""
    import requests

    record = _seen(part).read_text().split("\n") if _seen(part).exists() else []
    have, (validator, total) = _size(part) if len(record) == 2 else 0, record if len(record) == 2 else ("", "")
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        place = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if have and response.status_code == 416:
            return place is not None and place[2] == total == str(have)
        if have and response.status_code == 206:
            if place is None or place[1] != str(have) or (total and place[2] not in (total, "*")):
                return False
        elif response.status_code == 200:
            have = 0
        else:
            raise DownloadError(f"the server answered {response.status_code} {response.reason} for {url}")
        _receive(response, part, have, size_bytes)
    return True


def _receive(response: "Response", part: Path, have: int, size_bytes: int | None) -> None:
    import requests

    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else size_bytes
    if size_bytes is not None and total != size_bytes:
        raise DownloadError(f"the server's file has {total:,} bytes, expected {size_bytes:,}: not the published file")
    if lacking := describe_lack_of_space(part.parent, 0 if total is None else total - have):
        raise DownloadError(f"the download {lacking}")
    with part.open("ab" if have else "wb") as file, _bar(part.stem, have, total) as advance:
        _seen(part).write_text(f"{_validator(response)}\n{'' if total is None else total}")
        try:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                advance(len(chunk))
                if total is not None and have > total:
                    raise DownloadError(f"the server sends more than the {total:,} bytes of the file")
        except requests.RequestException as error:
            raise _broken(have, total) from error
    if total is not None and have != total:
        raise _broken(have, total)


def _broken(have: int, total: int | None) -> InterruptedDownloadError:
    of = "an unknown number of" if total is None else f"{total:,}"
    return InterruptedDownloadError(f"the connection broke after {have:,} of {of} bytes; run again to continue")


def _validator(response: "Response") -> str:
    """Return what identifies this version of the file; If-Range accepts no weak ETag."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


@contextmanager
def _bar(name: str, have: int, total: int | None) -> Iterator[Callable[[int], None]]:
    if not progress.shown():
        yield lambda count: None
        return
    columns = (TextColumn("  {task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=progress.notes, transient=True) as bar:
        task = bar.add_task(name, total=total, completed=have)
        yield lambda count: bar.advance(task, count)
