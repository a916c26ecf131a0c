"""Every architecture learns to give a mask of its image's size, and starts from the files it is given."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fulora.segmentation.config import Architecture, UnetConfig
from fulora.segmentation.model import UnetFileError, build_unet, load_unet, save_unet

WEIGHTS = Path(__file__).parents[4] / "shared" / "data" / "weights" / "mobilenet_v2_imagenet_folded.npz"


def narrow(**changes: object) -> UnetConfig:
    return UnetConfig.model_validate({"encoder": "resnet18", "decoder_channels": (16, 16, 16, 8, 8), **changes})


@pytest.mark.slow
@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_any_size_gives_logits_of_that_size(architecture: Architecture, tmp_path: Path) -> None:
    encoder = "none" if architecture.startswith("monai_") else "resnet18"
    config = UnetConfig(architecture=architecture, encoder=encoder, classes=3, in_channels=1)
    model = build_unet(config).eval()
    images = 255 * torch.rand(1, 140, 201, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model(images)
        assert found.shape == (1, 3, 140, 201)
        save_unet(tmp_path, config, model.net.state_dict())
        assert torch.equal(load_unet(tmp_path)(images), found)


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "efficientnet-b0", "mit_b0", "tu-mobilenetv3_small_050"])
def test_encoders_of_any_kind(encoder: str) -> None:
    model = build_unet(narrow(encoder=encoder)).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 64, 64)).shape == (1, 1, 64, 64)


def test_an_unknown_encoder_is_named_with_those_near_it() -> None:
    with pytest.raises(UnetFileError, match=r"encoder=mobilnet_v2.* similar are mobilenet_v2"):
        build_unet(narrow(encoder="mobilnet_v2"))
    with pytest.raises(UnetFileError, match="encoder=tu-nothing"):
        build_unet(narrow(encoder="tu-nothing"))


def test_padding_changes_nothing_inside() -> None:
    """An image whose sides are multiples of 32 is seen as it is."""
    model = build_unet(narrow())
    images = 255 * torch.rand(2, 64, 96, generator=torch.Generator().manual_seed(0))
    assert model.normalise(images).shape == (2, 3, 64, 96)
    assert torch.allclose(model.normalise(images)[:, 0], images / 127.5 - 1, atol=1e-6)
    assert model.normalise(images[:, :50]).shape == (2, 3, 64, 96)


@pytest.mark.slow
def test_an_encoder_starts_from_a_file(tmp_path: Path) -> None:
    source = build_unet(narrow(seed=3)).net
    encoder = source.get_submodule("encoder").state_dict()
    save_file({key: value.contiguous() for key, value in encoder.items()}, tmp_path / "encoder.safetensors")
    save_file({key: value.contiguous() for key, value in source.state_dict().items()}, tmp_path / "net.safetensors")
    torch.save({"state_dict": encoder}, tmp_path / "encoder.pth")
    for name in ("encoder.safetensors", "encoder.pth", "net.safetensors"):
        made = build_unet(narrow(encoder_weights="file"), tmp_path / name).net
        own = made.get_submodule("encoder").state_dict()
        assert all(torch.equal(own[key], value) for key, value in encoder.items())
        assert not torch.equal(
            made.state_dict()["segmentation_head.0.weight"], source.state_dict()["segmentation_head.0.weight"]
        )


def test_a_network_starts_from_another_but_for_a_head_of_other_classes(tmp_path: Path) -> None:
    source = build_unet(narrow(seed=3)).net.state_dict()
    save_file({key: value.contiguous() for key, value in source.items()}, tmp_path / "net.safetensors")
    same = build_unet(narrow(encoder_weights="network"), tmp_path / "net.safetensors").net.state_dict()
    assert all(torch.equal(same[key], value) for key, value in source.items())
    other = build_unet(narrow(encoder_weights="network", classes=3), tmp_path / "net.safetensors").net.state_dict()
    for key, value in source.items():
        assert torch.equal(other[key], value) != key.startswith("segmentation_head.")


def test_weights_of_three_colours_serve_one_gray_channel(tmp_path: Path) -> None:
    """With equal statistics for all colours, the sum over colours of a convolution computes the same."""
    source = build_unet(narrow(seed=3)).net
    state = {key: value.contiguous() for key, value in source.state_dict().items()}
    save_file(state, tmp_path / "net.safetensors")
    three, one = (
        build_unet(narrow(encoder_weights="network", in_channels=n, statistics="unit"), tmp_path / "net.safetensors")
        for n in (3, 1)
    )
    images = 255 * torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(one.eval()(images), three.eval()(images), atol=1e-4)


@pytest.mark.real_data
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the folded MobileNetV2 is not there")
def test_the_folded_mobilenet_sees_the_same_in_one_channel() -> None:
    made = [build_unet(UnetConfig(encoder_weights="imagenet_folded", in_channels=n), WEIGHTS).eval() for n in (1, 3)]
    images = 255 * torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, three = (model.net.get_submodule("encoder")(model.normalise(images))[-1] for model in made)
    assert three.std() > 0.01
    assert torch.allclose(one, three, atol=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1)}, "is missing.* more"),
        ({}, "holds no state dict"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, content: dict[str, torch.Tensor], message: str) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(UnetFileError, match=message):
        build_unet(narrow(encoder_weights="file"), tmp_path / "file.pth")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"cut off")
    with pytest.raises(UnetFileError, match="cannot be read as"):
        build_unet(narrow(encoder_weights="file"), tmp_path / "a.safetensors")
    torch.save({"model": np.float64(1)}, tmp_path / "b.pth")
    with pytest.raises(UnetFileError, match=r"weights alone|holds more than weights|no state dict"):
        build_unet(narrow(encoder_weights="file"), tmp_path / "b.pth")
    state = build_unet(narrow()).net.get_submodule("encoder").state_dict()
    state["conv1.weight"] = state["conv1.weight"][:1]
    torch.save(state, tmp_path / "c.pth")
    with pytest.raises(UnetFileError, match=r"conv1.weight is \(1, 3, 7, 7\), not \(64, 3, 7, 7\)"):
        build_unet(narrow(encoder_weights="file"), tmp_path / "c.pth")
    with pytest.raises(UnetFileError, match="encoder_weights=file needs a file"):
        build_unet(narrow(encoder_weights="file"))
    with pytest.raises(UnetFileError, match="encoder_weights=none has no use for"):
        build_unet(narrow(), tmp_path / "c.pth")
