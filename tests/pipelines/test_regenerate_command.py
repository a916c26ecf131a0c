"""`fulora regenerate` as a user calls it: the same bytes, what differs, and what cannot be generated again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_inside import QUICK, Ended, called, tree
from command_line import fulora
from forked import Forked
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

pytestmark = pytest.mark.slow

Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five brains and five femurs in shards of two."""
    folder = tmp_path_factory.mktemp("drawn") / "set"
    done = called("generate", "--plane", "brain", "--plane", "femur", "--count", "5", *QUICK, "--out", folder)
    assert done.code == 0, done.stderr
    return folder


def image(folder: Path, plane: str, index: int) -> Path:
    return folder / "train" / "images" / f"{plane}-0000{index // 2}" / f"synthetic_{plane}_0000{index}.png"


def edited(path: Path, to: Path, change: Change, **others: int) -> Path:
    """A picture that was changed by other software, which kept what the file says."""
    with Pil.open(path) as opened:
        kept = PngInfo()
        for key, value in opened.info.items():
            kept.add_text(key, value)
        Pil.fromarray(change(np.asarray(opened))).save(to, pnginfo=kept, **others)
    return to


def spot(pixels: np.ndarray) -> np.ndarray:
    """32 of 64 x 64 pixels are 3 gray levels away."""
    changed = pixels.copy()
    changed[10, :32] = np.where(changed[10, :32] < 128, changed[10, :32] + 3, changed[10, :32] - 3)
    return changed


def test_one_image_by_a_process_of_its_own_has_the_same_bytes(tmp_path: Path, drawn: Path) -> None:
    first = image(drawn, "femur", 4)  # alone in its shard, so its batch was filled up
    process = Forked("regenerate", first, "--out", tmp_path / "new" / "again.png")
    printed, _ = process.communicate(120)
    assert (process.returncode, printed) == (0, f"{tmp_path / 'new' / 'again.png'}: the same bytes\n")
    assert (tmp_path / "new" / "again.png").read_bytes() == first.read_bytes()


def test_several_images_in_any_order_have_the_same_bytes(tmp_path: Path, drawn: Path) -> None:
    first = [image(drawn, *which) for which in (("femur", 3), ("brain", 0), ("femur", 0), ("brain", 4), ("brain", 1))]
    before = tree(drawn)
    done = called("regenerate", *first, "--out", tmp_path / "again")
    assert (done.code, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(f"{tmp_path / 'again' / p.name}: the same bytes" for p in first)
    for path in first:
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert tree(drawn) == before


def test_one_image_into_a_folder(tmp_path: Path, drawn: Path) -> None:
    done = called("regenerate", image(drawn, "brain", 2), "--out", tmp_path)
    assert (done.code, done.stdout) == (0, f"{tmp_path / 'synthetic_brain_00002.png'}: the same bytes\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spot, "0.78% of the pixels differ, by 3 gray levels at most"),
        (lambda pixels: pixels[:, :32], "another size; the file was changed since it was written"),
    ],
)
def test_an_edited_picture_is_reported_and_the_exit_code_is_1(
    tmp_path: Path, drawn: Path, change: Change, said: str
) -> None:
    first = image(drawn, "brain", 3)
    changed = edited(first, tmp_path / "changed.png", change)
    done = called("regenerate", changed, "--out", tmp_path / "again.png")
    assert (done.code, done.stdout) == (1, f"{tmp_path / 'again.png'}: {said}\n")
    assert (tmp_path / "again.png").read_bytes() == first.read_bytes()  # what it was before it was edited
    both = called("regenerate", changed, image(drawn, "brain", 0), "--out", tmp_path / "both")
    assert both.code == 1
    assert sum(line.endswith(": the same bytes") for line in both.stdout.splitlines()) == 1


def test_a_picture_that_was_only_saved_anew_is_the_same(tmp_path: Path, drawn: Path) -> None:
    anew = edited(image(drawn, "brain", 3), tmp_path / "anew.png", lambda pixels: pixels, compress_level=9)
    done = called("regenerate", anew, "--out", tmp_path / "again.png")
    said = "the same pixels; the file was saved anew since it was written"
    assert (done.code, done.stdout) == (0, f"{tmp_path / 'again.png'}: {said}\n")


def test_a_copy_elsewhere_is_drawn_with_the_backbone_that_is_given(tmp_path: Path, drawn: Path) -> None:
    copy = tmp_path / "found.png"
    shutil.copy(image(drawn, "brain", 1), copy)
    for given in (("--backbone", "demo"), ()):  # the embedded one is known by its digest
        done = called("regenerate", copy, "--out", tmp_path / "again.png", *given)
        assert (done.code, done.stdout) == (0, f"{tmp_path / 'again.png'}: the same bytes\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights").write_text("others")
    refused(
        called("regenerate", copy, "--out", tmp_path / "b.png", "--backbone", tmp_path / "other"), "other: is another"
    )


def refused(done: Ended, message: str) -> None:
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("fulora: ")
    assert message in done.stderr


def test_what_is_no_synthetic_picture_is_refused_and_nothing_is_written(tmp_path: Path, drawn: Path) -> None:
    Pil.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "real.png")
    Pil.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "real.jpg")
    (tmp_path / "notes.png").write_text("no picture")
    out = tmp_path / "new" / "again.png"
    silent = "does not say how it was made; only a PNG as `fulora generate` wrote it does"
    refused(called("regenerate", tmp_path / "real.png", "--out", out), silent)
    refused(called("regenerate", tmp_path / "real.jpg", "--out", out), silent)
    refused(called("regenerate", tmp_path / "notes.png", "--out", out), "cannot identify image file")
    refused(called("regenerate", tmp_path / "absent.png", "--out", out), "No such file or directory")
    refused(called("regenerate", tmp_path / "real.png", image(drawn, "brain", 0), "--out", tmp_path / "new"), silent)
    assert not (tmp_path / "new").exists()


def test_places_that_would_lose_a_picture_are_refused(tmp_path: Path, drawn: Path) -> None:
    first, before = image(drawn, "brain", 0), tree(drawn)
    twin = tmp_path / "twin" / first.name
    twin.parent.mkdir()
    shutil.copy(first, twin)
    refused(called("regenerate", first, twin, "--out", tmp_path / "new"), "several images have the same name and would")
    refused(called("regenerate", first, "--out", first), f"would overwrite {first}; give another place")
    refused(called("regenerate", first, "--out", first.parent), f"would overwrite {first}; give another place")
    for name in ("again", "again.jpg"):
        message = f"--out {tmp_path / name}: give a file that ends in .png, or an existing folder"
        refused(called("regenerate", first, "--out", tmp_path / name), message)
    assert tree(drawn) == before
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, drawn: Path) -> None:
    done = called("regenerate", image(drawn, "brain", 0), "--out", tmp_path / "again.png", "--device", "cuda")
    refused(done, "sees no GPU; use device=cpu or device=auto")


def test_help_has_examples() -> None:
    done = fulora("regenerate", "--help")
    assert done.returncode == 0
    assert "fulora regenerate found.png --out again.png --backbone sd15 --lora lora.safetensors" in done.stdout
    assert "exit code 1 if pixels differ" in done.stdout
