"""`fulora segment predict` on pictures of several sizes, by one network and by several."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from command_inside import called
from PIL import Image as Pil

import fulora as fu
from fulora.data.label_set import LabelSet, label_set, read_label_set
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.model import build_unet, save_unet

SIZES = {"a.png": (50, 80), "sub/b.jpg": (64, 64), "c.mha": (40, 30)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, shape in SIZES.items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, shape, dtype=np.uint8)
        if path.suffix == ".mha":
            header = f"ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = {shape[1]} {shape[0]}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"  # noqa: E501
            path.write_bytes(header.encode() + pixels.tobytes())
        else:
            Pil.fromarray(pixels).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    return tmp_path / "pictures"


def network(folder: Path, seed: int = 0, classes: int = 1) -> Path:
    folder.mkdir()
    shape = {"encoder": "resnet18", "image_size_px": 64, "decoder_channels": (16, 16, 16, 8, 8)}
    config = UnetConfig.model_validate(shape | {"seed": seed, "classes": classes})
    save_unet(folder, config, build_unet(config).net.state_dict())
    label_set("fetal_planes" if classes == 1 else "intrapartum").write(folder)
    return folder


def test_masks_have_the_sizes_and_names_of_their_pictures(pictures: Path, tmp_path: Path) -> None:
    one, two = network(tmp_path / "one"), network(tmp_path / "two", seed=1)
    done = called(
        "segment",
        "predict",
        pictures,
        "--unet",
        one,
        "--unet",
        two,
        "--flip",
        "--out",
        tmp_path / "masks",
        "--overlays",
        tmp_path / "look.png",
        "--device",
        "cpu",
    )
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(f"3 masks in {tmp_path / 'masks'}: 1 is head")
    assert read_label_set(tmp_path / "masks") == label_set("fetal_planes")
    for name, shape in SIZES.items():
        with Pil.open((tmp_path / "masks" / name).with_suffix(".png")) as mask:
            assert mask.size == shape[::-1]
            assert set(np.unique(np.asarray(mask))) <= {0, 1}
    with Pil.open(tmp_path / "look.png") as sheet:
        assert sheet.width > 1000


def test_python_segments_as_the_command_does(pictures: Path, tmp_path: Path) -> None:
    unet = network(tmp_path / "unet")
    assert called("segment", "predict", pictures, "--unet", unet, "--out", tmp_path / "typed").code == 0
    masks = fu.segment(pictures, unet, tmp_path / "masks", device="cpu")
    for name in ("a.png", "sub/b.png", "c.png"):
        assert (masks.path / name).read_bytes() == (tmp_path / "typed" / name).read_bytes()
    assert masks.table.rows == [{"class number": 1, "structure": "head"}]
    assert masks.table.title == f"3 masks in {tmp_path / 'masks'}"
    assert "head" in masks._repr_html_()
    assert masks.figure().width > 1000


def test_what_cannot_be_segmented_is_one_message(pictures: Path, tmp_path: Path) -> None:
    one, three = network(tmp_path / "one"), network(tmp_path / "three", classes=3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    Pil.new("L", (8, 8)).save(pictures / "a.bmp")
    for arguments, said in (
        ((pictures, "--unet", one), "would have the same mask, a.png; rename one"),
        ((tmp_path / "full", "--unet", one), "contains no images"),
        ((tmp_path / "gone", "--unet", one), "contains no images"),
    ):
        done = called("segment", "predict", *arguments, "--out", tmp_path / "masks")
        assert (done.code, done.stdout) == (2, "")
        assert said in done.stderr
    (pictures / "a.bmp").unlink()
    for arguments, said in (
        (("--unet", one, "--out", tmp_path / "full"), "is not empty"),
        (("--unet", one, "--unet", three, "--out", tmp_path / "masks"), "have different structures"),
        (("--unet", tmp_path / "full", "--out", tmp_path / "masks"), "no U-Net"),
    ):
        done = called("segment", "predict", pictures, *arguments)
        assert (done.code, done.stdout) == (2, "")
        assert said in done.stderr


def test_masks_beside_pictures_are_passed_over(pictures: Path, tmp_path: Path) -> None:
    for name in ("a_Mask.png", "masks/a.png", "label_mha/c.png", "sub/._b.png", "@eaDir/a.png"):
        (pictures / name).parent.mkdir(exist_ok=True)
        Pil.new("L", (8, 8)).save(pictures / name)
    one = network(tmp_path / "one")
    done = called("segment", "predict", pictures, "--unet", one, "--out", tmp_path / "out", "--device", "cpu")
    assert done.code == 0, done.stderr
    assert "3 files named as masks skipped, such as a_Mask.png" in done.stderr
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert made == ["a.png", "c.png", "sub/b.png"]


def test_a_network_of_before_label_sets_is_one_message(pictures: Path, tmp_path: Path) -> None:
    (network(tmp_path / "old") / "label_set.json").unlink()
    done = called(
        "segment", "predict", pictures, "--unet", tmp_path / "old", "--out", tmp_path / "masks", "--device", "cpu"
    )
    assert (done.code, done.stdout) == (2, "")
    assert "has no label_set.json, which says its classes; an earlier version of fulora made it" in done.stderr
    assert not (tmp_path / "masks").exists()


def test_measure_finds_the_class_numbers_beside_the_masks(tmp_path: Path) -> None:
    """Masks of 1 symphysis and 2 head, renumbered: without the label set the angle would be of the wrong two."""
    angles = []
    for name, numbers in (("usual", (1, 2)), ("renumbered", (3, 5))):
        drawn = np.zeros((256, 256), np.uint8)
        cv2.ellipse(drawn, ((150, 160), (120, 90), 0), numbers[1], -1)
        cv2.ellipse(drawn, ((80, 70), (50, 20), 20), numbers[0], -1)
        (tmp_path / name).mkdir()
        Pil.fromarray(drawn).save(tmp_path / name / "a.png")
        held = {part: {"number": n, "measured": "angle"} for part, n in zip(("pubis", "skull"), numbers, strict=True)}
        labels = {"name": "mine", "classes": [{"name": "view", "structures": held}]}
        LabelSet.model_validate(labels).write(tmp_path / name)
        done = called("measure", "aop", tmp_path / name, "--out", tmp_path / f"{name}.csv")
        assert done.code == 0, done.stderr
        angles.append((tmp_path / f"{name}.csv").read_text())
    assert angles[0] == angles[1]
