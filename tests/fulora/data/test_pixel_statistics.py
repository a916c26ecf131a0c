"""Every network sees pixels as its weights were trained with: compared with timm's own configs."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from fulora.classification.networks import pixel_statistics
from fulora.data.pictures.normalisation import HALF, IMAGENET, smp_statistics, timm_statistics
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.model import build_unet
from fulora.segmentation.networks import build_network, encoder_statistics

OWN = ["tf_mobilenetv3_small_075", "vit_tiny_patch16_224", "vit_base_patch32_clip_224", "dpn68", "resnet18"]


@pytest.mark.parametrize("name", OWN)
def test_networks_of_timm_have_those_of_timm(name: str) -> None:
    theirs = timm.data.resolve_data_config(timm.get_pretrained_cfg(name).to_dict())
    for found in (
        timm_statistics(name),
        smp_statistics(f"tu-{name}"),
        pixel_statistics(f"timm/{name}", "imagenet"),
    ):
        assert (found.mean, found.std) == (theirs["mean"], theirs["std"])
    cfg = UnetConfig(encoder=f"tu-{name}", encoder_weights="imagenet")
    assert encoder_statistics(cfg) == (theirs["mean"], theirs["std"])
    (mean,), (std,) = encoder_statistics(cfg.changed(in_channels=1))
    assert mean == pytest.approx(sum(theirs["mean"]) / 3)
    assert std == pytest.approx(sum(theirs["std"]) / 3)


def test_some_of_them_are_not_imagenets() -> None:
    assert {timm_statistics(name) == IMAGENET for name in OWN} == {True, False}


@pytest.mark.parametrize(
    ("encoder", "own"), [("inceptionv4", "inception_v4"), ("xception", "legacy_xception"), ("dpn68b", "dpn68")]
)
def test_encoders_with_another_name_in_timm(encoder: str, own: str) -> None:
    theirs = timm.get_pretrained_cfg(own)
    assert (smp_statistics(encoder).mean, smp_statistics(encoder).std) == (theirs.mean, theirs.std)
    assert smp_statistics(encoder) != IMAGENET


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet-b0", "mit_b0", "resnet18", "no_such_network"])
def test_all_others_have_imagenets(name: str) -> None:
    assert smp_statistics(name) == IMAGENET
    assert pixel_statistics("resnet18", "imagenet") == IMAGENET
    assert pixel_statistics("mobilenet_v2", "imagenet_folded") == HALF


def test_a_unet_on_an_encoder_of_timm_gives_it_pixels_of_its_own(tmp_path: Path) -> None:
    """Black is -1 and white is 1 for this encoder; by ImageNet's statistics they would be -2.1 and 2.2."""
    cfg = UnetConfig(encoder="tu-tf_mobilenetv3_small_075", encoder_weights="file", decoder_channels=(16, 16, 8, 8, 8))
    encoder = build_network(cfg.changed(encoder_weights="none")).get_submodule("encoder")
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, tmp_path / "e.safetensors")
    model = build_unet(cfg, tmp_path / "e.safetensors")
    black, white = (model.normalise(torch.full((1, 32, 32), gray)) for gray in (0, 255))
    assert black.unique().tolist() == [-1]
    assert white.unique().tolist() == [1]
