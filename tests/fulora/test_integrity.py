"""What a folder was made with is held against what it holds now."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fulora import integrity, progress
from fulora.config import Config
from fulora.digests import mismatches_in_cache, read_cache
from fulora.engine import InProcess
from fulora.integrity import (
    LIST,
    RECOGNISED_BY,
    DamagedArtifactError,
    Difference,
    artifact_folder,
    check,
    content_digest,
    differences,
    write_list,
)
from fulora.stage import RECORD, Artifact, read_record, stage
from fulora.workspace import Workspace

FILES = {
    "a.txt": "one",
    "train/metadata.jsonl": '{"a": 1}\n{"b": 2}\n',
    "provenance.json": "[]",
    "audit/sheet.png": "s",
}


class TextConfig(Config):
    version: int = 1


@dataclass(frozen=True)
class Texts(Artifact):
    """The files above."""


@stage(version=1)
def write_texts(out: Path, config: TextConfig) -> Texts:
    for name, text in FILES.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    return Texts(out, "")


@stage(version=1)
def read_texts(out: Path, texts: Texts) -> Texts:
    (out / "b.txt").write_text((texts.path / "a.txt").read_text())
    return Texts(out, "")


def study(root: Path, *, plan: bool = False) -> Workspace:
    work = Workspace(root, InProcess(), plan=plan, command="fulora run mine")
    work.run(read_texts, texts=work.run(write_texts, TextConfig()))
    return work


def states(root: Path) -> list[str]:
    return [step.state for step in study(root, plan=True).steps]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    study(tmp_path / "work")
    return next((tmp_path / "work").glob("write_texts-*"))


def rewritten(path: Path, text: str) -> None:
    """Other content of the same size, some time later."""
    path.write_text(text)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed, same size": (lambda made: rewritten(made / "a.txt", "two"), r"a\.txt \(changed\)"),
    "cut short": (lambda made: (made / "a.txt").write_text("o"), r"a\.txt \(changed\)"),
    "line dropped": (
        lambda made: (made / "train/metadata.jsonl").write_text('{"a": 1}\n'),
        r"metadata\.jsonl \(changed",
    ),
    "book removed": (lambda made: (made / "provenance.json").unlink(), r"provenance\.json \(missing\)"),
    "folder removed": (lambda made: shutil.rmtree(made / "train"), r"train/metadata\.jsonl \(missing\)"),
    "rows added": (lambda made: (made / "metadata.jsonl").write_text("{}"), r"metadata\.jsonl \(added\)"),
    "sheet changed": (lambda made: (made / "audit/sheet.png").write_text("other"), r"audit/sheet\.png \(changed\)"),
    "list changed": (
        lambda made: (made / LIST).write_text((made / LIST).read_text().replace("a.txt", "b.txt")),
        r"fulora_files\.json: was changed since it was made",
    ),
    "list is a list": (lambda made: (made / LIST).write_text("[]"), r"fulora_files\.json: is damaged"),
    "record with a key twice": (
        lambda made: (made / RECORD).write_text((made / RECORD).read_text().replace("{", '{"made": "x",', 1)),
        r"stage\.json: is damaged.*the key 'made' is given more than once",
    ),
    "record empty": (lambda made: (made / RECORD).write_text("{}"), r"stage\.json: is damaged"),
    "record a list": (lambda made: (made / RECORD).write_text("[]"), r"stage\.json: is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_stops_a_study_before_anything_runs_and_says_what_to_do(made: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(made)
    with pytest.raises(DamagedArtifactError, match=rf"{message}.*rm -r {made} && fulora run mine$"):
        study(made.parent)
    assert states(made.parent) == ["damaged", "stale"]
    with pytest.raises(DamagedArtifactError, match=message):
        study(made.parent, plan=True).checked()
    with pytest.raises(DamagedArtifactError, match=message):
        check(made)
    shutil.rmtree(made)
    study(made.parent)
    assert states(made.parent) == ["ready", "ready"]


HARMLESS: dict[str, Callable[[Path], object]] = {
    ".DS_Store": lambda made: (made / "train" / ".DS_Store").write_text("Finder"),
    "notes": lambda made: (made / "notes.txt").write_text("of a user"),
    "of another program": lambda made: (made / "a.json").write_text("{}"),
    "confirmation": lambda made: (made / "audit" / "confirmed.json").write_text("{}"),
    "sheets removed": lambda made: shutil.rmtree(made / "audit"),
    "touched": lambda made: (made / "a.txt").touch(),
    "written anew": lambda made: rewritten(made / "a.txt", "one"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_not_matter_is_left_alone(made: Path, what: str) -> None:
    HARMLESS[what](made)
    assert states(made.parent) == ["ready", "ready"]
    assert check(made) == made


def test_a_copy_is_hashed_once_and_then_known(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy, copy_function=shutil.copyfile)
    hashed: list[Path] = []
    real = integrity.file_digest
    monkeypatch.setattr(integrity, "file_digest", lambda path: [hashed.append(path), real(path)][1])
    check(copy)
    assert sorted(path.name for path in hashed) == sorted(Path(name).name for name in FILES)
    hashed.clear()
    check(copy)
    assert hashed == []


def test_a_copy_that_is_read_only_is_accepted_as_well(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy, copy_function=shutil.copyfile)

    def refused(*_: object, **named: object) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(integrity, "write_atomic", refused)
    assert check(copy) == copy


def test_a_change_that_keeps_size_and_time_is_found_by_looking_at_everything(made: Path) -> None:
    before = (made / "a.txt").stat()
    (made / "a.txt").write_text("two")
    os.utime(made / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert differences(made) == []
    assert differences(made, thorough=True) == [Difference("a.txt", "changed")]


def test_an_artifact_of_before_there_were_lists_is_made_again(made: Path) -> None:
    (made / LIST).unlink()
    assert states(made.parent) == ["stale", "stale"]
    with pytest.raises(DamagedArtifactError, match="an earlier version of fulora made it, or it is incomplete"):
        check(made)
    study(made.parent)
    assert states(made.parent) == ["ready", "ready"]


def test_a_file_in_an_artifact_is_held_against_the_list_of_the_artifact(made: Path, tmp_path: Path) -> None:
    inside = made / "train" / "metadata.jsonl"
    assert artifact_folder(inside) == made
    assert check(inside) == inside
    (made / "provenance.json").unlink()
    with pytest.raises(DamagedArtifactError, match=r"provenance\.json \(missing\)"):
        check(inside)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / RECORD).write_text('{"of": "other software"}')
    assert check(tmp_path / "other") == tmp_path / "other"


def test_an_artifact_that_is_read_as_outside_data_is_held_against_its_list(made: Path, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "other", InProcess())
    assert other.read(made).fingerprint == other.read(made).fingerprint
    (made / "a.txt").write_text("changed")
    with pytest.raises(DamagedArtifactError, match=r"a\.txt \(changed\)"):
        other.read(made)


def test_the_digest_of_an_artifact_does_not_depend_on_its_times(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy", copy_function=shutil.copyfile)
    check(tmp_path / "copy")
    assert content_digest(made, None) == content_digest(tmp_path / "copy", None)


def test_a_moved_workspace_does_not_name_the_command_of_the_old_one(made: Path, tmp_path: Path) -> None:
    shutil.move(made.parent, tmp_path / "moved")
    (tmp_path / "moved" / made.name / "a.txt").write_text("changed")
    with pytest.raises(DamagedArtifactError, match=r"remove it \(rm -r .*\) and run the command that made it again"):
        check(tmp_path / "moved" / made.name)


def test_many_damaged_files_are_counted(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / str(number)).write_text("as made")
    write_list(tmp_path)
    for number in range(8):
        (tmp_path / str(number)).write_text("changed since")
    with pytest.raises(DamagedArtifactError, match=r"8 files are not as they were made: 0 .*\) and 3 more"):
        check(tmp_path)


def test_the_record_names_the_digest_of_the_list(made: Path) -> None:
    assert read_record(made)["digest"] == write_list(made) == json.loads((made / LIST).read_text())["digest"]


# --- the digests of outside data


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Path, Path]:
    data, cache = tmp_path / "data", tmp_path / "digests.json"
    data.mkdir()
    (data / "a").write_text("one")
    content_digest(data, cache)
    return data, cache


def test_a_change_that_keeps_size_and_time_of_outside_data_is_seen(outside: tuple[Path, Path]) -> None:
    data, cache = outside
    first, before = content_digest(data, cache), (data / "a").stat()
    time.sleep(0.02)
    (data / "a").write_text("two")
    os.utime(data / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert content_digest(data, cache) != first
    assert content_digest(data, cache) == content_digest(data, None)


@pytest.mark.parametrize("content", ["[]", "{}", "", '{"check": "", "files": {}}', '{"/a|3|5": "old format"}', "\xff"])
def test_a_damaged_cache_is_not_used(outside: tuple[Path, Path], content: str) -> None:
    data, cache = outside
    first = content_digest(data, None)
    cache.write_bytes(content.encode("latin-1"))
    assert content_digest(data, cache) == first
    assert list(read_cache(cache)) == [str((data / "a").resolve())]


def test_a_wrong_digest_in_the_cache_is_not_used(outside: tuple[Path, Path]) -> None:
    data, cache = outside
    first = content_digest(data, None)
    right = read_cache(cache)[str((data / "a").resolve())].sha256
    cache.write_text(cache.read_text().replace(right, "0" * 64))
    assert content_digest(data, cache) == first
    assert mismatches_in_cache(cache) == []


# --- names of folders


def exchanged(one: Path, other: Path) -> None:
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)


def test_two_artifacts_that_were_exchanged_are_both_damaged(tmp_path: Path) -> None:
    work = Workspace(tmp_path, InProcess(), command="fulora run mine")
    one, other = (work.run(write_texts, TextConfig(version=version)).path for version in (1, 2))
    exchanged(one, other)
    for folder, wrong in ((one, other), (other, one)):
        with pytest.raises(DamagedArtifactError, match=rf"^{folder}: holds another artifact, {wrong.name}: .*rm -r "):
            check(folder)
        with pytest.raises(DamagedArtifactError, match="holds another artifact"):
            check(folder / "a.txt")
    again = Workspace(tmp_path, InProcess(), plan=True)
    again.run(write_texts, TextConfig(version=1))
    assert [step.state for step in again.steps] == ["damaged"]
    exchanged(one, other)
    assert check(one) == one


def test_an_artifact_under_the_fingerprint_of_another_is_damaged_and_under_a_free_name_is_not(made: Path) -> None:
    copy = Path(shutil.copytree(made, made.with_name("write_texts-0123456789abcdef")))
    with pytest.raises(DamagedArtifactError, match=rf"name it {made.name} again"):
        check(copy)
    for name in ("texts", "write_texts-mine", "texts-of-2026", "write_texts-0123456789abcdef-copy"):
        copy = copy.rename(copy.with_name(name))
        assert check(copy) == copy


def test_an_artifact_without_its_record_is_incomplete(made: Path) -> None:
    (made / RECORD).unlink()
    with pytest.raises(DamagedArtifactError, match=rf"{made}: is incomplete: it has no stage\.json\. .*rm -r "):
        check(made)


def test_looking_at_everything_names_what_was_added(made: Path) -> None:
    for name in ("train/extra.png", "audit/confirmed.json", ".hidden", "train/.DS_Store"):
        (made / name).write_text("added")
    assert differences(made) == []
    assert differences(made, thorough=True) == [Difference("train/extra.png", "added")]


@pytest.mark.parametrize("names", RECOGNISED_BY)
def test_a_set_or_a_lora_without_a_list_is_noted_once(
    tmp_path: Path, names: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.notes, "quiet", False)
    (tmp_path / "train").mkdir()
    for name in names:
        assert check(tmp_path / name) == tmp_path / name
        assert check(tmp_path) == tmp_path
        assert capsys.readouterr().err == ""
        (tmp_path / name).write_text("{}")
    for path in (tmp_path, tmp_path / names[0], tmp_path / names[1]):
        check(path)
    said = capsys.readouterr().err
    assert said.count("has no fulora_files.json, so it cannot be checked for changes") == 1
    assert "run the command that made it once more" in said
    write_list(tmp_path)
    integrity._note_unlisted.cache_clear()
    check(tmp_path)
    assert capsys.readouterr().err == ""
