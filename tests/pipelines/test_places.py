"""A file in the way of what a command is to write is named, with what to do, before anything is made."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command_inside import called

from fulora.diffusion.lora.files import FILE
from pipelines.commands.output_paths import check_output_path

COMMANDS: dict[str, Callable[[Path, Path], tuple[str | Path, ...]]] = {
    "status --work": lambda some, place: ("status", "smoke", "--work", place),
    "run --work": lambda some, place: ("run", "smoke", "--work", place),
    "curate --work": lambda some, place: ("data", "curate", some, "--work", place),
    "train --work": lambda some, place: ("lora", "train", some, "--out", some / "lora", "--work", place),
    "segment --out": lambda some, place: ("segment", "predict", some, "--unet", some, "--out", place),
    "classify train --out": lambda some, place: ("classify", "train", some, "--out", place),
    "classify predict --out": lambda some, place: ("classify", "predict", some, some, "--out", place),
    "clip tune --out": lambda some, place: ("clip", "tune", some, "--out", place),
    "segment train --out": lambda some, place: ("segment", "train", some, "--out", place),
    "export --out": lambda some, place: ("export", some, "--format", "kohya", "--out", place),
    "mix --out": lambda some, place: ("mix", some, some, "--out", place),
    "mix --work": lambda some, place: ("mix", some, some, "--work", place),
    "assess --out": lambda some, place: ("assess", some, "--real", some, "--out", place),
    "assess --report": lambda some, place: ("assess", some, "--real", some, "--report", place),
    "assess --cache": lambda some, place: ("assess", some, "--real", some, "--cache", place),
}


@pytest.mark.parametrize("inside", ["", "new", "new/deep"])
@pytest.mark.parametrize("which", COMMANDS)
def test_a_file_where_a_folder_is_named(tmp_path: Path, which: str, inside: str) -> None:
    (some := tmp_path / "some").mkdir()
    (file := tmp_path / "file").write_text("kept")
    done = called(*COMMANDS[which](some, file / inside))
    assert done.code == 2
    option = which.split()[-1]
    assert f"{file / inside}: {file} is a file; {option} names a folder: give another path" in done.stderr
    assert "Errno" not in done.stderr
    assert file.read_text() == "kept"


def test_a_file_in_a_file(tmp_path: Path) -> None:
    (some := tmp_path / "some").mkdir()
    (file := tmp_path / "file").write_text("kept")
    done = called("measure", "hc", some, "--pixel-sizes", file, "--out", file / "hc.csv")
    assert done.code == 2
    assert f"{file / 'hc.csv'}: {file} is a file; --out names a file or folder, not one in a file" in done.stderr


def test_what_can_be_written_is_let_through(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("old")
    for path in (tmp_path, tmp_path / "new", tmp_path / "new" / "deep"):
        check_output_path("run", "work", path)
    check_output_path("hc", "out", file)
    with pytest.raises(NotADirectoryError, match="is a file; --out names"):
        check_output_path("generate", "out", file / "set")
    check_output_path("score", "json_file", Path("-"))
    with pytest.raises(NotADirectoryError, match="--json names a file"):
        check_output_path("score", "json_file", file / "a.json")


def test_verify_says_that_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("x")
    done = called("verify", tmp_path / FILE)
    assert done.code == 2
    assert f"{FILE}: is a file; give a workspace" in done.stderr
