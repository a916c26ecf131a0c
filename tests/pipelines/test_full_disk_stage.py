"""A training on a disk that is full: one clean error, and the same call continues when there is room."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row

from fulora.classification.config import ClassifierConfig
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.engine import InProcess
from fulora.files import DiskFullError, partial_folder
from fulora.stage import RECORD, read_record
from fulora.training.checkpoints import CHECKPOINTS
from fulora.workspace import Workspace
from pipelines.stages.train_classifier import train_classifier

FETAL = label_set("fetal_planes")
PLANES = FETAL.names

pytestmark = pytest.mark.slow

CONFIG = ClassifierConfig(
    architecture="mobilenet_v2",
    weights="none",
    image_size_px=32,
    steps=4,
    batch_size=4,
    evaluate_every=2,
    checkpoint_every=2,
    device="cpu",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    pictures = [
        Picture(
            image_row(f"{split}-{plane}", plane=plane, split=split, patient=f"{split}-{plane}"),
            random.integers(0, 256, (32, 32), np.uint8),
        )
        for split in ("train", "validation")
        for plane in PLANES
    ]
    ImageSet.write(folder, pictures, labels=FETAL)
    return ImageSet(folder, "f")


@pytest.fixture
def disk(mount_disk: Callable[[str], Path]) -> Path:
    return mount_disk("12m")


def grown(disk: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(disk)], check=True)


def test_a_training_continues_when_there_is_room_and_gives_the_same_weights(
    disk: Path, images: ImageSet, tmp_path: Path
) -> None:
    """12 MB hold no checkpoint, 45 MB hold one of two, and 200 MB all."""
    expected = Workspace(tmp_path / "large", InProcess()).run(train_classifier, CONFIG, images)
    folder = disk / "work" / expected.path.name
    for megabytes, kept in ((12, []), (45, ["LATEST", "step_00000002.pt"])):
        grown(disk, megabytes)
        with pytest.raises(DiskFullError, match=rf"{folder.name}: the disk is full; .*the same command continues"):
            Workspace(disk / "work", InProcess()).run(train_classifier, CONFIG, images)
        assert not folder.exists()
        assert not list((disk / "work").rglob(RECORD))
        assert sorted(path.name for path in (partial_folder(folder) / CHECKPOINTS).iterdir()) == kept
    grown(disk, 200)
    made = Workspace(disk / "work", InProcess()).run(train_classifier, CONFIG, images)
    assert read_record(made.path)["digest"] == read_record(expected.path)["digest"]
    assert not partial_folder(folder).exists()
