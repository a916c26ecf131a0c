"""A ControlNet on the embedded backbone: it starts as nothing, and learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

import fulora
from fulora.diffusion.config import ControlConfig
from fulora.diffusion.models import controlnet as control
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import embed, unet_arguments
from fulora.diffusion.models.loading import BackboneError, load_backbone
from fulora.diffusion.training import controlnet as training
from fulora.segmentation.mask_proposals import propose_masks
from fulora.segmentation.mask_quality import MaskQualityConfig, find_mask_fault

TINY = ControlConfig(steps=3, batch_size=2, log_every=1, checkpoint_every=1, device="cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
MASKS = (np.hypot(*(np.indices((64, 64)) - 32.0) / np.array([1.0, 1.3])[:, None, None]) < 18).astype(np.uint8)[None]
MASKS = MASKS.repeat(3, axis=0)
CAPTIONS = ["a photo of fetal brain"] * 3


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return load_backbone(Path(fulora.__file__).parent / "assets" / "diffusion")


def test_a_new_controlnet_does_not_change_the_prediction(pipe: Pipeline) -> None:
    made = control.build_control(pipe, 0)
    size = 64 // pipe.vae_scale_factor
    latents = torch.randn(4, 4, size, size, generator=torch.Generator().manual_seed(0))
    arguments = unet_arguments(embed(pipe, ["a photo of fetal brain"] * 4), (64, 64))
    controlled = control.ControlledUNet(pipe.unet, made, control.masks_to_condition(MASKS[:2]))
    with torch.no_grad():
        plain = pipe.unet(latents, torch.tensor(5), **arguments).sample
        assert torch.allclose(controlled(latents, torch.tensor(5), **arguments).sample, plain, atol=1e-5)


def test_it_learns_and_leaves_the_backbone_as_it_is(pipe: Pipeline, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in pipe.unet.state_dict().items()}
    training.fit(tmp_path, TINY, pipe, IMAGES, MASKS, CAPTIONS)
    assert all(torch.equal(value, before[name]) for name, value in pipe.unet.state_dict().items())
    started = control.build_control(pipe, 0).state_dict()
    learned = control.load_control(tmp_path).state_dict()
    assert not torch.equal(learned["controlnet_mid_block.weight"], started["controlnet_mid_block.weight"])


def test_a_controlnet_of_fp16_files_alone_comes_back_in_fp32(pipe: Pipeline, tmp_path: Path) -> None:
    made = control.build_control(pipe, 0)
    made.half().save_pretrained(tmp_path, variant="fp16")
    again = control.load_control(tmp_path)
    assert not again.training
    assert all(torch.equal(weight, made.state_dict()[name].float()) for name, weight in again.state_dict().items())
    assert again.dtype == torch.float32


def test_what_does_not_belong_together_is_refused(pipe: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"\(3, 64, 64\) images, \(2, 64, 64\) masks, 3 captions"):
        training.fit(tmp_path, TINY, pipe, IMAGES, MASKS[:2], CAPTIONS)
    with pytest.raises(BackboneError, match="no ControlNet in diffusers' layout"):
        control.load_control(tmp_path)


def test_proposed_heads_are_near_known_ones_and_pass_the_gates() -> None:
    found = propose_masks(list(MASKS), 20, 0, MaskQualityConfig())
    assert found.shape == (20, 64, 64)
    assert all(find_mask_fault(mask, MaskQualityConfig()) is None for mask in found)
    assert len({mask.tobytes() for mask in found}) == 20
    assert np.array_equal(found, propose_masks(list(MASKS), 20, 0, MaskQualityConfig()))
    areas = found.sum(axis=(1, 2)) / MASKS[0].sum()
    assert 0.8 < np.median(areas) < 1.25
    with pytest.raises(ValueError, match="none of 1 masks has an ellipse"):
        propose_masks([np.zeros((64, 64), np.uint8)], 1, 0, MaskQualityConfig())
    with pytest.raises(ValueError, match="only 0 of 2 proposed heads pass the mask quality rules"):
        propose_masks(list(MASKS), 2, 0, MaskQualityConfig(share=(0.9, 0.99)))
