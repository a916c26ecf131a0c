import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fulora.clip import pretrain
from fulora.clip.config import ClipPretrainConfig
from fulora.clip.model import WEIGHTS, ClipError
from fulora.data.label_set import LabelSet, label_set
from fulora.training.seeded_draws import seeded_generator

TINY = ClipPretrainConfig(
    image_size_px=32,
    width=4,
    blocks=(1, 1, 1, 1),
    text_width=16,
    embed_dim=16,
    steps=5,
    batch_size=6,
    checkpoint_every=2,
    log_every=1,
    warmup_steps=2,
    device="cpu",
)


FETAL = label_set("fetal_planes")


def data() -> tuple[LabelSet, np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 255, (13, 32, 32), dtype=np.uint8)
    return FETAL, images, np.arange(len(images)) % 5


def files(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_what_is_written(tmp_path: Path) -> None:
    pretrain.fit(tmp_path, TINY, *data())
    assert set(files(tmp_path)) == {"open_clip_config.json", WEIGHTS, "metrics.jsonl"}
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert set(rows[0]) == {"step", "loss", "accuracy"}


def test_the_seed_matters(tmp_path: Path) -> None:
    short = TINY.model_copy(update={"steps": 1})
    pretrain.fit(tmp_path / "a", short, *data())
    pretrain.fit(tmp_path / "b", short.model_copy(update={"seed": 1}), *data())
    assert files(tmp_path / "a")[WEIGHTS] != files(tmp_path / "b")[WEIGHTS]


def test_every_pair_of_one_plane_is_right() -> None:
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    logits = torch.where(same, 50.0, 0.0)
    expected = (2 * np.log(2) + 0) / 3  # an even target over two equal captions costs its entropy, log 2, and no more
    assert pretrain.matching_loss(logits, same).item() == pytest.approx(expected, abs=1e-6)


def test_augmentation_keeps_range_and_depends_on_the_step_alone() -> None:
    pixels = torch.rand(6, 1, 32, 32)
    one, again, other = (pretrain.augment(pixels, 0.75, seeded_generator("augment", done)) for done in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert 0 <= one.min() <= one.max() <= 1


def test_errors(tmp_path: Path) -> None:
    labels, images, shown = data()
    with pytest.raises(ClipError, match="13 images and 12 classes"):
        pretrain.fit(tmp_path, TINY, labels, images, shown[:-1])
