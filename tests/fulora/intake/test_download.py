"""Downloads from a local server with every fault a server can have: whole and checked, or one clear error."""

import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora import progress
from fulora.intake.config import AfricanPlanesConfig, AnySource, FetalPlanesConfig
from fulora.intake.download.archive_members import ArchiveError
from fulora.intake.download.archives import RECORD
from fulora.intake.download.dataset_names import DatasetName
from fulora.intake.download.published_sets import DATASETS, Dataset, RemoteFile, download
from fulora.intake.download.resumable_download import DownloadError, InterruptedDownloadError, OfflineError
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.hc18 import Hc18Config
from fulora.intake.sources.psfhs import PsfhsConfig

BODY = np.random.default_rng(0).bytes(1_000_003)
OTHER = np.random.default_rng(1).bytes(1_000_003)


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("top/Images/a.png", BODY[:70_000])
        archive.writestr("top/list.csv", b"a;b\n")
    return target.getvalue()


ZIP = zipped()


@dataclass
class Server:
    """What a local server has and how it misbehaves; what it was asked, and the bytes it sent."""

    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    ranges: bool = True
    etag: bool = True
    weak: bool = False
    length: bool = True
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which each next answer breaks off; an answer beyond the list is whole."""
    pause_s: float = 0.0
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0

    def tag(self, name: str) -> str:
        return ("W/" if self.weak else "") + f'"{hashlib.sha1(self.files[name]).hexdigest()}"'

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name, wanted = handler.path.strip("/").split("?")[0], handler.headers["Range"]
        self.asked.append((name, wanted))
        status = self.status if name in self.files or self.status != 200 else 404
        content, start = self.files.get(name, b""), 0
        only_if = handler.headers["If-Range"]
        if (
            status == 200
            and self.ranges
            and wanted
            and (only_if is None or (only_if == self.tag(name) and not self.weak))
        ):
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            status = 206 if start < len(content) else 416
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if status == 416:
            handler.send_header("Content-Range", f"bytes */{len(content)}")
        body = content[start:] if status in (200, 206) else b"<html>no</html>"
        if self.length:
            handler.send_header("Content-Length", str(len(body)))
        if self.etag and name in self.files:
            handler.send_header("ETag", self.tag(name))
        handler.end_headers()
        self.send(handler, body[: self.cut_after.pop(0)] if self.cut_after else body)

    def send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        for place in range(0, len(body), 20_000):
            try:
                handler.wfile.write(body[place : place + 20_000])
            except (BrokenPipeError, ConnectionResetError):
                return
            self.sent += len(body[place : place + 20_000])
            time.sleep(self.pause_s)


@contextmanager
def serving(server: Server) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as running:
        server.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server({"big.bin": BODY, "one.zip": ZIP, "list.csv": b"a;b\n"})
    with serving(server):
        yield server


@pytest.fixture
def to(tmp_path: Path) -> Iterator[Path]:
    """The folder to download to; at the end nothing else may be beside it."""
    yield tmp_path / "data"
    assert [path.name for path in tmp_path.iterdir()] in ([], ["data"])


def remote(name: str, content: bytes | None, folder: str | None = None) -> RemoteFile:
    known = (None, None) if content is None else (len(content), md5(content))
    return RemoteFile(name, f"https://zenodo.org/records/1/files/{name}", *known, folder)


def dataset(*files: RemoteFile) -> Dataset:
    page = "https://zenodo.org/records/1"
    return Dataset("hc18", "Heads", "Zenodo 1", page, "CC BY 4.0", "Nobody, 2020", ".", files)


BIG = dataset(remote("big.bin", BODY))
ALL = dataset(remote("list.csv", b"a;b\n"), remote("one.zip", ZIP, "one"))


def silent(message: str) -> None:
    raise AssertionError(message)


def get(what: Dataset, to: Path, server: Server, tell: Callable[[str], None] = silent) -> list[Path]:
    return download(what, to, base_url=server.url, report=tell)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def kept(to: Path) -> int:
    """Bytes of an unfinished download."""
    return sum(path.stat().st_size for path in to.rglob("*.part"))


# --- whole


def test_files_are_downloaded_checked_and_unpacked(server: Server, to: Path) -> None:
    assert get(ALL, to, server) == [to / "list.csv", to / "one"]
    assert (to / "list.csv").read_bytes() == b"a;b\n"
    assert (to / "one" / "Images" / "a.png").read_bytes() == BODY[:70_000]
    inside = {f"one/{name}" for name in (RECORD, "Images", "Images/a.png", "list.csv")}
    assert set(names(to)) == {"list.csv", "one", "one.zip"} | inside


def test_a_second_call_asks_nothing_and_changes_nothing(server: Server, to: Path) -> None:
    first = get(ALL, to, server)
    before = {path: path.stat().st_mtime_ns for path in to.rglob("*")}
    asked = len(server.asked)
    assert get(ALL, to, server) == first
    assert len(server.asked) == asked
    assert {path: path.stat().st_mtime_ns for path in to.rglob("*")} == before


def test_an_unpacked_archive_may_be_removed(server: Server, to: Path) -> None:
    get(ALL, to, server)
    (to / "one.zip").unlink()
    asked = len(server.asked)
    assert get(ALL, to, server) == [to / "list.csv", to / "one"]
    assert len(server.asked) == asked
    (to / "one" / "list.csv").unlink()
    with pytest.raises(ArchiveError, match=r"holds 1 files .* but 2 .* were extracted; move it"):
        get(ALL, to, server)


def test_a_removed_folder_is_unpacked_again_without_a_download(server: Server, to: Path) -> None:
    get(ALL, to, server)
    subprocess.run(["rm", "-r", to / "one"], check=True)
    asked = len(server.asked)
    get(ALL, to, server)
    assert len(server.asked) == asked
    assert (to / "one" / "list.csv").read_bytes() == b"a;b\n"


def test_an_unknown_checksum_is_noted_with_the_computed_one(server: Server, to: Path) -> None:
    said: list[str] = []
    get(dataset(remote("big.bin", None)), to, server, said.append)
    expected = f"big.bin: unknown checksum; {BIG.page} lists it, and this file has {md5(BODY)}"
    assert said == [expected]
    get(dataset(remote("big.bin", None)), to, server, said.append)
    assert said == [expected] * 2


def test_a_sha256_is_checked_too(server: Server, to: Path) -> None:
    file = replace(remote("big.bin", BODY), checksum="sha256:" + hashlib.sha256(BODY).hexdigest())
    get(dataset(file), to, server)
    with pytest.raises(DownloadError, match=r"has the checksum sha256:\w{64}; expected sha256:0000"):
        get(dataset(replace(file, checksum="sha256:" + "0" * 64)), to, server)


def test_a_server_that_says_no_length(server: Server, to: Path) -> None:
    server.length = False
    get(BIG, to, server)
    assert (to / "big.bin").read_bytes() == BODY


def test_a_body_without_a_length_that_ends_too_early(server: Server, to: Path) -> None:
    server.length, server.cut_after = False, [327_680]
    get(BIG, to, server)
    assert server.asked == [("big.bin", None), ("big.bin", "bytes=327680-")]
    assert (to / "big.bin").read_bytes() == BODY


# --- broken off and resumed


def test_a_broken_connection_is_taken_up_at_once(server: Server, to: Path) -> None:
    server.cut_after = [327_680, 163_840]
    get(BIG, to, server)
    assert server.asked == [("big.bin", None), ("big.bin", "bytes=327680-"), ("big.bin", "bytes=491520-")]
    assert server.sent == len(BODY)
    assert names(to) == ["big.bin"]


def test_a_broken_connection_keeps_the_downloaded_part(server: Server, to: Path) -> None:
    server.cut_after = [327_680, 0]
    broken = (
        r"Heads \(Zenodo 1\), big\.bin: the connection broke after 327,680 of 1,000,003 bytes; run again to continue"
    )
    with pytest.raises(InterruptedDownloadError, match=broken):
        get(BIG, to, server)
    assert not (to / "big.bin").exists()
    assert kept(to) == 327_680
    get(BIG, to, server)
    assert server.sent == len(BODY)
    assert names(to) == ["big.bin"]


@pytest.mark.parametrize(("etag", "weak"), [(False, False), (True, True)])
def test_without_a_strong_tag_the_size_decides(server: Server, to: Path, etag: bool, weak: bool) -> None:
    server.etag, server.weak, server.cut_after = etag, weak, [327_680]
    get(BIG, to, server)
    assert server.sent == len(BODY)
    assert (to / "big.bin").read_bytes() == BODY


def test_a_server_without_ranges_begins_anew(server: Server, to: Path) -> None:
    server.ranges, server.cut_after = False, [327_680, 900_000]
    get(BIG, to, server)
    assert server.sent == 327_680 + 900_000 + len(BODY)
    assert (to / "big.bin").read_bytes() == BODY


def test_a_body_that_is_always_too_short(server: Server, to: Path) -> None:
    server.ranges, server.cut_after = False, [327_680] * 9
    with pytest.raises(InterruptedDownloadError, match=r"broke after 327,680 of 1,000,003 bytes"):
        get(BIG, to, server)
    assert len(server.asked) == 2


@pytest.mark.parametrize("etag", [True, False])
def test_a_file_that_changed_in_between_begins_anew(server: Server, to: Path, etag: bool) -> None:
    """An ETag shows a change of content at equal size; without one, only a change of size is noticed."""
    server.etag, server.cut_after = etag, [327_680, 0]
    unknown = dataset(remote("big.bin", None))
    with pytest.raises(InterruptedDownloadError, match="broke after 327,680 of"):
        get(unknown, to, server)
    new = OTHER if etag else OTHER[:-5]
    server.files["big.bin"] = new
    get(unknown, to, server, lambda message: None)
    assert (to / "big.bin").read_bytes() == new


def test_a_file_that_became_shorter_than_what_has_come(server: Server, to: Path) -> None:
    server.etag, server.cut_after = False, [327_680, 0]
    unknown = dataset(remote("big.bin", None))
    with pytest.raises(InterruptedDownloadError, match="broke after 327,680 of"):
        get(unknown, to, server)
    server.files["big.bin"] = OTHER[:100]
    get(unknown, to, server, lambda message: None)
    assert (to / "big.bin").read_bytes() == OTHER[:100]


def test_a_download_that_was_killed_before_it_was_moved(server: Server, to: Path) -> None:
    """All bytes have come; the server is asked for none of them again."""
    part = to / ".download.partial" / "big.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY)
    part.with_name("big.bin.part.seen").write_text(f"{server.tag('big.bin')}\n{len(BODY)}")
    get(BIG, to, server)
    assert (to / "big.bin").read_bytes() == BODY
    assert server.asked == [("big.bin", f"bytes={len(BODY)}-")]
    assert server.sent == len(b"<html>no</html>")


def test_a_partial_download_without_a_record_starts_again(server: Server, to: Path) -> None:
    part = to / ".download.partial" / "big.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(OTHER[:500])
    get(BIG, to, server)
    assert (to / "big.bin").read_bytes() == BODY


CHILD = """
import sys
from pathlib import Path
from fulora.intake.download.published_sets import Dataset, RemoteFile, download
file = RemoteFile("big.bin", "", int(sys.argv[3]), sys.argv[4], None)
what = Dataset("hc18", "Heads", "Zenodo 1", "https://zenodo.org/records/1", "CC BY 4.0", "Nobody", ".", (file,))
download(what, Path(sys.argv[1]), base_url=sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_download_goes_on_where_it_was(tmp_path: Path) -> None:
    body = np.random.default_rng(2).bytes(4_000_003)
    server, to = Server({"big.bin": body}, pause_s=0.01), tmp_path / "data"
    with serving(server):
        command = [sys.executable, "-c", CHILD, str(to), server.url, str(len(body)), md5(body)]
        child = subprocess.Popen(command)
        waited = time.monotonic()
        while kept(to) < 600_000 and time.monotonic() < waited + 60:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        have = kept(to)
        assert 600_000 <= have < len(body)
        assert not (to / "big.bin").exists()
        time.sleep(0.3)  # the server notices that nobody listens
        server.pause_s, server.sent = 0.0, 0
        get(dataset(remote("big.bin", body)), to, server)
    assert server.asked[-1] == ("big.bin", f"bytes={have}-")
    assert server.sent == len(body) - have
    assert (to / "big.bin").read_bytes() == body
    assert names(to) == ["big.bin"]


# --- refused


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_an_answer_that_is_not_the_file(server: Server, to: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=rf"big\.bin: the server answered {status} [\w ]+ for http://127") as caught:
        get(BIG, to, server)
    assert f"big.bin ({len(BODY):,} bytes, {md5(BODY)}) to {to}/big.bin" in str(caught.value)
    assert names(to) == []


def test_a_file_that_is_not_there(server: Server, to: Path) -> None:
    with pytest.raises(DownloadError, match=r"answered 404 Not Found for .*/none"):
        get(dataset(remote("none", b"1")), to, server)


def test_a_wrong_checksum(server: Server, to: Path) -> None:
    server.files["big.bin"] = OTHER
    message = rf"expected {md5(BODY)} but got {md5(OTHER)[4:]}.*Run the command again; .*checksum on {BIG.page}"
    with pytest.raises(DownloadError, match=message):
        get(BIG, to, server)
    assert names(to) == []
    server.files["big.bin"] = BODY
    get(BIG, to, server)


def test_a_file_of_another_size_is_refused_before_it_comes(server: Server, to: Path) -> None:
    server.files["big.bin"] = BODY + BODY
    with pytest.raises(DownloadError, match=r"file has 2,000,006 bytes, expected 1,000,003: not the published"):
        get(BIG, to, server)
    assert names(to) == []


def test_a_server_that_does_not_stop(server: Server, to: Path) -> None:
    server.files["big.bin"], server.length = BODY + BODY, False
    with pytest.raises(DownloadError, match=r"sends more than the 1,000,003 bytes of the file"):
        get(BIG, to, server)
    assert not (to / "big.bin").exists()


def test_a_hostile_archive_from_the_server_leaves_nothing(server: Server, to: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("good.png", b"1")
        archive.writestr("../../bad.png", b"2")
    server.files["one.zip"] = target.getvalue()
    with pytest.raises(ArchiveError, match=r"'\.\./\.\./bad\.png' leads out of the folder"):
        get(dataset(remote("one.zip", target.getvalue(), "one")), to, server)
    assert "one" not in names(to)
    assert not list(to.rglob("*.png"))


def test_no_room(server: Server, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 700_000}))
    with pytest.raises(
        DownloadError, match=r"the download needs 1,000,003 bytes, but 700,000 are free in .*free some space"
    ):
        get(BIG, to, server)
    assert names(to) == []


def test_only_what_is_still_to_come_needs_room(server: Server, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.cut_after = [409_600, 0]
    with pytest.raises(InterruptedDownloadError, match="broke after 409,600"):
        get(BIG, to, server)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 700_000}))
    get(BIG, to, server)


def test_a_folder_that_cannot_be_one(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"file: cannot be written .*choose another folder"):
        get(BIG, tmp_path / "file", server)


def test_two_downloads_to_one_folder(server: Server, to: Path) -> None:
    server.pause_s = 0.02
    first = threading.Thread(target=get, args=(BIG, to, server))
    first.start()
    while not kept(to):
        time.sleep(0.01)
    with pytest.raises(DownloadError, match="another download works on it; wait until it is done"):
        get(BIG, to, server)
    first.join()
    assert (to / "big.bin").read_bytes() == BODY


# --- by hand


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_offline_says_what_to_put_where_and_goes_on_from_it(to: Path) -> None:
    offline = Server(url=closed_port())
    with pytest.raises(OfflineError) as caught:
        get(ALL, to, offline)
    message = str(caught.value)
    assert re.search(r"^Heads \(Zenodo 1\), list\.csv: http://127\.0\.0\.1:\d+/list\.csv cannot be reached", message)
    assert message.split("\n")[1:] == [
        "Without a network: open https://zenodo.org/records/1 on another machine, download and copy",
        f"  list.csv (4 bytes, {md5(b'a;b' + bytes([10]))}) to {to}/list.csv",
        f"  one.zip ({len(ZIP):,} bytes, {md5(ZIP)}) to {to}/one.zip",
        "and run the command again.",
    ]
    assert names(to) == []
    (to / "list.csv").write_bytes(b"a;b\n")
    with pytest.raises(OfflineError, match=r"one\.zip") as caught:
        get(ALL, to, offline)
    assert "to " + str(to / "list.csv") not in str(caught.value)
    (to / "one.zip").write_bytes(ZIP)
    assert get(ALL, to, offline) == [to / "list.csv", to / "one"]
    assert (to / "one" / "Images" / "a.png").read_bytes() == BODY[:70_000]


def test_offline_without_a_known_size_or_checksum(to: Path) -> None:
    with pytest.raises(OfflineError, match=r"big\.bin \(unknown size, unknown checksum\) to "):
        get(dataset(remote("big.bin", None)), to, Server(url=closed_port()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BODY[:-1], r"big\.bin has 1,000,002 bytes; big\.bin is a file of 1,000,003 bytes, md5:\w+: it is damaged"),
        (OTHER, rf"big\.bin has the checksum {md5(OTHER)}; expected {md5(BODY)}: .*remove it and download it again"),
    ],
)
def test_a_wrong_file_put_there_by_hand_is_named_and_kept(
    server: Server, to: Path, content: bytes, message: str
) -> None:
    to.mkdir()
    (to / "big.bin").write_bytes(content)
    with pytest.raises(DownloadError, match=message):
        get(BIG, to, server)
    assert (to / "big.bin").read_bytes() == content
    assert server.asked == []


def test_a_folder_of_the_users_own_is_never_touched(server: Server, to: Path) -> None:
    (to / "one").mkdir(parents=True)
    (to / "one" / "mine").write_bytes(b"1")
    with pytest.raises(ArchiveError, match="one already exists and was not extracted by this command; move it"):
        get(ALL, to, server)
    assert (to / "one" / "mine").read_bytes() == b"1"


# --- what is shown


@pytest.mark.parametrize("shown", [True, False])
def test_the_bar_obeys_the_switch(server: Server, to: Path, monkeypatch: pytest.MonkeyPatch, shown: bool) -> None:
    screen = io.StringIO()
    console = type(progress.notes)(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "notes", console)
    progress.show(shown)
    monkeypatch.setattr("sys.stderr", type("Screen", (io.StringIO,), {"isatty": lambda self: True})())
    get(BIG, to, server)
    assert ("big.bin" in screen.getvalue()) == shown


def test_notes_go_to_standard_error(server: Server, to: Path, capfd: pytest.CaptureFixture[str]) -> None:
    download(dataset(remote("big.bin", None)), to, base_url=server.url)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.replace("\n", "").startswith("big.bin: unknown checksum; https://zenodo.org/records/1")


# --- the table


def test_every_data_set_is_described() -> None:
    assert set(DATASETS) == {"fetal_planes", "african", "hc18", "psfhs"}
    for name, published in DATASETS.items():
        assert published.name == name
        assert published.page == f"https://zenodo.org/records/{published.record.removeprefix('Zenodo ')}"
        assert published.licence == "CC BY 4.0"
        assert "doi 10." in published.citation
        for file in published.files:
            assert file.url == f"{published.page}/files/{file.name}?download=1"
            assert file.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum)
            assert (file.folder is None) == file.name.endswith(".csv")
    assert [file.folder for file in DATASETS["hc18"].files] == [None, None, "training_set", "test_set"]
    assert os.fspath(Path(DATASETS["psfhs"].reads)) == DATASETS["psfhs"].files[0].folder == "PSFHS"


def picture(value: int, *, frame: int | None = None) -> bytes:
    """A PNG of one value, with another in a frame of two pixels."""
    pixels, target = np.full((16, 24), value if frame is None else frame, np.uint8), io.BytesIO()
    pixels[2:-2, 2:-2] = value
    Pil.fromarray(pixels).save(target, "png")
    return target.getvalue()


def intrapartum() -> bytes:
    """A symphysis, 1, and a head, 2."""
    labels, target = np.zeros((16, 24), np.uint8), io.BytesIO()
    labels[4:12, 3:8], labels[4:12, 12:20] = 1, 2
    Pil.fromarray(labels).save(target, "png")
    return target.getvalue()


HEADS = b"filename,pixel size(mm),head circumference (mm)\n7_HC.png,0.1,200\n"
PLANES = (
    b"Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train \n"
    b"Patient00001_Plane5_1_of_1;1;Fetal femur;;A;B;1\n"
)
AFRICAN = b"Patient_num,Plane,Center,Image_name\n3,Fetal femur,Ghana,p1\n"
PUBLISHED: dict[DatasetName, dict[str, dict[str, bytes] | bytes]] = {
    "fetal_planes": {
        "FETAL_PLANES_ZENODO.zip": {
            "Images/Patient00001_Plane5_1_of_1.png": picture(9),
            "FETAL_PLANES_DB_data.csv": PLANES,
        }
    },
    "african": {"Zenodo_dataset.tar.xz": {"top/list.csv": AFRICAN, "top/p1.png": picture(9)}},
    "hc18": {
        "training_set_pixel_size_and_HC.csv": HEADS,
        "test_set_pixel_size.csv": HEADS.replace(b",head circumference (mm)", b"").replace(b",200", b""),
        "training_set.zip": {
            "training_set/7_HC.png": picture(9),
            "training_set/7_HC_Annotation.png": picture(255, frame=0),
        },
        "test_set.zip": {"test_set/7_HC.png": picture(9)},
    },
    "psfhs": {"PSFHS.zip": {"PSFHS/image_mha/00001.png": picture(9), "PSFHS/label_mha/00001.png": intrapartum()}},
}
READERS: dict[DatasetName, AnySource] = {
    "fetal_planes": FetalPlanesConfig(),
    "african": AfricanPlanesConfig(),
    "hc18": Hc18Config(),
    "psfhs": PsfhsConfig(block=1),
}


def archived(name: str, files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(target, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        return target.getvalue()
    with tarfile.open(fileobj=target, mode="w:xz") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_each_reader_takes_the_folder_that_is_named_for_it(server: Server, to: Path, name: DatasetName) -> None:
    """Tiny files in the layout of each record."""
    layout = PUBLISHED[name]
    server.files = {file: archived(file, held) if isinstance(held, dict) else held for file, held in layout.items()}
    tiny = tuple(replace(file, size_bytes=None, checksum=None) for file in DATASETS[name].files)
    get(replace(DATASETS[name], files=tiny), to, server, lambda message: None)
    (image,) = READERS[name].read(SourceInputs(to / DATASETS[name].reads))
    assert image.load()[0].tolist() == [[9] * 24] * 16
    if name == "hc18":
        assert [head.name for head in Hc18Config(part="test_set").read(SourceInputs(to))] == ["7_HC"]
