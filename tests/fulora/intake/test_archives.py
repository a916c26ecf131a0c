"""Archives unpack whole or not at all: hostile and broken ones are one clear error, and leave nothing anywhere."""

import gzip
import io
import lzma
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fulora.intake.download import archives
from fulora.intake.download.archive_members import ArchiveError, ArchiveMember
from fulora.intake.download.archives import RECORD, ArchiveLimits, check_extracted, extract

FILES = {
    "data/a.csv": b"name;value\n",
    "data/Images/one.png": np.random.default_rng(0).bytes(70_000),
    "data/Images/two.png": b"",
}
ENDINGS = ("zip", "tar", "tar.gz", "tar.xz")
SMALL = ArchiveLimits(members=5, total_bytes=100_000, ratio=20, small_bytes=1_000, depth=4)


def tarred(*members: tuple[tarfile.TarInfo, bytes], pax: bool = True) -> bytes:
    target = io.BytesIO()
    kind = tarfile.PAX_FORMAT if pax else tarfile.USTAR_FORMAT
    with tarfile.open(fileobj=target, mode="w", format=kind) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
    return info, content


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


def packed(files: dict[str, bytes], ending: str) -> bytes:
    if ending == "zip":
        return zipped(*files.items())
    content = tarred(*(entry(name, data) for name, data in files.items()))
    return {"tar": bytes, "tar.gz": gzip.compress, "tar.xz": lzma.compress}[ending](content)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, empty folders too, the record aside."""
    found = (path for path in folder.rglob("*") if path.name != RECORD)
    return {str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes() for path in found}


def kept(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if (folder / name).is_file()}


def refused(tmp_path: Path, content: bytes, message: str, limits: ArchiveLimits = archives.PLAIN) -> None:
    """The archive is refused with this message, and not one path beside it has appeared or changed."""
    place = tmp_path / "deep" / "er"
    place.mkdir(parents=True)
    (place / "x.archive").write_bytes(content)
    before = tree(tmp_path)
    with pytest.raises(ArchiveError, match=message):
        extract(place / "x.archive", place / "out", "md5:0", limits)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_packed_comes_out_without_its_one_top_folder(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"x.{ending}").write_bytes(packed(FILES | {"__MACOSX/data/._a.csv": b"mac"}, ending))
    extract(tmp_path / f"x.{ending}", tmp_path / "out", "md5:0")
    assert kept(tmp_path / "out") == {name.removeprefix("data/"): data for name, data in FILES.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", f"x.{ending}"]
    check_extracted(tmp_path / "out", "md5:0")


@pytest.mark.parametrize("ending", ENDINGS)
def test_several_tops_stay_as_they_are(tmp_path: Path, ending: str) -> None:
    files = {"Images/a.png": b"1", "list.csv": b"2"}
    (tmp_path / "x").write_bytes(packed(files, ending))
    extract(tmp_path / "x", tmp_path / "out", "md5:0")
    assert kept(tmp_path / "out") == files


def test_a_single_file_is_no_top_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(packed({"./list.csv": b"2"}, "tar"))
    extract(tmp_path / "x", tmp_path / "out", "md5:0")
    assert kept(tmp_path / "out") == {"list.csv": b"2"}


@pytest.mark.parametrize(("flag", "ending"), [("", "tar"), ("z", "tar.gz"), ("J", "tar.xz")])
def test_what_the_tar_command_packs(tmp_path: Path, flag: str, ending: str) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "data" / ("long" * 40)).write_bytes(b"a name of 160 letters")
    subprocess.run(["tar", f"-c{flag}f", f"x.{ending}", "data"], cwd=tmp_path, check=True)
    extract(tmp_path / f"x.{ending}", tmp_path / "out", "md5:0")
    assert kept(tmp_path / "out") == kept(tmp_path / "data")


def test_owner_and_permissions_of_an_archive_do_not_arrive(tmp_path: Path) -> None:
    info, content = entry("a.sh")
    info.mode, info.uid = 0o6777, 12345
    (tmp_path / "x").write_bytes(tarred((info, content)))
    extract(tmp_path / "x", tmp_path / "out", "md5:0")
    (tmp_path / "plain").write_bytes(b"")
    found, plain = (tmp_path / "out" / "a.sh").stat(), (tmp_path / "plain").stat()
    assert (found.st_mode, found.st_uid) == (plain.st_mode, plain.st_uid)


def special(name: str, mode: int, content: bytes) -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    return zipped((info, content))


def encrypted() -> bytes:
    """The flag of encryption set in both headers of a zip."""
    content = bytearray(zipped(("a", b"secret")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def sparse() -> bytes:
    """1 TB of nothing in 512 bytes: the old GNU form, its only part of real data at the very end."""
    info = tarfile.TarInfo("holes")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:410] = b"%011o\0" % (1 << 32) + b"%011o\0" % 0
    header[483:495] = b"%011o\0" % (1 << 32)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def negative() -> bytes:
    """A size of -512 in base 256: skipping it leads back to the same header, for ever."""
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + struct.pack(">h", -512)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def huge_header() -> bytes:
    """A pax header that claims 2 GB, which `tarfile` would read whole into memory."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 2_000_000_000
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


NAMES = [
    ("../a", "'../a' leads out of the folder"),
    ("good/../../a", "leads out of the folder"),
    ("/etc/a", "'/etc/a' leads out of the folder"),
    ("//a", "'//a' leads out of the folder"),
    ("C:/a", "'C:/a' has a backslash, a colon"),
    ("..\\a", "has a backslash, a colon"),
    ("a\nb", "unprintable character"),
    ("a\u202egnp.exe", "unprintable character"),
    ("1/2/3/4/5/a", "is 6 folders deep; the limit is 4"),
]


@pytest.mark.parametrize("ending", ["zip", "tar.xz"])
@pytest.mark.parametrize(("name", "message"), NAMES)
def test_names_that_lead_out(tmp_path: Path, ending: str, name: str, message: str) -> None:
    refused(tmp_path, packed({"good": b"1", name: b"x"}, ending), message, ArchiveLimits(depth=4))


def test_a_name_with_an_end_in_it(tmp_path: Path) -> None:
    """A zip reader that stops at the NUL would see another name than its checks."""
    content = zipped(("good.pngX../a", b"x")).replace(b"good.pngX", b"good.png\0")
    refused(tmp_path, content, "unprintable character")


@pytest.mark.parametrize("ending", ["zip", "tar"])
@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png"),
        ("a.png", "./a.png"),
        ("A.png", "a.png"),
        ("D/a", "d/b"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("\u00e9", "e\u0301"),
        ("a", "a."),
        ("a/x", "a /y"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice(tmp_path: Path, ending: str, names: tuple[str, str]) -> None:
    pair = [(name, b"x") for name in names]
    content = zipped(*pair) if ending == "zip" else tarred(*(entry(*one) for one in pair))
    refused(tmp_path, content, "are duplicates, at least on some file systems")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tarred(entry("l", kind=tarfile.SYMTYPE, link="../../x"), entry("l/a")), "'l': link; only plain files"),
        (tarred(entry("l", kind=tarfile.SYMTYPE, link="/etc"), entry("l/a")), "'l': link"),
        (tarred(entry("a"), entry("l", kind=tarfile.LNKTYPE, link="../../x.archive")), "'l': link"),
        (tarred(entry("null", kind=tarfile.CHRTYPE)), "'null': device or pipe"),
        (tarred(entry("disk", kind=tarfile.BLKTYPE)), "'disk': device or pipe"),
        (tarred(entry("pipe", kind=tarfile.FIFOTYPE)), "'pipe': device or pipe"),
        (sparse(), "'holes': sparse file"),
        (special("l", stat.S_IFLNK, b"../../x"), "'l': link"),
        (special("null", stat.S_IFCHR, b""), "'null': device or pipe"),
        (encrypted(), "'a': encrypted file"),
        (tarred(entry(".")), "'.' is not a file name"),
        (negative(), "has a size of -512 bytes: damaged"),
        (huge_header(), "a header of 2,000,000,000 bytes; the limit is 1,048,576"),
        (b"not an archive at all", "damaged or incomplete .*remove it and download it again"),
        (b"", "damaged or incomplete .*remove it and download it again"),
        (zipped(), "holds no files"),
        (tarred(entry("a")) + tarred(entry("b", bytes(1_500_000))), "continues behind its end-of-archive marker"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_no_plain_file(tmp_path: Path, content: bytes, message: str) -> None:
    refused(tmp_path, content, message)


BOMBS = {
    "ratio": ({"a": bytes(90_000)}, r"bytes that expand to 90,000 or more; the limit is [\d,]+"),
    "total": (
        {f"{i}": np.random.default_rng(i).bytes(30_000) for i in range(4)},
        "to 120,000 or more; the limit is 100,000",
    ),
    "members": ({f"{i}": b"" for i in range(6)}, "more than 5 members"),
}


@pytest.mark.parametrize("ending", ["zip", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(tmp_path: Path, ending: str, bomb: str) -> None:
    files, message = BOMBS[bomb]
    refused(tmp_path, packed(files, ending), message, SMALL)


def lying(size: int) -> bytes:
    """A zip of 50,000 zeros whose two headers say another size."""
    return zipped(("a", bytes(50_000))).replace(struct.pack("<I", 50_000), struct.pack("<I", size))


@pytest.mark.parametrize(
    ("size", "message"), [(10, "damaged or incomplete"), (60_000, "60,000 in its header: damaged")]
)
def test_a_header_that_lies_of_its_size(tmp_path: Path, size: int, message: str) -> None:
    refused(tmp_path, lying(size), message)


def test_bytes_are_counted_as_they_come_not_as_headers_say(tmp_path: Path) -> None:
    """A member that says 10 bytes and gives 5,000: the count stops it, whatever the libraries allow."""
    member = ArchiveMember("a", "file", 10, lambda: io.BytesIO(bytes(5_000)))
    with pytest.raises(ArchiveError, match=r"expand to 5,000 or more; the limit is 1,000"):
        archives._copy(io.BytesIO(bytes(5_000)), io.BytesIO(), member, 0, 1_000, 100)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kept_share", [0.02, 0.3, 0.87, 0.9999])
def test_truncated(tmp_path: Path, ending: str, kept_share: float) -> None:
    content = packed(FILES, ending)
    content = content[:72_300] if ending == "tar" else content  # without the padding at its end
    refused(
        tmp_path, content[: int(len(content) * kept_share)], r"damaged or incomplete.*remove it and download it again"
    )


def test_a_tar_cut_between_two_members(tmp_path: Path) -> None:
    """`tarfile` takes it for a whole one with fewer files."""
    content = tarred(entry("a", bytes(512)), entry("b", bytes(512)), pax=False)
    refused(tmp_path, content[:1024], "has no end-of-archive marker")


@pytest.mark.parametrize("ending", ["tar.gz", "tar.xz"])
def test_a_wrong_checksum_of_the_compression_at_the_very_end(tmp_path: Path, ending: str) -> None:
    content = bytearray(packed(FILES, ending))
    content[-6] ^= 255
    refused(tmp_path, bytes(content), "damaged or incomplete")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_damage_anywhere_is_an_archive_error_or_does_no_harm(tmp_path: Path, ending: str) -> None:
    content, rng = packed(FILES | {"data/b.csv": b"1;2\n" * 50}, ending), np.random.default_rng(7)
    errors = 0
    for _ in range(150):
        hurt = bytearray(content)
        for place in rng.integers(0, len(hurt), 3 if rng.random() < 0.5 else 40):
            hurt[place] = rng.integers(0, 256)
        start = int(rng.integers(0, len(hurt)))
        hurt[:600] = hurt[:600] if rng.random() < 0.5 else bytes(rng.permutation(np.frombuffer(hurt[:600], np.uint8)))
        hurt = hurt if rng.random() < 0.7 else hurt[:start]
        (tmp_path / "x").write_bytes(hurt)
        try:
            extract(tmp_path / "x", tmp_path / "out", "md5:0")
            shutil.rmtree(tmp_path / "out")
        except ArchiveError:
            errors += 1
        assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert errors > 75


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(packed(FILES, "zip"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"1")
    with pytest.raises(ArchiveError, match="out already exists; move it"):
        extract(tmp_path / "x", tmp_path / "out", "md5:0")
    assert tree(tmp_path / "out") == {"mine": b"1"}


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 60_000}))
    refused(tmp_path, packed(FILES, "zip"), r"one\.png needs 70,000 bytes, but 60,000 are free in .*; free some space")


def test_a_name_too_long_for_the_disk(tmp_path: Path) -> None:
    refused(tmp_path, packed({"n" * 300: b"1"}, "zip"), "cannot be extracted .*too long")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half").write_bytes(b"1")
    (tmp_path / "x").write_bytes(packed(FILES, "zip"))
    extract(tmp_path / "x", tmp_path / "out", "md5:0")
    assert "half" not in tree(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]


def test_a_folder_is_checked_by_what_was_unpacked(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(packed(FILES, "zip"))
    extract(tmp_path / "x", tmp_path / "out", "md5:0")
    check_extracted(tmp_path / "out", None)
    with pytest.raises(ArchiveError, match=r"extracted from another archive \(md5:0, not md5:1\)"):
        check_extracted(tmp_path / "out", "md5:1")
    (tmp_path / "out" / "a.csv").unlink()
    with pytest.raises(ArchiveError, match=r"holds 2 files of 70,000 bytes, but 3 of 70,011 bytes were extracted"):
        check_extracted(tmp_path / "out", "md5:0")
    (tmp_path / "out" / RECORD).write_text("[]")
    with pytest.raises(ArchiveError, match="out already exists and was not extracted by this command"):
        check_extracted(tmp_path / "out", "md5:0")
