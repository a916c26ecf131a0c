from pathlib import Path

import numpy as np
import pytest
import torch

from fulora.data.manifest import is_blank
from fulora.diffusion.backbone import load_backbone
from fulora.diffusion.config import GenerateConfig, Sampler
from fulora.diffusion.sample import BlankImageError, image_seed, sample

CONFIG = GenerateConfig(per_class=4, image_size_px=32, steps=3, batch_size=3, device="cpu")


def pictures(backbone: Path, cfg: GenerateConfig, indices: list[int]) -> dict[int, np.ndarray]:
    return {index: pixels for index, _, pixels in sample(load_backbone(backbone), cfg, "brain", indices)}


def test_pictures_do_not_depend_on_order_or_neighbours(backbone: Path) -> None:
    forth = pictures(backbone, CONFIG, [0, 1, 2, 3, 4])
    back = pictures(backbone, CONFIG, [4, 2, 0, 3, 1])
    alone = pictures(backbone, CONFIG, [2])
    assert list(forth) == [0, 1, 2, 3, 4]
    assert all(np.array_equal(forth[index], back[index]) for index in forth)
    assert np.array_equal(alone[2], forth[2])
    assert not np.array_equal(forth[0], forth[1])
    assert forth[0].shape == (32, 32)
    assert forth[0].dtype == np.uint8


def test_seeds_are_those_of_plane_and_index(backbone: Path) -> None:
    found = [(index, seed) for index, seed, _ in sample(load_backbone(backbone), CONFIG, "femur", [3, 0])]
    assert found == [(3, image_seed(CONFIG, "femur", 3)), (0, image_seed(CONFIG, "femur", 0))]
    assert image_seed(CONFIG, "femur", 3) != image_seed(CONFIG, "brain", 3)
    assert image_seed(CONFIG.model_copy(update={"seed": 1}), "femur", 3) != image_seed(CONFIG, "femur", 3)


def test_seed_prompt_guidance_and_negative_prompt_change_the_picture(backbone: Path) -> None:
    first = pictures(backbone, CONFIG, [0])[0]
    for update in ({"seed": 1}, {"prompts": {"brain": "bone"}}, {"guidance_scale": 9.0}, {"negative_prompt": "bone"}):
        assert not np.array_equal(pictures(backbone, CONFIG.model_copy(update=update), [0])[0], first)


@pytest.mark.parametrize("sampler", ["dpm++", "unipc", "euler", "ddim"])
def test_every_sampler_gives_the_same_picture_whatever_was_used_before(backbone: Path, sampler: Sampler) -> None:
    cfg, pipe = CONFIG.model_copy(update={"sampler": sampler}), load_backbone(backbone)
    fresh = next(sample(pipe, cfg, "brain", [0]))[2]
    for other in ("euler", "dpm++"):
        next(sample(pipe, CONFIG.model_copy(update={"sampler": other}), "brain", [0]))
    assert np.array_equal(next(sample(pipe, cfg, "brain", [0]))[2], fresh)


def test_samplers_agree_when_steps_are_many(backbone: Path) -> None:
    """All four solve the same equation: from the same noise they end at nearly the same picture."""
    cfg = CONFIG.model_copy(update={"steps": 40, "batch_size": 1, "guidance_scale": 1.0})
    names: tuple[Sampler, ...] = ("dpm++", "unipc", "euler", "ddim")
    found = [pictures(backbone, cfg.model_copy(update={"sampler": name}), [0])[0].astype(float) for name in names]
    assert all(np.abs(picture - found[0]).mean() < 8 for picture in found)


def test_nothing_is_drawn_for_no_indices(backbone: Path) -> None:
    assert pictures(backbone, CONFIG, []) == {}


def test_blank_pictures_are_recognised() -> None:
    assert is_blank(np.full((8, 8), 7, np.uint8))
    assert not is_blank(np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_broken_backbone_is_reported(backbone: Path, value: float) -> None:
    pipe = load_backbone(backbone)
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight.fill_(value)
    with pytest.raises(BlankImageError, match=r"brain 0 \(seed \d+\) is blank"):
        next(sample(pipe, CONFIG, "brain", [0]))
