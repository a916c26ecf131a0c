"""`fulora verify`, and damaged artifacts given to other commands by path."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_inside import QUICK, called
from command_line import fulora
from image_rows import image_row
from PIL import Image as Pil

from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.digests import CachedDigest, write_cache
from fulora.engine import InProcess
from fulora.integrity import LIST
from fulora.stage import RECORD, stage
from fulora.workspace import Workspace

FETAL = label_set("fetal_planes")
PLANES = FETAL.names
DRAWN_BY = Provenance(entries=(ProvenanceEntry(name="LoRA l", patients=("s/A/other",)),))


@stage(version=1)
def invent_images(out: Path) -> ImageSet:
    """Two patients a split, each with a picture of two planes and its mask."""
    random = np.random.default_rng(0)
    pictures = [
        Picture(
            image_row(f"{split}-{plane}", plane=plane, split=split, patient=split),
            random.integers(0, 256, (32, 32), np.uint8),
            np.eye(32, dtype=np.uint8),
        )
        for split in ("train", "validation", "test")
        for plane in PLANES[:2]
    ]
    ImageSet.write(out, pictures, provenance=DRAWN_BY, labels=FETAL)
    return ImageSet(out, "")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = Workspace(tmp_path_factory.mktemp("made") / "work", InProcess())
    work.run(invent_images)
    (work.root / "outside.txt").write_text("outside")
    work.read(work.root / "outside.txt")
    return work.root


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work"))


def images_in(work: Path) -> Path:
    return next(work.glob("invent_images-*"))


def inverted(path: Path) -> None:
    """Other pixels in a file of the same size and time: what only looking at everything finds."""
    before, pixels = path.stat(), np.asarray(Pil.open(path))
    Pil.fromarray(255 - pixels).save(path)
    if path.stat().st_size < before.st_size:
        path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0"))
    os.truncate(path, before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_workspace_that_is_as_it_was_made(work: Path) -> None:
    done = fulora("verify", work, "--quiet")
    assert done.returncode == 0, done.stderr
    assert images_in(work).name in done.stdout
    assert "as made" in done.stdout
    assert "everything is as it was made" in done.stdout


def test_everything_that_is_damaged_is_named_with_what_to_do(work: Path) -> None:
    folder = images_in(work)
    inverted(folder / "train/images/train-brain.png")
    (folder / "provenance.json").unlink()
    done = fulora("verify", work, "--quiet")
    assert done.returncode == 1, done.stderr
    assert f"{folder}/provenance.json: missing" in done.stdout
    assert f"{folder}/train/images/train-brain.png: changed" in done.stdout
    assert f"rm -r {folder}" in done.stdout
    assert "damaged" in done.stdout
    assert fulora("verify", folder, "--quiet").returncode == 1


def test_wrong_digests_of_outside_data_are_named(work: Path) -> None:
    file, cache = work / "outside.txt", work / ".digests.json"
    now = file.stat()
    known = CachedDigest(now.st_size, now.st_mtime_ns, now.st_ctime_ns, "0" * 64)
    write_cache(cache, {str(file.resolve()): known})
    done = fulora("verify", work, "--quiet")
    assert done.returncode == 1, done.stderr
    assert f"{file}: its content differs from the digest in {cache}" in done.stdout


@pytest.mark.parametrize("name", [LIST, RECORD])
@pytest.mark.parametrize("content", ["{}", "[1, 2]", "", "\xff"])
def test_a_damaged_list_or_record_is_named(work: Path, name: str, content: str) -> None:
    (images_in(work) / name).write_bytes(content.encode("latin-1"))
    for command in (("verify", work, "--quiet"), ("show", images_in(work))):
        done = fulora(*command)
        assert done.returncode == (1 if command[0] == "verify" else 2)
        assert f"{name}: is damaged" in done.stdout + done.stderr
        assert "rm -r " in done.stdout + done.stderr


def test_a_picture_that_was_added_is_named_by_verify_alone(work: Path) -> None:
    folder = images_in(work)
    shutil.copy(folder / "train/images/train-brain.png", folder / "train/images/zz.png")
    (folder / "audit").mkdir(exist_ok=True)
    (folder / "audit/notes.txt").write_text("seen")
    done = called("verify", work, "--quiet")
    assert done.code == 1
    assert f"{folder}/train/images/zz.png: added" in done.stdout
    assert f"Move away the files that were added to {folder}" in done.stdout
    assert "rm -r" not in done.stdout
    assert "notes.txt" not in done.stdout
    assert called("show", folder).code == 0


def test_artifacts_under_each_others_names_are_named(work: Path) -> None:
    folder = images_in(work)
    copy = Path(shutil.copytree(folder, work / "invent_images-0123456789abcdef"))
    done = called("verify", work, "--quiet")
    assert done.code == 1
    assert f"{copy}: holds another artifact, {folder.name}" in done.stdout
    assert called("show", copy).code == 2


@pytest.mark.parametrize("names", [(RECORD,), (RECORD, LIST)])
def test_an_artifact_without_its_record_is_named_as_incomplete(work: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (images_in(work) / name).unlink()
    for target in (work, images_in(work)):
        done = called("verify", target, "--quiet")
        assert done.code == 1
        assert f"{images_in(work)}: is incomplete: it has no {RECORD}. " in done.stdout
        assert f"rm -r {images_in(work)}" in done.stdout


def test_what_a_stopped_run_has_begun_is_named_and_no_error(work: Path) -> None:
    (work / ".invent_images-0123456789abcdef.partial").mkdir()
    done = called("verify", work, "--quiet")
    assert done.code == 0
    assert "unfinished" in next(line for line in done.stdout.splitlines() if "0123456789abcdef" in line)


def test_a_folder_that_is_no_artifact_is_named(tmp_path: Path) -> None:
    done = fulora("verify", tmp_path)
    assert done.returncode == 2
    assert "holds no artifacts" in done.stderr
    done = fulora("verify", tmp_path / "gone")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


COMMANDS: dict[str, Callable[[Path, Path], tuple[str | Path, ...]]] = {
    "show": lambda folder, out: ("show", folder),
    "export": lambda folder, out: ("export", folder, "--format", "kohya", "--out", out),
    "check": lambda folder, out: ("data", "check", folder, "--quiet"),
    "assess": lambda folder, out: ("assess", folder, "--real", folder, "--encoder", "pixels"),
    "segment": lambda folder, out: ("segment", "predict", folder / "test" / "images", "--unet", out, "--out", out),
    "classify train": lambda folder, out: ("classify", "train", folder, "--out", out, "--dry-run"),
    "clip tune": lambda folder, out: ("clip", "tune", folder, "--out", out, "--dry-run"),
    "segment train": lambda folder, out: ("segment", "train", folder, "--out", out, "--dry-run"),
    "measure": lambda folder, out: ("measure", "aop", folder / "test" / "masks", "--out", out),
    "lora train": lambda folder, out: ("lora", "train", folder, "--out", out, "--dry-run"),
    "generate": lambda folder, out: ("generate", "--start", folder, "--count", "1", "--out", out, *QUICK),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_reads_a_damaged_artifact(work: Path, tmp_path: Path, command: str) -> None:
    folder = images_in(work)
    rows = folder / "train" / "metadata.jsonl"
    rows.write_text(rows.read_text().splitlines(keepends=True)[0])
    done = fulora(*COMMANDS[command](folder, tmp_path / "out"))
    assert done.returncode == 2
    assert "train/metadata.jsonl (changed)" in done.stderr
    assert f"rm -r {folder}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_picture_that_is_not_that_of_its_row_is_found_where_it_is_read(work: Path) -> None:
    folder = images_in(work)
    inverted(folder / "train/images/train-brain.png")
    done = fulora("assess", folder, "--real", folder, "--encoder", "pixels")
    assert done.returncode == 2
    assert "train-brain.png: is not the picture of its row in metadata.jsonl" in done.stderr


@pytest.mark.slow
def test_a_generated_set_is_held_against_its_list(tmp_path: Path) -> None:
    command = ("generate", "--plane", "brain", "--count", "2", "--out", tmp_path / "set", *QUICK, "--quiet")
    assert fulora(*command).returncode == 0
    assert fulora("verify", tmp_path / "set", "--quiet").returncode == 0
    assert fulora(*command).returncode == 0
    (picture, *_) = sorted((tmp_path / "set" / "train").rglob("*.png"))
    picture.write_bytes(picture.read_bytes()[:-20])
    for again in (command, ("export", tmp_path / "set", "--format", "kohya", "--out", tmp_path / "out")):
        done = fulora(*again)
        assert done.returncode == 2
        assert f"{picture.name} (changed)" in done.stderr
    assert fulora("verify", tmp_path / "set", "--quiet").returncode == 1


@pytest.mark.slow
def test_a_lora_without_its_provenance_is_not_used(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "lora"
    settings = ("steps=1", "rank=2", "batch_size=1", "compile=never", "device=cpu", "--quiet")
    done = fulora("lora", "train", images_in(work), "--out", out, *settings)
    assert done.returncode == 0, done.stderr
    assert fulora("verify", out, "--quiet").returncode == 0
    (out / "provenance.json").unlink()
    drawn = ("generate", "--lora", out / "lora.safetensors", "--count", "1", "--out", tmp_path / "set", *QUICK)
    for command in (drawn, ("lora", "train", images_in(work), "--out", out, *settings)):
        done = fulora(*command)
        assert done.returncode == 2
        assert "provenance.json (missing)" in done.stderr
